"""The geometry of the plots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.evaluation import Curve, Interval, Outcomes
from cascade.evaluation.plots import Scale, forest, histogram, recall_plot, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.81, 0.93, [0.825, 0.85, 0.875, 0.9, 0.925]),
        (-0.03, 0.11, [0.0, 0.05, 0.1]),
        (0.0, 157.0, [0.0, 50.0, 100.0, 150.0]),
    ],
)
def test_ticks_are_round_values(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@given(st.floats(-10, 10), st.floats(0.001, 10))
def test_ticks_lie_inside_and_are_few(low, length):
    marks = ticks(low, low + length)
    assert 1 <= len(marks) <= 6
    assert all(low - 1e-6 <= mark <= low + length + 1e-6 for mark in marks)


def test_a_scale_maps_ends_to_ends():
    scale = Scale(-1.0, 3.0, 100.0, 300.0)
    assert [scale(v) for v in (-1.0, 0.0, 3.0)] == [100.0, 150.0, 300.0]


def test_a_forest_keeps_order_and_proportion():
    intervals = {
        "a": Interval(0.1, 0.0, 0.2),
        "b": Interval(0.3, 0.2, 0.4),
        "none": Interval(float("nan"), float("nan"), float("nan")),
    }
    plot = forest(intervals, dict.fromkeys(intervals, "last"), signed=True)
    a, b, none = plot.rows
    assert a.low == plot.zero
    assert a.x - a.low == pytest.approx(b.x - a.high, abs=0.2)
    assert plot.plot_left < a.low < a.x < a.high == b.low < b.high < plot.plot_right
    assert a.y < b.y < none.y < plot.height
    assert (none.x, none.text) == (None, "no query")
    assert a.text == "+0.100 [+0.000, +0.200]"


def test_means_have_no_sign_and_no_zero_line():
    plot = forest({"a": Interval(0.5, 0.4, 0.6)}, {"a": "last"})
    assert plot.zero is None
    assert plot.rows[0].text == "0.500 [0.400, 0.600]"


def test_recall_rises_on_the_page_and_windows_stand_at_their_cutoff():
    curve = Curve((1, 10, 100, 1000), {"bm25": (0.0, 0.5, 0.75, 1.0)})
    plot = recall_plot(curve, {"linear": 100, "wide": 5000}, {"bm25": "baseline"})
    (line,) = plot.lines
    across, up = zip(*line.points, strict=True)
    assert across == pytest.approx([56.0, 272.0, 488.0, 704.0])
    assert (up[0], up[-1]) == (plot.chart.bottom, plot.chart.top)
    assert [(window.at, window.label) for window in plot.windows] == [(488.0, "linear 100")]


def test_bars_are_as_high_as_their_counts():
    plot = histogram(Outcomes("final", "P@1", 3, 9, 1, (-1.0, 0.0, 1.0), (1, 3)))
    worse, better = plot.bars
    assert (worse.role, better.role) == ("worse", "better")
    assert better.height == pytest.approx(3 * worse.height, abs=0.2)
    assert better.y + better.height == worse.y + worse.height == plot.chart.bottom
    assert worse.x + worse.width <= plot.zero <= better.x
    assert better.label == "+0 to +1: 3 queries"
