"""The cascade model and its simplified Bayesian network: shoppers read from the top."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cascade.events.clicks.fitted import Chances, Fitted, Fitting, smoothed, usual
from cascade.events.clicks.pages import Bool, Float64, Pages


def fit_cascade(pages: Pages, fitting: Fitting | None = None) -> Fitted:
    """Fit the cascade model: a shopper reads from the top until the first click, which ends it.

    Craswell et al., "An Experimental Comparison of Click Position-Bias Models", WSDM 2008. The
    maximum of the likelihood is clicks over impressions, counted to the first click; what was
    clicked after it the model takes for impossible.

    Args:
        pages: What was shown and clicked.
        fitting: How.
    """
    fitting = fitting or Fitting()
    first = place_of(pages, first=True)
    seen = pages.places <= first[pages.page]
    counted = pages.clicks & seen
    looks = pages.per_pair(seen)
    prior = fitting.strength * usual(looks)
    attraction = smoothed(pages.per_pair(counted), looks, prior)
    ends = np.ones(pages.pair_count)

    def chances(others: Pages) -> Chances:
        return network_chances(others, attraction, ends, 1.0)

    return Fitted("cascade", attraction, None, {}, chances)


def fit_sdbn(pages: Pages, fitting: Fitting | None = None) -> Fitted:
    """Fit the simplified dynamic Bayesian network, in closed form.

    Chapelle & Zhang, "A Dynamic Bayesian Network Click Model for Web Search Ranking", WWW 2009,
    section 4.3: everything to the last click was examined, and the last click satisfied. On a
    page without a click everything was examined. It is exact where an unsatisfied shopper
    always clicks again further down; where pages end before, satisfaction comes out too high.

    Args:
        pages: What was shown and clicked.
        fitting: How.
    """
    fitting = fitting or Fitting()
    last = place_of(pages, first=False)
    seen = pages.places <= last[pages.page]
    final = pages.clicks & (pages.places == last[pages.page])
    clicks = pages.per_pair(pages.clicks)
    looks = pages.per_pair(seen)
    attraction = smoothed(clicks, looks, fitting.strength * usual(looks))
    satisfaction = smoothed(pages.per_pair(final), clicks, fitting.strength * usual(clicks))

    def chances(others: Pages) -> Chances:
        return network_chances(others, attraction, satisfaction, 1.0)

    return Fitted("sdbn", attraction, satisfaction, {}, chances)


def place_of(pages: Pages, *, first: bool) -> NDArray[np.int64]:
    """Return the place of the first or last click of each search, int64[s]; its end without one."""
    rows = np.flatnonzero(pages.clicks)
    found = pages.lengths.astype(np.int64)
    # Of several values for one search the last one written stays.
    rows = rows[::-1] if first else rows
    found[pages.page[rows]] = pages.places[rows]
    return found


def network_chances(
    pages: Pages, attraction: Float64, satisfaction: Float64, going_on: float
) -> Chances:
    """Return the chances of a click under a dynamic Bayesian network.

    Examination of the next place, given the clicks so far, follows Chuklin, Markov, de Rijke,
    2015, equations 3.20 to 3.25.

    Args:
        pages: Whose rows.
        attraction: float64[p].
        satisfaction: float64[p].
        going_on: The chance that an unsatisfied shopper looks at the next row.
    """
    a = pages.table(attraction[pages.pairs])
    s = pages.table(satisfaction[pages.pairs])
    clicked: Bool = pages.table(pages.clicks) > 0
    given, alone = np.empty_like(a), np.empty_like(a)
    known, blind = np.ones(len(a)), np.ones(len(a))
    for place in range(a.shape[1]):
        attracts, satisfies = a[:, place], s[:, place]
        given[:, place] = known * attracts
        alone[:, place] = blind * attracts
        # A row that was not clicked was either passed over or never looked at.
        passed = known * (1 - attracts) / np.maximum(1 - known * attracts, 1e-12)
        known = going_on * np.where(clicked[:, place], 1 - satisfies, passed)
        blind = going_on * blind * (1 - attracts * satisfies)
    at = pages.page, pages.places
    return Chances(given[at], alone[at])
