"""How the list of one request is made up: given, collapsed, and joined by pinned documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Documents, Float32, Int32, Query, joined

Mask = NDArray[np.bool_]
_NO_GROUP = -1
BEHAVIOUR = "behaviour"


def given_candidates(
    query: Query, ids: Sequence[str], scores: Float32, documents: Documents
) -> Candidates:
    """Return a listing of documents that a caller names, ordered by their scores."""
    order = np.argsort(-scores, kind="stable")
    rows = documents.rows(ids)[order]
    names = np.array(list(ids), dtype=object)[order] if len(ids) else np.empty(0, dtype=object)
    ranks = np.arange(1, len(ids) + 1, dtype=np.float32)
    ordered = scores[order]
    return Candidates(
        queries=(query,),
        offsets=np.array([0, len(ids)], dtype=np.int64),
        rows=rows,
        scores=ordered,
        documents=documents,
        columns={"engine_score": ordered, "engine_rank": ranks},
        doc_ids=names if (rows < 0).any() else None,
    )


def first_of_groups(listing: Candidates, field: str) -> Mask:
    """Return bool[n]: the first row of each value of a keyword field, and all without a value."""
    groups = _groups(listing, field)
    kept: Mask = groups == _NO_GROUP
    _, first = np.unique(groups, return_index=True)
    kept[first] = True
    return kept


def admissible(
    pinned: Candidates, listing: Candidates, wanted: Sequence[str], field: str
) -> Candidates:
    """Return the pinned documents whose group has no pinned row in the list, one of each group.

    Args:
        pinned: Documents that pins want and the list does not have.
        listing: The list, collapsed.
        wanted: All ids that pins want.
        field: What the list is collapsed by.
    """
    held = _groups(listing.take(_named(listing, wanted)), field)
    free = ~np.isin(_groups(pinned, field), held[held != _NO_GROUP])
    return pinned.take(free & first_of_groups(pinned, field))


def without(listing: Candidates, admitted: Candidates, field: str | None) -> Candidates:
    """Return the list less the admitted documents and, if it is collapsed, less their groups."""
    gone = _named(listing, admitted.ids())
    if field is not None:
        groups = _groups(admitted, field)
        gone |= np.isin(_groups(listing, field), groups[groups != _NO_GROUP])
    return listing.take(~gone) if gone.any() else listing


def followed(head: Candidates, tail: Candidates | None) -> Candidates:
    """Return a listing followed by another, if there is one."""
    return head if tail is None else joined(head, tail)


def unknown(listing: Candidates) -> int:
    """Return how many rows the documents do not have."""
    return int(np.count_nonzero(listing.rows < 0))


def stale(listing: Candidates) -> tuple[str, ...]:
    """Return what is too old to be read of a listing: fields, and "behaviour" for its counts.

    Features read the counts that were the newest at the first call.
    """
    behaviour = listing.behaviour
    usable = behaviour is None or all(behaviour.usable(query.time) for query in listing.queries)
    return listing.documents.stale if usable else (*listing.documents.stale, BEHAVIOUR)


def _named(listing: Candidates, ids: Sequence[str]) -> Mask:
    wanted = frozenset(ids)
    return np.fromiter((doc_id in wanted for doc_id in listing.ids()), np.bool_, len(listing))


def _groups(listing: Candidates, field: str) -> Int32:
    """Return the code of each row's first value, int32[n], -1 where it has none."""
    values = listing.documents.keywords(field, listing.rows)
    filled = values.lengths > 0
    groups = np.full(len(listing), _NO_GROUP, dtype=np.int32)
    groups[filled] = values.values[values.offsets[:-1][filled]]
    return groups
