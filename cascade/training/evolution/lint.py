"""Lint: what is wrong with a fitness before any generation is spent on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from cascade.errors import RefusedError
from cascade.market import (
    Listings,
    Mean,
    PageDistinct,
    PageMax,
    PageMean,
    PageMin,
    PageRecall,
    PageShare,
    PageTotal,
    Percentile,
    parse_market_measure,
)
from cascade.training.evolution.fitness import FitnessSettings

RELEVANCE_COLUMNS = frozenset({"gain", "grade", "purchase", "click"})
# Measures that count what is on the page, wherever on it.
_FLAT = (PageRecall, PageMean, PageMin, PageMax, PageTotal, PageShare, PageDistinct)


@dataclass(frozen=True, slots=True)
class Finding:
    """Tell one thing that is wrong.

    Attributes:
        code: Names the kind of finding; what `allow` takes.
        message: What is wrong, why, and what to do.
        refused: Whether a search does not begin unless it is allowed.
    """

    code: str
    message: str
    refused: bool = True

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class _Anatomy:
    """Hold what a measure is made of."""

    columns: frozenset[str]
    cutoff: int | None
    flat: bool


def lint(
    settings: FitnessSettings,
    listings: Listings | None = None,
    relevance: Collection[str] = RELEVANCE_COLUMNS,
) -> tuple[Finding, ...]:
    """Return what is wrong with a fitness, the refused first.

    Args:
        settings: The fitness as it is written.
        listings: The training requests, so that columns can be looked at.
        relevance: The columns that say what shoppers want.
    """
    terms = _terms(settings)
    written = [*terms, *settings.bounds]
    parts = {text: _anatomy(text) for text in written}
    relevant = [text for text in written if parts[text].columns & set(relevance)]
    found: list[Finding] = []
    if settings.function:
        found.append(
            Finding(
                "plain-function",
                f"what {settings.function} rewards cannot be seen; look at nDCG@10 and MRR on "
                "held-out requests",
                refused=False,
            )
        )
    elif not relevant:
        found.append(
            Finding(
                "no-relevance",
                f"nothing in {_listed(written)} says what shoppers want, so any order that "
                "raises it will do; add a bound such as 'nDCG@10' = '>= 0.99 of base'",
            )
        )
    others = [text for text in terms if text not in relevant]
    if relevant and others and all(parts[text].flat for text in relevant):
        found.append(_flat(relevant, others, parts))
    found += _idle_bounds(settings)
    if listings is not None:
        found += _columns(parts.values(), listings, relevance)
    return tuple(sorted(found, key=lambda finding: not finding.refused))


def refuse(findings: Iterable[Finding], allow: Collection[str] = ()) -> None:
    """Refuse a search for its findings, but for the codes that are allowed.

    Raises:
        RefusedError: With every finding that is left.
    """
    left = [finding for finding in findings if finding.refused and finding.code not in allow]
    if left:
        codes = ", ".join(sorted({finding.code for finding in left}))
        lines = "\n  ".join(str(finding) for finding in left)
        raise RefusedError(f"the fitness is refused (allow = [{codes}] overrides):\n  {lines}")


def _terms(settings: FitnessSettings) -> list[str]:
    raised = [settings.raised] if settings.raised else []
    return [*settings.measures, *raised, *settings.objectives.values()]


def _anatomy(text: str) -> _Anatomy:
    measure = parse_market_measure(text)
    inner = measure.page if isinstance(measure, Mean | Percentile) else measure
    # What a measure reads stands in a field of one of these names.
    read = (getattr(inner, name, None) for name in ("gain", "column", "name"))
    cutoff = getattr(inner, "cutoff", None)
    return _Anatomy(
        frozenset(name for name in read if isinstance(name, str)),
        cutoff,
        isinstance(inner, _FLAT) and cutoff != 1,
    )


def _flat(relevant: list[str], others: list[str], parts: dict[str, _Anatomy]) -> Finding:
    cutoff = max(parts[text].cutoff or 0 for text in relevant)
    page = f"the first {cutoff} ranks" if cutoff else "the list"
    last = f"rank {cutoff}" if cutoff else "the last rank"
    return Finding(
        "flat-relevance",
        f"{_listed(relevant)} does not change when rows change places within {page}, and it is "
        f"all that speaks for relevance: a search that raises {_listed(others)} may move what "
        f"shoppers want from rank 1 to {last} and lose nothing; add a measure that falls with "
        "each rank, such as nDCG@10 or MRR, or bound it",
    )


def _idle_bounds(settings: FitnessSettings) -> list[Finding]:
    raised = {t for t in _terms(settings) if settings.measures.get(t, 1.0) > 0}
    return [
        Finding(
            "idle-bound",
            f"{name} {bound}: the fitness raises {name} already, so its lower bound is on nothing "
            "that the search would give up; bound what it may lose",
            refused=False,
        )
        for name, bound in settings.bounds.items()
        if name in raised and len(raised) == 1 and bound.strip().startswith(">=")
    ]


def _columns(
    parts: Iterable[_Anatomy], listings: Listings, relevance: Collection[str]
) -> list[Finding]:
    found = {}
    for name in sorted({column for part in parts for column in part.columns}):
        if name not in listings.columns and name not in listings.groups:
            known = ", ".join(sorted({*listings.columns, *listings.groups}))
            message = f"the listings have no column {name!r}; they have {known}"
            found[name] = Finding("no-column", message)
        elif name in relevance and name in listings.columns:
            positive = np.count_nonzero(np.nan_to_num(listings.columns[name]) > 0)
            if not positive:
                message = (
                    f"no row of the {listings.requests} requests has a {name!r} above 0, so no "
                    "order is better than another; take requests with positives"
                )
                found[name] = Finding("no-positives", message)
    return list(found.values())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
