"""Windows: quality from scores of all rows, cost as measured, and the smallest that are enough."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade.candidates import Query
from cascade.config import load_config, measures_of, open_cascade, store_of
from cascade.errors import InputError
from cascade.evaluation import Interval
from cascade.evaluation.windows_page import CurvePoint, WindowsPage, curve_plot, windows_page
from cascade.workflows.runs import full_rankings, unhurried
from cascade.workflows.window_cost import Cost, measured_cost
from cascade.workflows.windows import Point, _pareto, _validation, tune_windows

NOTHING = Interval(np.nan, np.nan, np.nan)
JUDGMENTS = Path("shop") / "judgments.tsv"


def silent(step: str, done: int, total: int | None) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def config(demo_folder: Path):
    few = ["retrieval.size=100", "evaluation.resamples=200"]
    return next(iter(load_config(demo_folder / "cascade.toml", few).values()))


@pytest.fixture(scope="module")
def report(config, demo_folder: Path):
    return tune_windows(config, demo_folder / JUDGMENTS, models="live")


def test_the_quality_of_windows_is_that_of_the_cascade_with_them(config, demo_folder, report):
    judged = _validation(config, demo_folder / JUDGMENTS)
    cascade = unhurried(open_cascade(config))
    try:
        at = store_of(config).get(cascade.documents.generation).created
        for point in (report.pareto[0], report.recommended, report.present):
            stages = tuple(
                replace(stage, window=window)
                for stage, window in zip(cascade.stages, point.windows, strict=True)
            )
            runs = full_rankings(replace(cascade, stages=stages), judged, at, silent)
            values = measures_of(config)[0].per_query(runs.runs()["stage:trees"], judged)
            assert point.quality == pytest.approx(np.nanmean(values), abs=1e-9)
    finally:
        cascade.engine.close()
    assert report.queries == len(judged.texts)


def test_the_recommended_windows_are_the_cheapest_that_keep_enough(report):
    enough = [p for p in report.pareto if p.quality >= report.keep * report.whole.quality]
    assert report.recommended.ms <= min(p.ms for p in enough)
    assert report.recommended.share.low <= report.recommended.share.mean
    assert report.recommended.share.mean <= report.recommended.share.high
    costs, quality = ([getattr(p, key) for p in report.pareto] for key in ("ms", "quality"))
    assert costs == sorted(costs)
    assert quality == sorted(quality)
    assert all(first >= second for p in report.pareto for first, second in [p.windows])
    # Every pair of windows that does not grow, from the same grid.
    sizes = len(report.stage_ms[report.stages[0]])
    assert report.tried == sizes * (sizes + 1) // 2


def test_cost_grows_with_the_window(config, demo_folder):
    judged = _validation(config, demo_folder / JUDGMENTS)
    cascade = unhurried(open_cascade(config))
    try:
        queries = [Query(q, text, time=1.0) for q, text in list(judged.texts.items())[:6]]
        cost = measured_cost(cascade, queries, (5, 100), silent)
    finally:
        cascade.engine.close()
    for ms in cost.by_stage.values():
        assert 0 < ms[5] < ms[100]
    assert cost.whole > 0


def test_costs_add_up():
    cost = Cost(0.5, {"one": {10: 1.0, 20: 2.0}, "two": {10: 4.0, 20: 8.0}}, 9.0)
    assert cost.of((20, 10)) == 6.5


def test_what_another_choice_beats_is_no_choice():
    points = [
        Point((n,), quality, ms, NOTHING)
        for n, (quality, ms) in enumerate([(0.5, 1.0), (0.4, 2.0), (0.6, 2.0), (0.6, 3.0)])
    ]
    assert [p.windows for p in _pareto(points)] == [(0,), (2,)]


def test_the_page_draws_the_curve_and_needs_nothing_else():
    points = tuple(
        CurvePoint(f"{w} / 10", ms, quality, Interval(quality / 0.9, 0.9, 1.0))
        for w, ms, quality in [(10, 1.0, 0.8), (50, 2.0, 0.89), (1000, 6.0, 0.9)]
    )
    whole = CurvePoint("all rows", 8.0, 0.9, Interval(1.0, 1.0, 1.0))
    page = WindowsPage(
        ("<lin>", "trees"), "nDCG@10", 100, 40, 0.95, whole, points[2], points[1], points
    )
    plot = curve_plot(page)
    x, y = zip(*plot.line.points, strict=True)
    assert list(x) == sorted(x)
    assert list(y) == sorted(y, reverse=True)
    # 0.855 lies between the first and the second point.
    assert y[1] < plot.floor < y[0]
    html = windows_page(page)
    assert "&lt;lin&gt;" in html
    assert "<script" not in html and "http" not in html
    assert html.count("<circle") == 5


def test_rows_of_a_file_have_no_windows(tmp_path):
    (tmp_path / "cascade.toml").write_text(
        '[judgments]\nformat = "svmlight"\n[[stages]]\nname = "a"\nranker = "linear"\nwindow = 9\n'
    )
    config = next(iter(load_config(tmp_path / "cascade.toml").values()))
    with pytest.raises(InputError, match="no retrieval"):
        tune_windows(config, tmp_path / "rows.svm")
