"""What a written market measure is made of: what it reads, and which way relevance raises it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cascade.market import (
    Evenness,
    Gini,
    Listings,
    Mean,
    PageDistinct,
    PageMax,
    PageMean,
    PageMin,
    PagePosition,
    PageRecall,
    PageShare,
    PageTotal,
    Percentile,
    parse_market_measure,
)

# Measures that count what is on the page, wherever on it.
_FLAT = (PageRecall, PageMean, PageMin, PageMax, PageTotal, PageShare, PageDistinct)
_GROUPED = (PageDistinct, Gini, Evenness)


@dataclass(frozen=True, slots=True)
class Names:
    """Hold the names that measures may read.

    Attributes:
        columns: Of numbers.
        groups: Of groupings.
    """

    columns: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, listings: Listings) -> Names:
        """Return the names that listings have."""
        return cls(frozenset(listings.columns), frozenset(listings.groups))


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Hold what a measure is made of.

    Attributes:
        columns: What it adds up or looks for.
        groups: By what it groups.
        where: The column that requests must have a row above 0 in; "" asks for none.
        flat: The last of the first ranks within which rows may change places without changing
            it; 0 where each rank counts.
        rising: Whether it rises as rows that count come earlier.
    """

    columns: frozenset[str]
    groups: frozenset[str]
    where: str
    flat: int
    rising: bool

    @property
    def read(self) -> frozenset[str]:
        """Every column that must be there."""
        return self.columns | ({self.where} if self.where else set())

    def speaks(self, raised: bool, relevance: Collection[str]) -> bool:
        """Return whether to raise it, else to lower it, is to bring what shoppers want earlier."""
        return bool(self.columns & set(relevance)) and raised == self.rising


def anatomy(text: str) -> Anatomy:
    """Return what a market measure is made of.

    Raises:
        InputError: If it cannot be read.
    """
    measure = parse_market_measure(text)
    inner = measure.page if isinstance(measure, Mean | Percentile) else measure
    # What a measure reads stands in a field of one of these names.
    found = (getattr(inner, name, None) for name in ("gain", "column", "name"))
    read = frozenset(name for name in found if isinstance(name, str))
    grouped = isinstance(inner, _GROUPED)
    return Anatomy(
        columns=frozenset() if grouped else read,
        groups=read if grouped else frozenset(),
        where=str(getattr(measure, "where", "")),
        flat=inner.cutoff if isinstance(inner, _FLAT) and inner.cutoff > 1 else 0,
        rising=not isinstance(inner, PagePosition),
    )
