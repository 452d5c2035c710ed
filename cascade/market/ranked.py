"""The orders that many children give to the same listings, and what measures ask of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64, Int32, Int64
from cascade.errors import InputError
from cascade.market import counting, ordering
from cascade.market.listings import Listings


@dataclass(frozen=True)
class Hits:
    """Hold the rows whose column is above 0, in their order.

    Attributes:
        rows: int64[m].
        values: float64[m], what they have in the column.
        requests: int64[r], the requests that have one.
        starts: int64[r], where the rows of each of those begin.
        counts: int64[r], how many rows each of those has.
    """

    rows: Int64
    values: Float64
    requests: Int64
    starts: Int64
    counts: Int64


def hits(listings: Listings, column: str) -> Hits:
    """Return the rows whose column is above 0."""
    return listings.derived(("hits", column), lambda: _hits(listings, column))


def _hits(listings: Listings, column: str) -> Hits:
    values = listings.column(column)
    rows = np.flatnonzero(values > 0)
    requests, starts, counts = np.unique(
        listings.request[rows], return_index=True, return_counts=True
    )
    return Hits(rows, values[rows].astype(np.float64), requests, starts, counts)


def discounts(depth: int, cutoff: int | None) -> Float64:
    """Return 1 / log2(1 + rank) for the ranks 0 to `depth`; 0 at rank 0 and beyond the cutoff."""
    ranks = np.arange(depth + 1, dtype=np.float64)
    found = np.zeros(depth + 1)
    found[1:] = 1.0 / np.log2(1.0 + ranks[1:])
    if cutoff is not None:
        found[cutoff + 1 :] = 0.0
    return found


@dataclass(frozen=True, eq=False)
class Ranked:
    """Hold the orders of c children over the same listings; what is asked for is worked out once.

    Attributes:
        listings: The listings.
        score: From rows, int64[m], to their scores, float32[m, c].
        children: c, how many orders there are.
        threads: How many threads count and sort.
    """

    listings: Listings
    score: counting.Score
    children: int
    threads: int
    _known: dict[object, NDArray[np.generic]] = field(default_factory=dict, init=False, repr=False)

    def ranks(self, rows: Int64) -> Int32:
        """Return the 1-based rank of each row in its listing, int32[m, c].

        It is 1 + the rows that beat it: by a higher score, or by an equal one and an earlier row.

        Raises:
            InputError: If a score is NaN or infinite, or there is no such row.
        """
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= len(self.listings)):
            raise InputError(
                f"rows from {rows.min()} to {rows.max()} were asked for; accepted: 0 to "
                f"{len(self.listings) - 1}, the rows of the listings"
            )
        distinct, back = np.unique(rows, return_inverse=True)
        if len(distinct) < len(rows) or not np.array_equal(distinct, rows):
            return self.ranks(distinct)[back]
        return self._ranks(rows, ("rows", rows.tobytes()))

    def hit_ranks(self, column: str) -> Int32:
        """Return the rank of each row whose column is above 0, int32[m, c]."""
        return self._ranks(hits(self.listings, column).rows, ("hits", column))

    def top(self, k: int) -> Int32:
        """Return the row at each of the first k ranks, int32[q, k, c]; -1 beyond the end.

        Raises:
            InputError: If a score is NaN or infinite.
        """
        deeper = [key[1] for key in self._known if isinstance(key, tuple) and key[0] == "top"]
        for depth in sorted(deeper):
            if depth >= k:
                return self._known["top", depth][:, :k]  # type: ignore[return-value]
        found = np.full((self.listings.requests, k, self.children), -1, np.int32)
        offsets = self.listings.offsets
        counting.in_threads(
            lambda mine: ordering.first_rows(offsets, mine, self.score, k, found),
            ordering.chunks(offsets, self.children),
            self.threads,
        )
        self._known["top", k] = found
        return found

    def discounted(self, column: str, cutoff: int | None, *, flags: bool = False) -> Float64:
        """Return the sum of a column's values above 0 over log2(1 + rank), float64[q, c].

        Args:
            column: Whose values.
            cutoff: The last rank that counts; None counts every rank.
            flags: Whether every value above 0 counts as 1.
        """
        key = ("discounted", column, cutoff, flags)
        if key not in self._known:
            self._known[key] = self._discounted(column, cutoff, flags)
        return self._known[key]  # type: ignore[return-value]

    def best_rank(self, column: str) -> Float64:
        """Return the first rank of a row whose column is above 0, float64[q, c]; NaN without."""
        mine = hits(self.listings, column)
        found = np.full((self.listings.requests, self.children), np.nan)
        if len(mine.rows):
            found[mine.requests] = np.minimum.reduceat(self.hit_ranks(column), mine.starts)
        return found

    def shown(self, name: str, k: int, kind: Literal["column", "group"] = "column") -> Float64:
        """Return a column or codes at the first k ranks, float64[q, k, c]; NaN beyond the end."""
        listings = self.listings
        values = listings.column(name) if kind == "column" else listings.group(name)
        return np.append(values.astype(np.float64), np.nan)[self.top(k)]

    def _discounted(self, column: str, cutoff: int | None, flags: bool) -> Float64:
        mine, listings = hits(self.listings, column), self.listings
        longest = int(listings.lengths.max(initial=0))
        weights = discounts(longest, cutoff)
        found = np.zeros((listings.requests, self.children))
        many = len(mine.rows) > counting.MANY * len(mine.requests)
        known = ("hits", column) in self._known
        if many and cutoff is not None and not known:
            gains = np.fmax(self.shown(column, min(cutoff, longest)), 0.0)
            gains = np.sign(gains) if flags else gains
            np.einsum("qkc,k->qc", gains, weights[1 : gains.shape[1] + 1], out=found)
            return found
        gained = np.ones(len(mine.rows)) if flags else mine.values
        if (many or known) and len(mine.rows):
            worth = weights.take(self.hit_ranks(column))
            worth *= gained[:, None]
            found[mine.requests] = np.add.reduceat(worth, mine.starts, axis=0)
            return found
        top = weights[1 : None if cutoff is None else cutoff + 1]
        counting.in_threads(
            lambda block: counting.discounted(block, self.score, gained, top, found),
            self._blocks(mine.rows, ("hits", column)),
            self.threads,
        )
        return found

    def _ranks(self, rows: Int64, key: tuple[str, object]) -> Int32:
        if key not in self._known:
            self._known[key] = self._counted(rows, key)
        return self._known[key]  # type: ignore[return-value]

    def _counted(self, rows: Int64, key: tuple[str, object]) -> Int32:
        listings, offsets = self.listings, self.listings.offsets
        if len(rows) > counting.MANY * len(np.unique(listings.request[rows])):
            every = np.empty((len(listings), self.children), np.int32)
            counting.in_threads(
                lambda mine: ordering.all_ranks(offsets, mine, self.score, every),
                ordering.chunks(offsets, self.children),
                self.threads,
            )
            return every[rows]
        found = np.empty((len(rows), self.children), np.int32)
        counting.in_threads(
            lambda block: counting.write_ranks(block, self.score, found),
            self._blocks(rows, key),
            self.threads,
        )
        return found

    def _blocks(self, rows: Int64, key: tuple[str, object]) -> tuple[counting.Block, ...]:
        offsets, children = self.listings.offsets, self.children
        if key[0] != "hits":
            return counting.blocks(offsets, rows, children)
        return self.listings.derived(
            ("blocks", key, children), lambda: counting.blocks(offsets, rows, children)
        )


def ranked(
    listings: Listings,
    scores: Float32 | counting.Score,
    threads: int | None = None,
    *,
    children: int | None = None,
) -> Ranked:
    """Return the orders that so many scores of each row, float32[n, c], give to the listings.

    Args:
        listings: The rows, each listing in its order of relevance, which settles ties.
        scores: One column a child; the higher comes first. Or a function that gives them for
            rows, int64[m]: it is asked for a block of requests at a time, which never leave the
            cache, and again for each column that is counted; `children` then says how many. Either
            is fastest where the scores of a row lie side by side. An array is read when a measure
            asks: it must not change as long as the orders are used.
        threads: How many threads score, count and sort; None means one for each core.
        children: How many columns a function gives.

    Raises:
        InputError: If the scores have another shape. NaN and infinity are refused by the first
            measure that meets them.
    """
    many = counting.cores() if threads is None else threads
    if many < 1:
        raise InputError(f"threads is {many}; accepted: 1 or more, or None for every core")
    if callable(scores):
        if children is None:
            raise InputError("scores is a function; say how many `children` it scores for")
        return Ranked(listings, _checked(scores, children), children, many)
    if scores.ndim != 2 or len(scores) != len(listings):
        raise InputError(
            f"scores have the shape {list(scores.shape)}; accepted: one row for each of the "
            f"{len(listings)} rows of the listings, and one column a child"
        )
    known = np.asarray(scores, np.float32)
    return Ranked(listings, lambda rows: _taken(known, rows), known.shape[1], many)


def _checked(score: counting.Score, children: int) -> counting.Score:
    """Return a function whose scores have the shape that they are read by."""

    def checked(rows: Int64) -> Float32:
        found = np.asarray(score(rows), np.float32)
        if found.shape != (len(rows), children):
            raise InputError(
                f"the function gave scores of the shape {list(found.shape)} for {len(rows)} rows "
                f"and {children} children; accepted: one row for each, and one column a child"
            )
        return found

    return checked


def _taken(scores: Float32, rows: Int64) -> Float32:
    """Return the scores of some rows, float32[m, c]; those that follow each other as a view."""
    begin, count = int(rows[0]) if len(rows) else 0, len(rows)
    if count and rows[-1] - begin == count - 1 and (np.diff(rows) == 1).all():
        return scores[begin : begin + count]
    return scores.take(rows, axis=0)
