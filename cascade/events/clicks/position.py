"""The position-based model: a click is examination of the rank and attraction of the document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.events.clicks.fitted import EM_TRIALS, Chances, Fitted, Fitting, smoothed, usual
from cascade.events.clicks.pages import Float64, Int64, Pages

FIRST_EXAMINATION, FIRST_ATTRACTION = 0.9, 0.5


@dataclass(frozen=True)
class Cells:
    """Hold how often each pair was shown and clicked at each place: searches alike are one row.

    Attributes:
        pairs: int64[c].
        places: int64[c], surface times `ranks` plus rank less 1.
        shown: float64[c].
        clicked: float64[c].
        ranks: How many ranks a surface has.
    """

    pairs: Int64
    places: Int64
    shown: Float64
    clicked: Float64
    ranks: int


def cells(pages: Pages) -> Cells:
    """Count impressions and clicks by pair, surface and rank."""
    ranks = int(pages.ranks.max())
    places = pages.row_surfaces.astype(np.int64) * ranks + pages.ranks - 1
    width = ranks * len(pages.surface_names)
    key, at = np.unique(pages.pairs.astype(np.int64) * width + places, return_inverse=True)
    return Cells(
        pairs=key // width,
        places=key % width,
        shown=np.bincount(at).astype(np.float64),
        clicked=np.bincount(at, pages.clicks).astype(np.float64),
        ranks=ranks,
    )


def fit_pbm(pages: Pages, fitting: Fitting | None = None) -> Fitted:
    """Fit the position-based model by expectation maximisation, with ranks of each surface.

    P(click) = examination[surface, rank] * attraction[pair]. Chuklin, Markov, de Rijke, "Click
    Models for Web Search", 2015, sections 3.4 and 4.3; Wang et al., "Position Bias Estimation
    for Unbiased Learning to Rank in Personal Search", WSDM 2018. The two factors have one scale
    in common, which no click tells: the most examined first rank has examination 1, and none has
    more. A place that was never shown has NaN.

    Args:
        pages: What was shown and clicked.
        fitting: How.
    """
    fitting = fitting or Fitting()
    counted = cells(pages)
    shape = len(pages.surface_names), counted.ranks
    # A place that begins at 1 could never leave it: every miss would count as looked at.
    begin = FIRST_EXAMINATION / np.sqrt(np.arange(1, counted.ranks + 1))
    examination = np.tile(begin, len(pages.surface_names))
    attraction = np.full(pages.pair_count, FIRST_ATTRACTION)
    of_place = np.bincount(counted.places, counted.shown, len(examination))
    of_pair = np.bincount(counted.pairs, counted.shown, pages.pair_count).astype(np.float64)
    first = np.arange(0, len(examination), counted.ranks)
    if not of_place[first].any():
        first = np.flatnonzero(of_place)
    rounds = 0
    while rounds < fitting.iterations:
        rounds += 1
        e, a = examination[counted.places], attraction[counted.pairs]
        missed = (counted.shown - counted.clicked) / np.maximum(1 - e * a, 1e-12)
        hidden = missed * a * (1 - e)
        attracted = np.bincount(counted.pairs, counted.clicked + hidden, pages.pair_count)
        examined = np.bincount(
            counted.places, counted.clicked + missed * e * (1 - a), len(examination)
        )
        attraction = smoothed(attracted.astype(np.float64), of_pair, EM_TRIALS)
        moved = examined / np.maximum(of_place, 1.0)
        change = float(np.abs(moved - examination)[of_place > 0].max())
        examination = moved
        if change < fitting.tolerance:
            break
    top = float(examination[first].max()) or 1.0
    examination, attraction = np.minimum(examination / top, 1.0), np.minimum(attraction * top, 1.0)
    if fitting.strength > 0:
        # Given examination, clicks over expected looks take a prior that does not bend it.
        clicked = np.bincount(counted.pairs, counted.clicked, pages.pair_count).astype(np.float64)
        looks = counted.shown * examination[counted.places]
        looked = np.bincount(counted.pairs, looks, pages.pair_count).astype(np.float64)
        attraction = smoothed(clicked, looked, fitting.strength * usual(looked))
    table = np.where(of_place > 0, examination, np.nan).reshape(shape)

    def chances(others: Pages) -> Chances:
        known = np.nan_to_num(table)
        rank = np.minimum(others.ranks, counted.ranks) - 1
        found = known[others.row_surfaces, rank] * attraction[others.pairs]
        return Chances(found, found)

    return Fitted("pbm", attraction, None, {"examination": table}, chances, rounds)
