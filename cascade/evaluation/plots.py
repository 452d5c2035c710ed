"""The geometry of the report's plots, in the units of each drawing's viewBox."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cascade.evaluation.bootstrap import Interval
from cascade.evaluation.report import Curve, Outcomes, Report

ROW_HEIGHT = 26.0
AXIS_HEIGHT = 28.0
LABEL_CHAR = 7.0
LABEL_CHARS = 10
FOREST_WIDTH = 230.0
VALUES_WIDTH = 150.0
CHART_WIDTH = 720.0
CHART_HEIGHT = 300.0
MARGIN_LEFT = 56.0
MARGIN_TOP = 14.0
MARGIN_BOTTOM = 46.0
MARGIN_RIGHT = 16.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Map values onto a drawing: linear from `low` at `start` to `high` at `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value, to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)


@dataclass(frozen=True, slots=True)
class Tick:
    """Hold a mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class ForestRow:
    """Hold a mean and its interval as drawn; `x` is None where there is no value."""

    label: str
    y: float
    x: float | None
    low: float
    high: float
    text: str
    role: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Hold a plot of means and intervals, one a row; `zero` is where 0 stands, if it does."""

    width: float
    height: float
    plot_left: float
    plot_right: float
    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]
    zero: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """Hold a polyline and its points."""

    label: str
    role: str
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True, slots=True)
class Chart:
    """Hold what the line plot and the histogram have in common: a frame and two axes."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: float = CHART_WIDTH
    height: float = CHART_HEIGHT
    left: float = MARGIN_LEFT
    right: float = CHART_WIDTH - MARGIN_RIGHT
    top: float = MARGIN_TOP
    bottom: float = CHART_HEIGHT - MARGIN_BOTTOM


@dataclass(frozen=True, slots=True)
class RecallPlot:
    """Hold recall by cutoff, and the windows of the stages as vertical marks."""

    chart: Chart
    lines: tuple[Line, ...]
    windows: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """Hold a bar of the histogram."""

    x: float
    y: float
    width: float
    height: float
    role: str
    label: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Hold how many queries differ by how much; `zero` is where no difference stands."""

    chart: Chart
    bars: tuple[Bar, ...]
    zero: float


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most `most` round values between `low` and `high`, evenly spaced."""
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * magnitude >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def forest(
    intervals: Mapping[str, Interval], roles: Mapping[str, str], signed: bool = False
) -> Forest:
    """Return the plot of one interval a row; a signed one shows 0 and writes signs."""
    defined = [i for i in intervals.values() if math.isfinite(i.mean)]
    values = [0.0] * signed + [v for i in defined for v in (i.low, i.high)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.01
    left = 16.0 + LABEL_CHAR * max([LABEL_CHARS, *map(len, intervals)])
    scale = Scale(low - room, high + room, left, left + FOREST_WIDTH)
    rows = tuple(
        _forest_row(name, interval, scale, ROW_HEIGHT * (i + 0.5), roles[name], signed)
        for i, (name, interval) in enumerate(intervals.items())
    )
    return Forest(
        width=scale.stop + VALUES_WIDTH,
        height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT,
        plot_left=left,
        plot_right=scale.stop,
        rows=rows,
        ticks=tuple(Tick(scale(v), f"{v:g}") for v in ticks(scale.low, scale.high)),
        zero=scale(0.0) if signed else None,
    )


def recall_plot(curve: Curve, windows: Mapping[str, int], roles: Mapping[str, str]) -> RecallPlot:
    """Return recall by cutoff, the cutoffs on a logarithmic axis."""
    chart = Chart((), ())
    across = Scale(0.0, math.log10(curve.cutoffs[-1]), chart.left, chart.right)
    up = Scale(0.0, 1.0, chart.bottom, chart.top)
    decades = [c for c in curve.cutoffs if math.log10(c).is_integer()]
    return RecallPlot(
        Chart(
            tuple(Tick(across(math.log10(c)), f"{c:,}") for c in decades),
            tuple(Tick(up(v), f"{v:g}") for v in (0.0, 0.25, 0.5, 0.75, 1.0)),
        ),
        tuple(
            Line(
                name,
                roles[name],
                tuple(
                    (across(math.log10(cutoff)), up(recall))
                    for cutoff, recall in zip(curve.cutoffs, recalls, strict=True)
                ),
            )
            for name, recalls in curve.systems.items()
        ),
        tuple(
            Tick(across(math.log10(window)), f"{stage} {window:,}")
            for stage, window in windows.items()
            if window <= curve.cutoffs[-1]
        ),
    )


def histogram(outcomes: Outcomes) -> Histogram:
    """Return the bars of the queries that are better or worse than at the baseline."""
    edges, counts = outcomes.edges, outcomes.counts
    chart = Chart((), ())
    across = Scale(edges[0], edges[-1], chart.left, chart.right)
    most = max(*counts, 1)
    up = Scale(0.0, most, chart.bottom, chart.top)
    bars = tuple(
        Bar(
            x=across(low) + 1.0,
            y=up(count),
            width=round(across(high) - across(low) - 2.0, 1),
            height=round(chart.bottom - up(count), 1),
            role="worse" if high <= 0 else "better",
            label=f"{low:+g} to {high:+g}: {count:,} queries",
        )
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    )
    whole = [v for v in ticks(0.0, most) if v == int(v)]
    return Histogram(
        Chart(
            tuple(Tick(across(v), f"{v:+g}" if v else "0") for v in (-1, -0.5, 0, 0.5, 1)),
            tuple(Tick(up(v), f"{v:,.0f}") for v in whole),
        ),
        bars,
        across(0.0),
    )


def roles(report: Report, random: str) -> dict[str, str]:
    """Return the class that colours each system: the same one in every plot."""
    named = {random: "random", report.baseline: "baseline", list(report.systems)[-1]: "last"}
    between: Sequence[str] = [name for name in report.systems if name not in named]
    return {
        **{name: f"between-{i % 4}" for i, name in enumerate(between)},
        **{name: role for name, role in named.items() if name in report.systems},
    }


def _forest_row(
    name: str, interval: Interval, scale: Scale, y: float, role: str, signed: bool
) -> ForestRow:
    if not math.isfinite(interval.mean):
        return ForestRow(name, y, None, 0.0, 0.0, "no query", role)
    mean, low, high = (
        _short(value, signed) for value in (interval.mean, interval.low, interval.high)
    )
    text = f"{mean} [{low}, {high}]"
    return ForestRow(
        name, y, scale(interval.mean), scale(interval.low), scale(interval.high), text, role
    )


def _short(value: float, signed: bool) -> str:
    decimals = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:{'+' if signed else ''},.{decimals}f}"
