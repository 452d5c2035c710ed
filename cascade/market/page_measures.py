"""Measures of one page: what the first ranks of a listing are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.market.listings import Listings
from cascade.market.ranked import Ranked, discounts, hits

Bool = NDArray[np.bool_]
GAIN = "gain"


@dataclass(frozen=True, slots=True)
class PageNDCG:
    """Measure normalised discounted cumulative gain.

    The sum of gain / log2(1 + rank) over the first ranks, divided by that of the listing's rows in
    their best order (Järvelin and Kekäläinen 2002). A gain is the column as it is, whole or not;
    NaN and what is below 0 gain nothing. Undefined without a gain above 0.

    Attributes:
        cutoff: The last rank that counts; None counts every rank.
        gain: The column that is gained.
    """

    NAME: ClassVar[str] = "nDCG"

    cutoff: int | None = None
    gain: str = GAIN

    def __post_init__(self) -> None:
        check_cutoff(self.NAME, self.cutoff)

    def __str__(self) -> str:
        return _graded(self.NAME, self.gain, self.cutoff)

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined."""
        key = ("best", self.gain, self.cutoff)
        best = ranked.listings.derived(key, lambda: _best(ranked.listings, self.gain, self.cutoff))
        return ranked.discounted(self.gain, self.cutoff) / best[:, None]


@dataclass(frozen=True, slots=True)
class PageMRR:
    """Measure 1 / the first rank of a row that gains, 0 beyond the cutoff; its mean is MRR.

    Undefined without a gain above 0.

    Attributes:
        cutoff: The last rank that counts; None counts every rank.
        gain: The column that is gained.
    """

    NAME: ClassVar[str] = "MRR"

    cutoff: int | None = None
    gain: str = GAIN

    def __post_init__(self) -> None:
        check_cutoff(self.NAME, self.cutoff)

    def __str__(self) -> str:
        return _graded(self.NAME, self.gain, self.cutoff)

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined."""
        first = ranked.best_rank(self.gain)
        found = 1.0 / first
        if self.cutoff is not None:
            found[first > self.cutoff] = 0.0
        return found


@dataclass(frozen=True, slots=True)
class PageERR:
    """Measure the expected 1 / rank at which a shopper who goes down the page is satisfied.

    A row of grade g satisfies with the probability (2^g - 1) / 2^max_rel (Chapelle et al. 2009,
    equations 4 and 5). Undefined without a grade above 0.

    Attributes:
        cutoff: The last rank that counts.
        gain: The column of grades.
        max_rel: The highest grade of the scale.
    """

    NAME: ClassVar[str] = "ERR"

    cutoff: int
    gain: str = GAIN
    max_rel: float = 4.0

    def __post_init__(self) -> None:
        check_cutoff(self.NAME, self.cutoff)
        if not 0 < self.max_rel <= 500:
            raise InputError(
                f"ERR(max_rel={self.max_rel:g}): the highest grade is above 0 and at most 500"
            )

    def __str__(self) -> str:
        settings = {} if self.gain == GAIN else {"gain": self.gain}
        if self.max_rel != 4.0:
            settings["max_rel"] = f"{self.max_rel:g}"
        inside = ", ".join(f"{name}={value}" for name, value in settings.items())
        return f"ERR({inside})@{self.cutoff}" if inside else f"ERR@{self.cutoff}"

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined.

        Raises:
            InputError: If a grade is above the scale.
        """
        mine = hits(ranked.listings, self.gain)
        highest = float(mine.values.max(initial=0.0))
        if highest > self.max_rel:
            raise InputError(
                f"{self}: there is the grade {highest:g}; max_rel is the highest grade of the "
                f"scale, as ERR(max_rel={highest:g})@{self.cutoff}"
            )
        grades = np.fmax(ranked.shown(self.gain, self.cutoff), 0.0)
        satisfied = (np.exp2(grades) - 1.0) / np.exp2(self.max_rel)
        left = np.cumprod(1.0 - satisfied, axis=1)
        satisfied[:, 1:] *= left[:, :-1]
        ranks = np.arange(1, self.cutoff + 1)
        found = np.full((ranked.listings.requests, ranked.children), np.nan)
        every = np.einsum("qkc,k->qc", satisfied, 1.0 / ranks)
        found[mine.requests] = every[mine.requests]
        return found


@dataclass(frozen=True, slots=True)
class PageRecall:
    """Measure the share of the rows that gain that stand at the cutoff or above.

    Undefined without a gain above 0.

    Attributes:
        cutoff: The last rank that counts.
        gain: The column that is gained.
    """

    NAME: ClassVar[str] = "recall"

    cutoff: int
    gain: str = GAIN

    def __post_init__(self) -> None:
        check_cutoff(self.NAME, self.cutoff)

    def __str__(self) -> str:
        return _graded(self.NAME, self.gain, self.cutoff)

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined."""
        mine = hits(ranked.listings, self.gain)
        found = np.full((ranked.listings.requests, ranked.children), np.nan)
        if len(mine.rows):
            inside = (ranked.hit_ranks(self.gain) <= self.cutoff).astype(np.float64)
            found[mine.requests] = np.add.reduceat(inside, mine.starts) / mine.counts[:, None]
        return found


@dataclass(frozen=True, slots=True)
class _Shown:
    """Hold what measures of a column on the page have in common."""

    NAME: ClassVar[str]

    column: str
    cutoff: int

    def __post_init__(self) -> None:
        check_cutoff(f"{self.NAME}({self.column})", self.cutoff)

    def __str__(self) -> str:
        return f"{self.NAME}({self.column})@{self.cutoff}"

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined."""
        values = ranked.shown(self.column, self.cutoff)
        return self._of(values, ~np.isnan(values), _rows_shown(ranked, self.cutoff))

    def _of(self, values: Float64, known: Bool, rows: Float64) -> Float64:
        raise NotImplementedError


class PageMean(_Shown):
    """Measure the mean of a column's known values on the page; undefined without one."""

    NAME: ClassVar[str] = "mean"

    def _of(self, values: Float64, known: Bool, rows: Float64) -> Float64:
        count = known.sum(axis=1)
        found = np.full(count.shape, np.nan)
        np.divide(np.nansum(values, axis=1), count, out=found, where=count > 0)
        return found


class PageMin(_Shown):
    """Measure the lowest of a column's known values on the page; undefined without one."""

    NAME: ClassVar[str] = "min"

    def _of(self, values: Float64, known: Bool, rows: Float64) -> Float64:
        return np.asarray(np.fmin.reduce(values, axis=1))


class PageMax(_Shown):
    """Measure the highest of a column's known values on the page; undefined without one."""

    NAME: ClassVar[str] = "max"

    def _of(self, values: Float64, known: Bool, rows: Float64) -> Float64:
        return np.asarray(np.fmax.reduce(values, axis=1))


class PageTotal(_Shown):
    """Measure the sum of a column on the page; what is not known adds nothing.

    Undefined for an empty listing.
    """

    NAME: ClassVar[str] = "total"

    def _of(self, values: Float64, known: Bool, rows: Float64) -> Float64:
        return np.where(rows[:, None] > 0, np.nansum(values, axis=1), np.nan)


class PageShare(_Shown):
    """Measure the share of the page's rows whose column is above 0.

    A row whose value is not known is not in the group. Undefined for an empty listing.
    """

    NAME: ClassVar[str] = "share"

    def _of(self, values: Float64, known: Bool, rows: Float64) -> Float64:
        inside = (values > 0).sum(axis=1)
        found = np.full(inside.shape, np.nan)
        np.divide(inside, rows[:, None], out=found, where=rows[:, None] > 0)
        return found


class PageDistinct(_Shown):
    """Measure how many different groups the page's rows have; a row without one adds none.

    Undefined for an empty listing.
    """

    NAME: ClassVar[str] = "distinct"

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined."""
        codes = np.nan_to_num(ranked.shown(self.column, self.cutoff, "group"), nan=-1.0)
        codes.sort(axis=1)
        found = (np.diff(codes, axis=1) > 0).sum(axis=1) + (codes[:, 0] >= 0)
        # A code after -1 is counted as a change, which it is; -1 alone is none.
        return np.where(_rows_shown(ranked, self.cutoff)[:, None] > 0, found, np.nan)


@dataclass(frozen=True, slots=True)
class PagePosition:
    """Measure the rank of the first row whose column is above 0; lower is better.

    Undefined without one.

    Attributes:
        column: The column, such as `purchase`.
    """

    NAME: ClassVar[str] = "position"

    column: str

    def __str__(self) -> str:
        return f"position({self.column})"

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined."""
        return ranked.best_rank(self.column)


def check_cutoff(name: str, cutoff: int | None) -> None:
    """Refuse a cutoff below 1."""
    if cutoff is not None and cutoff < 1:
        raise InputError(f"{name}@{cutoff}: a cutoff is 1 or more")


def _graded(name: str, gain: str, cutoff: int | None) -> str:
    at = "" if cutoff is None else f"@{cutoff}"
    return f"{name}{at}" if gain == GAIN else f"{name}(gain={gain}){at}"


def _rows_shown(ranked: Ranked, cutoff: int) -> Float64:
    return np.minimum(ranked.listings.lengths, cutoff).astype(np.float64)


def _best(listings: Listings, gain: str, cutoff: int | None) -> Float64:
    """Return the discounted gain of the best order, float64[q]; NaN where nothing gains."""
    mine = hits(listings, gain)
    found = np.full(listings.requests, np.nan)
    if not len(mine.rows):
        return found
    request = listings.request[mine.rows]
    order = np.lexsort((-mine.values, request))
    ranks = np.arange(1, len(order) + 1) - np.repeat(mine.starts, mine.counts)
    gained = mine.values[order] * discounts(int(mine.counts.max()), cutoff)[ranks]
    found[mine.requests] = np.add.reduceat(gained, mine.starts)
    return found
