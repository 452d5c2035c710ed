"""The report: what an evaluation found, and its form in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.evaluation.bootstrap import Bootstrap, Interval
from cascade.evaluation.power import Power
from cascade.evaluation.significance import PValue

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class SystemResult:
    """Hold one system's mean by measure, its paired difference to the baseline, and its p-value.

    There are no p-values of the baseline, of a random order, and on parts of the queries.
    """

    measures: Mapping[str, Interval]
    delta: Mapping[str, Interval]
    p: Mapping[str, PValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BucketResult:
    """Hold the systems' results on a part of the queries."""

    queries: int
    systems: Mapping[str, SystemResult]


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Say how much a stage can still reach: its window, and the recall of what it is given.

    Attributes:
        window: How many head rows the stage scores.
        source: The system whose order the stage is given.
        recall: The mean share of a query's graded documents (grade > 0) inside the window.
        kept: The same, of those that retrieval brought alone: what the window cuts off is the
            rest.
        top: By cutoff, the mean share of those that retrieval brought that the stage puts among
            the first so many.
    """

    window: int
    source: str
    recall: float
    kept: float = math.nan
    top: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Curve:
    """Hold recall by cutoff for every system.

    Attributes:
        cutoffs: Ascending.
        systems: The mean recall at each cutoff.
    """

    cutoffs: tuple[int, ...]
    systems: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """Hold one query of the list of wins and losses."""

    query_id: str
    text: str
    baseline: float
    system: float

    @property
    def delta(self) -> float:
        """How much better the system is than the baseline."""
        return self.system - self.baseline


@dataclass(frozen=True, slots=True)
class PerQuery:
    """Hold the first measure of every system, query by query; NaN where undefined."""

    query_ids: tuple[str, ...] = ()
    systems: Mapping[str, Float64] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loss:
    """Say what is lost when a part of the cascade is left out.

    Attributes:
        part: What is left out, such as `stage:trees` or `kind:bm25`.
        features: How many features it has; None for a stage.
        delta: By measure, the whole cascade's mean lowered by so much: below 0, the part helps.
        p: The p-values of these differences, corrected over all parts, measure by measure.
    """

    part: str
    features: int | None
    delta: Mapping[str, Interval]
    p: Mapping[str, PValue]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Count the queries that the last system makes better or worse than the baseline.

    Attributes:
        system: The last system.
        measure: The first measure.
        wins: Queries that it makes better.
        ties: Queries that it leaves alike.
        losses: Queries that it makes worse.
        edges: The edges of the histogram of differences, from -1 to 1.
        counts: The queries between two edges, without ties.
        best: The queries that gain most, the most first.
        worst: The queries that lose most, the most first.
    """

    system: str
    measure: str
    wins: int
    ties: int
    losses: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    best: tuple[QueryOutcome, ...] = ()
    worst: tuple[QueryOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Excluded:
    """Count what the means do not hold.

    Attributes:
        undefined: For each measure, the queries of the runs without a relevant document.
        not_run: The judged queries that the runs do not have.
        lines_without_grade: The lines of the judgments file that had no grade.
        conflicts: The lines that gave a pair another grade than a line above.
    """

    undefined: Mapping[str, int]
    not_run: int
    lines_without_grade: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class About:
    """Say what was evaluated; nothing here changes a number.

    Attributes:
        protocol: "full" (over retrieval, unjudged = 0) or "pool" (the judged documents alone).
        seconds: How long everything took.
        timings: How long each part took, in seconds.
        data: What the judgments and documents were.
        config: The settings that the systems ran with.
        notes: Sentences for the reader.
    """

    protocol: str = "full"
    seconds: float = 0.0
    timings: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Hold what an evaluation found.

    Attributes:
        about: What was evaluated.
        queries: How many queries of the runs have a document with a grade above 0.
        baseline: The system that differences are taken to.
        measures: The measures as they print, the main one first.
        systems: The results by system, in the order they were given.
        recall: The baseline's recall of graded documents by cutoff.
        windows: What each stage can reach, by stage.
        curve: Recall by cutoff for every system.
        split: The rule of the buckets, "" if there are none.
        buckets: The results on parts of the queries.
        outcomes: Wins and losses of the last system.
        excluded: What the means do not hold.
        bootstrap: How the intervals were made.
        power: By measure, what the comparison of the last system can see.
        per_query: The first measure, query by query.
        losses: What is lost without each part of the cascade, if that was asked for.
    """

    about: About
    queries: int
    baseline: str
    measures: tuple[str, ...]
    systems: Mapping[str, SystemResult]
    recall: Mapping[int, float]
    windows: Mapping[str, WindowResult]
    curve: Curve
    split: str
    buckets: Mapping[str, BucketResult]
    outcomes: Outcomes
    excluded: Excluded
    bootstrap: Bootstrap
    power: Mapping[str, Power] = field(default_factory=dict)
    per_query: PerQuery = field(default_factory=PerQuery)
    losses: tuple[Loss, ...] = ()


def to_json(report: Report) -> dict[str, Any]:
    """Return plain data for one JSON document; what is not a finite number is null."""
    about = report.about
    document = {
        "protocol": about.protocol,
        "queries": report.queries,
        "baseline": report.baseline,
        "systems": _systems(report.systems),
        "recall": {str(cutoff): recall for cutoff, recall in report.recall.items()},
        "seconds": about.seconds,
        "timings": about.timings,
        "windows": {stage: asdict(window) for stage, window in report.windows.items()},
        "curve": asdict(report.curve),
        "split": report.split,
        "buckets": {
            name: {"queries": bucket.queries, "systems": _systems(bucket.systems)}
            for name, bucket in report.buckets.items()
        },
        "outcomes": {
            **asdict(report.outcomes),
            "best": _listed(report.outcomes.best),
            "worst": _listed(report.outcomes.worst),
        },
        "power": {measure: asdict(power) for measure, power in report.power.items()},
        "losses": [asdict(loss) for loss in report.losses],
        "per_query": {
            "measure": report.measures[0],
            "query_ids": report.per_query.query_ids,
            "systems": {n: values.tolist() for n, values in report.per_query.systems.items()},
        },
        "excluded": asdict(report.excluded),
        "bootstrap": asdict(report.bootstrap),
        "data": about.data,
        "config": about.config,
        "notes": about.notes,
    }
    return {key: _plain(value) for key, value in document.items()}


def number(value: float, signed: bool = False) -> str:
    """Return four decimals, fewer of numbers from 10 on, with a sign where asked; "-" for NaN."""
    if not math.isfinite(value):
        return NOTHING
    decimals = 4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0
    return f"{value:{'+' if signed else ''},.{decimals}f}"


def span(interval: Interval, signed: bool = False) -> str:
    """Return `[low, high]`, or a dash where there is none."""
    if not math.isfinite(interval.low):
        return NOTHING
    return f"[{number(interval.low, signed)}, {number(interval.high, signed)}]"


def probability(p: float) -> str:
    """Return three decimals of a p-value, or a dash where there is none."""
    if not math.isfinite(p):
        return NOTHING
    return "<.001" if p < 0.0005 else f"{p:.3f}"


def _systems(systems: Mapping[str, SystemResult]) -> dict[str, Any]:
    return {
        name: {
            **{measure: asdict(interval) for measure, interval in result.measures.items()},
            "delta": {measure: asdict(interval) for measure, interval in result.delta.items()},
            "p": {measure: asdict(p) for measure, p in result.p.items()},
        }
        for name, result in systems.items()
    }


def _listed(outcomes: Sequence[QueryOutcome]) -> list[dict[str, Any]]:
    return [{**asdict(outcome), "delta": outcome.delta} for outcome in outcomes]


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return str(value)
