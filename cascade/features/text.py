"""How a query matches the text fields of a document.

All of them read `matching.Matches`. A value is missing (NaN) where the documents do not have the
row or the query has no term in the field's analysis.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from cascade.candidates import Candidates, Float32, Float64
from cascade.features.base import BaseFeature, field_of, settings_but
from cascade.features.matching import Anywhere, Found, Group, Matches, find_field, find_matches
from cascade.features.registry import feature_kind
from cascade.features.terms import AnalysedQueries
from cascade.schema import Kind, Schema

MAX_K1 = 1000


@dataclass(frozen=True, kw_only=True)
class FieldFeature(BaseFeature):
    """Read the matches of one text field.

    Attributes:
        field: A text field.
    """

    field: str = field_of(Kind.TEXT)

    @property
    def alike(self) -> Hashable:
        """What is equal for features that differ in name and field alone."""
        return settings_but(self, "name", "field")

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN for an unknown row and for a query without terms."""
        return self.of(find_field(candidates, self.field))[:, 0]

    def of(self, group: Group) -> Float32:
        """Return the values of every field of a group, float32[n, F]."""
        return (self.measured(group.matches) * group.matches.defined).astype(np.float32)

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F] where the row is known and its query has a term."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FieldsFeature(BaseFeature):
    """Read the matches of several text fields.

    Attributes:
        fields: Text fields.
    """

    fields: tuple[str, ...] = field_of(Kind.TEXT)

    def __post_init__(self) -> None:
        if not self.fields:
            raise ValueError("fields: is empty; name at least one text field")

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        return self.of(find_matches(candidates, self.fields, AnalysedQueries(candidates)))

    def of(self, found: Found) -> Float32:
        """Return float32[n] of the matches of all fields."""
        raise NotImplementedError


@feature_kind("bm25")
@dataclass(frozen=True, kw_only=True)
class Bm25(FieldFeature):
    """Weigh the matches of one field by BM25 (Robertson and Zaragoza 2009, eq. 3.15).

    sum over distinct query terms of idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length /
    average length)), idf = ln(1 + (N - df + 0.5) / (df + 0.5)); N counts documents that have the
    field.

    Attributes:
        field: A text field.
        k1: Where repetition stops to count, 0 to 1000.
        b: How much length counts, 0 to 1.
    """

    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        _check_bm25(self.k1, self.b)

    def of(self, group: Group) -> Float32:
        """Return float32[n, F]; 0 where nothing matches."""
        return group.bm25(self.k1, self.b).astype(np.float32)


@feature_kind("best_field")
@dataclass(frozen=True, kw_only=True)
class BestField(FieldsFeature):
    """Return the BM25 of the field where it is highest, as dis-max queries do.

    Attributes:
        fields: Text fields.
        k1: As in `bm25`.
        b: As in `bm25`.
    """

    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bm25(self.k1, self.b)

    def of(self, found: Found) -> Float32:
        """Return float32[n]; a field in whose analysis the query has no term is left out."""
        columns = []
        for name in self.fields:
            group, i = found.at(name)
            columns.append(group.bm25(self.k1, self.b)[:, i])
        return reduce(np.fmax, columns).astype(np.float32)


@feature_kind("any_coverage")
@dataclass(frozen=True, kw_only=True)
class AnyCoverage(FieldsFeature):
    """Return the share of distinct query terms that stand in at least one of the fields.

    Attributes:
        fields: Text fields of the same analyser and synonyms, since a term must mean the same.
    """

    def problems(self, schema: Schema) -> list[str]:
        """Return what is wrong with these settings under a schema."""
        analyses = {(f.analyser, f.synonyms) for f in map(schema.by_name.get, self.fields) if f}
        if len(analyses) < 2:
            return []
        return ["fields: are analysed in different ways; name fields of one analyser"]

    def of(self, found: Found) -> Float32:
        """Return float32[n]; NaN for an unknown row and for a query without terms."""
        anywhere = found.anywhere(self.fields)
        return (self.weighed(anywhere) * anywhere.defined).astype(np.float32)

    def weighed(self, anywhere: Anywhere) -> Float64:
        """Return float64[n] where the row is known and its query has a term."""
        return share(anywhere.present.sum(axis=1, dtype=np.float64), anywhere.terms)


@feature_kind("coverage")
@dataclass(frozen=True, kw_only=True)
class Coverage(FieldFeature):
    """Return the share of distinct query terms that stand in the field."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F] from 0 to 1."""
        return share(matches.present.sum(axis=-1, dtype=np.float64), matches.terms)


@feature_kind("idf_coverage")
@dataclass(frozen=True, kw_only=True)
class IdfCoverage(FieldFeature):
    """Return the share of the query's idf that belongs to terms in the field."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F] from 0 to 1."""
        return share(matches.total(matches.idf * matches.present), matches.idf_total)


@feature_kind("missing_idf")
@dataclass(frozen=True, kw_only=True)
class MissingIdf(FieldFeature):
    """Return the idf of the rarest query term that the field lacks, 0 if it lacks none."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F] of 0 or more."""
        lacking: Float64 = (matches.idf * ~matches.present).max(axis=-1)
        return lacking


@feature_kind("first_position")
@dataclass(frozen=True, kw_only=True)
class FirstPosition(FieldFeature):
    """Return 1 / p where p is the 1-based position of the first match, 0 without a match."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F] from 0 to 1."""
        return share(1.0, matches.first, otherwise=0.0)


@feature_kind("ordered_pairs")
@dataclass(frozen=True, kw_only=True)
class OrderedPairs(FieldFeature):
    """Return the share of the query's distinct neighbour pairs that are neighbours in the field.

    Missing as well where the query has fewer than two tokens.
    """

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F] from 0 to 1."""
        return share(matches.pairs, matches.query_pairs)


@feature_kind("phrase")
@dataclass(frozen=True, kw_only=True)
class Phrase(FieldFeature):
    """Return 1 where all tokens of the query stand in the field in one run, else 0."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F], 0 or 1."""
        return matches.phrase


@feature_kind("whole_match")
@dataclass(frozen=True, kw_only=True)
class WholeMatch(FieldFeature):
    """Return 1 where the tokens of the field are those of the query, in order, else 0."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F], 0 or 1."""
        return np.where(matches.length == matches.tokens, matches.phrase, 0.0)


@feature_kind("query_density")
@dataclass(frozen=True, kw_only=True)
class QueryDensity(FieldFeature):
    """Return the share of the field's tokens that are query terms, 0 where the field is empty."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n, F] from 0 to 1."""
        return share(matches.frequencies.sum(axis=-1), matches.length, otherwise=0.0)


@feature_kind("length")
@dataclass(frozen=True, kw_only=True)
class Length(FieldFeature):
    """Return how many tokens the field has; missing for unknown rows alone."""

    def of(self, group: Group) -> Float32:
        """Return float32[n, F] of 0 or more."""
        length = group.matches.length.astype(np.float32)
        length[group.rows < 0] = np.nan
        return length


def _check_bm25(k1: float, b: float) -> None:
    if not 0 <= k1 <= MAX_K1:
        raise ValueError(f"k1: is {k1}; accepted is 0 to {MAX_K1}")
    if not 0 <= b <= 1:
        raise ValueError(f"b: is {b}; accepted is 0 to 1")


def share(part: Float64 | float, whole: Float64, otherwise: float = np.nan) -> Float64:
    """Return part / whole, and `otherwise` where the whole is 0."""
    shared = np.empty_like(whole)
    shared.fill(otherwise)
    return np.divide(part, whole, out=shared, where=whole > 0)
