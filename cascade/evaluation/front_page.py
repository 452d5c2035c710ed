"""A front of operating points as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from cascade.evaluation.plots import Chart, Scale, Tick, ticks
from cascade.evaluation.report import number

RELEVANCE = "order of relevance"
PLAIN = ("curve", "random")
COLOURS = 6


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
        more: How much more the front has than the grid, with the ends of its 95 % interval.
        blends: How many those are.
    """

    model: str
    measures: Mapping[str, str]
    requests: int
    base: Mapping[str, float]
    points: tuple[PagePoint, ...]
    hypervolume: float
    grid: float
    more: tuple[float, float, float]
    blends: int


@dataclass(frozen=True, slots=True)
class Dot:
    """Hold a point of a plot; the larger ones are in the legend."""

    x: float
    y: float
    role: str
    title: str
    large: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """Hold the points that lie in one frame."""

    chart: Chart
    caption: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class FrontPlot:
    """Hold one objective over the first: all points, then those around the named ones."""

    across: str
    up: str
    drawings: tuple[Drawing, ...]


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
    template = environment.get_template("front.html")
    return template.render(page=page, plots=front_plots(page), legend=legend(page))


def legend(page: FrontPage) -> dict[str, str]:
    """Return the role of each named point by its names, that of the order of relevance first."""
    named = [", ".join(p.names) for p in page.points if p.names]
    return {RELEVANCE: "baseline", **{n: f"point-{i % COLOURS}" for i, n in enumerate(named)}}


def front_plots(page: FrontPage) -> tuple[FrontPlot, ...]:
    """Return a plot for each objective but the first, over the first."""
    first, *others = page.measures
    return tuple(_plot(page, first, other) for other in others)


def _plot(page: FrontPage, first: str, other: str) -> FrontPlot:
    def at(values: Mapping[str, float]) -> tuple[float, float]:
        return values[first], values[other]

    roles = legend(page)
    # What is in the legend is drawn last, over the others.
    ordered = sorted(page.points, key=lambda p: (bool(p.names), p.kept))
    dots = [
        (
            at(p.values),
            roles[", ".join(p.names)] if p.names else "curve" if p.kept else "random",
            ", ".join(p.names) or p.preference,
        )
        for p in ordered
    ]
    dots.append((at(page.base), "baseline", RELEVANCE))
    drawings = [_drawing(dots, dots, "")]
    named = [dot for dot in dots if dot[2] in roles]
    if len(named) > 1:
        drawings.append(_drawing(dots, named, "around the points that have names"))
    return FrontPlot(page.measures[first], page.measures[other], tuple(drawings))


def _drawing(
    dots: Sequence[tuple[tuple[float, float], str, str]],
    shown: Sequence[tuple[tuple[float, float], str, str]],
    caption: str,
) -> Drawing:
    """Return the dots that lie in a frame around some of them."""
    frame = Chart((), ())
    across = Scale(*_span([x for (x, _), _, _ in shown]), frame.left, frame.right)
    up = Scale(*_span([y for (_, y), _, _ in shown]), frame.bottom, frame.top)
    chart = Chart(
        tuple(Tick(across(v), f"{v:g}") for v in ticks(across.low, across.high)),
        tuple(Tick(up(v), f"{v:g}") for v in ticks(up.low, up.high)),
    )
    inside = (
        Dot(across(x), up(y), role, f"{title}: {x:.4f}, {y:.4f}", role not in PLAIN)
        for (x, y), role, title in dots
        if across.low <= x <= across.high and up.low <= y <= up.high
    )
    return Drawing(chart, caption, tuple(inside))


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.01
    return low - room, high + room
