"""The head of a match set in the contract's order, ties resolved also at the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tantivy

from cascade.candidates import Float32, Float64, Int32, Int64
from cascade.engines._embedded.index import ROW, count_of
from cascade.protocols import Sort

MAX_TIED = 50_000
"""How many documents beyond the cut are read to order those that tie with its last one."""

_SPARE = 64
_GROWTH = 4


@dataclass(frozen=True)
class Snapshot:
    """Hold one state of the index.

    Attributes:
        searcher: Reads it.
        in_row_order: Whether the index lists documents by row, as a build leaves it and updates
            do not; then its own order of ties is ours.
    """

    searcher: tantivy.Searcher
    in_row_order: bool


@dataclass(frozen=True)
class Found:
    """Hold the head of one match set.

    Attributes:
        rows: int32[n], -1 where the catalogue does not have the document.
        scores: float32[n], 0 when ordered by a field.
        addresses: Where the index keeps each document.
        total: How many documents match.
    """

    rows: Int32
    scores: Float32
    addresses: Sequence[tantivy.DocAddress]
    total: int


NOTHING = Found(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32), (), 0)


def first(snapshot: Snapshot, query: tantivy.Query, size: int, order: Sort | str | None) -> Found:
    """Return the first `size` documents of a query.

    Args:
        snapshot: The state of the index to read.
        query: What must match.
        size: How many to return, 0 for the total alone.
        order: None orders by (score descending, row ascending), a `Sort` by its field and then
            by row, and the name of the row field by row.
    """
    searcher = snapshot.searcher
    size = min(size, searcher.num_docs)
    if size == 0:
        total = count_of(searcher.search(query, 1))
        return Found(NOTHING.rows, NOTHING.scores, (), total)
    tied = 0 if snapshot.in_row_order else MAX_TIED
    hits, total = _hits(searcher, query, (size, tied), order)
    if not hits:
        return Found(NOTHING.rows, NOTHING.scores, (), total)
    keys, addresses = zip(*hits, strict=True)
    values: Float32 | Float64 = (
        np.array(keys, dtype=np.float32) if order is None else np.array(keys, dtype=np.float64)
    )
    group = _groups(values)
    needed = int(np.searchsorted(group, group[min(size, len(group)) - 1], side="right"))
    rows = np.array(searcher.fast_field_values(ROW, list(addresses[:needed])), dtype=np.uint32)
    if not snapshot.in_row_order:
        # As unsigned numbers, so that documents without a row come after those that have one.
        chosen = np.lexsort((rows, group[:needed]))[:size]
        rows, values = rows[chosen], values[chosen]
        addresses = tuple(addresses[at] for at in chosen.tolist())
    scores = values if order is None else np.zeros(len(rows))
    return Found(rows.view(np.int32), scores.astype(np.float32, copy=False), addresses, total)


def _hits(
    searcher: tantivy.Searcher,
    query: tantivy.Query,
    limits: tuple[int, int],
    order: Sort | str | None,
) -> tuple[Sequence[tuple[Any, tantivy.DocAddress]], int]:
    """Return the head of the matches, with up to `tied` that equal the last; and the total."""
    size, tied = limits
    most = min(size + tied, searcher.num_docs)
    limit = min(size + _SPARE, most)
    while True:
        result = _search(searcher, query, limit, order)
        hits = result.hits
        if len(hits) < limit or limit >= most or hits[-1][0] != hits[size - 1][0]:
            return hits, count_of(result)
        limit = min(limit * _GROWTH, most)


def _groups(values: Float32 | Float64) -> Int64:
    """Number the runs of equal values, int64[n]; NaN equals NaN."""
    changes = (values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1]))
    return np.concatenate([[0], np.cumsum(changes)])


def _search(
    searcher: tantivy.Searcher, query: tantivy.Query, limit: int, order: Sort | str | None
) -> tantivy.SearchResult:
    if order is None:
        return searcher.search(query, limit)
    if isinstance(order, str):
        return searcher.search(query, limit, order_by_field=order, order=tantivy.Order.Asc)
    direction = tantivy.Order.Desc if order.descending else tantivy.Order.Asc
    return searcher.search(query, limit, order_by_field=order.field, order=direction)
