"""Logged requests: what the service was asked, what its rankers saw, and what it showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash

from cascade.candidates import Float32, Float64, Int32
from cascade.errors import OptionalDependencyError

_NO_CHANCES = np.zeros(0, dtype=np.float64)


@dataclass(frozen=True)
class LoggedStage:
    """Hold what one stage saw and gave.

    Attributes:
        name: The stage.
        model: The bundle it ran, as name/version.
        window: The head rows it may score.
        outcome: What became of it.
        reason: Why it did not run as configured, else "".
        ms: How long it took.
        names: The features, in the order of the matrix's columns.
        matrix: float32[rows, f] that the model was given; no rows if the stage did not run.
        scores: float32[rows] that it gave.
    """

    name: str
    model: str
    window: int
    outcome: str
    reason: str
    ms: float
    names: tuple[str, ...]
    matrix: Float32
    scores: Float32


@dataclass(frozen=True)
class LoggedBusiness:
    """Hold what the business layer did.

    Attributes:
        policy: Names its policy, objectives and rules; other settings, another name.
        outcome: What became of it.
        reason: Why the policy's order was not used, else "".
        preference: The shares that were used, those of the configuration included.
        utilities: float32[w] of its window, none if the policy did not run.
        max_displacement: How many ranks the policy may carry a row.
        arranged: int32[n], the rank (from 0) before the rules of the row at each rank after them.
        moves: What each rule moved: rule, document, rank before and after (from 1).
        model: The bundle of its policy, as name/version; "" for one that was not learned, None
            where the log does not say.
    """

    policy: str
    outcome: str
    reason: str
    preference: Mapping[str, float]
    utilities: Float32
    max_displacement: int
    arranged: Int32
    moves: tuple[tuple[str, str, int, int], ...] = ()
    model: str | None = ""


@dataclass(frozen=True)
class LoggedRequest:
    """Hold one request and its answer.

    Attributes:
        query_id: The query's id.
        route: "search" or "rank".
        text: What the shopper typed.
        filters: As the request gave them.
        preference: The share of each business objective, or the name of an operating point, as
            the request gave it.
        surface: Where the page was shown, if known.
        time: Seconds since 1970.
        session: The pseudonym of the session, None without consent.
        visitor: The pseudonym of the visitor, None without consent.
        consent: Whether the request may be linked with others.
        seen: The documents that the visitor has seen, as features read them.
        cascade: The name of the cascade.
        generation: The index and catalogue that answered.
        candidates: The m retrieved documents in retrieval's order, then the admitted ones.
        admitted: How many of them were admitted by pins.
        engine_scores: float32[m], the scores that retrieval gave.
        columns: float32[m - admitted] by name: what else retrieval said of each document.
        stages: The stages that were tried, in order.
        business: What the business layer did, None if it did not run.
        order: int32[n], the position in `candidates` of the row at each rank in the end.
        scores: float32[n] of these rows.
        swapped: The upper rank of each pair of neighbours that exploration swapped.
        propensities: float64[n], the chance of each row to stand where it stood; empty without
            exploration, when it is 1.
        sort: The field that it was ordered by, with "-" for descending, in place of the stages.
        collapse: The field of which one row a value was kept.
        offset: The ranks before the page.
        size: How many rows were asked for.
        results: The documents of the page.
        arm: Experiment and arm that it took part in, as `name/arm`; None if in none.
        teams: Of an interleaved page, which cascade each of `results` is of: 0 the first, 1 the
            other, -1 neither.
    """

    query_id: str
    route: str
    text: str
    filters: Mapping[str, Any]
    preference: Mapping[str, float] | str
    surface: str | None
    time: float
    session: str | None
    visitor: str | None
    consent: bool
    seen: tuple[str, ...]
    cascade: str
    generation: str
    candidates: tuple[str, ...]
    admitted: int
    engine_scores: Float32
    columns: Mapping[str, Float32]
    stages: tuple[LoggedStage, ...]
    business: LoggedBusiness | None
    order: Int32
    scores: Float32
    offset: int
    size: int
    results: tuple[str, ...]
    sort: str | None = None
    collapse: str | None = None
    swapped: tuple[int, ...] = ()
    propensities: Float64 = field(default_factory=lambda: _NO_CHANCES)
    arm: str | None = None
    teams: tuple[int, ...] = ()

    @property
    def models(self) -> dict[str, str]:
        """The bundle that each stage and the business layer ran, as name/version."""
        found = {stage.name: stage.model for stage in self.stages if stage.model}
        if self.business is not None and self.business.model:
            found["business"] = self.business.model
        return found


def shown_propensities(
    candidates: Sequence[str],
    order: Sequence[int],
    propensities: Sequence[float],
    results: Sequence[str],
) -> list[float] | None:
    """Return the chance of each row of a page to stand where it stood; None without exploration.

    Rows beyond the candidates, which only far pages have, stand there for certain.
    """
    if not len(propensities):
        return None
    chance = {candidates[at]: share for at, share in zip(order, propensities, strict=True)}
    return [chance.get(doc_id, 1.0) for doc_id in results]


def share_of(query_id: str, what: str) -> float:
    """Return a number in [0, 1) that depends on a query's id and what it is for alone."""
    return xxhash.xxh3_64_intdigest(f"{what}:{query_id}".encode()) / 2.0**64


def sampled(query_id: str, rate: float) -> bool:
    """Return whether a request is kept; one id is kept by every replica or by none."""
    return share_of(query_id, "log") < rate


def need_pyarrow() -> None:
    """Check that Parquet files can be read and written.

    Raises:
        OptionalDependencyError: If pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise OptionalDependencyError("pyarrow", "logs") from None
