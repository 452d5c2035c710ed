"""The windows of the stages: quality and measured cost of each choice, and the smallest to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cascade.candidates import Float64, Int64, Query
from cascade.config import Config, judgments_columns, open_cascade
from cascade.errors import InputError
from cascade.evaluation import Bootstrap, Interval
from cascade.evaluation.windows_page import CurvePoint, WindowsPage
from cascade.judgments import Judgments, read_judgments
from cascade.measures import GradedMeasure
from cascade.pipeline import Stage
from cascade.registry import Models, text_digest
from cascade.workflows.clock import clock_of
from cascade.workflows.progress import Progress, silent
from cascade.workflows.runs import unhurried
from cascade.workflows.split import divide_judgments
from cascade.workflows.tuning_trial import graded_measures, reranked, retrieval_ranks
from cascade.workflows.window_cost import Cost, Lists, measured_cost, scored_lists

STEPS = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 700, 1_000, 2_000, 5_000, 10_000)
TIMED = 40


@dataclass(frozen=True)
class Point:
    """Hold what one choice of windows gives.

    Attributes:
        windows: One a stage.
        quality: The mean of the leading measure.
        ms: CPU milliseconds of features and scores, the mean over queries.
        share: The share of the last model's quality that it keeps, with its interval.
    """

    windows: tuple[int, ...]
    quality: float
    ms: float
    share: Interval


@dataclass(frozen=True)
class WindowsReport:
    """Tell what windows cost and give.

    Attributes:
        stages: Their names.
        measure: The leading measure.
        queries: How many validation queries there are.
        timed: How many of them the cost was measured on.
        keep: The share of quality that is to be kept.
        whole: The last model on all rows, with the scores that it reads.
        present: The windows as they are set.
        pareto: Choices that no other beats in both, the cheapest first.
        recommended: The cheapest choice that keeps the share.
        tried: How many choices there are.
        stage_ms: The cost of each stage at each window.
    """

    stages: tuple[str, ...]
    measure: str
    queries: int
    timed: int
    keep: float
    whole: Point
    present: Point
    pareto: tuple[Point, ...]
    recommended: Point
    tried: int
    stage_ms: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def drawn(self) -> WindowsPage:
        """Return what the page shows of it."""
        return WindowsPage(
            stages=self.stages,
            measure=self.measure,
            queries=self.queries,
            timed=self.timed,
            keep=self.keep,
            whole=_drawn(self.whole),
            present=_drawn(self.present),
            recommended=_drawn(self.recommended),
            pareto=tuple(_drawn(point) for point in self.pareto),
        )


def tune_windows(
    config: Config, judgments: Path, *, models: Models = "candidate", progress: Progress = silent
) -> WindowsReport:
    """Find the smallest windows that keep the quality of the last model on all rows.

    Every stage scores all retrieved rows of the validation queries once; each choice of windows
    follows from those scores. Cost is CPU time of features and scores, measured window by window.

    Args:
        config: The settings; `tuning.keep` is the share of the quality to keep.
        judgments: The file; its columns are named in the settings.
        models: With "candidate", a stage that has a candidate model ranks by it.
        progress: Told how far it is.

    Raises:
        InputError: If the judgments cannot be used, or there is no stage.
    """
    settings = config.settings
    if not settings.stages or settings.judgments.format == "svmlight":
        raise InputError(
            f"{config.path}: windows are found for stages over an engine; rows of an SVMlight "
            "file have no retrieval, and without stages there is no window"
        )
    measure = graded_measures(config)[0]
    judged = _validation(config, judgments)
    cascade = unhurried(open_cascade(config, models))
    try:
        at = clock_of(config, cascade.documents)
        queries = [Query(q, text, time=at) for q, text in judged.texts.items()]
        lists = scored_lists(cascade, queries, judged, progress)
        grid = _grid(settings.retrieval.size, [stage.window for stage in cascade.stages])
        cost = measured_cost(cascade, queries[:TIMED], grid, progress)
    finally:
        cascade.engine.close()
    bootstrap = Bootstrap(settings.evaluation.resamples, seed=settings.evaluation.seed)
    search = _Search(cascade.stages, lists, measure, cost, bootstrap)
    whole = search.whole()
    base = float(np.nanmean(whole))
    points = search.points(grid, whole)
    size = settings.retrieval.size
    present = search.point(tuple(min(s.window, size) for s in cascade.stages), whole)
    keep = settings.tuning.keep
    enough = [p for p in points if p.quality >= keep * base] or [points[-1]]
    recommended = min(enough, key=lambda p: (p.ms, p.windows))
    return WindowsReport(
        stages=tuple(stage.name for stage in cascade.stages),
        measure=str(measure),
        queries=len(queries),
        timed=min(TIMED, len(queries)),
        keep=keep,
        whole=Point((), base, cost.whole, Interval(1.0, 1.0, 1.0)),
        present=search.with_interval(present, whole),
        pareto=tuple(search.with_interval(p, whole) for p in _pareto(points)),
        recommended=search.with_interval(recommended, whole),
        tried=len(points),
        stage_ms=cost.by_stage,
    )


@dataclass(frozen=True)
class _Search:
    """Measure choices of windows on scores that are there."""

    stages: tuple[Stage, ...]
    lists: Lists
    measure: GradedMeasure
    cost: Cost
    bootstrap: Bootstrap

    def whole(self) -> Float64:
        """Return the measure of the last model on all rows, float64[q]."""
        ranks = retrieval_ranks(self.lists.held.offsets)
        size = int(np.diff(self.lists.held.offsets).max(initial=1))
        for scores in self.lists.scores:
            ranks = reranked(ranks, self.lists.held.offsets, scores, size)
        return self._measured(ranks)

    def points(self, grid: Sequence[int], whole: Float64) -> list[Point]:
        """Return every choice from a grid, the windows never growing."""
        found: list[Point] = []
        start = retrieval_ranks(self.lists.held.offsets)
        for windows, ranks in self._ranked(grid, (), start):
            found.append(self._point(windows, self._measured(ranks), whole))
        return found

    def point(self, windows: tuple[int, ...], whole: Float64) -> Point:
        """Return one choice."""
        return self._point(windows, self._values(windows), whole)

    def with_interval(self, point: Point, whole: Float64) -> Point:
        """Return a point with the interval of the share of quality that it keeps."""
        values = self._values(point.windows)
        defined = ~np.isnan(values) & ~np.isnan(whole)
        means = self.bootstrap.resampled_means(np.column_stack([values, whole])[defined])
        level = (1.0 - self.bootstrap.level) / 2.0
        low, high = np.quantile(means[:, 0] / means[:, 1], [level, 1.0 - level])
        share = Interval(point.share.mean, float(low), float(high))
        return Point(point.windows, point.quality, point.ms, share)

    def _ranked(
        self, grid: Sequence[int], chosen: tuple[int, ...], ranks: Int64
    ) -> Iterator[tuple[tuple[int, ...], Int64]]:
        """Yield the ranks of all choices that begin so; choices share what they have in common."""
        if len(chosen) == len(self.stages):
            yield chosen, ranks
            return
        scores = self.lists.scores[len(chosen)]
        for window in grid:
            if not chosen or window <= chosen[-1]:
                after = reranked(ranks, self.lists.held.offsets, scores, window)
                yield from self._ranked(grid, (*chosen, window), after)

    def _values(self, windows: Sequence[int]) -> Float64:
        ranks = retrieval_ranks(self.lists.held.offsets)
        for scores, window in zip(self.lists.scores, windows, strict=True):
            ranks = reranked(ranks, self.lists.held.offsets, scores, window)
        return self._measured(ranks)

    def _measured(self, ranks: Int64) -> Float64:
        return self.measure.of(self.lists.held.graded(ranks + 1))

    def _point(self, windows: tuple[int, ...], values: Float64, whole: Float64) -> Point:
        quality = float(np.nanmean(values))
        share = quality / float(np.nanmean(whole))
        return Point(windows, quality, self.cost.of(windows), Interval(share, np.nan, np.nan))


def _validation(config: Config, path: Path) -> Judgments:
    """Return the judgments of the validation queries, or of a sample of them by digest."""
    judgments = read_judgments(path, judgments_columns(config))
    parts, _ = divide_judgments(judgments, config.settings.split)
    digest = {q: text_digest(judgments.texts[q]) for q in parts["validation"]}
    chosen = sorted(digest, key=lambda q: (digest[q], q))[: config.settings.tuning.queries]
    if not chosen:
        raise InputError(f"{path} leaves no validation query; [split] says how many there are")
    return judgments.only(chosen)


def _grid(size: int, present: Sequence[int]) -> tuple[int, ...]:
    """Return the windows that are tried, those that are set among them."""
    wanted = {min(window, size) for window in (*STEPS, *present)}
    return tuple(sorted(wanted))


def _pareto(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in both cost and quality, the cheapest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.ms, -p.quality, p.windows)):
        if not found or point.quality > found[-1].quality:
            found.append(point)
    return found


def _drawn(point: Point) -> CurvePoint:
    label = " / ".join(f"{window:,}" for window in point.windows) or "all rows"
    return CurvePoint(label, point.ms, point.quality, point.share)
