"""What stages make of every retrieved row, and what they cost window by window."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from cascade.candidates import Candidates, Float32, Query
from cascade.errors import InputError
from cascade.features import stage_column
from cascade.judgments import Judgments
from cascade.pipeline import Cascade, Stage
from cascade.pipeline.stages import MatrixRanker
from cascade.protocols import Asked
from cascade.training.dataset import BATCH_QUERIES, grades_of
from cascade.workflows.progress import Progress
from cascade.workflows.trial_rows import Held, ideal_of

REPEATS = 3


@dataclass(frozen=True)
class Lists:
    """Hold the retrieved rows of the queries and what every stage makes of all of them.

    Attributes:
        held: The rows, without their features.
        scores: float32[n] of each stage.
    """

    held: Held
    scores: tuple[Float32, ...]


@dataclass(frozen=True)
class Cost:
    """Hold what stages cost in CPU milliseconds, the mean over queries.

    Attributes:
        prepared: Of features of listing scope, whatever the windows.
        by_stage: Of each stage at each window, when the stages before it have run.
        whole: Of the last stage on all rows, with the scores that it reads.
    """

    prepared: float
    by_stage: Mapping[str, Mapping[int, float]]
    whole: float

    def of(self, windows: Sequence[int]) -> float:
        """Return the cost of a choice of windows."""
        stages = self.by_stage.values()
        return self.prepared + sum(ms[w] for ms, w in zip(stages, windows, strict=True))


def scored_lists(
    cascade: Cascade, queries: Sequence[Query], judged: Judgments, progress: Progress
) -> Lists:
    """Return the scores of every stage on every retrieved row.

    Args:
        cascade: The stages and the engine.
        queries: The queries.
        judged: Their judgments.
        progress: Told how far it is.

    Raises:
        InputError: If a stage's ranker scores no matrix.
    """
    grades, lengths = [], []
    scores: list[list[Float32]] = [[] for _ in cascade.stages]
    for start in range(0, len(queries), BATCH_QUERIES):
        found = _retrieved(cascade, queries[start : start + BATCH_QUERIES])
        found = _prepared(cascade.stages, found)
        grades.append(grades_of(found, judged))
        lengths.append(found.lengths)
        for stage, parts in zip(cascade.stages, scores, strict=True):
            order = _scores(stage, found)
            parts.append(order)
            found = found.with_columns({stage_column(stage.name): order})
        progress("score all rows", min(start + BATCH_QUERIES, len(queries)), len(queries))
    ids = tuple(query.id for query in queries)
    held = Held(
        matrix=np.empty((0, 0), dtype=np.float32),
        grades=np.concatenate(grades),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
        query_ids=ids,
        ideal=ideal_of([list(judged.grades[q].values()) for q in ids]),
    )
    return Lists(held, tuple(np.concatenate(parts) for parts in scores))


def measured_cost(
    cascade: Cascade, queries: Sequence[Query], windows: Sequence[int], progress: Progress
) -> Cost:
    """Return what features and scores of each stage cost at each window.

    CPU time of this thread, which others on the machine do not lengthen much; the median of
    `REPEATS` runs, from features that nobody has computed before.

    Args:
        cascade: The stages and the engine.
        queries: What is ranked, one at a time.
        windows: What is tried.
        progress: Told how far it is.
    """
    prepared: list[float] = []
    whole: list[float] = []
    by_stage: dict[str, dict[int, list[float]]] = {
        stage.name: {window: [] for window in windows} for stage in cascade.stages
    }
    needed = _needed(cascade.stages)
    for number, query in enumerate(queries):
        found = _retrieved(cascade, [query])
        whole.append(_ms(lambda found=found: _all_rows(needed, found.bare())))  # type: ignore[misc]
        prepared.append(
            _ms(lambda found=found: _prepared(cascade.stages, found.bare()))  # type: ignore[misc]
        )
        listing = _prepared(cascade.stages, found.bare())
        for stage in cascade.stages:
            for window, ms in by_stage[stage.name].items():
                ms.append(_ms(lambda h=listing, s=stage, w=window: _scores(s, _head(h, w))))  # type: ignore[misc]
            order = _scores(stage, listing)
            listing = listing.with_columns({stage_column(stage.name): order}).reranked(order)
        progress("measure cost", number + 1, len(queries))
    means = {name: {w: mean(ms) for w, ms in costs.items()} for name, costs in by_stage.items()}
    return Cost(mean(prepared), means, mean(whole))


def _retrieved(cascade: Cascade, queries: Sequence[Query]) -> Candidates:
    asked = Asked(minimum_match=cascade.minimum_match)
    filtered = [cascade.filtered(query) for query in queries]
    return cascade.engine.retrieve(filtered, cascade.size, asked).candidates


def _prepared(stages: Sequence[Stage], found: Candidates) -> Candidates:
    for stage in stages:
        found = stage.ranker.prepared(found)
    return found


def _all_rows(stages: Sequence[Stage], found: Candidates) -> None:
    found = _prepared(stages, found)
    for stage in stages:
        found = found.with_columns({stage_column(stage.name): _scores(stage, found)})


def _scores(stage: Stage, found: Candidates) -> Float32:
    ranker = stage.ranker
    if not isinstance(ranker, MatrixRanker):
        raise InputError(f"stage {stage.name!r} scores no matrix of features; leave it out")
    return ranker.score_matrix(ranker.features.matrix(found)).order


def _head(listing: Candidates, window: int) -> Candidates:
    """Return the head as a selection of its own, so that no run keeps anything for the next."""
    return listing.take(listing.ranks <= window)


def _needed(stages: Sequence[Stage]) -> list[Stage]:
    """Return the last stage, and before it those whose scores it reads."""
    kept = [stages[-1]]
    for stage in reversed(stages[:-1]):
        read = {name for s in kept if s.features is not None for name in s.features.names}
        if stage_column(stage.name) in read:
            kept.insert(0, stage)
    return kept


def _ms(work: Callable[[], object]) -> float:
    found = []
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        found.append((time.thread_time() - start) * 1000.0)
    return median(found)
