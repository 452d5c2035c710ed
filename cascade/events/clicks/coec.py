"""Clicks over expected clicks, as OpenSearch's Search Relevance Workbench counts them."""

from __future__ import annotations

import numpy as np

from cascade.events.clicks.fitted import Chances, Fitted, Fitting, usual
from cascade.events.clicks.pages import Float64, Pages


def fit_coec(pages: Pages, fitting: Fitting | None = None) -> Fitted:
    """Divide a pair's clicks by those that a usual document would have got in its place.

    COEC = clicks / (impressions * CTR of the rank), where the rank is the best one at which the
    pair was shown, and the CTR of a rank is taken over all queries and surfaces: the
    definition of the Search Relevance Workbench (`CoecClickModel`). The paper that it comes from
    adds up the expectation over the ranks of all impressions (Zhang & Jones, "Comparing Click
    Logs and Editorial Labels for Training Query Rewriting", 2007). A pair whose rank never got a
    click has 0.

    Args:
        pages: What was shown and clicked.
        fitting: The prior counts as further impressions with the usual clicks; the Workbench has
            none, which is strength 0, and the default.
    """
    fitting = fitting or Fitting()
    rank_ctr = rank_rates(pages)
    best = np.full(pages.pair_count, np.iinfo(np.int32).max, dtype=np.int32)
    np.minimum.at(best, pages.pairs, pages.ranks)
    rate = rank_ctr[np.minimum(best, len(rank_ctr) - 1)]
    shown = pages.per_pair()
    prior = fitting.strength * usual(shown)
    expected = (shown + prior) * rate
    clicks = pages.per_pair(pages.clicks) + prior * rate
    ratio = np.divide(clicks, expected, out=np.zeros_like(clicks), where=expected > 0)

    def chances(others: Pages) -> Chances:
        found = ratio[others.pairs] * rank_ctr[np.minimum(others.ranks, len(rank_ctr) - 1)]
        kept = np.clip(found, 0.0, 1.0)
        return Chances(kept, kept)

    return Fitted("coec", ratio, None, {"rank_ctr": rank_ctr[1:]}, chances)


def rank_rates(pages: Pages) -> Float64:
    """Return the click-through rate of each rank, float64[ranks + 1], by the rank itself."""
    shown = np.bincount(pages.ranks).astype(np.float64)
    clicked = np.bincount(pages.ranks, pages.clicks)
    return np.divide(clicked, shown, out=np.zeros_like(shown), where=shown > 0)
