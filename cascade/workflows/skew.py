"""Skew: the features of logged requests, computed again and compared with what rankers saw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float32
from cascade.catalogue.live import LiveCatalogue
from cascade.config import Config
from cascade.errors import CascadeError
from cascade.events.requests import LoggedRequest, LoggedStage
from cascade.pipeline import run_stages
from cascade.protocols import NEVER, FeatureSet, Scores
from cascade.workflows.logged import (
    ByFunction,
    LoggedModels,
    candidates_of,
    filters_of,
    over_generations,
    stages_of,
)
from cascade.workflows.progress import Progress, silent


@dataclass(frozen=True)
class FeatureSkew:
    """Compare one feature of one stage.

    Attributes:
        stage: The stage.
        feature: The feature.
        rows: How many rows were compared.
        differing: How many of them differ in any bit; two missing values are equal.
        largest: The largest absolute difference of values that both have.
        example: A query and a document that differ, else "".
    """

    stage: str
    feature: str
    rows: int
    differing: int
    largest: float
    example: str = ""

    @property
    def share(self) -> float:
        """The share of rows that differ."""
        return self.differing / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class SkewReport:
    """Compare the features of logged requests with those of present code and documents.

    Attributes:
        requests: How many were compared.
        features: Every feature of every stage, the largest share of differing rows first.
        uncompared: Why requests could not be compared, and how many there are of each reason.
    """

    requests: int
    features: tuple[FeatureSkew, ...]
    uncompared: dict[str, int] = field(default_factory=dict)

    def beyond(self, tolerance: float) -> tuple[FeatureSkew, ...]:
        """Return the features of which a larger share of rows differs."""
        return tuple(f for f in self.features if f.share > tolerance)


@dataclass
class _Tally:
    """Add up one stage's features."""

    names: tuple[str, ...]
    rows: int = 0
    differing: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    largest: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    examples: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.differing = np.zeros(len(self.names), np.int64)
        self.largest = np.zeros(len(self.names))

    def add(self, query_id: str, head: Candidates, was: Float32, now: Float32) -> None:
        """Compare the matrices of one request, float32[n, f]."""
        differ = (was != now) & ~(np.isnan(was) & np.isnan(now))
        self.rows += len(was)
        self.differing += differ.sum(axis=0)
        for column in np.flatnonzero(differ.any(axis=0)).tolist():
            with np.errstate(invalid="ignore"):
                gap = np.abs(now[:, column].astype(np.float64) - was[:, column])
            self.largest[column] = max(self.largest[column], np.nanmax([0.0, *gap]))
            if (name := self.names[column]) not in self.examples:
                row = int(np.flatnonzero(differ[:, column])[0])
                doc_id = head.ids()[row]
                what = f"{was[row, column]!s} was logged, {now[row, column]!s} is computed"
                self.examples[name] = f"{query_id}, {doc_id}: {what}"


def skew(
    config: Config,
    requests: Iterable[LoggedRequest],
    generation: str | None = None,
    progress: Progress = silent,
) -> SkewReport:
    """Compute the features of logged requests again and compare them with the logged ones.

    Query, session, time and candidates are those of the log; documents, statistics and code are
    those of this moment. Each stage sees the rows that it saw, in the same order.

    Args:
        config: Names the registry and the store.
        requests: The requests.
        generation: The one whose documents are read; None takes what each request names.
        progress: Told how far it is.
    """
    models = LoggedModels(config)
    tallies: dict[str, tuple[str, _Tally]] = {}
    uncompared: dict[str, int] = {}
    compared = 0
    for request, held in over_generations(config, requests, generation):
        if isinstance(held, CascadeError):
            problem = str(held)
        else:
            problem = _compare(models, held[1], request, tallies)
        compared += not problem
        if problem:
            uncompared[problem] = uncompared.get(problem, 0) + 1
        progress("compare features", compared, None)
    found = [
        FeatureSkew(
            stage=stage,
            feature=feature,
            rows=tally.rows,
            differing=int(tally.differing[at]),
            largest=float(tally.largest[at]),
            example=tally.examples.get(feature, ""),
        )
        for stage, tally in tallies.values()
        for at, feature in enumerate(tally.names)
    ]
    found.sort(key=lambda f: -f.share)
    return SkewReport(compared, tuple(found), uncompared)


def _compare(
    models: LoggedModels,
    documents: LiveCatalogue,
    request: LoggedRequest,
    tallies: dict[str, tuple[str, _Tally]],
) -> str:
    """Compare one request and return why it cannot be compared, else ""."""
    seen: list[tuple[LoggedStage, Candidates, Float32]] = []

    def ranker(stage: LoggedStage) -> ByFunction:
        features: FeatureSet = models.ranker(stage.model, documents.schema).features
        scorer = models.scorer(stage)

        def scored(head: Candidates) -> Scores:
            seen.append((stage, head, features.matrix(head)))
            # Rows go on in the order of the logged scores, and heads are those of the logged row.
            return Scores(stage.scores, scorer.score_matrix(stage.matrix).heads)

        return ByFunction(scored, features.prepared)

    if request.sort is not None:
        return "the result was sorted by a field, so no stage ran"
    try:
        stages = stages_of(request, ranker)
        filters = filters_of(request, documents.schema)
        _, traces = run_stages(stages, candidates_of(request, documents, filters), NEVER)
    except CascadeError as error:
        return str(error)
    reverted = [f"stage {t.name}: {t.reason}" for t in traces if t.reason]
    if reverted:
        return reverted[0]
    for stage, head, matrix in seen:
        _, tally = tallies.setdefault(stage.model, (stage.name, _Tally(stage.names)))
        tally.add(request.query_id, head, stage.matrix, matrix)
    return ""
