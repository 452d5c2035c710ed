"""Loops over scores that numba compiles: how many rows beat a row, for one child at a time."""

from __future__ import annotations

from typing import TypeAlias

import numba
import numpy as np

from cascade.candidates import Float32, Float64, Int32, Int64

# Of q requests: where the rows of each begin, int64[q + 1]; where in its request each of m counted
# rows stands, int64[m]; which of those are a request's, int64[q + 1].
Counted: TypeAlias = tuple[Int64, Int64, Int64]

# Loops of a plain reduction over contiguous scores, which LLVM turns into vector instructions. The
# compiled code is kept beside this file, or where NUMBA_CACHE_DIR says.
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _reached(row: Float32, limit: np.float32) -> np.int32:
    """Return how many scores are at least as high as a limit."""
    found = np.int32(0)
    for place in range(len(row)):
        found = np.int32(found + np.int32(row[place] >= limit))
    return found


@_compiled
def _beaten(row: Float32, places: Int64, depth: int, counts: Int32, near: Int32) -> int:
    """Return how many of some rows fewer than `depth` beat, and write which, int32[m].

    Args:
        row: float32[n], the scores of a listing.
        places: int64[m], of the rows.
        depth: How many.
        counts: int32[m], how many scores beat each; an equal score beats those after it. Only those
            of the rows that are `near` are right.
        near: int32[m], the rows that fewer beat.
    """
    many = len(places)
    for first in range(0, many, 4):
        # Four at a time share each score that is loaded; the last ones are repeated.
        second, third = min(first + 1, many - 1), min(first + 2, many - 1)
        fourth = min(first + 3, many - 1)
        one, two = row[places[first]], row[places[second]]
        three, four = row[places[third]], row[places[fourth]]
        ones = twos = threes = fours = np.int32(0)
        for place in range(len(row)):
            score = row[place]
            ones = np.int32(ones + np.int32(score > one))
            twos = np.int32(twos + np.int32(score > two))
            threes = np.int32(threes + np.int32(score > three))
            fours = np.int32(fours + np.int32(score > four))
        counts[first], counts[second], counts[third], counts[fourth] = ones, twos, threes, fours
    found = 0
    for some in range(many):
        # Without a branch, which would be guessed wrong as often as not.
        near[found] = some
        found += int(counts[some] < depth)
    for at in range(found):
        some = near[at]
        mine = row[places[some]]
        # Where only the row itself is as high as it is, nothing is equal to it.
        if _reached(row, mine) > counts[some] + 1:
            equal = np.int32(0)
            for place in range(places[some]):
                equal = np.int32(equal + np.int32(row[place] == mine))
            counts[some] += equal
    return found


@_compiled
def ranks(scores: Float32, counted: Counted, into: Int32) -> None:
    """Write the 1-based rank of each counted row for each child.

    Args:
        scores: float32[c, n], the rows of q requests.
        counted: Which m of them are counted.
        into: int32[m, c].
    """
    offsets, places, starts = counted
    counts, near = np.empty(len(places), np.int32), np.empty(len(places), np.int32)
    for request in range(len(starts) - 1):
        begin, end = offsets[request], offsets[request + 1]
        first, last = starts[request], starts[request + 1]
        mine = places[first:last]
        for child in range(len(scores)):
            # Fewer than all rows beat any of them.
            _beaten(scores[child, begin:end], mine, end - begin, counts, near)
            for some in range(last - first):
                into[first + some, child] = counts[some] + 1


@_compiled
def discounted(
    scores: Float32, counted: Counted, gains: Float64, weights: Float64, into: Float64
) -> None:
    """Write the sum of gain times weight over each request's counted rows, for each child.

    Args:
        scores: float32[c, n], the rows of q requests.
        counted: Which m of them are counted.
        gains: float64[m].
        weights: float64[k], of the first k ranks; later ones have none.
        into: float64[q, c].
    """
    offsets, places, starts = counted
    depth = len(weights)
    # Ties may carry a row beyond the depth.
    padded = np.zeros(depth + scores.shape[1])
    padded[:depth] = weights
    counts, near = np.empty(len(places), np.int32), np.empty(len(places), np.int32)
    for request in range(len(starts) - 1):
        begin, end = offsets[request], offsets[request + 1]
        first, last = starts[request], starts[request + 1]
        mine, worth = places[first:last], gains[first:last]
        for child in range(len(scores)):
            found = _beaten(scores[child, begin:end], mine, depth, counts, near)
            total = 0.0
            for at in range(found):
                total += worth[near[at]] * padded[counts[near[at]]]
            into[request, child] = total
