"""Click-through rate: clicks a pair over its impressions, whatever the rank."""

from __future__ import annotations

from cascade.events.clicks.fitted import Chances, Fitted, Fitting, smoothed, usual
from cascade.events.clicks.pages import Pages


def fit_ctr(pages: Pages, fitting: Fitting | None = None) -> Fitted:
    """Fit the document-based CTR model, drawn to the mean rate of the log.

    Chuklin, Markov, de Rijke, "Click Models for Web Search", 2015, section 3.2.

    Args:
        pages: What was shown and clicked.
        fitting: How.
    """
    fitting = fitting or Fitting()
    shown = pages.per_pair()
    prior = fitting.strength * usual(shown)
    attraction = smoothed(pages.per_pair(pages.clicks), shown, prior)

    def chances(others: Pages) -> Chances:
        found = attraction[others.pairs]
        return Chances(found, found)

    return Fitted("ctr", attraction, None, {}, chances)
