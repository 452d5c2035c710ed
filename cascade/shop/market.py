"""The market: who sells, what is for sale, what is searched for, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass

from cascade.shop.lexicon import Lexicon
from cascade.shop.listings import Listings
from cascade.shop.queries import Queries
from cascade.shop.sellers import Sellers


@dataclass(frozen=True)
class Market:
    """Hold the parts of a shop that judges, shoppers and the truth look at."""

    sellers: Sellers
    listings: Listings
    queries: Queries
    lex: Lexicon
