"""Stages: a ranker on a window of the list, reverted whole when it fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from cascade.candidates import Candidates, Float32, joined
from cascade.features.earlier import stage_column
from cascade.pipeline.recording import Recording, StageRecord
from cascade.pipeline.trace import Outcome, StageTrace
from cascade.protocols import Deadline, FeatureSet, Ranker, Scores

_LOG = logging.getLogger(__name__)
_LATELY = 0.2
_DOUBT = 0.05


class CostModel:
    """Predict what a stage costs from what batches of about its size cost lately.

    Sizes are classed by powers of two, each with an exponential mean of its milliseconds: a batch
    has a fixed cost, so what two rows took says nothing of a thousand.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms: dict[int, float] = {}

    def predict_ms(self, rows: int) -> float:
        """Return the milliseconds that `rows` will take, 0 while nothing is known.

        A size that was never seen takes at least what the next smaller one took, or its part of
        what the next larger one took.
        """
        known, size = self._ms, rows.bit_length()
        if size in known or not known:
            return known.get(size, 0.0)
        smaller = [seen for seen in known if seen < size]
        if smaller:
            return known[max(smaller)]
        larger = min(known)
        return known[larger] * rows / 2.0**larger

    def record(self, rows: int, ms: float) -> None:
        """Remember what a run of the stage took."""
        if rows == 0:
            return
        size = rows.bit_length()
        with self._lock:
            seen = self._ms.get(size, ms)
            self._ms = {**self._ms, size: seen + _LATELY * (ms - seen)}

    def doubt(self) -> None:
        """Believe a little less in high costs, so that a stage skipped for one is tried again.

        Without this, one slow run, such as the first of a process, would leave the stage out for
        good, since a stage that does not run records nothing.
        """
        with self._lock:
            self._ms = {size: ms * (1.0 - _DOUBT) for size, ms in self._ms.items()}


@dataclass(frozen=True)
class Stage:
    """Reorder the head of a list by a ranker.

    Attributes:
        name: Names it in traces, reports and metrics.
        ranker: What scores the rows.
        window: How many head rows it scores.
        budget_ms: What it may take; a stage predicted to take longer is skipped.
        model: The bundle it runs, as name/version.
        features: The ranker's features, for explanations.
    """

    name: str
    ranker: Ranker
    window: int
    budget_ms: float = float("inf")
    model: str = ""
    features: FeatureSet | None = None
    cost: CostModel = field(default_factory=CostModel, compare=False, repr=False)


@runtime_checkable
class MatrixRanker(Protocol):
    """A ranker that scores the matrix of its features."""

    @property
    def features(self) -> FeatureSet:
        """The features, in the order of the matrix's columns."""
        ...

    def score_matrix(self, matrix: Float32) -> Scores:
        """Return scores for rows whose features are known, float32[n, f]."""
        ...


Clock = Callable[[], float]
Step = Callable[[str, Candidates, StageTrace | None], None]


def run_stages(
    stages: tuple[Stage, ...],
    candidates: Candidates,
    deadline: Deadline,
    seen: Step | None = None,
    clock: Clock = time.perf_counter,
    recording: Recording | None = None,
) -> tuple[Candidates, tuple[StageTrace, ...]]:
    """Reorder listings through stages.

    Each stage scores the first `window` rows, and no more than the stage before it; the rows
    below stay where they are.

    Args:
        stages: The stages, cheap to costly.
        candidates: The listings as they were retrieved.
        deadline: When the request must be over.
        seen: Told the name, the whole list and the trace after each stage.
        clock: Measures what each stage takes, in seconds.
        recording: Receives what each stage saw and gave.
    """
    head, tail = candidates, None
    for stage in stages:
        head = _prepared(stage, head)
    traces = []
    for stage in stages:
        head, below = head.split(stage.window)
        if below is not None:
            tail = below if tail is None else joined(below, tail)
        head, trace = run_stage(stage, head, deadline, clock, recording)
        traces.append(trace)
        if seen is not None:
            seen(stage.name, head if tail is None else joined(head, tail), trace)
    return (head.bare() if tail is None else joined(head, tail)), tuple(traces)


def run_stage(
    stage: Stage,
    head: Candidates,
    deadline: Deadline,
    clock: Clock = time.perf_counter,
    recording: Recording | None = None,
) -> tuple[Candidates, StageTrace]:
    """Reorder every row of `head` by the stage, or return it as it is and say why."""
    rows = len(head)
    predicted, left = stage.cost.predict_ms(rows), deadline.left_ms()
    if left <= 0 or predicted > min(left, stage.budget_ms):
        if left > 0:
            stage.cost.doubt()
        reason = f"needs {predicted:.1f} ms, {max(0.0, min(left, stage.budget_ms)):.1f} ms are left"
        skipped = StageTrace(stage.name, Outcome.SKIPPED, 0, 0.0, reason)
        return head, _noted(recording, stage, skipped)
    start = clock()
    matrix = None
    try:
        if recording is not None and isinstance(stage.ranker, MatrixRanker):
            matrix = stage.ranker.features.matrix(head)
            scores = stage.ranker.score_matrix(matrix)
        else:
            scores = stage.ranker.score(head)
        order = _checked(scores.order, rows)
        heads = {name: _checked(values, rows) for name, values in scores.heads.items()}
        columns = {stage_column(stage.name): order, **heads}
        reranked = head.with_columns(columns).reranked(order)
    except Exception as error:
        # A shopper never gets an error because a ranker had one, whatever it raised.
        _LOG.warning("stage %s is reverted", stage.name, exc_info=True)
        ms = (clock() - start) * 1000.0
        reason = f"{type(error).__name__}: {error}"[:300]
        reverted = StageTrace(stage.name, Outcome.REVERTED, rows, ms, reason)
        return head, _noted(recording, stage, reverted, matrix)
    ms = (clock() - start) * 1000.0
    stage.cost.record(rows, ms)
    ran = StageTrace(stage.name, Outcome.RAN, rows, ms)
    return reranked, _noted(recording, stage, ran, matrix, order)


def bypassed(names: Sequence[str], field: str) -> tuple[StageTrace, ...]:
    """Return the traces of steps that an order by a field leaves out."""
    reason = f"the result is sorted by {field}"
    return tuple(StageTrace(name, Outcome.SKIPPED, 0, 0.0, reason) for name in names)


def _noted(
    recording: Recording | None,
    stage: Stage,
    trace: StageTrace,
    matrix: Float32 | None = None,
    scores: Float32 | None = None,
) -> StageTrace:
    """Tell a recording what a stage saw and gave; return the trace."""
    if recording is not None:
        names = stage.features.names if stage.features is not None else ()
        kept = StageRecord(stage.name, stage.model, stage.window, names, matrix, scores, trace)
        recording.stages.append(kept)
    return trace


def _prepared(stage: Stage, candidates: Candidates) -> Candidates:
    """Prepare what the stage can; what fails here fails again, and is told, when it runs."""
    try:
        return stage.ranker.prepared(candidates)
    except Exception:
        _LOG.warning("stage %s cannot be prepared", stage.name, exc_info=True)
        return candidates


def _checked(values: Float32, rows: int) -> Float32:
    if values.shape != (rows,):
        raise ValueError(f"{values.shape} scores for {rows} rows")
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{bad} of {rows} scores are NaN or infinite")
    return values
