"""Ranks by counting: the rows that beat a row, for every child at once and without a sort."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Int32, Int64
from cascade.errors import InputError

# From rows, int64[m], to their scores, float32[m, c].
Score = Callable[[Int64], Float32]
_Chunk = TypeVar("_Chunk")
# Rows beaten by, of every counted row of a block, [slots, requests, c].
Beaten = NDArray[np.uint8] | Int32
# A block's thresholds, 4 bytes each: the cost of a call is small beside its work, and what the
# calls of a run read and write stays near the core.
BLOCK = 56_000
WIDEST = 32_768
# Steps that are compared by one call; rows of one run are told apart by a check for equal scores.
RUN = 8
# How many numbers numpy may gather in a buffer of its own; what is wider is read where it lies.
BUFFER = 128
# A count in one byte is emptied into a wider one before it can overflow.
FULL = 255
# From this many rows of a listing on, the listing is better sorted than counted.
MANY = 48


@dataclass(frozen=True)
class Block:
    """Hold requests whose rows are counted side by side: a step takes each one's next row.

    Steps with the same requests make a run, of at most so many.

    Attributes:
        requests: int64[q], the longest first.
        slots: How many counted rows the fullest request has.
        runs: Of each run its steps, and how many requests have a row in them.
        walk: int64[w], the rows as the steps take them.
        counted: int64[m], where in the walk the counted rows stand, ascending.
        place: int64[m], where each is counted: its slot times the requests plus its request.
        ends: int64[r + 1], how many counted rows come before each run.
        earlier: int64[t], where in the walk rows stand that come before a counted row in its run.
        later: int64[t], which counted row that is, ascending.
        at: int64[m], the place of each in the list that was asked for.
    """

    requests: Int64
    slots: int
    runs: tuple[tuple[int, int], ...]
    walk: Int64
    counted: Int64
    place: Int64
    ends: Int64
    earlier: Int64
    later: Int64
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
    # A run begins where requests end, and when the one before it is long enough.
    changed = np.diff(alive, prepend=0) != 0
    begins = np.flatnonzero((steps - np.maximum.accumulate(np.where(changed, steps, 0))) % RUN == 0)
    run = np.searchsorted(begins, steps, side="right") - 1
    position = np.full(len(offsets) - 1, -1, np.int64)
    position[mine] = np.arange(len(mine))
    at = np.flatnonzero(position[request] >= 0)
    step, column = rows[at] - offsets[request[at]], position[request[at]]
    counted = (np.cumsum(alive) - alive)[step] + column
    sequence = np.argsort(counted)
    at, step, column, counted = at[sequence], step[sequence], column[sequence], counted[sequence]
    before = step - begins[run[step]]
    later = np.repeat(np.arange(len(at)), before)
    back = np.arange(1, len(later) + 1) - np.repeat(np.cumsum(before) - before, before)
    walked = offsets[mine] + steps[:, None]
    return Block(
        requests=mine,
        slots=int(slot[at].max()) + 1,
        runs=tuple(zip(np.bincount(run).tolist(), alive[begins].tolist(), strict=True)),
        walk=walked[np.arange(len(mine)) < alive[:, None]],
        counted=counted,
        place=slot[at] * len(mine) + column,
        ends=np.searchsorted(run[step], np.arange(len(begins) + 1)),
        earlier=counted[later] - back * alive[step[later]],
        later=later,
        at=at,
    )


def count(block: Block, score: Score, into: Int32) -> None:
    """Write 1 + the rows that beat each counted row to its place in `into`, int32[m, c].

    Raises:
        InputError: If a score is NaN or infinite.
    """
    write(block, beaten(block, score), into)


def write(block: Block, found: Beaten, into: Int32) -> None:
    """Write 1 + what is found to the places of the counted rows in `into`, int32[m, c]."""
    into[block.at] = found.reshape(-1, found.shape[2])[block.place].astype(np.int32) + 1


@np.errstate(over="ignore", invalid="ignore")
def beaten(block: Block, score: Score) -> Beaten:
    """Return how many rows beat each counted row, [slots, requests, c]; 0 where there is none.

    A row beats another of its listing by a higher score, or by an equal one and an earlier place.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    scores = score(block.walk)
    # At numpy's own size, rows that are narrower go through its buffer once for each slot. The size
    # falls back together with the state of errors.
    np.setbufsize(BUFFER)
    flat, children, requests = scores.reshape(-1), scores.shape[1], len(block.requests)
    # The sum of squares is not finite if one score is not.
    if not math.isfinite(flat.dot(flat)):
        check_finite(scores)
    mine = scores.take(block.counted, axis=0)
    # A row that comes before a counted row beats it by an equal score too, that is by more than
    # the next number below. Once the walk reaches the row's run, more is asked.
    limits = np.full((block.slots * requests, children), np.inf, np.float32)
    limits[block.place] = _below(mine)
    shaped = limits.reshape(block.slots, requests * children)
    won = np.empty(RUN * shaped.size, np.bool_)
    one = np.empty(shaped.size, np.uint8)
    passed = np.zeros(shaped.shape, np.uint8)
    total = np.zeros(shaped.shape, np.int32) if sum(k for k, _ in block.runs) > FULL else None
    begin, held, ends = 0, 0, block.ends.tolist()
    for run, (steps, alive) in enumerate(block.runs):
        first, end, wide = ends[run], ends[run + 1], alive * children
        if first < end:
            limits[block.place[first:end]] = mine[first:end]
        rows = flat[begin : begin + steps * wide].reshape(steps, 1, wide)
        begin += steps * wide
        if total is not None and held + steps > FULL:
            total += passed
            passed[:], held = 0, 0
        held += steps
        size = block.slots * wide
        above = won[: steps * size]
        np.greater(rows, shaped[:, :wide], out=above.reshape(steps, block.slots, wide))
        ones = above.view(np.uint8).reshape(steps, size)
        wins = (
            ones[0] if steps == 1 else np.add.reduce(ones, axis=0, dtype=np.uint8, out=one[:size])
        )
        sums = passed[:, :wide]
        np.add(sums, wins.reshape(block.slots, wide), out=sums)
    if total is not None:
        total += passed
    found: Beaten = (passed if total is None else total).reshape(limits.shape)
    _add_equals(block, scores, mine, found)
    return found.reshape(block.slots, requests, children)


def _add_equals(block: Block, scores: Float32, mine: Float32, found: Beaten) -> None:
    """Add the rows of equal score that come before a counted row in its run."""
    equal = scores.take(block.earlier, axis=0) == mine.take(block.later, axis=0)
    if equal.any():
        counted, starts = np.unique(block.later, return_index=True)
        wins = np.add.reduceat(equal.view(np.uint8), starts, axis=0, dtype=np.uint8)
        found[block.place[counted]] += wins


def _below(values: Float32) -> Float32:
    """Return the next number below each, which is what `nextafter` is slower at."""
    bits = (values + np.float32(0)).view(np.int32)
    zero = bits == 0
    back = bits >> 31
    back |= 1
    bits -= back
    if zero.any():
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
