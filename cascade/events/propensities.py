"""Propensities: the chance that a shopper looks at a rank, by surface, from what a log shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.errors import InputError
from cascade.events.clicks.fitted import Fitting
from cascade.events.clicks.pages import Bool, Float64, Int32, Pages
from cascade.events.clicks.position import Cells, cells, fit_pbm

LEAST_CLICKS = 50
NEWTON_STEPS = 50


@dataclass(frozen=True)
class Propensities:
    """Hold the chance of examination of each rank, relative to the first of its surface.

    Attributes:
        source: How they were found: "shuffled", "pbm" or "adjacent".
        surfaces: The names of the surfaces.
        rates: float64[surfaces, ranks], as measured; NaN where nothing was shown.
        exponents: float64[surfaces], e of the power law `rank ** -e` that fits the clicks best;
            NaN where a surface has too few.
        errors: float64[surfaces], standard errors of the exponents.
        searches: How many searches they come from.
    """

    source: str
    surfaces: tuple[str, ...]
    rates: Float64
    exponents: Float64
    errors: Float64
    searches: int

    def of(self, surfaces: Int32, ranks: Int32) -> Float64:
        """Return the chance of examination of n rows by the power law of their surface, float64[n].

        A surface with too few clicks takes the mean exponent of the others.

        Args:
            surfaces: int32[n], index into `surfaces`.
            ranks: int32[n], 1-based.
        """
        known = np.isfinite(self.exponents)
        usual = float(self.exponents[known].mean()) if known.any() else 0.0
        exponents = np.where(known, self.exponents, usual)
        found: Float64 = ranks.astype(np.float64) ** -exponents[surfaces]
        return found


def propensities(pages: Pages, source: str = "auto") -> Propensities:
    """Return propensities by the named way, or by the best that the log allows.

    Args:
        pages: What was shown and clicked.
        source: "shuffled", "pbm", "adjacent", or "auto": shuffled pages if they have
            `LEAST_CLICKS` clicks on every surface, else the position-based model.

    Raises:
        InputError: If there is no such way, or the log has no shuffled pages to go by.
    """
    if source == "auto":
        source = "shuffled" if _enough(pages.select(pages.shuffled)) else "pbm"
    if source not in SOURCES:
        raise InputError(
            f"propensities from {source!r}: accepted are auto, {', '.join(sorted(SOURCES))}"
        )
    return SOURCES[source](pages)


def shuffled_propensities(pages: Pages) -> Propensities:
    """Measure on pages in random order, where every rank holds equally good documents.

    The rate of rank r is compared with that of rank 1 over the pages that reach r, so that short
    pages do not stand in for long ones. Joachims, Swaminathan, Schnabel, "Unbiased
    Learning-to-Rank with Biased Feedback", WSDM 2017, section 5.

    Raises:
        InputError: If no page was in random order.
    """
    drawn = pages.select(pages.shuffled)
    if not len(drawn):
        raise InputError(
            "no search of the log stood in random order: give its rows equal `propensities` below "
            '1, or take propensities = "pbm"'
        )
    surfaces, ranks = len(pages.surface_names), int(pages.ranks.max())
    rates = np.full((surfaces, ranks), np.nan)
    longest = drawn.lengths[drawn.page]
    for rank in range(1, ranks + 1):
        reaching = longest >= rank
        here = _clicks_by_surface(drawn, reaching & (drawn.ranks == rank))
        top = _clicks_by_surface(drawn, reaching & (drawn.ranks == 1))
        rates[:, rank - 1] = np.divide(here, top, out=np.full(surfaces, np.nan), where=top > 0)
    fits = [
        _power_law(*_by_length(drawn, drawn.row_surfaces == surface)) for surface in range(surfaces)
    ]
    return _found("shuffled", pages, rates, fits, len(drawn.lengths))


def pbm_propensities(pages: Pages, fitting: Fitting | None = None) -> Propensities:
    """Take the examination of a fitted position-based model; needs no random order.

    It tells examination from attraction by documents that the same query showed at several
    ranks. The law of a surface is fitted to clicks that the model's attraction leads to expect.
    """
    fitted = fit_pbm(pages, fitting)
    counted = cells(pages)
    table = fitted.parameters["examination"]
    expected = counted.shown * fitted.attraction[counted.pairs]
    fits = []
    for surface in range(len(pages.surface_names)):
        clicks = _by_rank(counted, surface, counted.clicked)
        exposed = _by_rank(counted, surface, expected)
        shown = exposed > 0
        rank = np.flatnonzero(shown) + 1
        fits.append(_power_law(rank, clicks[shown], exposed[shown], np.zeros(len(rank), int)))
    with np.errstate(invalid="ignore"):
        relative = table / table[:, :1]
    return _found("pbm", pages, relative, fits, len(pages.lengths))


def adjacent_propensities(pages: Pages) -> Propensities:
    """Compare neighbouring ranks by the pairs that stood on both: interventions, harvested.

    Agarwal et al., "Estimating Position Bias without Intrusive Interventions", WSDM 2019,
    section 4.1 (adjacent chain). Each step is the Mantel-Haenszel ratio of rates over the pairs
    (Mantel & Haenszel 1959), and a rank is the product of the steps above it.
    """
    counted = cells(pages)
    surfaces, ranks = len(pages.surface_names), counted.ranks
    rates = np.full((surfaces, ranks), np.nan)
    fits = []
    key = counted.pairs * (surfaces * ranks) + counted.places
    for surface in range(surfaces):
        rates[surface, 0] = 1.0
        steps: list[tuple[float, float]] = []
        for rank in range(1, ranks):
            upper = np.flatnonzero(counted.places == surface * ranks + rank - 1)
            at = np.searchsorted(key, key[upper] + 1)
            at[at == len(key)] = 0
            both = key[at] == key[upper] + 1
            upper, lower = upper[both], at[both]
            of = counted.shown[upper] + counted.shown[lower]
            above = float((counted.clicked[upper] * counted.shown[lower] / of).sum())
            below = float((counted.clicked[lower] * counted.shown[upper] / of).sum())
            steps.append((above, below))
            ratio = below / above if above > 0 else np.nan
            rates[surface, rank] = rates[surface, rank - 1] * ratio
        fits.append(_chain_law(np.array(steps)))
    return _found("adjacent", pages, rates, fits, len(pages.lengths))


SOURCES: Mapping[str, Callable[[Pages], Propensities]] = {
    "shuffled": shuffled_propensities,
    "pbm": pbm_propensities,
    "adjacent": adjacent_propensities,
}


def _found(
    source: str,
    pages: Pages,
    rates: Float64,
    fits: list[tuple[float, float]],
    searches: int,
) -> Propensities:
    table = np.array(fits, dtype=np.float64).reshape(-1, 2)
    return Propensities(source, pages.surface_names, rates, table[:, 0], table[:, 1], searches)


def _enough(drawn: Pages) -> bool:
    clicks = _clicks_by_surface(drawn, np.ones(len(drawn), dtype=np.bool_))
    return bool((clicks >= LEAST_CLICKS).all())


def _clicks_by_surface(pages: Pages, rows: Bool) -> Float64:
    clicked = pages.row_surfaces[rows & pages.clicks]
    return np.bincount(clicked, minlength=len(pages.surface_names)).astype(np.float64)


def _by_rank(counted: Cells, surface: int, values: Float64) -> Float64:
    found = np.bincount(counted.places, values, (surface + 1) * counted.ranks).astype(np.float64)
    return found[surface * counted.ranks : (surface + 1) * counted.ranks]


def _by_length(
    pages: Pages, rows: Bool
) -> tuple[NDArray[np.int64], Float64, Float64, NDArray[np.int64]]:
    """Return ranks, clicks, impressions and the page length, one entry a length and rank."""
    width = int(pages.ranks.max()) + 1
    length = pages.lengths[pages.page][rows]
    key = length * width + pages.ranks[rows]
    distinct, at = np.unique(key, return_inverse=True)
    clicks = np.bincount(at, pages.clicks[rows], len(distinct)).astype(np.float64)
    shown = np.bincount(at, minlength=len(distinct)).astype(np.float64)
    return distinct % width, clicks, shown, distinct // width


def _power_law(
    ranks: NDArray[np.int64],
    clicks: Float64,
    exposed: Float64,
    groups: NDArray[np.int64],
) -> tuple[float, float]:
    """Return the exponent e of clicks = c[group] * exposed * rank ** -e, and its standard error.

    The maximum of the Poisson likelihood given each group's clicks, which leaves the level of a
    group out (the conditional likelihood is multinomial): one parameter, by Newton's steps.
    """
    if clicks.sum() < LEAST_CLICKS or len(ranks) < 2:
        return np.nan, np.nan
    _, group = np.unique(groups, return_inverse=True)
    total = np.bincount(group, clicks)
    logs = np.log(ranks)
    exponent = 0.0
    information = 0.0
    for _ in range(NEWTON_STEPS):
        weight = exposed * np.exp(-exponent * logs)
        level = np.maximum(np.bincount(group, weight), 1e-300)
        mean = np.bincount(group, weight * logs) / level
        spread = np.bincount(group, weight * logs**2) / level - mean**2
        information = float((total * spread).sum())
        if information <= 0:
            return np.nan, np.nan
        slope = float((total * mean).sum() - (clicks * logs).sum())
        exponent += slope / information
        if abs(slope / information) < 1e-9:
            break
    return exponent, float(1 / np.sqrt(information))


def _chain_law(steps: Float64) -> tuple[float, float]:
    """Return the exponent that fits the ratios of neighbours, weighted by their certainty."""
    above, below = (steps[:, 0], steps[:, 1]) if len(steps) else (np.zeros(0), np.zeros(0))
    good = (above > 0) & (below > 0)
    if above[good].sum() + below[good].sum() < LEAST_CLICKS:
        return np.nan, np.nan
    rank = np.arange(1, len(steps) + 1)[good]
    drop = np.log((rank + 1) / rank)
    # The variance of a log ratio of counts is about the sum of their reciprocals.
    weight = 1 / (1 / above[good] + 1 / below[good])
    told = np.log(above[good] / below[good])
    information = float((weight * drop**2).sum())
    return float((weight * drop * told).sum()) / information, float(1 / np.sqrt(information))
