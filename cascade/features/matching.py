"""Where the terms of a query stand in the text fields: found once, read by every text feature.

The tokens of all fields of one analyser are gathered and compared in one go; everything after that
works on the few hits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float64, Int32, TextStatistics
from cascade.features.base import Bool
from cascade.features.hits import (
    find_hits,
    first_hits,
    joined_lists,
    pairs_found,
    phrase_found,
    spans,
)
from cascade.features.terms import NO_TERM, AnalysedQueries, QueryTerms

_DEFINED, _LENGTH, _FIRST, _PAIRS, _PHRASE, _TERMS, _TOKENS, _QUERY_PAIRS, _KNOWN = range(9)
_FIXED = 9


@dataclass(frozen=True)
class Matches:
    """Show text fields of n candidates against their queries.

    Attributes:
        array: float64[n, 9 + 2T] of one field, float64[n, F, 9 + 2T] of F fields: every property
            has this second axis as well.
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
        return self.array[..., _FIXED : _FIXED + self.width]

    @property
    def idf(self) -> Float64:
        """The weight of each term, 0 beyond the query's own terms, [n, T]."""
        return self.array[..., _FIXED + self.width :]

    @cached_property
    def present(self) -> Bool:
        """Whether each term stands in the field, [n, T]."""
        return self.frequencies > 0

    @cached_property
    def idf_total(self) -> Float64:
        """The sum of the idf of the query's terms, [n]."""
        return self.total(self.idf)

    @cached_property
    def width(self) -> int:
        """T, the number of distinct terms of the query that has most."""
        return int(self.array.shape[-1] - _FIXED) // 2

    def total(self, per_term: NDArray[Any]) -> Float64:
        """Return the sum over the terms, [n]."""
        return total(per_term)

    def _column(self, index: int) -> Float64:
        return self.array[..., index]


@dataclass(frozen=True)
class Group:
    """Hold the matches of text fields of one analysis, side by side.

    Attributes:
        fields: The names of the F fields.
        rows: int32[n], those of the candidates.
        matches: Those of all fields, [n, F].
        averages: float64[F], how many tokens each field has on average where it has any.
    """

    fields: tuple[str, ...]
    rows: Int32
    matches: Matches
    averages: Float64
    _scores: dict[tuple[float, float], Float64] = field(default_factory=dict, repr=False)
    _parts: dict[tuple[int, int], Group] = field(default_factory=dict, repr=False)

    @cached_property
    def at(self) -> dict[str, int]:
        """The place of each field."""
        return {name: i for i, name in enumerate(self.fields)}

    def part(self, start: int, stop: int) -> Group:
        """Return the fields from `start` to `stop - 1`, the same object each time."""
        if stop - start == len(self.fields):
            return self
        found = self._parts.get((start, stop))
        if found is None:
            part = slice(start, stop)
            matches = Matches(self.matches.array[:, part])
            found = Group(self.fields[part], self.rows, matches, self.averages[part])
            self._parts[start, stop] = found
        return found

    def bm25(self, k1: float, b: float) -> Float64:
        """Return the BM25 of every field where it is defined, float64[n, F], computed once."""
        found = self._scores.get((k1, b))
        if found is None:
            scores = _bm25(self.matches, self.averages, k1, b) * self.matches.defined
            found = self._scores[k1, b] = scores
        return found


@dataclass(frozen=True)
class Anywhere:
    """Hold what stands in at least one of several fields of one analysis.

    Attributes:
        terms: float64[n], how many distinct terms the query has.
        defined: float64[n], 1 where the document is known and the query has a term, else NaN.
        present: bool[n, T], whether each term stands in any field.
        idf: float64[n, T], the lowest among the fields, 0 beyond the query's own terms.
    """

    terms: Float64
    defined: Float64
    present: Bool
    idf: Float64

    @cached_property
    def idf_total(self) -> Float64:
        """The sum of the idf of the query's terms, [n]."""
        return total(self.idf)


class Found:
    """Hold the matches of all text fields that several features read.

    Attributes:
        groups: The fields of one analysis each.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = tuple(groups)
        self._anywhere: dict[tuple[str, ...], Anywhere] = {}
        self._at = {name: (group, i) for group in groups for name, i in group.at.items()}

    def at(self, field: str) -> tuple[Group, int]:
        """Return the group that a field is in, and its place there."""
        return self._at[field]

    def anywhere(self, fields: tuple[str, ...]) -> Anywhere:
        """Return what stands in any of these fields, the same object each time."""
        found = self._anywhere.get(fields)
        if found is None:
            group, first = self.at(fields[0])
            places, matches = [group.at[name] for name in fields], group.matches
            # Turned round, since the rows of each term and field lie side by side in memory.
            found = self._anywhere[fields] = Anywhere(
                matches.terms[:, first],
                matches.defined[:, first],
                np.logical_or.reduce(matches.present.T[:, places], axis=1).T,
                np.minimum.reduce(matches.idf.T[:, places], axis=1).T,
            )
        return found


def total(per_term: NDArray[Any]) -> Float64:
    """Return the sum of [..., T] over the terms, the same bits whatever T a batch has.

    Terms are added one after the other, since a pairwise sum groups them by T.
    """
    summed: Float64 = np.add(per_term[..., 0], 0.0, dtype=np.float64)
    for term in range(1, per_term.shape[-1]):
        summed += per_term[..., term]
    return summed


def matches_of(candidates: Candidates, field: str) -> Matches:
    """Return the matches of a text field, found once and carried along with the rows."""

    def find(asked: Candidates) -> Float64:
        return match(asked, (field,), AnalysedQueries(asked).terms(field))[:, 0]

    return Matches(candidates.derived(("matches", field), find).astype(np.float64, copy=False))


def find_field(candidates: Candidates, field: str) -> Group:
    """Return the matches of one text field as a group of its own."""
    return _group(candidates, (field,), matches_of(candidates, field).array[:, None])


def find_matches(candidates: Candidates, fields: Sequence[str], queries: AnalysedQueries) -> Found:
    """Find the matches of several text fields together; `matches_of` returns them as well."""
    by_analysis: dict[object, list[str]] = {}
    for name in dict.fromkeys(fields):
        by_analysis.setdefault(queries.analysis(name), []).append(name)
    groups: list[Group] = []
    for names in map(tuple, by_analysis.values()):

        def find(asked: Candidates, names: tuple[str, ...] = names) -> Float64:
            return match(asked, names, queries.terms(names[0]))

        kept = candidates.derived(("matches", names), find).astype(np.float64, copy=False)
        for i, name in enumerate(names):

            def one(asked: Candidates, kept: Float64 = kept, i: int = i) -> Float64:
                return kept[:, i]

            candidates.derived(("matches", name), one)
        groups.append(_group(candidates, names, kept))
    return Found(groups)


def match(candidates: Candidates, fields: Sequence[str], query: QueryTerms) -> Float64:
    """Return the array that `Matches` shows of the fields, float64[n, F, 9 + 2T].

    Args:
        candidates: The n rows.
        fields: Text fields of one analysis; their rows are worked on as one list of rows.
        query: The terms of the queries under that analysis.
    """
    documents, n, width = candidates.documents, len(candidates), query.width
    count = len(fields)
    tokens = joined_lists([documents.tokens(name, candidates.rows) for name in fields])
    hits = find_hits(tokens, *spans(candidates.offsets, query, count))
    owners = candidates.listing[hits.rows % n]
    # The value of a single listing is spread over its rows, without a look-up for each.
    listing = candidates.listing if len(query.terms) > 1 else slice(None)
    # Column by column in memory, since features read whole columns.
    table = np.empty((_FIXED + 2 * width, n * count))
    blocks = table.reshape(len(table), count, n)
    defined = (candidates.rows >= 0) & (query.counts > 0)[listing]
    blocks[_DEFINED] = np.where(defined, 1.0, np.nan)
    table[_LENGTH] = tokens.lengths
    table[_FIRST] = first_hits(hits, tokens.offsets)
    table[_PAIRS] = pairs_found(hits, query, owners, len(table[0]))
    table[_PHRASE] = phrase_found(hits, query, owners, len(table[0]))
    blocks[_TERMS : _KNOWN + 1] = query.sizes[:, None, listing]
    places = np.bincount(hits.codes * (n * count) + hits.rows, minlength=n * count * width)
    table[_FIXED : _FIXED + width] = places.reshape(width, -1)
    idf = _idf([documents.statistics(name) for name in fields], query)
    blocks[_FIXED + width :] = idf[:, :, listing]
    table.flags.writeable = False
    return blocks.T


def _group(candidates: Candidates, fields: tuple[str, ...], array: Float64) -> Group:
    read = [candidates.documents.statistics(name) for name in fields]
    averages = np.array([s.tokens / s.documents if s.tokens else 1.0 for s in read])
    return Group(fields, candidates.rows, Matches(array), averages)


def _bm25(matches: Matches, averages: Float64, k1: float, b: float) -> Float64:
    norm = k1 * (1 - b + b * matches.length / averages)
    # Where a term is absent its weight is 0 / norm; k1 = 0 would make that 0 / 0.
    norm = np.maximum(norm, np.finfo(np.float64).tiny)
    frequencies, idf = matches.frequencies, matches.idf
    total = np.zeros_like(norm)
    for term in range(matches.width):
        tf = frequencies[..., term]
        total += idf[..., term] * (k1 + 1) * tf / (tf + norm)
    return total


def _idf(statistics: Sequence[TextStatistics], query: QueryTerms) -> Float64:
    """Return ln(1 + (N - df + 0.5) / (df + 0.5)) of each term, float64[T, F, q].

    After Robertson and Zaragoza 2009, kept above 0 as Lucene does. By the math library, term by
    term: numpy's logarithm may differ in its last bit with the place in an array.
    """
    idf = np.zeros((query.width, len(statistics), len(query.terms)))
    asked = [
        (i, j, term)
        for i, terms in enumerate(query.terms.tolist())
        for j, term in enumerate(terms)
        if term != NO_TERM
    ]
    for f, field_statistics in enumerate(statistics):
        documents, frequency = field_statistics.documents, field_statistics.document_frequency
        for i, j, term in asked:
            df = int(frequency[term]) if term >= 0 else 0
            idf[j, f, i] = math.log1p((documents - df + 0.5) / (df + 0.5))
    return idf
