"""Measures of a whole market: what many requests together give to shoppers and to sellers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float64, Int64
from cascade.errors import InputError
from cascade.market.page_measures import check_cutoff
from cascade.market.pages import PageMeasure
from cascade.market.ranked import Ranked, discounts, hits

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Mean:
    """Measure the mean of a page measure over the requests that have one.

    Attributes:
        page: The page measure.
        where: Only requests with a row whose column of this name is above 0; "" means all.
    """

    page: PageMeasure
    where: str = ""

    def __str__(self) -> str:
        return f"{self.page}{_where(self.where)}"

    def pages(self, ranked: Ranked) -> Float64:
        """Return the page measure of each request that is asked for, float64[q, c]."""
        return _pages(self.page, ranked, self.where)

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]; NaN where no request has the page measure."""
        values = self.pages(ranked)
        known = ~np.isnan(values)
        return _ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))

    def undefined(self, ranked: Ranked) -> Int64:
        """Return how many of the requests asked for have no page measure, int64[c]."""
        return _missing(_pages(self.page, ranked, self.where))


@dataclass(frozen=True, slots=True)
class Percentile:
    """Measure a percentile of a page measure over the requests that have one.

    Between two requests it is interpolated linearly; of nothing it is NaN.

    Attributes:
        page: The page measure.
        percent: From 0, the worst request, to 100, the best.
        where: Only requests with a row whose column of this name is above 0; "" means all.
    """

    NAME: ClassVar[str] = "percentile"

    page: PageMeasure
    percent: float
    where: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise InputError(f"{self}: a percentile is from 0 to 100")

    def __str__(self) -> str:
        return f"percentile({self.page}, {self.percent:g}){_where(self.where)}"

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]; NaN where no request has the page measure."""
        # NaN is sorted to the end, and each child reads among what it has.
        values = np.sort(_pages(self.page, ranked, self.where), axis=0)
        count = (~np.isnan(values)).sum(axis=0)
        found = np.full(ranked.children, np.nan)
        some = np.flatnonzero(count)
        place = (count[some] - 1) * self.percent / 100.0
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, count[some] - 1)
        part = place - low
        found[some] = values[low, some] * (1.0 - part) + values[high, some] * part
        return found

    def undefined(self, ranked: Ranked) -> Int64:
        """Return how many of the requests asked for have no page measure, int64[c]."""
        return _missing(_pages(self.page, ranked, self.where))


@dataclass(frozen=True, slots=True)
class _Pooled:
    """Hold what measures that pool the first ranks of all requests have in common."""

    NAME: ClassVar[str]

    name: str
    cutoff: int
    where: str = ""

    def __post_init__(self) -> None:
        check_cutoff(f"{self.NAME}({self.name})", self.cutoff)

    def __str__(self) -> str:
        return f"{self.NAME}({self.name})@{self.cutoff}{_where(self.where)}"

    def undefined(self, ranked: Ranked) -> Int64:
        """Return how many of the requests asked for are empty, int64[c]."""
        asked = considered(ranked, self.where)
        return np.full(ranked.children, int((ranked.listings.lengths[asked] == 0).sum()))


class GroupExposure(_Pooled):
    """Measure the share of the attention to the first ranks that falls on a group of rows.

    Rank r has the attention 1 / log2(1 + r) (Singh and Joachims 2018); the group is the rows whose
    column is above 0. The attention of all requests is pooled. Undefined if every one is empty.
    """

    NAME: ClassVar[str] = "exposure"

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]."""
        asked = considered(ranked, self.where)
        part = ranked.discounted(self.name, self.cutoff, flags=True)[asked].sum(axis=0)
        return _ratio(part, _attention(ranked, asked, self.cutoff))


class GroupParity(_Pooled):
    """Measure a group's share of exposure divided by its share of the rows that could be shown.

    1 means exposed as it is supplied. Undefined if the group has no row.
    """

    NAME: ClassVar[str] = "parity"

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]."""
        listings = ranked.listings
        inside = considered(ranked, self.where)[listings.request]
        supplied = (listings.column(self.name)[inside] > 0).sum()
        exposed = GroupExposure(self.name, self.cutoff, self.where).of(ranked)
        return _ratio(exposed * inside.sum(), np.full(ranked.children, supplied))


class Gini(_Pooled):
    """Measure how unevenly exposure falls on groups such as sellers: 0 even, towards 1 on one.

    Half the mean absolute difference of two groups, divided by the mean (Gini 1912), over every
    group with a row in a listing, shown or not. Undefined without a group or without exposure.
    """

    NAME: ClassVar[str] = "gini"

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]."""
        exposed = np.sort(_by_group(ranked, self.name, self.cutoff, self.where), axis=0)
        many = len(exposed)
        if not many:
            return np.full(ranked.children, np.nan)
        weights = 2.0 * np.arange(1, many + 1) - many - 1.0
        return _ratio(weights @ exposed, many * exposed.sum(axis=0))


class Evenness(_Pooled):
    """Measure how evenly exposure falls on groups such as sellers: 1 even, 0 all on one.

    The entropy of the groups' shares divided by the logarithm of how many groups have a row in a
    listing (Pielou 1966). Undefined with fewer than two groups or without exposure.
    """

    NAME: ClassVar[str] = "evenness"

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]."""
        exposed = _by_group(ranked, self.name, self.cutoff, self.where)
        whole = exposed.sum(axis=0)
        if len(exposed) < 2:
            return np.full(ranked.children, np.nan)
        share = exposed / np.where(whole > 0, whole, 1.0)
        logs = np.log(np.where(share > 0, share, 1.0))
        entropy = -(share * logs).sum(axis=0) / np.log(len(exposed))
        return np.where(whole > 0, entropy, np.nan)


@dataclass(frozen=True, slots=True)
class PurchasesAt:
    """Measure the share of all purchases that stand at one rank.

    Undefined without a purchase; requests without one are left out.

    Attributes:
        rank: The rank, 1-based.
        column: Rows where it is above 0 were bought.
        where: Only requests with a row whose column of this name is above 0; "" means all.
    """

    NAME: ClassVar[str] = "purchases_at"

    rank: int
    column: str = "purchase"
    where: str = ""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"{self}: a rank is 1 or more")

    def __str__(self) -> str:
        column = "" if self.column == "purchase" else f", {self.column}"
        return f"purchases_at({self.rank}{column}){_where(self.where)}"

    def of(self, ranked: Ranked) -> Float64:
        """Return float64[c]."""
        mine = hits(ranked.listings, self.column)
        asked = considered(ranked, self.where)[ranked.listings.request[mine.rows]]
        there = (ranked.hit_ranks(self.column)[asked] == self.rank).sum(axis=0)
        return _ratio(there, np.full(ranked.children, asked.sum()))

    def undefined(self, ranked: Ranked) -> Int64:
        """Return how many of the requests asked for have no purchase, int64[c]."""
        asked = considered(ranked, self.where)
        asked[hits(ranked.listings, self.column).requests] = False
        return np.full(ranked.children, int(asked.sum()))


def considered(ranked: Ranked, where: str) -> Bool:
    """Return the requests that have a row whose column is above 0, bool[q]; all for ""."""
    found = np.full(ranked.listings.requests, not where)
    if where:
        found[hits(ranked.listings, where).requests] = True
    return found


def _where(column: str) -> str:
    return f" where {column}" if column else ""


def _pages(page: PageMeasure, ranked: Ranked, where: str) -> Float64:
    values = page.per_request(ranked)
    return values[considered(ranked, where)] if where else values


def _missing(values: Float64) -> Int64:
    return np.asarray(np.isnan(values).sum(axis=0), np.int64)


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Float64:
    found = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=found, where=np.asarray(whole) > 0)
    return found


def _attention(ranked: Ranked, asked: Bool, cutoff: int) -> Float64:
    """Return all attention to the first ranks of these requests, float64[c]."""
    depth = np.minimum(ranked.listings.lengths[asked], cutoff)
    reached = np.cumsum(discounts(cutoff, None))
    return np.full(ranked.children, reached[depth].sum())


def _by_group(ranked: Ranked, name: str, cutoff: int, where: str) -> Float64:
    """Return the exposure of each group that has a row, float64[groups, c]."""
    listings = ranked.listings
    codes, asked = listings.group(name), considered(ranked, where)
    supplied = np.unique(codes[asked[listings.request] & (codes >= 0)])
    top = ranked.top(cutoff)[asked]
    shown = np.append(codes, -1)[top]
    known = shown >= 0
    group = np.searchsorted(supplied, np.where(known, shown, 0))
    place = (group * ranked.children + np.arange(ranked.children))[known]
    attention = discounts(cutoff, None)[1:, None]
    weights = np.broadcast_to(attention, top.shape)[known]
    many = len(supplied) * ranked.children
    found = np.bincount(place, weights=weights, minlength=many)
    return found.astype(np.float64).reshape(len(supplied), ranked.children)
