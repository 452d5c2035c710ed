"""Ranks by counting: the rows that beat a row, for every child at once and without a sort."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cascade.candidates import Float32, Int32, Int64
from cascade.errors import InputError

# From rows, int64[m], to their scores, float32[m, c].
Score = Callable[[Int64], Float32]
_Chunk = TypeVar("_Chunk")
# A block's thresholds, 4 bytes each: the cost of a step's calls is small beside its work, and the
# block stays in a third-level cache.
BLOCK = 160_000
WIDEST = 32_768
# A count in one byte is emptied into a wider one before it can overflow.
FULL = 255
# From this many rows of a listing on, the listing is better sorted than counted.
MANY = 48


@dataclass(frozen=True)
class Block:
    """Hold requests whose rows are counted side by side: a walk takes each one's next row.

    Attributes:
        slots: How many counted rows the fullest request has.
        alive: int64[s], how many requests have a row at each step; the longest stand first.
        walk: int64[w], the rows as the steps take them.
        counted: int64[m], where in the walk the counted rows stand, ascending.
        place: int64[m], where each is counted: its slot times the requests plus its request.
        ends: int64[s + 1], how many counted rows come before each step.
        at: int64[m], the place of each in the list that was asked for.
    """

    slots: int
    alive: Int64
    walk: Int64
    counted: Int64
    place: Int64
    ends: Int64
    at: Int64


def blocks(offsets: Int64, rows: Int64, children: int) -> tuple[Block, ...]:
    """Return how to count so many rows, int64[m] ascending, in blocks that fit the cache."""
    request = np.searchsorted(offsets, rows, side="right") - 1
    counts = np.bincount(request, minlength=len(offsets) - 1)
    slot = np.arange(len(rows)) - (np.cumsum(counts) - counts)[request]
    lengths = np.diff(offsets)
    # Requests of alike counts stand together, so that few slots stay empty.
    order = np.lexsort((lengths, counts))
    order = order[counts[order] > 0]
    return tuple(
        _block(offsets, mine[np.argsort(-lengths[mine], kind="stable")], rows, request, slot)
        for mine in _cut(order, counts, children)
    )


def _cut(order: Int64, counts: Int64, children: int) -> list[Int64]:
    """Return the requests in parts of alike size; the fullest come first."""
    if not len(order):
        return []
    order = order[::-1]
    reached = np.cumsum(counts[order])
    parts = max(-(-int(reached[-1]) * children // BLOCK), -(-len(order) * children // WIDEST))
    # An even number of parts keeps two cores busy to the end.
    parts += parts > 1 and parts % 2
    ends = np.searchsorted(reached, reached[-1] * np.arange(1, parts) / parts)
    return [part for part in np.split(order, ends) if len(part)]


def _block(offsets: Int64, mine: Int64, rows: Int64, request: Int64, slot: Int64) -> Block:
    """Return the block of some requests, the longest first."""
    lengths = np.diff(offsets)[mine]
    steps = np.arange(int(lengths[0]))
    alive = np.searchsorted(-lengths, -steps, side="left")
    position = np.full(len(offsets) - 1, -1, np.int64)
    position[mine] = np.arange(len(mine))
    at = np.flatnonzero(position[request] >= 0)
    step, column = rows[at] - offsets[request[at]], position[request[at]]
    counted = (np.cumsum(alive) - alive)[step] + column
    sequence = np.argsort(counted)
    walked = offsets[mine] + steps[:, None]
    return Block(
        slots=int(slot[at].max()) + 1,
        alive=alive,
        walk=walked[np.arange(len(mine)) < alive[:, None]],
        counted=counted[sequence],
        place=(slot[at] * len(mine) + column)[sequence],
        ends=np.searchsorted(step[sequence], np.arange(len(steps) + 1)),
        at=at[sequence],
    )


@np.errstate(over="ignore", invalid="ignore")
def count(block: Block, score: Score, into: Int32) -> None:
    """Write 1 + the rows that beat each counted row to its place in `into`, int32[m, c].

    A row beats another of its listing by a higher score, or by an equal one and an earlier place.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    scores = score(block.walk)
    flat, children, requests = scores.reshape(-1), scores.shape[1], int(block.alive[0])
    mine = scores[block.counted]
    # A row that comes before a counted row beats it by an equal score too, that is by more than
    # the next number below. Once the walk reaches the row itself, more is asked.
    limits = np.full((block.slots * requests, children), np.inf, np.float32)
    limits[block.place] = _below(mine)
    shaped = limits.reshape(block.slots, requests * children)
    beaten = np.empty(shaped.shape, np.bool_)
    passed = np.zeros(shaped.shape, np.uint8)
    # Whole arrays have no gaps, which numpy takes in one go.
    whole = shaped, beaten, beaten.view(np.uint8), passed
    total = np.zeros(shaped.shape, np.int32) if len(block.alive) > FULL else None
    begin, squares, ends = 0, 0.0, block.ends.tolist()
    for step, wide in enumerate((block.alive * children).tolist()):
        first, end = ends[step], ends[step + 1]
        if first < end:
            limits[block.place[first:end]] = mine[first:end]
        row = flat[begin : begin + wide]
        begin += wide
        squares += float(row.dot(row))
        full = wide == shaped.shape[1]
        under, won, ones, sums = whole if full else [part[:, :wide] for part in whole]
        np.greater(row, under, out=won)
        np.add(sums, ones, out=sums)
        if total is not None and step % FULL == FULL - 1:
            total += passed
            passed[:] = 0
    # The sum of squares is not finite if one score is not.
    if not math.isfinite(squares):
        check_finite(scores)
    if total is not None:
        total += passed
    found = (passed if total is None else total).reshape(limits.shape)
    into[block.at] = found[block.place].astype(np.int32) + 1


def _below(values: Float32) -> Float32:
    """Return the next number below each, which is what `nextafter` is slower at."""
    bits = (values + np.float32(0)).view(np.int32)
    zero = bits == 0
    bits = bits - ((bits >> 31) | 1)
    bits[zero] = np.int32(-0x7FFFFFFF)
    return bits.view(np.float32)


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
    """Do the work on every chunk; numpy lets go of the interpreter's lock inside."""
    given = list(chunks)
    if threads == 1 or len(given) < 2:
        for chunk in given:
            work(chunk)
        return
    with ThreadPoolExecutor(min(threads, len(given))) as pool:
        for _ in pool.map(work, given):
            pass


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
