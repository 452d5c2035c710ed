"""Market measures: the contract, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from cascade.candidates import Float64, Int64
from cascade.errors import nearest
from cascade.market import market_measures as market
from cascade.market.pages import PAGE_MEASURES, parse_page_measure
from cascade.market.ranked import Ranked
from cascade.market.written import Parts, known

EXAMPLES = (
    "write it as a page measure, percentile(nDCG@10, 10), exposure(new_seller)@10, "
    "gini(seller)@10 or purchases_at(1), and behind it perhaps ` where purchase`"
)
_WHERE = re.compile(r"(?P<measure>.*\S)\s+where\s+(?P<column>\w+)\s*")


class MarketMeasure(Protocol):
    """Measure all requests together by each child; printed as people write it."""

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]; NaN where the measure is undefined."""
        ...

    def undefined(self, ranked: Ranked) -> Int64:
        """Return how many of the requests that are asked for were left out, int64[c]."""
        ...


def _percentile(parts: Parts, where: str) -> MarketMeasure:
    parts.no_cutoff()
    if len(parts.inside) != 2:
        raise parts.refuse("percentile takes a page measure and a number")
    try:
        percent = float(parts.inside[1])
    except ValueError:
        raise parts.refuse(f"{parts.inside[1]!r} is no number") from None
    return market.Percentile(parse_page_measure(parts.inside[0]), percent, where)


def _purchases_at(parts: Parts, where: str) -> MarketMeasure:
    parts.no_cutoff()
    if not 1 <= len(parts.inside) <= 2:
        raise parts.refuse("purchases_at takes a rank, and perhaps a column")
    rank = parts.whole(parts.inside[0], "rank")
    column = parts.inside[1] if len(parts.inside) == 2 else "purchase"
    return market.PurchasesAt(rank, column, where)


_MARKET: Mapping[str, Callable[[Parts, str], MarketMeasure]] = {
    "percentile": _percentile,
    "exposure": lambda parts, where: market.GroupExposure(parts.only(), parts.cutoff(), where),
    "parity": lambda parts, where: market.GroupParity(parts.only(), parts.cutoff(), where),
    "gini": lambda parts, where: market.Gini(parts.only(), parts.cutoff(), where),
    "evenness": lambda parts, where: market.Evenness(parts.only(), parts.cutoff(), where),
    "purchases_at": _purchases_at,
}
MARKET_MEASURES = tuple(_MARKET)


def parse_market_measure(written: str) -> MarketMeasure:
    """Return the market measure that prints as `written`; a page measure means its mean.

    Raises:
        InputError: Naming the part that is not understood, and what is accepted.
    """
    filtered = _WHERE.fullmatch(written)
    measure, where = (filtered["measure"], filtered["column"]) if filtered else (written, "")
    parts = Parts(measure, "market measure", EXAMPLES)
    make = known(parts.name, _MARKET)
    if make is not None:
        return make(parts, where)
    if known(parts.name, dict.fromkeys(PAGE_MEASURES, True)):
        return market.Mean(parse_page_measure(measure), where)
    every = (*PAGE_MEASURES, *_MARKET)
    raise parts.refuse(f"no measure {parts.name!r}, {nearest(parts.name, every, len(every))}")
