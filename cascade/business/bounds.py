"""The displacement bound: how far utilities may carry a row from the rank it came in at."""

from __future__ import annotations

import heapq

import numpy as np

from cascade.candidates import Float32, Int64


def bounded_order(utilities: Float32, max_displacement: int) -> Int64:
    """Return the best order in which no row moves more than `max_displacement` ranks.

    Best means: of all orders within the bound, the one whose utilities are largest at rank 1,
    then at rank 2, and so on; equal utilities keep their order. Where sorting by utility stays
    within the bound, that is the result.

    A row may be placed from rank i - d on and must be placed by rank i + d, a schedule of unit
    jobs with release times and deadlines. No two deadlines are equal, so at each rank at most one
    row is due, and a due row is always placed in time: taking the best released row otherwise
    never leaves the bound.

    Args:
        utilities: float32[n] of the rows in their present order; NaN counts as the lowest.
        max_displacement: Ranks, 0 or more.

    Returns:
        int64[n], the present position of the row at each rank.
    """
    keys = np.where(np.isnan(utilities), np.inf, -utilities)
    order = np.argsort(keys, kind="stable")
    if not len(order) or np.abs(order - np.arange(len(order))).max() <= max_displacement:
        return order
    return np.array(_scheduled(keys.tolist(), max_displacement), dtype=np.int64)


def _scheduled(keys: list[float], bound: int) -> list[int]:
    count = len(keys)
    released = [(keys[i], i) for i in range(min(bound, count))]
    heapq.heapify(released)
    placed = [False] * count
    order = []
    for rank in range(count):
        newest = rank + bound
        if newest < count:
            heapq.heappush(released, (keys[newest], newest))
        due = rank - bound
        if due >= 0 and not placed[due]:
            chosen = due
        else:
            chosen = heapq.heappop(released)[1]
            while placed[chosen]:
                chosen = heapq.heappop(released)[1]
        placed[chosen] = True
        order.append(chosen)
    return order
