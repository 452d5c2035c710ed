"""What a query says of itself: the same value for every row of its listing, known or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.candidates import Candidates, Float32, Float64
from cascade.features.base import BaseFeature, field_of, per_row
from cascade.features.matching import Matches, matches_of
from cascade.features.registry import feature_kind
from cascade.schema import Kind


@dataclass(frozen=True, kw_only=True)
class QueryFeature(BaseFeature):
    """Read the query's terms as one text field analyses them.

    Attributes:
        field: A text field, whose analyser and statistics are used.
    """

    field: str = field_of(Kind.TEXT)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN where the query has no term."""
        matches = matches_of(candidates, self.field)
        measured = self.measured(matches).astype(np.float32)
        measured[matches.terms == 0] = np.nan
        return measured

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] where the query has a term."""
        raise NotImplementedError


@feature_kind("query_length")
@dataclass(frozen=True, kw_only=True)
class QueryLength(QueryFeature):
    """Return how many tokens the query has, at most 32; never missing."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] of 0 or more."""
        return matches_of(candidates, self.field).tokens.astype(np.float32)


@feature_kind("query_known")
@dataclass(frozen=True, kw_only=True)
class QueryKnown(QueryFeature):
    """Return the share of distinct query terms that any document has in any field."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] from 0 to 1."""
        return matches.known / np.maximum(matches.terms, 1)


@feature_kind("query_idf_sum")
@dataclass(frozen=True, kw_only=True)
class QueryIdfSum(QueryFeature):
    """Return the sum of the idf of the query's distinct terms."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n]."""
        return matches.total(matches.idf)


@feature_kind("query_idf_mean")
@dataclass(frozen=True, kw_only=True)
class QueryIdfMean(QueryFeature):
    """Return the mean idf of the query's distinct terms."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n]."""
        return matches.total(matches.idf) / np.maximum(matches.terms, 1)


@feature_kind("query_idf_max")
@dataclass(frozen=True, kw_only=True)
class QueryIdfMax(QueryFeature):
    """Return the idf of the query's rarest term."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n]."""
        highest: Float64 = matches.idf.max(axis=1)
        return highest


@feature_kind("query_idf_min")
@dataclass(frozen=True, kw_only=True)
class QueryIdfMin(QueryFeature):
    """Return the idf of the query's most frequent term."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n]."""
        own = np.arange(matches.width) < matches.terms[:, None]
        lowest: Float64 = np.where(own, matches.idf, np.inf).min(axis=1)
        return lowest


@feature_kind("query_characters")
@dataclass(frozen=True, kw_only=True)
class QueryCharacters(BaseFeature):
    """Return how many characters the query's text has, white space at its ends left out."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] of 0 or more."""
        return per_row(candidates, [len(query.text.strip()) for query in candidates.queries])
