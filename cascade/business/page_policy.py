"""A policy that sees what is already placed: a beam over the first ranks of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.business.inputs import standardised
from cascade.business.policy import Policy
from cascade.business.where import number_of
from cascade.candidates import Candidates, Float32, Float64, Int64
from cascade.schema import Kind

DIVERSITY = "diversity"
TOP, BEAM = 10, 4


@dataclass(frozen=True, kw_only=True)
class PagePolicy:
    """Add to a policy's utilities what a row brings to the page that the rows above it lack.

    Placed at a rank r of the first k, a row is worth

        (utility + preference[diversity] x novelty) / log2(1 + r)

    where novelty, 0 to 1, is how far its features lie from the mean of those already placed, on
    average over the fields: for a keyword field half the sum of the absolute differences of the
    shares of its values, which is the share of placed rows with another value; for a number or
    date field half the difference in standard deviations, at most 1. The first row has none.

    Of all pages that keep the displacement bound, a beam looks for one of large total worth: at
    each rank it goes on with the best `beam` beginnings. Rows below rank k follow by utility.
    Fulfils `Policy`; without a share of diversity it is the policy that it holds.

    Attributes:
        policy: Gives utilities row by row.
        fields: The fields that rows should differ in.
        top: How many ranks k are searched.
        beam: How many beginnings go on.
        max_displacement: How many ranks a row may move.
    """

    policy: Policy
    fields: tuple[str, ...]
    top: int = TOP
    beam: int = BEAM
    max_displacement: int

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives that a preference may name, diversity the last."""
        return (*self.policy.names, DIVERSITY)

    def utilities(self, candidates: Candidates, preference: Mapping[str, float]) -> Float32:
        """Return float32[n]: sorted within the displacement bound they give the page.

        Those of the first k are raised above the ones below them, as far as is needed.
        """
        given = {name: share for name, share in preference.items() if name != DIVERSITY}
        found = self.policy.utilities(candidates, given)
        share = preference.get(DIVERSITY, 0.0)
        if not share or not self.fields:
            return found
        found = found.copy()
        for number in range(len(candidates.queries)):
            first, last = candidates.offsets[number : number + 2].tolist()
            if last - first > 1:
                listing = candidates.listings(number, number + 1)
                page = self._page(found[first:last], self._features(listing), share)
                found[first:last] = _raised(found[first:last], page)
        return found

    def base(self, candidates: Candidates) -> Float32:
        """Return the utilities of relevance alone, float32[n]."""
        return self.policy.base(candidates)

    def values(self, candidates: Candidates) -> Mapping[str, Float32]:
        """Return what the held policy's utilities are made of, float32[n] by name."""
        return self.policy.values(candidates)

    def _features(self, listing: Candidates) -> list[tuple[Float64, bool]]:
        """Return float64[n, d] for each field, and whether these are shares of its values."""
        found = []
        for name in self.fields:
            if listing.documents.schema.by_name[name].kind is not Kind.KEYWORD:
                column = standardised(number_of(listing, name), listing)
                found.append((column.astype(np.float64)[:, None], False))
                continue
            codes = listing.documents.keywords(name, listing.rows)
            distinct, column_of = np.unique(codes.values, return_inverse=True)
            # A column more for rows without a value.
            shares = np.zeros((len(listing), len(distinct) + 1))
            np.add.at(shares, (codes.owners(), column_of), 1.0)
            shares[codes.lengths == 0, -1] = 1.0
            found.append((shares / shares.sum(axis=1, keepdims=True), True))
        return found

    def _page(
        self, utilities: Float32, features: list[tuple[Float64, bool]], share: float
    ) -> Int64:
        """Return the rows of the first ranks, int64[min(k, n)]."""
        count, bound = len(utilities), self.max_displacement
        depth = min(self.top, count)
        pages = np.zeros((1, 0), dtype=np.int64)
        worth = np.zeros(1)
        free = np.ones((1, count), dtype=np.bool_)
        for rank in range(depth):
            allowed = free.copy()
            allowed[:, rank + bound + 1 :] = False
            if rank >= bound:
                # A row that can wait no longer is placed.
                due = free[:, rank - bound]
                allowed[due] = False
                allowed[due, rank - bound] = True
            gained = utilities.astype(np.float64) + share * _novelty(features, pages)
            total = worth[:, None] + gained / np.log2(rank + 2)
            total[~allowed] = -np.inf
            best = np.argsort(-total, axis=None, kind="stable")[: self.beam]
            best = best[np.isfinite(total.ravel()[best])]
            held, row = np.divmod(best, count)
            pages = np.column_stack([pages[held], row])
            worth, free = total.ravel()[best], free[held]
            free[np.arange(len(row)), row] = False
        # The first is the best: beginnings are kept in the order of their worth.
        page: Int64 = pages[0]
        return page


def _novelty(features: list[tuple[Float64, bool]], pages: Int64) -> Float64:
    """Return how far each row lies from the mean of each page's, float64[b, n] in 0..1."""
    beams, placed = pages.shape
    count = len(features[0][0])
    total = np.zeros((beams, count))
    if not placed:
        return total
    for values, shares in features:
        mean = values[pages].mean(axis=1)
        apart = np.abs(values[None, :, :] - mean[:, None, :]).sum(axis=2) / 2
        total += apart if shares else np.minimum(apart, 1.0)
    return total / len(features)


def _raised(utilities: Float32, page: Int64) -> Float32:
    """Return utilities that put the rows of a page first, raised no further than that needs.

    The bits of a float32 are ordered as its values are, so the next larger one is a step away.
    """
    keys = _keys(utilities)
    below = np.ones(len(utilities), dtype=np.bool_)
    below[page] = False
    floor = keys[below].max(initial=np.iinfo(np.int32).min)
    steps = np.arange(1, len(page) + 1)
    upwards = np.concatenate([[floor], keys[page[::-1]] - steps])
    keys[page[::-1]] = np.maximum.accumulate(upwards)[1:] + steps
    return _values(keys)


def _keys(values: Float32) -> Int64:
    bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _values(keys: Int64) -> Float32:
    bits: NDArray[np.int64] = np.where(keys < 0, -keys | 0x80000000, keys)
    return bits.astype(np.uint32).view(np.float32)
