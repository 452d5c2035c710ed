"""Where the terms of a query stand in the text fields: found once, read by every text feature.

The tokens of all fields of one analyser are gathered and compared in one go; everything after that
works on the few hits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float64, Int32, Int64, Ragged, TextStatistics
from cascade.features.terms import NO_TERM, AnalysedQueries, QueryTerms

_DEFINED, _LENGTH, _FIRST, _PAIRS, _PHRASE, _TERMS, _TOKENS, _QUERY_PAIRS, _KNOWN = range(9)
_FIXED = 9


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
    linked: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Matches:
    """Show one text field of n candidates against their queries.

    Attributes:
        array: float64[n, 9 + 2T], as `match` makes it.
    """

    array: Float64

    @property
    def defined(self) -> Float64:
        """1 where the document is known and the query has a term, NaN elsewhere, [n]."""
        return self._column(_DEFINED)

    @property
    def length(self) -> Float64:
        """How many tokens the field has, [n]."""
        return self._column(_LENGTH)

    @property
    def first(self) -> Float64:
        """The 1-based position of the first match, 0 where there is none, [n]."""
        return self._column(_FIRST)

    @property
    def pairs(self) -> Float64:
        """How many distinct pairs of the query stand next to each other in order, [n]."""
        return self._column(_PAIRS)

    @property
    def phrase(self) -> Float64:
        """1 where the whole query stands in one run, else 0, [n]."""
        return self._column(_PHRASE)

    @property
    def terms(self) -> Float64:
        """How many distinct terms the query has, [n]."""
        return self._column(_TERMS)

    @property
    def tokens(self) -> Float64:
        """How many tokens the query has, [n]."""
        return self._column(_TOKENS)

    @property
    def query_pairs(self) -> Float64:
        """How many distinct pairs of neighbours the query has, [n]."""
        return self._column(_QUERY_PAIRS)

    @property
    def known(self) -> Float64:
        """How many distinct terms of the query any document has, [n]."""
        return self._column(_KNOWN)

    @property
    def frequencies(self) -> Float64:
        """How often each term stands in the field, [n, T]."""
        return self.array[:, _FIXED : _FIXED + self.width]

    @property
    def idf(self) -> Float64:
        """The weight of each term, 0 beyond the query's own terms, [n, T]."""
        return self.array[:, _FIXED + self.width :]

    @property
    def width(self) -> int:
        """T, the number of distinct terms of the query that has most."""
        return int(self.array.shape[1] - _FIXED) // 2

    def total(self, per_term: NDArray[Any]) -> Float64:
        """Return the sum over the terms, [n], the same bits whatever T a batch has.

        Terms are added one after the other, since a pairwise sum groups them by T.
        """
        total = np.zeros(len(per_term))
        for term in range(per_term.shape[1]):
            total += per_term[:, term]
        return total

    def _column(self, index: int) -> Float64:
        return self.array[:, index]


def matches_of(candidates: Candidates, field: str) -> Matches:
    """Return the matches of a text field, found once and carried along with the rows."""

    def find(asked: Candidates) -> Float64:
        return match(asked, (field,), AnalysedQueries(asked).terms(field))[0]

    return Matches(candidates.derived(("matches", field), find).astype(np.float64, copy=False))


def find_matches(candidates: Candidates, fields: Sequence[str], queries: AnalysedQueries) -> None:
    """Find the matches of several text fields together, for `matches_of` to return."""
    groups: dict[object, list[str]] = {}
    for name in dict.fromkeys(fields):
        groups.setdefault(queries.analysis(name), []).append(name)
    for group in groups.values():
        found: list[Float64] = []
        for i, name in enumerate(group):

            def find(
                asked: Candidates,
                i: int = i,
                group: list[str] = group,
                found: list[Float64] = found,
            ) -> Float64:
                if not found:
                    found.extend(match(asked, group, queries.terms(group[0])))
                return found[i]

            candidates.derived(("matches", name), find)


def find_hits(lists: Ragged, listings: Int64, known: Sequence[tuple[Int32, Int64]]) -> Hits:
    """Return where the terms of each listing's query stand in its lists of tokens.

    Args:
        lists: m lists of tokens.
        listings: int64[q + 1], where each listing starts among the m lists.
        known: For each listing the known terms of its query, as `QueryTerms.known`.
    """
    values, offsets = lists.values, lists.offsets
    bounds = offsets[listings].tolist()
    positions, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for (wanted, code), (start, stop) in zip(known, pairwise(bounds), strict=True):
        if start == stop or not len(wanted):
            continue
        # A comparison with each term streams through the tokens; a look-up would jump.
        tokens = values[start:stop]
        found = tokens == wanted[0]
        for term in wanted[1:]:
            found |= tokens == term
        places = np.flatnonzero(found)
        positions.append(places + start)
        codes.append(code[np.searchsorted(wanted, tokens[places])])
    flat = np.concatenate(positions)
    before = np.searchsorted(flat, offsets)
    rows = np.repeat(np.arange(len(offsets) - 1), before[1:] - before[:-1])
    linked = np.zeros(len(flat), dtype=np.bool_)
    linked[:-1] = (flat[1:] - flat[:-1] == 1) & (rows[1:] == rows[:-1])
    return Hits(flat, np.concatenate(codes), rows, linked)


def match(candidates: Candidates, fields: Sequence[str], query: QueryTerms) -> list[Float64]:
    """Return the array that `Matches` shows of each field, float64[n, 9 + 2T].

    Args:
        candidates: The n rows.
        fields: Text fields of one analysis; their rows are worked on as one list of rows.
        query: The terms of the queries under that analysis.
    """
    documents, n, width = candidates.documents, len(candidates), query.width
    tokens = joined_lists([documents.tokens(name, candidates.rows) for name in fields])
    starts = [candidates.offsets[:-1] + n * i for i in range(len(fields))]
    listings = np.concatenate([*starts, [n * len(fields)]])
    hits = find_hits(tokens, listings, query.known * len(fields))
    listing = np.tile(candidates.listing, len(fields))
    # Column by column in memory, since features read whole columns.
    table = np.empty((_FIXED + 2 * width, len(listing)))
    defined = (candidates.rows >= 0) & (query.counts > 0)[candidates.listing]
    table[_DEFINED] = np.tile(np.where(defined, 1.0, np.nan), len(fields))
    table[_LENGTH] = tokens.lengths
    table[_FIRST] = _first(hits, tokens.offsets)
    table[_PAIRS] = _pairs(hits, query, listing)
    table[_PHRASE] = _phrase(hits, query, listing)
    table[_TERMS : _KNOWN + 1] = np.take(query.sizes, listing, axis=1)
    places = np.bincount(hits.codes * len(listing) + hits.rows, minlength=len(listing) * width)
    table[_FIXED : _FIXED + width] = places.reshape(width, -1)
    for i, name in enumerate(fields):
        idf = _idf(documents.statistics(name), query)
        table[_FIXED + width :, n * i : n * (i + 1)] = np.take(idf, candidates.listing, axis=1)
    table.flags.writeable = False
    return [table[:, n * i : n * (i + 1)].T for i in range(len(fields))]


def joined_lists(parts: Sequence[Ragged]) -> Ragged:
    """Return the lists of several parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([0, *(len(part.values) for part in parts)])
    offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
    return Ragged(
        np.concatenate([*offsets, ends[-1:]]), np.concatenate([part.values for part in parts])
    )


def _idf(statistics: TextStatistics, query: QueryTerms) -> Float64:
    """Return ln(1 + (N - df + 0.5) / (df + 0.5)) of each term, float64[T, q].

    After Robertson and Zaragoza 2009, kept above 0 as Lucene does. By the math library, term by
    term: numpy's logarithm may differ in its last bit with the place in an array.
    """
    idf = np.zeros((query.width, len(query.terms)))
    for i, terms in enumerate(query.terms.tolist()):
        for j, term in enumerate(terms):
            if term != NO_TERM:
                df = int(statistics.document_frequency[term]) if term >= 0 else 0
                idf[j, i] = math.log1p((statistics.documents - df + 0.5) / (df + 0.5))
    return idf


def _first(hits: Hits, offsets: Int64) -> Float64:
    first = np.zeros(len(offsets) - 1)
    if len(hits.rows):
        begins = np.concatenate([[True], hits.rows[1:] != hits.rows[:-1]])
        rows = hits.rows[begins]
        first[rows] = hits.positions[begins] - offsets[rows] + 1
    return first


def _pairs(hits: Hits, query: QueryTerms, listing: Int64) -> Float64:
    n, most = len(listing), int(query.sizes[2].max(initial=0))
    left = np.flatnonzero(hits.linked) if most else hits.rows[:0]
    rows = hits.rows[left]
    pair = query.pairs[listing[rows], hits.codes[left], hits.codes[left + 1]]
    asked = pair >= 0
    found = np.zeros((most, n), dtype=np.bool_)
    found[pair[asked], rows[asked]] = True
    counts: Float64 = found.sum(axis=0, dtype=np.float64)
    return counts


def _phrase(hits: Hits, query: QueryTerms, listing: Int64) -> Float64:
    phrase = np.zeros(len(listing))
    owner = listing[hits.rows]
    start = np.flatnonzero(hits.codes == query.order[owner, 0])
    # Each start is followed token by token; a gap or a row's end breaks the run.
    for step in range(1, query.order.shape[1]):
        whole = query.sizes[1, owner[start]] == step
        phrase[hits.rows[start[whole]]] = 1.0
        start = start[~whole]
        start = start[hits.linked[start + (step - 1)]]
        start = start[hits.codes[start + step] == query.order[owner[start], step]]
        if not len(start):
            break
    phrase[hits.rows[start]] = 1.0
    return phrase
