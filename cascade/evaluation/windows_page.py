"""The cost-quality curve of stage windows as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from cascade.evaluation.bootstrap import Interval
from cascade.evaluation.plots import Chart, Line, Scale, Tick, ticks
from cascade.evaluation.report import number, span


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Hold one choice of windows: its name, cost in CPU ms, quality and share of the whole."""

    label: str
    ms: float
    quality: float
    share: Interval


@dataclass(frozen=True, slots=True)
class WindowsPage:
    """Hold what the page shows.

    Attributes:
        stages: The stages' names.
        measure: Of the quality.
        queries: How many there are.
        timed: How many of them the cost was measured on.
        keep: The share of the quality that is to be kept.
        whole: The last model on all rows.
        present: The windows as they are set.
        recommended: The cheapest that keep the share.
        pareto: Choices that no other beats, the cheapest first.
    """

    stages: tuple[str, ...]
    measure: str
    queries: int
    timed: int
    keep: float
    whole: CurvePoint
    present: CurvePoint
    recommended: CurvePoint
    pareto: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Hold a point of the plot; a label that is "" is not written."""

    x: float
    y: float
    role: str
    label: str
    title: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class CurvePlot:
    """Hold the curve; `floor` is where the quality that is to be kept stands."""

    chart: Chart
    line: Line
    marks: tuple[Mark, ...]
    floor: float


def windows_page(page: WindowsPage) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=PackageLoader("cascade.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, span=span)
    return environment.get_template("windows.html").render(page=page, plot=curve_plot(page))


def curve_plot(page: WindowsPage) -> CurvePlot:
    """Return quality over cost: the curve, the last model on all rows, and the windows as set."""
    frame = Chart((), ())
    shown = (*page.pareto, page.whole, page.present)
    needed = page.keep * page.whole.quality
    across = Scale(0.0, max(p.ms for p in shown) * 1.06, frame.left, frame.right)
    low, high = _span([*(p.quality for p in shown), needed])
    up = Scale(low, high, frame.bottom, frame.top)
    chart = Chart(
        tuple(Tick(across(v), f"{v:g}") for v in ticks(across.low, across.high)),
        tuple(Tick(up(v), f"{v:g}") for v in ticks(low, high)),
    )
    path = tuple((across(p.ms), up(p.quality)) for p in page.pareto)
    named = [
        ("recommended", "last", page.recommended),
        ("as set", "between-0", page.present),
        ("last model on all rows", "baseline", page.whole),
    ]
    marks = [
        Mark(across(p.ms), up(p.quality), "curve", "", _title(p))
        for p in page.pareto
        if p != page.recommended
    ]
    for label, role, point in named:
        x = across(point.ms)
        anchor = "end" if x > (frame.left + frame.right) / 2 else "start"
        marks.append(Mark(x, up(point.quality), role, label, _title(point), anchor))
    return CurvePlot(chart, Line("cost and quality", "last", path), tuple(marks), up(needed))


def _title(point: CurvePoint) -> str:
    return f"{point.label}: {point.quality:.4f} at {point.ms:.2f} ms"


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.01
    return low - room, high + room
