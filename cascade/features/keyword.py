"""How a query names the values of a keyword field: a brand, a colour, a category.

A value matches by its terms, analysed as text, in any order. Missing (NaN) where the documents do
not have the row, the row has no value of the field, or the query has no term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade.candidates import Candidates, Float32, Float64, Int64
from cascade.features.base import BaseFeature, Bool, field_of
from cascade.features.hits import find_hits, joined_lists, spans
from cascade.features.registry import feature_kind
from cascade.features.terms import AnalysedQueries, QueryTerms
from cascade.schema import Kind

_DEFINED, _SHARE, _COVERED, _TERMS = range(4)


@dataclass(frozen=True, kw_only=True)
class KeywordFeature(BaseFeature):
    """Read the matches of one keyword field.

    Attributes:
        field: A keyword field.
    """

    field: str = field_of(Kind.KEYWORD)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] from 0 to 1."""
        array = values_matched(candidates, self.field)
        return (self.measured(array) * array[:, _DEFINED]).astype(np.float32)

    def measured(self, array: Float64) -> Float64:
        """Return float64[n] where the row has a value and its query a term."""
        raise NotImplementedError


@feature_kind("keyword_match")
@dataclass(frozen=True, kw_only=True)
class KeywordMatch(KeywordFeature):
    """Return the largest share of a value's terms that stand in the query."""

    def measured(self, array: Float64) -> Float64:
        """Return float64[n] from 0 to 1; 1 where the query contains a whole value."""
        return array[:, _SHARE]


@feature_kind("keyword_in_query")
@dataclass(frozen=True, kw_only=True)
class KeywordInQuery(KeywordFeature):
    """Return 1 where all terms of some value stand in the query, else 0."""

    def measured(self, array: Float64) -> Float64:
        """Return float64[n], 0 or 1."""
        return np.where(array[:, _SHARE] == 1, 1.0, 0.0)


@feature_kind("keyword_coverage")
@dataclass(frozen=True, kw_only=True)
class KeywordCoverage(KeywordFeature):
    """Return the share of distinct query terms that stand in any of the values."""

    def measured(self, array: Float64) -> Float64:
        """Return float64[n] from 0 to 1."""
        covered: Float64 = array[:, _COVERED] / np.maximum(array[:, _TERMS], 1)
        return covered


def values_matched(
    candidates: Candidates, field: str, queries: AnalysedQueries | None = None
) -> Float64:
    """Return what the features of one keyword field read, float64[n, 4]."""

    def find(asked: Candidates) -> Float64:
        return _match(asked, (field,), (queries or AnalysedQueries(asked)).terms(field))[0]

    found = candidates.derived(("keyword_matches", field), find)
    return found.astype(np.float64, copy=False)


def find_values(candidates: Candidates, fields: Sequence[str], queries: AnalysedQueries) -> None:
    """Find the matches of several keyword fields together, for `values_matched` to return."""
    groups: dict[object, list[str]] = {}
    for name in dict.fromkeys(fields):
        groups.setdefault(queries.analysis(name), []).append(name)
    for group in groups.values():
        tables = _match(candidates, group, queries.terms(group[0]))
        for name, table in zip(group, tables, strict=True):
            candidates.derived(("keyword_matches", name), _Known(table))


@dataclass(frozen=True, slots=True)
class _Known:
    """Answer with an array that was computed together with others."""

    array: Float64

    def __call__(self, candidates: Candidates) -> Float64:
        return self.array


def _match(candidates: Candidates, fields: Sequence[str], query: QueryTerms) -> list[Float64]:
    """Return what `values_matched` shows of each field, as one list of rows field after field."""
    documents, n = candidates.documents, len(candidates)
    parts = [documents.keywords(name, candidates.rows) for name in fields]
    values = joined_lists(parts)
    words = joined_lists(
        [
            documents.keyword_terms(name, part.values)
            for name, part in zip(fields, parts, strict=True)
        ]
    )
    listings, known_terms = spans(candidates.offsets, query, len(fields))
    # A listing's values lie together, so its bounds among them follow from those of its rows.
    hits = find_hits(words, values.offsets[listings], known_terms)
    matched = np.bincount(hits.rows, minlength=len(values.values))
    shares = matched / np.maximum(words.lengths, 1)
    row = values.offsets.searchsorted(hits.rows, side="right") - 1
    covered = np.zeros((query.width, n * len(fields)), dtype=np.bool_)
    covered[hits.codes, row] = True
    table = np.empty((4, n * len(fields)))
    blocks = table.reshape(4, len(fields), n)
    terms = query.counts[candidates.listing]
    filled = values.lengths > 0
    defined = filled.reshape(len(fields), n) & ((candidates.rows >= 0) & (terms > 0))
    blocks[_DEFINED] = np.where(defined, 1.0, np.nan)
    table[_SHARE] = _largest(shares, values.offsets[:-1], filled)
    table[_COVERED] = covered.sum(axis=0, dtype=np.float64)
    blocks[_TERMS] = terms
    table.flags.writeable = False
    return [block.T for block in blocks.transpose(1, 0, 2)]


def _largest(shares: Float64, starts: Int64, filled: Bool) -> Float64:
    """Return the largest share among each row's values, 0 without any, float64[n]."""
    largest = np.zeros(len(starts))
    if len(shares):
        largest[filled] = np.maximum.reduceat(shares, starts[filled])
    return largest
