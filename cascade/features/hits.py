"""Where the terms of queries stand in lists of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cascade.candidates import Float64, Int32, Int64, Ragged
from cascade.features.base import Bool
from cascade.features.terms import QueryTerms

_NOTHING: Int64 = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Hits:
    """Hold the places where a term of the row's query stands, ascending.

    Attributes:
        positions: int64[h] into the flat tokens.
        codes: int64[h], which of the query's distinct terms stands there.
        rows: int64[h], the list of tokens that holds the place.
        linked: bool[h], whether the next hit is the next token of the same list.
    """

    positions: Int64
    codes: Int64
    rows: Int64
    linked: Bool


def find_hits(lists: Ragged, listings: Int64, known: Sequence[tuple[Int32, Int64]]) -> Hits:
    """Return where the terms of each listing's query stand in its lists of tokens.

    Args:
        lists: m lists of tokens.
        listings: int64[q + 1], where each listing starts among the m lists.
        known: For each listing the known terms of its query, as `QueryTerms.known`.
    """
    values, offsets = lists.values, lists.offsets
    bounds = offsets[listings].tolist()
    positions, codes = [_NOTHING], [_NOTHING]
    for (wanted, code), (start, stop) in zip(known, pairwise(bounds), strict=True):
        if start == stop or not len(wanted):
            continue
        # A comparison with each term streams through the tokens; a look-up would jump.
        tokens = values[start:stop]
        found = tokens == wanted[0]
        for term in wanted[1:]:
            found |= tokens == term
        places = found.nonzero()[0]
        positions.append(places + start)
        codes.append(code[wanted.searchsorted(tokens[places])])
    flat = positions[-1] if len(positions) == 2 else np.concatenate(positions)
    before = flat.searchsorted(offsets)
    rows = np.arange(len(offsets) - 1).repeat(before[1:] - before[:-1])
    linked = np.zeros(len(flat), dtype=np.bool_)
    linked[:-1] = (flat[1:] - flat[:-1] == 1) & (rows[1:] == rows[:-1])
    return Hits(flat, codes[-1] if len(codes) == 2 else np.concatenate(codes), rows, linked)


def first_hits(hits: Hits, offsets: Int64) -> Float64:
    """Return the 1-based position of the first hit in each list, 0 without one, float64[m]."""
    first = np.zeros(len(offsets) - 1)
    if len(hits.rows):
        begins = np.ones(len(hits.rows), dtype=np.bool_)
        np.not_equal(hits.rows[1:], hits.rows[:-1], out=begins[1:])
        rows = hits.rows[begins]
        first[rows] = hits.positions[begins] - offsets[rows] + 1
    return first


def pairs_found(hits: Hits, query: QueryTerms, owners: Int64, m: int) -> Float64:
    """Return how many distinct pairs of the query are neighbours in each list, float64[m].

    Args:
        hits: Those of m lists.
        query: The terms of the queries.
        owners: int64[h], the query of each hit.
        m: How many lists there are.
    """
    most = int(query.sizes[2].max(initial=0))
    if not most:
        return np.zeros(m)
    left = hits.linked.nonzero()[0]
    rows = hits.rows[left]
    pair = query.pairs[owners[left], hits.codes[left], hits.codes[left + 1]]
    asked = pair >= 0
    found = np.zeros((most, m), dtype=np.bool_)
    found[pair[asked], rows[asked]] = True
    counts: Float64 = found.sum(axis=0, dtype=np.float64)
    return counts


def phrase_found(hits: Hits, query: QueryTerms, owners: Int64, m: int) -> Float64:
    """Return 1 for each list that holds the whole query in one run, else 0, float64[m].

    The arguments are those of `pairs_found`.
    """
    phrase = np.zeros(m)
    start = (hits.codes == query.order[owners, 0]).nonzero()[0]
    # Each start is followed token by token; a gap or a row's end breaks the run.
    for step in range(1, query.order.shape[1]):
        whole = query.sizes[1, owners[start]] == step
        phrase[hits.rows[start[whole]]] = 1.0
        start = start[~whole]
        start = start[hits.linked[start + (step - 1)]]
        start = start[hits.codes[start + step] == query.order[owners[start], step]]
        if not len(start):
            break
    phrase[hits.rows[start]] = 1.0
    return phrase


def spans(
    offsets: Int64, query: QueryTerms, count: int
) -> tuple[Int64, Sequence[tuple[Int32, Int64]]]:
    """Return the listings and the known terms of rows that are repeated `count` times.

    A single listing stays one, whatever the number of its rows.
    """
    n = offsets[-1]
    if len(offsets) == 2:
        return np.array([0, n * count]), query.known
    starts = [offsets[:-1] + n * i for i in range(count)]
    return np.concatenate([*starts, [n * count]]), query.known * count


def joined_lists(parts: Sequence[Ragged]) -> Ragged:
    """Return the lists of several parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.empty(sum(len(part.offsets) - 1 for part in parts) + 1, dtype=np.int64)
    at = end = 0
    for part in parts:
        np.add(part.offsets, end, out=offsets[at : at + len(part.offsets)])
        at, end = at + len(part.offsets) - 1, end + len(part.values)
    return Ragged(offsets, np.concatenate([part.values for part in parts]))
