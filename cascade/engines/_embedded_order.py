"""The head of a match set in the contract's order, ties resolved also at the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tantivy

from cascade.candidates import Float32, Int32
from cascade.engines._embedded_index import ROW, count_of
from cascade.protocols import Sort

MAX_TIED = 50_000
"""How many documents beyond the cut are read to order those that tie with its last one."""

_SPARE = 64
_GROWTH = 8


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


def first(
    searcher: tantivy.Searcher, query: tantivy.Query, size: int, order: Sort | str | None
) -> Found:
    """Return the first `size` documents of a query.

    Args:
        searcher: The state of the index to read.
        query: What must match.
        size: How many to return, 0 for the total alone.
        order: None orders by (score descending, row ascending), a `Sort` by its field and then
            by row, and the name of the row field by row.
    """
    if size == 0 or searcher.num_docs == 0:
        count = count_of(searcher.search(query, 1))
        return Found(NOTHING.rows, NOTHING.scores, (), count)
    most = min(size + MAX_TIED, searcher.num_docs)
    limit = min(size + _SPARE, searcher.num_docs)
    while True:
        result = _search(searcher, query, limit, order)
        hits = result.hits
        if len(hits) < limit or limit >= most or hits[-1][0] != hits[size - 1][0]:
            break
        limit = min(limit * _GROWTH, most)
    total = count_of(result)
    if not hits:
        return Found(NOTHING.rows, NOTHING.scores, (), total)
    keys, addresses = zip(*hits, strict=True)
    by_score = order is None
    values = np.array(keys, dtype=np.float32 if by_score else np.float64)
    changes = values[1:] != values[:-1]
    if not by_score:
        changes &= ~(np.isnan(values[1:]) & np.isnan(values[:-1]))
    group = np.concatenate([[0], np.cumsum(changes)])
    needed = int(np.searchsorted(group, group[min(size, len(group)) - 1], side="right"))
    rows = np.array(searcher.fast_field_values(ROW, list(addresses[:needed])), dtype=np.uint32)
    # As unsigned numbers, so that documents without a row come after those that have one.
    chosen = np.lexsort((rows, group[:needed]))[:size]
    scores = values[chosen] if by_score else np.zeros(len(chosen), dtype=np.float32)
    return Found(
        rows=rows[chosen].view(np.int32),
        scores=scores.astype(np.float32, copy=False),
        addresses=[addresses[at] for at in chosen.tolist()],
        total=total,
    )


def _search(
    searcher: tantivy.Searcher, query: tantivy.Query, limit: int, order: Sort | str | None
) -> tantivy.SearchResult:
    if order is None:
        return searcher.search(query, limit)
    if isinstance(order, str):
        return searcher.search(query, limit, order_by_field=order, order=tantivy.Order.Asc)
    direction = tantivy.Order.Desc if order.descending else tantivy.Order.Asc
    return searcher.search(query, limit, order_by_field=order.field, order=direction)
