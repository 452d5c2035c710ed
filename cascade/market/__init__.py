"""Measures of pages and of whole markets, for many orders of the same listings at once."""

from cascade.market.listings import Listings
from cascade.market.market_measures import (
    Evenness,
    Gini,
    GroupExposure,
    GroupParity,
    Mean,
    Percentile,
    PurchasesAt,
)
from cascade.market.measures import MARKET_MEASURES, MarketMeasure, parse_market_measure
from cascade.market.page_measures import (
    PageDistinct,
    PageERR,
    PageMax,
    PageMean,
    PageMin,
    PageMRR,
    PageNDCG,
    PagePosition,
    PageRecall,
    PageShare,
    PageTotal,
)
from cascade.market.pages import PAGE_MEASURES, PageMeasure, parse_page_measure
from cascade.market.ranked import Ranked, ranked

__all__ = [
    "MARKET_MEASURES",
    "PAGE_MEASURES",
    "Evenness",
    "Gini",
    "GroupExposure",
    "GroupParity",
    "Listings",
    "MarketMeasure",
    "Mean",
    "PageDistinct",
    "PageERR",
    "PageMRR",
    "PageMax",
    "PageMean",
    "PageMeasure",
    "PageMin",
    "PageNDCG",
    "PagePosition",
    "PageRecall",
    "PageShare",
    "PageTotal",
    "Percentile",
    "PurchasesAt",
    "Ranked",
    "parse_market_measure",
    "parse_page_measure",
    "ranked",
]
