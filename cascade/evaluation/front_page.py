"""A front of operating points as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from cascade.evaluation.plots import Chart, Scale, Tick, ticks
from cascade.evaluation.report import number


@dataclass(frozen=True, slots=True)
class PagePoint:
    """Hold one preference: in words, what it reaches, and whether no other dominates it."""

    preference: str
    values: Mapping[str, float]
    kept: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrontPage:
    """Hold what the page shows.

    Attributes:
        model: The policy, as name/version.
        measures: The measure of each objective, the first across every plot.
        requests: How many there are.
        base: The values of the order of relevance.
        points: Every preference.
        hypervolume: Of the front.
        grid: Of a grid of blends.
        blends: How many those are.
    """

    model: str
    measures: Mapping[str, str]
    requests: int
    base: Mapping[str, float]
    points: tuple[PagePoint, ...]
    hypervolume: float
    grid: float
    blends: int


@dataclass(frozen=True, slots=True)
class Dot:
    """Hold a point of a plot; a label that is "" is not written."""

    x: float
    y: float
    role: str
    label: str
    title: str
    anchor: str


@dataclass(frozen=True, slots=True)
class FrontPlot:
    """Hold one objective over the first."""

    chart: Chart
    across: str
    up: str
    dots: tuple[Dot, ...]


def front_page(page: FrontPage) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=PackageLoader("cascade.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number)
    return environment.get_template("front.html").render(page=page, plots=front_plots(page))


def front_plots(page: FrontPage) -> tuple[FrontPlot, ...]:
    """Return a plot for each objective but the first, over the first."""
    first, *others = page.measures
    return tuple(_plot(page, first, other) for other in others)


def _plot(page: FrontPage, first: str, other: str) -> FrontPlot:
    frame = Chart((), ())
    x = [page.base[first], *(p.values[first] for p in page.points)]
    y = [page.base[other], *(p.values[other] for p in page.points)]
    across = Scale(*_span(x), frame.left, frame.right)
    up = Scale(*_span(y), frame.bottom, frame.top)
    chart = Chart(
        tuple(Tick(across(v), f"{v:g}") for v in ticks(across.low, across.high)),
        tuple(Tick(up(v), f"{v:g}") for v in ticks(up.low, up.high)),
    )
    middle = (frame.left + frame.right) / 2

    def dot(values: Mapping[str, float], role: str, label: str, title: str) -> Dot:
        at = across(values[first])
        told = f"{title}: {values[first]:.4f}, {values[other]:.4f}"
        return Dot(at, up(values[other]), role, label, told, "end" if at > middle else "start")

    # What has a name is drawn last, over the others.
    ordered = sorted(page.points, key=lambda p: (bool(p.names), p.kept))
    dots = [
        dot(
            p.values,
            "last" if p.names else "curve" if p.kept else "random",
            ", ".join(p.names),
            p.preference,
        )
        for p in ordered
    ]
    dots.append(dot(page.base, "baseline", "order of relevance", "order of relevance"))
    return FrontPlot(chart, page.measures[first], page.measures[other], tuple(dots))


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.01
    return low - room, high + room
