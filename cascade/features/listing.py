"""How a row's number stands among those of its listing, as the engine retrieved it.

Missing numbers count neither in a mean nor in a rank. All sums run over sorted numbers, so the
order of the rows and the other listings of a batch change no bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
    settings_but,
)
from cascade.features.engine import ENGINE_SCORE, EngineFeature
from cascade.features.registry import feature_kind
from cascade.schema import Kind

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class SortedNumbers:
    """Hold k columns of numbers, each listing of each in ascending order, without the missing ones.

    Attributes:
        numbers: float64[m], those of one listing in one column side by side: a run.
        owners: int64[m], the run of each.
        order: int64[m], the place that each comes from among the k * n.
        starts: int64[r], where each of the r runs that have a number begins.
        counts: int64[r], how many numbers each of them has.
        shape: k and n.
    """

    numbers: Float64
    owners: Int64
    order: Int64
    starts: Int64
    counts: Int64
    shape: tuple[int, int]

    @classmethod
    def of(cls, numbers: Float64, listing: Int64) -> SortedNumbers:
        """Sort numbers within their listings.

        Args:
            numbers: float64[k, n], NaN where missing.
            listing: int64[n], ascending.
        """
        # Adding 0 makes -0 and 0 one number, which sorting does not order; within float32's
        # bounds no difference or square leaves float64's. What is missing is sorted to the end.
        values = bounded(numbers) + 0.0
        columns, n = numbers.shape
        at = np.arange(columns)[:, None]
        if n and listing[0] != listing[-1]:
            order = np.array([np.lexsort((column, listing)) for column in values])
            owners = (listing[order] + at * (listing[-1] + 1)).ravel()
        else:
            order, owners = values.argsort(axis=1), at.repeat(n)
        places = (order + at * n).ravel()
        ordered = values.ravel()[places]
        present = ~np.isnan(ordered)
        if not present.all():
            places, ordered, owners = places[present], ordered[present], owners[present]
        starts = _begins(owners[1:] != owners[:-1], len(owners))
        return cls(ordered, owners, places, starts, _sizes(starts, len(owners)), numbers.shape)

    def means(self, values: Float64) -> Float64:
        """Return the mean over its run of each of m sorted values, as `spread`."""
        if not len(values):
            return values
        return self.spread(np.add.reduceat(values, self.starts) / self.counts)

    def firsts(self) -> Float64:
        """Return the smallest number of its run for each number, as `spread`."""
        return self.spread(self.numbers[self.starts])

    def lasts(self) -> Float64:
        """Return the largest number of its run for each number, as `spread`."""
        return self.spread(self.numbers[self.starts + self.counts - 1])

    def spread(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Return the value of its run for each number, [m], or [1] for a single run."""
        return values if len(values) == 1 else values.repeat(self.counts)

    def rows(self, values: Float64) -> Float32:
        """Return float32[k, n] with each of m sorted values at its place, NaN elsewhere."""
        columns, n = self.shape
        out = np.full(columns * n, np.nan, dtype=np.float32)
        out[self.order] = values
        return out.reshape(columns, n)


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

    @property
    def alike(self) -> Hashable:
        """What is equal for features that differ in name and what they compare alone."""
        return settings_but(self, "name", "field", "column")

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] over the rows that are present; NaN without a number."""
        values: Float32 = self.together([self], candidates)[0]
        return values

    @classmethod
    def together(cls, features: Sequence[ListingFeature], candidates: Candidates) -> Float32:
        """Return the values of k features that are alike, float32[k, n]."""
        numbers = np.array([feature.numbers(candidates) for feature in features])
        ordered = SortedNumbers.of(numbers, candidates.listing)
        return ordered.rows(features[0].compared(ordered))

    def numbers(self, candidates: Candidates) -> Float64:
        """Return what is compared, float64[n], NaN where missing."""
        if self.field:
            return number_of(candidates, self.field)
        return column_of(candidates, self.column).astype(np.float64)

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
