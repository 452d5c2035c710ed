"""Where the terms of a query stand in a text field: found once, read by every text feature.

A query is read up to its first `MAX_TERMS` tokens. The tokens of a field are gathered and compared
once for all candidates; everything after that works on the few hits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Documents, Float64, Int32, Int64, Query, TextStatistics

MAX_TERMS = 32

_DEFINED, _LENGTH, _FIRST, _PAIRS, _PHRASE, _TERMS, _TOKENS, _QUERY_PAIRS, _KNOWN = range(9)
_FIXED = 9
_NO_TERM = -1


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """Hold the analysed text of q queries, as T distinct terms and their order.

    Attributes:
        terms: int32[q, T], the distinct terms in order of appearance; -1 fills the rest, terms
            that no document has lie below it.
        order: int8[q, L], the query's tokens as indices into its terms; -1 fills the rest.
        pairs: int8[q, T, T], the index of each pair of terms that stand next to each other in
            the query; -1 for all others.
        sizes: int64[4, q], how many distinct terms, tokens, distinct pairs and terms that any
            document has.
        known: For each query the terms that any document has, ascending, and their indices.
    """

    terms: Int32
    order: NDArray[np.int8]
    pairs: NDArray[np.int8]
    sizes: Int64
    known: tuple[tuple[Int32, Int64], ...]

    @property
    def counts(self) -> Int64:
        """How many distinct terms each query has, int64[q]."""
        counts: Int64 = self.sizes[0]
        return counts

    @property
    def width(self) -> int:
        """T, the number of distinct terms of the query that has most, at least 1."""
        return int(self.terms.shape[1])


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


class AnalysedQueries:
    """Analyse the queries of candidates once for each analyser, however many fields have it."""

    def __init__(self, candidates: Candidates) -> None:
        self._documents = candidates.documents
        self._queries = candidates.queries
        self._found: dict[tuple[str, Path | None], QueryTerms] = {}

    def terms(self, field: str) -> QueryTerms:
        """Return the queries' terms as a text or keyword field analyses them."""
        spec = self._documents.schema.by_name[field]
        key = (spec.analyser, spec.synonyms)
        if key not in self._found:
            self._found[key] = query_terms(self._documents, field, self._queries)
        return self._found[key]


def matches_of(
    candidates: Candidates, field: str, queries: AnalysedQueries | None = None
) -> Matches:
    """Return the matches of a text field, found once and carried along with the rows."""

    def find(asked: Candidates) -> Float64:
        return match(asked, field, (queries or AnalysedQueries(asked)).terms(field))

    return Matches(candidates.derived(("matches", field), find).astype(np.float64, copy=False))


def query_terms(documents: Documents, field: str, queries: Sequence[Query]) -> QueryTerms:
    """Return the terms of queries as a text or keyword field analyses them."""
    texts = [documents.analyse(field, query.text)[:MAX_TERMS].tolist() for query in queries]
    distinct = [list(dict.fromkeys(tokens)) for tokens in texts]
    width = max(1, *map(len, distinct)) if distinct else 1
    length = max(1, *map(len, texts)) if texts else 1
    terms = np.full((len(texts), width), _NO_TERM, dtype=np.int32)
    order = np.full((len(texts), length), -1, dtype=np.int8)
    pairs = np.full((len(texts), width, width), -1, dtype=np.int8)
    sizes = np.zeros((4, len(texts)), dtype=np.int64)
    known: list[tuple[Int32, Int64]] = []
    for i, (tokens, own) in enumerate(zip(texts, distinct, strict=True)):
        index = {term: j for j, term in enumerate(own)}
        codes = [index[token] for token in tokens]
        terms[i, : len(own)] = own
        order[i, : len(codes)] = codes
        for pair, (left, right) in enumerate(dict.fromkeys(pairwise(codes))):
            pairs[i, left, right] = pair
            sizes[2, i] = pair + 1
        sizes[0, i], sizes[1, i] = len(own), len(tokens)
        sizes[3, i] = sum(term >= 0 for term in own)
        ascending = sorted((term, j) for j, term in enumerate(own) if term >= 0)
        known.append(
            (
                np.array([term for term, _ in ascending], dtype=np.int32),
                np.array([j for _, j in ascending], dtype=np.int64),
            )
        )
    return QueryTerms(terms, order, pairs, sizes, tuple(known))


def find_hits(values: Int32, offsets: Int64, listings: Int64, query: QueryTerms) -> Hits:
    """Return where the terms of each listing's query stand in its lists of tokens.

    Args:
        values: int32[t], the tokens of m lists, one after the other.
        offsets: int64[m + 1], where each list starts in `values`.
        listings: int64[q + 1], where each listing starts among the m lists.
        query: The terms of the q queries.
    """
    bounds = offsets[listings].tolist()
    positions, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for (wanted, code), (start, stop) in zip(query.known, pairwise(bounds), strict=True):
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


def match(candidates: Candidates, field: str, query: QueryTerms) -> Float64:
    """Return the array that `Matches` shows, float64[n, 9 + 2T]."""
    documents = candidates.documents
    tokens = documents.tokens(field, candidates.rows)
    hits = find_hits(tokens.values, tokens.offsets, candidates.offsets, query)
    n, width, listing = len(candidates), query.width, candidates.listing
    # Column by column in memory, since features read whole columns.
    table = np.empty((_FIXED + 2 * width, n))
    defined = (candidates.rows >= 0) & (query.counts > 0)[listing]
    table[_DEFINED] = np.where(defined, 1.0, np.nan)
    table[_LENGTH] = tokens.lengths
    table[_FIRST] = _first(hits, tokens.offsets)
    table[_PAIRS] = _pairs(hits, query, listing)
    table[_PHRASE] = _phrase(hits, query, listing)
    table[_TERMS : _KNOWN + 1] = np.take(query.sizes, listing, axis=1)
    places = np.bincount(hits.codes * n + hits.rows, minlength=n * width)
    table[_FIXED : _FIXED + width] = places.reshape(width, n)
    table[_FIXED + width :] = np.take(_idf(documents.statistics(field), query), listing, axis=1)
    table.flags.writeable = False
    return table.T


def _idf(statistics: TextStatistics, query: QueryTerms) -> Float64:
    """Return ln(1 + (N - df + 0.5) / (df + 0.5)) of each term, float64[T, q].

    After Robertson and Zaragoza 2009, kept above 0 as Lucene does. By the math library, term by
    term: numpy's logarithm may differ in its last bit with the place in an array.
    """
    idf = np.zeros((query.width, len(query.terms)))
    for i, terms in enumerate(query.terms.tolist()):
        for j, term in enumerate(terms):
            if term != _NO_TERM:
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
