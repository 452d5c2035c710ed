"""Ranks by counting: the rows that beat a row, for every child and without a sort."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

import numpy as np

from cascade.candidates import Float32, Float64, Int32, Int64
from cascade.errors import InputError, OptionalDependencyError

# From rows, int64[m], to their scores, float32[m, c].
Score = Callable[[Int64], Float32]
_Chunk = TypeVar("_Chunk")
# Scores of a block, 4 bytes each: they stay in the cache, and work that holds the lock is little.
BLOCK = 400_000
# From this many rows of a listing on, the listing is better sorted than counted.
MANY = 192


@dataclass(frozen=True)
class Block:
    """Hold requests whose rows are scored and counted together.

    Attributes:
        requests: int64[q], ascending, each with a counted row.
        rows: int64[n], all rows of those requests.
        counted: Where the rows of each begin, int64[q + 1]; where in its request each counted row
            stands, int64[m]; which of the counted rows are a request's, int64[q + 1].
        at: Which of all counted rows these are.
    """

    requests: Int64
    rows: Int64
    counted: tuple[Int64, Int64, Int64]
    at: slice


def blocks(offsets: Int64, rows: Int64, children: int) -> tuple[Block, ...]:
    """Return how to count so many rows, int64[m] ascending, in blocks that fit the cache."""
    request = np.searchsorted(offsets, rows, side="right") - 1
    requests, counts = np.unique(request, return_counts=True)
    if not len(requests):
        return ()
    lengths = np.diff(offsets)[requests]
    reached, starts = np.cumsum(lengths), np.concatenate([[0], np.cumsum(counts)])
    parts = -(-int(reached[-1]) * children // BLOCK)
    # An even number of parts keeps two cores busy to the end.
    parts += parts > 1 and parts % 2
    cuts = np.searchsorted(reached, reached[-1] * np.arange(1, parts) / parts)
    mine = (part for part in np.split(np.arange(len(requests)), cuts) if len(part))
    return tuple(
        _block(
            offsets, requests[part], rows, slice(int(starts[part[0]]), int(starts[part[-1] + 1]))
        )
        for part in mine
    )


def _block(offsets: Int64, requests: Int64, rows: Int64, at: slice) -> Block:
    """Return the block of some requests, whose counted rows are those `at` a slice."""
    begins, lengths = offsets[requests], np.diff(offsets)[requests]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    mine = rows[at]
    starts = np.append(np.searchsorted(mine, begins), len(mine))
    places = mine - np.repeat(begins, np.diff(starts))
    every = np.repeat(begins - ends[:-1], lengths) + np.arange(ends[-1])
    return Block(requests, every, (ends, places, starts), at)


def write_ranks(block: Block, score: Score, into: Int32) -> None:
    """Write the 1-based ranks of a block's counted rows to their places in `into`, int32[m, c].

    A row beats another of its listing by a higher score, or by an equal one and an earlier place.

    Raises:
        InputError: If a score is NaN or infinite.
        OptionalDependencyError: If `numba` is not installed.
    """
    compiled().ranks(_scores(block, score), block.counted, into[block.at])


def discounted(block: Block, score: Score, gains: Float64, weights: Float64, into: Float64) -> None:
    """Write the sums of gain times the weight of the rank to a block's requests in `into`.

    Args:
        block: The requests.
        score: Of rows.
        gains: float64[m], of all counted rows.
        weights: float64[k], of the first k ranks; later ones have none.
        into: float64[q, c], of all requests.

    Raises:
        InputError: If a score is NaN or infinite.
        OptionalDependencyError: If `numba` is not installed.
    """
    scores = _scores(block, score)
    found = np.empty((len(block.requests), into.shape[1]))
    compiled().discounted(scores, block.counted, gains[block.at], weights, found)
    into[block.requests] = found


@np.errstate(over="ignore", invalid="ignore")
def _scores(block: Block, score: Score) -> Float32:
    """Return the scores of a block, float32[n, c], those of a row or of a child side by side."""
    scores = score(block.rows)
    if not scores.flags.c_contiguous:
        scores = np.ascontiguousarray(scores.T).T
    flat = scores.ravel("K")
    # The sum of squares is not finite if one score is not.
    if not math.isfinite(flat.dot(flat)):
        check_finite(scores)
    return scores


def compiled() -> ModuleType:
    """Return the compiled loops; called early, it refuses before hours of other work.

    Raises:
        OptionalDependencyError: If `numba` is not installed.
        InputError: If what it compiles can be kept nowhere.
    """
    try:
        from cascade.market import kernels
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise
        raise OptionalDependencyError("numba", "evolve") from None
    except RuntimeError as error:
        raise InputError(
            f"numba cannot compile the counting of ranks: {error}; set NUMBA_CACHE_DIR to a folder "
            "that can be written"
        ) from error
    return kernels


def check_finite(scores: Float32) -> None:
    """Refuse NaN and infinity.

    Raises:
        InputError: Naming the first child that has one.
    """
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=0))
    if len(bad):
        rows = int((~np.isfinite(scores[:, bad[0]])).sum())
        raise InputError(
            f"child {bad[0]} has NaN or infinity in {rows} of {len(scores)} scores "
            f"({len(bad)} of {scores.shape[1]} children have one); a score is a finite number"
        )


def in_threads(work: Callable[[_Chunk], None], chunks: Iterable[_Chunk], threads: int) -> None:
    """Do the work on every chunk; numpy and the kernels let go of the interpreter's lock inside.

    The calling thread is one of them: another one that starts late finds less to do.
    """
    left = deque(chunks)

    def rest() -> None:
        while left:
            try:
                chunk = left.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                work(chunk)
            except BaseException:
                left.clear()
                raise

    more = min(threads, len(left)) - 1
    if more < 1:
        rest()
        return
    with ThreadPoolExecutor(more) as pool:
        others = [pool.submit(rest) for _ in range(more)]
        rest()
        for other in others:
            other.result()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
