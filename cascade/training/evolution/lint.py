"""Lint: what is wrong with a fitness before any generation is spent on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cascade.errors import InputError, nearest
from cascade.market import Listings
from cascade.training.evolution.anatomy import Anatomy, Names, anatomy
from cascade.training.evolution.constraints import Bound, parse_bound
from cascade.training.evolution.findings import Finding, refused_first
from cascade.training.evolution.fitness import FitnessSettings
from cascade.training.evolution.samples import Sample, measured

RELEVANCE_COLUMNS = frozenset({"gain", "grade", "purchase", "click"})
Part = TypeVar("Part", bound=str)


@dataclass(frozen=True, slots=True)
class _Clause:
    """Hold one line of a fitness: a term, or a bound.

    Attributes:
        measure: As it is written.
        told: The line in words.
        raised: Whether it asks for more of the measure, else for less.
        bound: Whether it is a bound.
        parts: What the measure is made of.
    """

    measure: str
    told: str
    raised: bool
    bound: bool
    parts: Anatomy


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

    Raises:
        InputError: If a measure or a bound cannot be read, or reads what the listings have not.
    """
    clauses = _clauses(settings)
    relevant = [c for c in clauses if c.parts.speaks(c.raised, relevance)]
    others = [c for c in clauses if not c.bound and c not in relevant]
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
                f"nothing in {_listed(clauses)} asks for what shoppers want, so any order that "
                "raises it will do; add a bound such as 'nDCG@10' = '>= 0.99 of base'",
            )
        )
    if relevant and others and all(clause.parts.flat for clause in relevant):
        found.append(_flat(relevant, others))
    found += _idle_bounds(clauses)
    if listings is not None:
        absent = unknown((clause.parts for clause in clauses), Names.of(listings))
        if absent:
            raise InputError("fitness: " + "\n  ".join(absent))
        found += _without_positives(clauses, listings, relevance)
    return refused_first(found)


def lint_bounds(
    parts: Mapping[Part, Sample],
    bounds: Sequence[Bound],
    relevance: Collection[str] = RELEVANCE_COLUMNS,
) -> tuple[Finding, ...]:
    """Return the bounds that the order of relevance breaks or leaves undefined, the refused first.

    Args:
        parts: The requests by part.
        bounds: Of the fitness and of acceptance.
        relevance: The columns that say what shoppers want.

    Raises:
        InputError: If a measure cannot be read.
    """
    texts = [bound.measure for bound in bounds]
    base = {part: measured(s, s.scores[:, None], texts) for part, s in parts.items()}
    found: list[Finding] = []
    for bound in bounds:
        every = {part: float(at[bound.measure][0]) for part, at in base.items()}
        values = {part: value for part, value in every.items() if np.isfinite(value)}
        outside = {part: value for part, value in values.items() if not bound.holds(value, value)}
        if len(values) < len(every):
            found.append(_undefined(bound, [part for part in every if part not in values]))
        if outside:
            found.append(_unmet(bound, outside, relevance))
    return refused_first(found)


def lint_inputs(training: Sample) -> tuple[Finding, ...]:
    """Return the inputs that are the same in every row."""
    return tuple(
        Finding(
            "idle-input",
            f"the input {name} is {column[0]:g} in every row of the training requests, so a policy "
            "learns nothing from it; leave it out of business.policy.inputs",
            refused=False,
        )
        for name, column in zip(training.names, training.inputs.T, strict=True)
        if np.ptp(column) == 0
    )


def unknown(parts: Iterable[Anatomy], names: Names) -> list[str]:
    """Return a line for each column and each grouping that measures read and that is not there."""
    read = list(parts)
    columns = sorted({name for one in read for name in one.read} - names.columns)
    groups = sorted({name for one in read for name in one.groups} - names.groups)
    return [
        *(
            f"no column {name!r}; {nearest(name, names.columns, len(names.columns))}; "
            "[evolution.columns] defines more, by formulas"
            for name in columns
        ),
        *(
            f"no groups {name!r}; {nearest(name, names.groups, len(names.groups))}; "
            "evolution.groups names the keyword fields that rows are grouped by"
            for name in groups
        ),
    ]


def terms_of(settings: FitnessSettings) -> dict[str, float]:
    """Return the measures that are raised, each with its weight; below 0 lowers it."""
    raised = [settings.raised] if settings.raised else []
    return {**settings.measures, **dict.fromkeys([*raised, *settings.objectives.values()], 1.0)}


def _clauses(settings: FitnessSettings) -> list[_Clause]:
    terms = [
        _Clause(
            name,
            name if weight > 0 else f"{name} (weight {weight:g})",
            raised=weight > 0,
            bound=False,
            parts=anatomy(name),
        )
        for name, weight in terms_of(settings).items()
    ]
    bounds = [parse_bound(name, text) for name, text in settings.bounds.items()]
    return terms + [
        _Clause(b.measure, str(b), raised=b.at_least, bound=True, parts=anatomy(b.measure))
        for b in bounds
    ]


def _flat(relevant: Sequence[_Clause], others: Sequence[_Clause]) -> Finding:
    last = max(clause.parts.flat for clause in relevant)
    return Finding(
        "flat-relevance",
        f"{_listed(relevant)} does not change when rows change places within the first {last} "
        f"ranks, and it is all that speaks for relevance: a search that raises {_listed(others)} "
        f"may move what shoppers want from rank 1 to rank {last} and lose nothing; add a measure "
        "that falls with each rank, such as nDCG@10 or MRR, or bound it",
    )


def _idle_bounds(clauses: Sequence[_Clause]) -> list[Finding]:
    raised = {clause.measure for clause in clauses if clause.raised and not clause.bound}
    return [
        Finding(
            "idle-bound",
            f"{clause.told}: the fitness raises {clause.measure} already, so its lower bound is on "
            "nothing that the search would give up; bound what it may lose",
            refused=False,
        )
        for clause in clauses
        if clause.bound and clause.raised and raised == {clause.measure}
    ]


def _undefined(bound: Bound, parts: Sequence[str]) -> Finding:
    message = (
        f"{bound}: {bound.measure} is undefined for every one of the {' and '.join(parts)} "
        "requests, so the bound cannot be held there; take more requests, or another [split]"
    )
    return Finding("unmet-bound", message)


def _unmet(bound: Bound, outside: Mapping[Part, float], relevance: Collection[str]) -> Finding:
    reached = ", ".join(f"{value:.4f} on {part}" for part, value in outside.items())
    wanted = anatomy(bound.measure).speaks(bound.at_least, relevance)
    why = (
        "and the stages rank by relevance alone, so few policies reach more; "
        "write it as a share of base, such as '>= 0.99 of base'"
        if wanted
        else "so a search begins outside of the bound, and has to find its way in"
    )
    message = f"{bound}: the order of relevance itself reaches {reached} requests, {why}"
    return Finding("unmet-bound", message, refused=wanted)


def _without_positives(
    clauses: Sequence[_Clause], listings: Listings, relevance: Collection[str]
) -> list[Finding]:
    read = {name for clause in clauses for name in clause.parts.columns & set(relevance)}
    read |= {clause.parts.where for clause in clauses}
    found = []
    for name in sorted(read & set(listings.columns)):
        if not (np.nan_to_num(listings.columns[name]) > 0).any():
            message = (
                f"no row of the {listings.requests} requests has a {name!r} above 0, so there is "
                "nothing to measure by it; take requests with positives"
            )
            found.append(Finding("no-positives", message))
    return found


def _listed(clauses: Iterable[_Clause]) -> str:
    return ", ".join(clause.told for clause in clauses)
