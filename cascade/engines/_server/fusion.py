"""One listing of two: what the text found and what lies near its vector."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cascade.candidates import UNKNOWN, Float32, Int32, Int64
from cascade.engines._server.listing import Listing

RANK_OFFSET = 60.0
"""What is added to ranks: Cormack, Clarke and Buettcher 2009, reciprocal rank fusion."""


def fused(text: Listing, near: Listing, size: int) -> Listing:
    """Return the first `size` of both by the sum of 1 / (60 + rank) over the lists they are in.

    The total is that of the text: every document is somehow near.
    """
    keys = [*_keys(text), *_keys(near)]
    places: dict[object, int] = {}
    where = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
    first = np.unique(where, return_index=True)[1] if len(where) else where
    ranks = np.concatenate([np.arange(1, len(found.rows) + 1) for found in (text, near)])
    scores = np.bincount(where, weights=1.0 / (RANK_OFFSET + ranks), minlength=len(places))
    rows: Int32 = np.concatenate([text.rows, near.rows])[first]
    ids = [*_ids(text), *_ids(near)]
    named = bool(text.ids or near.ids)
    whole = Listing(
        rows,
        scores.astype(np.float32),
        text.total,
        [ids[at] for at in first.tolist()] if named else (),
        _columns(text, near, first),
    )
    return whole.in_order().taken(np.arange(min(size, len(rows))))


def _ids(found: Listing) -> list[str]:
    return list(found.ids) if found.ids else [""] * len(found.rows)


def _keys(found: Listing) -> list[object]:
    """Return what tells a document from others: its row, its id if it has none."""
    pairs = zip(found.rows.tolist(), _ids(found), strict=True)
    return [doc_id if row == UNKNOWN else row for row, doc_id in pairs]


def _columns(text: Listing, near: Listing, first: Int64) -> Mapping[str, Float32]:
    names = {**text.columns, **near.columns}
    return {
        name: np.concatenate(
            [
                found.columns.get(name, np.full(len(found.rows), np.nan, dtype=np.float32))
                for found in (text, near)
            ]
        )[first]
        for name in names
    }
