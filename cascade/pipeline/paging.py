"""One page of a ranked list: its rows fetched, and those that are gone passed over."""

from __future__ import annotations

import numpy as np

from cascade.business import Business
from cascade.candidates import Documents, Query
from cascade.errors import NotFoundError
from cascade.pipeline.finding import index_gone
from cascade.pipeline.trace import MAX_DEPTH, Item, PageRequest, Ranked
from cascade.protocols import Engine


def fetched(
    engine: Engine,
    documents: Documents,
    query: Query,
    request: PageRequest,
    ranked: Ranked,
    business: Business | None = None,
) -> tuple[tuple[Item, ...], int | None, int]:
    """Return a page's items, where the next page begins, and how many rows were gone.

    Args:
        engine: Has the fields.
        documents: Says which of them are shown.
        query: The request, with the filters of the business layer.
        request: The page.
        ranked: The whole list.
        business: Says which rows its rules refuse by now: what changed while they were ranked.

    Raises:
        EngineUnavailableError: If the index that the list is of is gone.
    """
    items: list[Item] = []
    at, dropped, total = request.offset, 0, len(ranked.candidates)
    while len(items) < request.size and at < total:
        rows = np.arange(at, min(at + request.size - len(items), total))
        part = ranked.candidates.take(rows)
        ids = part.ids()
        try:
            found = engine.fetch(query, ids, request.fields, request.highlight)
        except NotFoundError as error:
            raise index_gone(error) from error
        # Read anew, since the list was ranked on what was known before.
        refused = np.zeros(len(ids), dtype=np.bool_)
        if business is not None:
            refused = business.refused(part.bare()).rows
        for doc_id, score, document, gone in zip(ids, part.scores, found, refused, strict=True):
            if document is None or gone:
                dropped += 1
                continue
            rank = request.offset + len(items) + 1
            fields = documents.schema.shown(document.fields)
            items.append(Item(doc_id, rank, float(score), fields, document.highlights))
        at += len(rows)
    deeper = at < total or not ranked.complete
    return tuple(items), (at if deeper and at < MAX_DEPTH and items else None), dropped
