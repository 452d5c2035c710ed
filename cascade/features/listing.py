"""How a row's number stands among those of its listing, as the engine retrieved it.

Missing numbers count neither in a mean nor in a rank. All sums run over sorted numbers, so the
order of the rows and the other listings of a batch change no bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float32, Float64, Int64
from cascade.features.base import (
    BaseFeature,
    Bool,
    Scope,
    bounded,
    column_of,
    narrowed,
    number_of,
    optional_field_of,
)
from cascade.features.engine import ENGINE_SCORE, EngineFeature
from cascade.features.registry import feature_kind
from cascade.schema import Kind

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class SortedNumbers:
    """Hold the numbers of each listing in ascending order, without the missing ones.

    Attributes:
        numbers: float64[m], those of a listing side by side.
        owners: int64[m], the listing of each.
        order: int64[m], the row that each comes from.
        starts: int64[l], where each of the l listings that have a number begins.
        counts: int64[l], how many numbers each of them has.
    """

    numbers: Float64
    owners: Int64
    order: Int64
    starts: Int64
    counts: Int64

    @classmethod
    def of(cls, numbers: Float64, listing: Int64) -> SortedNumbers:
        """Sort numbers within their listings.

        Args:
            numbers: float64[n], NaN where missing.
            listing: int64[n], ascending.
        """
        present = (~np.isnan(numbers)).nonzero()[0]
        # Adding 0 makes -0 and 0 one number, which sorting does not order; within float32's
        # bounds no difference or square leaves float64's.
        values, owners = bounded(numbers[present]) + 0.0, listing[present]
        one = not len(owners) or owners[0] == owners[-1]
        order = values.argsort() if one else np.lexsort((values, owners))
        values, owners = values[order], owners[order]
        starts = _begins(owners[1:] != owners[:-1], len(owners))
        return cls(values, owners, present[order], starts, _sizes(starts, len(values)))

    def means(self, values: Float64) -> Float64:
        """Return the mean over its listing of each of m sorted values, as `spread`."""
        if not len(values):
            return values
        return self.spread(np.add.reduceat(values, self.starts) / self.counts)

    def firsts(self) -> Float64:
        """Return the smallest number of its listing for each number, as `spread`."""
        return self.spread(self.numbers[self.starts])

    def lasts(self) -> Float64:
        """Return the largest number of its listing for each number, as `spread`."""
        return self.spread(self.numbers[self.starts + self.counts - 1])

    def spread(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Return the value of its listing for each number, [m], or [1] for a single listing."""
        return values if len(values) == 1 else values.repeat(self.counts)

    def rows(self, values: Float64, n: int) -> Float32:
        """Return float32[n] with each of m sorted values at its row, NaN elsewhere."""
        out = np.full(n, np.nan)
        out[self.order] = values
        return out.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ListingFeature(BaseFeature):
    """Compare a number with the others of its listing.

    Attributes:
        field: A number or date field; or
        column: a column of the candidates, `engine_score` for example. One of the two.
    """

    field: str = optional_field_of(Kind.NUMBER, Kind.DATE)
    column: str = ""

    def __post_init__(self) -> None:
        if bool(self.field) == bool(self.column):
            raise ValueError("field or column: exactly one of the two is needed")

    @property
    def scope(self) -> Scope:
        """The whole listing."""
        return "listing"

    @property
    def portable(self) -> bool:
        """Whether it reads the documents alone."""
        return not self.column

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] over the rows that are present; NaN without a number."""
        if self.field:
            numbers = number_of(candidates, self.field)
        else:
            numbers = column_of(candidates, self.column).astype(np.float64)
        ordered = SortedNumbers.of(numbers, candidates.listing)
        return ordered.rows(self.compared(ordered), len(candidates))

    def compared(self, ordered: SortedNumbers) -> Float64:
        """Return float64[m], one value for each of the sorted numbers."""
        raise NotImplementedError


@feature_kind("zscore")
@dataclass(frozen=True, kw_only=True)
class ZScore(ListingFeature):
    """Return (x - mean) / standard deviation, population form; 0 where all are equal.

    Attributes:
        field: A number or date field; or
        column: a column of the candidates. One of the two.
    """

    def compared(self, ordered: SortedNumbers) -> Float64:
        """Return float64[m]."""
        away = ordered.numbers - ordered.means(ordered.numbers)
        deviation = np.sqrt(ordered.means(away * away))
        # Equal numbers may differ from their mean by a rounding error, which is no deviation.
        spread = ordered.lasts() > ordered.firsts()
        return np.divide(away, deviation, out=np.zeros(len(away)), where=spread & (deviation > 0))


@feature_kind("percentile")
@dataclass(frozen=True, kw_only=True)
class Percentile(ListingFeature):
    """Return (smaller numbers + equal numbers / 2) / all numbers: the mid-rank, 0 to 1.

    Attributes:
        field: A number or date field; or
        column: a column of the candidates. One of the two.
    """

    def compared(self, ordered: SortedNumbers) -> Float64:
        """Return float64[m]."""
        numbers, owners = ordered.numbers, ordered.owners
        changes = (numbers[1:] != numbers[:-1]) | (owners[1:] != owners[:-1])
        begins = _begins(changes, len(numbers))
        sizes = _sizes(begins, len(numbers))
        before, counts = ordered.spread(ordered.starts), ordered.spread(ordered.counts)
        return ((begins + sizes / 2).repeat(sizes) - before) / counts


@feature_kind("minmax")
@dataclass(frozen=True, kw_only=True)
class MinMax(ListingFeature):
    """Return (x - smallest) / (largest - smallest), 0 where all are equal.

    Attributes:
        field: A number or date field; or
        column: a column of the candidates. One of the two.
    """

    def compared(self, ordered: SortedNumbers) -> Float64:
        """Return float64[m] from 0 to 1."""
        low, high = ordered.firsts(), ordered.lasts()
        out = np.zeros(len(ordered.numbers))
        return np.divide(ordered.numbers - low, high - low, out=out, where=high > low)


@feature_kind("engine_score_ratio")
@dataclass(frozen=True, kw_only=True)
class EngineScoreRatio(EngineFeature):
    """Return the engine's score over the highest of the listing; missing if that is not above 0."""

    @property
    def scope(self) -> Scope:
        """The whole listing."""
        return "listing"

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] of 1 or less."""
        scores = column_of(candidates, ENGINE_SCORE).astype(np.float64)
        filled = np.flatnonzero(candidates.lengths)
        highest = np.fmax.reduceat(scores, candidates.offsets[filled]) if len(filled) else scores
        top = np.repeat(highest, candidates.lengths[filled])
        ratio = np.divide(scores, top, out=np.full(len(top), np.nan), where=top > 0)
        return narrowed(ratio)


def _begins(changes: Bool, n: int) -> Int64:
    """Return where each run of equal values begins, given where neighbours differ, [n - 1]."""
    new = np.ones(n, dtype=np.bool_)
    new[1:] = changes
    return new.nonzero()[0]


def _sizes(begins: Int64, n: int) -> Int64:
    """Return the length of each run among n values."""
    ends = np.empty_like(begins)
    ends[:-1] = begins[1:]
    ends[-1:] = n
    return ends - begins
