"""What one query found, and the candidates of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cascade.candidates import UNKNOWN, Candidates, Documents, Float32, Int32, Int64, Query
from cascade.protocols import Total


@dataclass(frozen=True)
class Listing:
    """Hold the hits of one query.

    Attributes:
        rows: int32[n], -1 where the catalogue does not have the document.
        scores: float32[n], 0 where a field orders them.
        ids: The id of each, empty if every row has one in the catalogue.
        total: How many documents match.
        columns: float32[n] by name: what else was asked for.
    """

    rows: Int32
    scores: Float32
    total: Total
    ids: Sequence[str] = ()
    columns: Mapping[str, Float32] = field(default_factory=dict)

    def in_order(self) -> Listing:
        """Return the same by (score descending, row ascending), those without a row last."""
        rows = self.rows.view(np.uint32)  # -1 becomes the highest
        return self.taken(np.lexsort((rows, -self.scores)))

    def taken(self, index: Int64) -> Listing:
        """Return these hits of it."""
        return Listing(
            self.rows[index],
            self.scores[index],
            self.total,
            [self.ids[at] for at in index.tolist()] if self.ids else (),
            {name: column[index] for name, column in self.columns.items()},
        )


NOTHING = Listing(np.empty(0, np.int32), np.empty(0, np.float32), Total(0))


def candidates_of(
    queries: Sequence[Query], listings: Sequence[Listing], documents: Documents
) -> Candidates:
    """Return the candidates of some queries, with `engine_score` and `engine_rank` as columns.

    A column that only some listings have is NaN in the others.
    """
    lengths = [len(found.rows) for found in listings]
    rows = np.concatenate([NOTHING.rows, *(found.rows for found in listings)])
    scores = np.concatenate([NOTHING.scores, *(found.scores for found in listings)])
    ranks = [np.arange(1, n + 1, dtype=np.float32) for n in lengths]
    columns = {"engine_score": scores, "engine_rank": np.concatenate([NOTHING.scores, *ranks])}
    for name in {name: None for found in listings for name in found.columns}:
        absent = (np.full(n, np.nan, dtype=np.float32) for n in lengths)
        parts = [f.columns.get(name, nan) for f, nan in zip(listings, absent, strict=True)]
        columns[name] = np.concatenate([NOTHING.scores, *parts])
    doc_ids = None
    unknown = rows == UNKNOWN
    if unknown.any():
        doc_ids = np.array(documents.ids(rows), dtype=object)
        named = [found.ids or [""] * n for found, n in zip(listings, lengths, strict=True)]
        given = np.array([doc_id for ids in named for doc_id in ids], dtype=object)
        doc_ids[unknown] = given[unknown]
    return Candidates(
        queries=tuple(queries),
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        rows=rows,
        scores=scores,
        documents=documents,
        columns=columns,
        doc_ids=doc_ids,
    )
