"""Loops over scores that numba compiles: how many rows beat a row, for some children at a time.

The scores of `LANES` children stand side by side, so that one vector instruction compares a score
of several. `GROUP` rows are counted together and share every score that is loaded. Their counts
stay in registers, where no loop that numba compiles by itself would keep them: the instructions
are emitted here, and LLVM makes those of whichever processor it compiles for.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.errors import TypingError
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from cascade.candidates import Float32, Float64, Int32, Int64

LANES, GROUP = 16, 3

# Of q requests: where the rows of each begin, int64[q + 1]; where in its request each of m counted
# rows stands, int64[m]; which of those are a request's, int64[q + 1].
Counted: TypeAlias = tuple[Int64, Int64, Int64]

_INT64 = ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_COUNTS = ir.VectorType(ir.IntType(32), LANES)

# The compiled code is kept beside this file, or where NUMBA_CACHE_DIR says.
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


def _beaten_by(
    context: BaseContext,
    scores: types.Array,
    group: types.Array,
    into: types.Array,
) -> tuple[Signature, Callable[..., ir.Value]]:
    """Give numba the types of the function below, and what emits its instructions.

    Raises:
        TypingError: If it is called for arrays of other types, which would be read wrong.
    """
    wanted = (types.float32, 2), (types.int64, 1), (types.int32, 2)
    given = tuple((array.dtype, array.ndim) for array in (scores, group, into))
    if given != wanted or {group.layout, into.layout} != {"C"}:
        raise TypingError(f"beaten_by is called for {scores}, {group} and {into}")
    return types.void(scores, group, into), _emit


def _emit(
    context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: tuple[ir.Value, ...]
) -> ir.Value:
    """Emit a loop for each stretch between two counted rows: all of it is earlier, or later."""
    scores, group, into = (
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(signature.args, args, strict=True)
    )
    rows, width = builder.extract_value(scores.shape, 0), builder.extract_value(scores.strides, 0)
    width = builder.sdiv(width, _INT64(4), flags=("exact",))

    def vector(row: ir.Value) -> ir.Value:
        place = builder.gep(scores.data, [builder.mul(row, width)])
        return builder.load(builder.bitcast(place, _FLOATS.as_pointer()), align=4)

    counted = [builder.load(builder.gep(group.data, [_INT64(some)])) for some in range(GROUP)]
    mine = [vector(row) for row in counted]
    counts = [cgutils.alloca_once(builder, _COUNTS) for _ in range(GROUP)]
    for count in counts:
        builder.store(_COUNTS(None), count)
    edges = [_INT64(0), *counted, rows]
    for passed, (begin, end) in enumerate(pairwise(edges)):
        with cgutils.for_range_slice(builder, begin, end, _INT64(1), inc=True) as (row, _):
            score = vector(row)
            for some, count in enumerate(counts):
                # Beyond a counted row an equal score comes after it.
                won = builder.fcmp_ordered(">" if some < passed else ">=", score, mine[some])
                # What holds is -1 in a vector.
                more = builder.sub(builder.load(count), builder.sext(won, _COUNTS))
                builder.store(more, count)
    for some, count in enumerate(counts):
        place = builder.gep(into.data, [_INT64(some * LANES)])
        builder.store(builder.load(count), builder.bitcast(place, _COUNTS.as_pointer()), align=4)
    return context.get_dummy_value()


beaten_by: Callable[[Float32, Int64, Int32], None] = intrinsic(_beaten_by)
"""Count how many rows of a listing beat each of `GROUP` of them, for `LANES` children.

A row beats another by a higher score, or by an equal one and an earlier place. Compiled code alone
can call it, and no bound is checked.

Args:
    scores: float32[r, LANES], of the listing's rows; those of a row lie side by side.
    group: int64[GROUP], the counted rows' places, ascending; a row may be there again.
    into: int32[GROUP, LANES], C-contiguous, gets the counts.
"""


@_compiled
def _side_by_side(scores: Float32, begin: int, end: int, child: int, tile: Float32) -> Float32:
    """Return some rows' scores of `LANES` children, float32[end - begin, LANES].

    Beyond the last child it is there again. They are copied to `tile`, float32[r, LANES], where
    those of a row do not lie side by side.
    """
    children = scores.shape[1]
    if scores.strides[1] == scores.itemsize and child + LANES <= children:
        return scores[begin:end, child : child + LANES]
    for lane in range(LANES):
        column = min(child + lane, children - 1)
        for place in range(begin, end):
            tile[place - begin, lane] = scores[place, column]
    return tile[: end - begin, :LANES]


@_compiled
def ranks(scores: Float32, counted: Counted, into: Int32) -> None:
    """Write the 1-based rank of each counted row for each child.

    Args:
        scores: float32[n, c], the rows of q requests.
        counted: Which m of them are counted.
        into: int32[m, c].
    """
    offsets, places, starts = counted
    children, longest = into.shape[1], np.max(np.diff(offsets))
    tile = np.empty((longest, LANES), np.float32)
    group, counts = np.empty(GROUP, np.int64), np.empty((GROUP, LANES), np.int32)
    for request in range(len(starts) - 1):
        begin, end, last = offsets[request], offsets[request + 1], starts[request + 1]
        for child in range(0, children, LANES):
            held = _side_by_side(scores, begin, end, child, tile)
            for first in range(starts[request], last, GROUP):
                for some in range(GROUP):
                    group[some] = places[min(first + some, last - 1)]
                beaten_by(held, group, counts)
                for some in range(min(GROUP, last - first)):
                    for lane in range(min(LANES, children - child)):
                        into[first + some, child + lane] = counts[some, lane] + 1


@_compiled
def discounted(
    scores: Float32, counted: Counted, gains: Float64, weights: Float64, into: Float64
) -> None:
    """Write the sum of gain times weight over each request's counted rows, for each child.

    Args:
        scores: float32[n, c], the rows of q requests.
        counted: Which m of them are counted.
        gains: float64[m].
        weights: float64[k], of the first k ranks; later ones have none.
        into: float64[q, c].
    """
    offsets, places, starts = counted
    children, longest = into.shape[1], np.max(np.diff(offsets))
    tile = np.empty((longest, LANES), np.float32)
    group, counts = np.empty(GROUP, np.int64), np.empty((GROUP, LANES), np.int32)
    worth = np.zeros(max(longest, len(weights)))
    worth[: len(weights)] = weights
    totals = np.empty(LANES)
    for request in range(len(starts) - 1):
        begin, end, last = offsets[request], offsets[request + 1], starts[request + 1]
        for child in range(0, children, LANES):
            held = _side_by_side(scores, begin, end, child, tile)
            totals[:] = 0.0
            for first in range(starts[request], last, GROUP):
                for some in range(GROUP):
                    group[some] = places[min(first + some, last - 1)]
                beaten_by(held, group, counts)
                for some in range(min(GROUP, last - first)):
                    gain = gains[first + some]
                    for lane in range(LANES):
                        totals[lane] += gain * worth[counts[some, lane]]
            for lane in range(min(LANES, children - child)):
                into[request, child + lane] = totals[lane]
