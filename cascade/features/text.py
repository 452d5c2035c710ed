"""How a query matches the text fields of a document.

All of them read `matching.Matches`. A value is missing (NaN) where the documents do not have the
row or the query has no term in the field's analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from cascade.candidates import Candidates, Float32, Float64
from cascade.features.base import BaseFeature, field_of
from cascade.features.matching import Matches, find_matches, matches_of
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

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN for an unknown row and for a query without terms."""
        matches = matches_of(candidates, self.field)
        return (self.measured(matches) * matches.defined).astype(np.float32)

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] where the row is known and its query has a term."""
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

    def matches(self, candidates: Candidates) -> list[Matches]:
        """Return the matches of each field."""
        find_matches(candidates, self.fields, AnalysedQueries(candidates))
        return [matches_of(candidates, name) for name in self.fields]


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

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; 0 where nothing matches."""
        score = _bm25(candidates, self.field, self.k1, self.b)
        return (score * matches_of(candidates, self.field).defined).astype(np.float32)


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

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; a field in whose analysis the query has no term is left out."""
        best = np.full(len(candidates), np.nan)
        for name, matches in zip(self.fields, self.matches(candidates), strict=True):
            best = np.fmax(best, _bm25(candidates, name, self.k1, self.b) * matches.defined)
        return best.astype(np.float32)


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

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] from 0 to 1."""
        found = self.matches(candidates)
        present = found[0].frequencies > 0
        for matches in found[1:]:
            present = present | (matches.frequencies > 0)
        shares = _share(present.sum(axis=1, dtype=np.float64), found[0].terms)
        return (shares * found[0].defined).astype(np.float32)


@feature_kind("coverage")
@dataclass(frozen=True, kw_only=True)
class Coverage(FieldFeature):
    """Return the share of distinct query terms that stand in the field."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] from 0 to 1."""
        return _share((matches.frequencies > 0).sum(axis=1, dtype=np.float64), matches.terms)


@feature_kind("idf_coverage")
@dataclass(frozen=True, kw_only=True)
class IdfCoverage(FieldFeature):
    """Return the share of the query's idf that belongs to terms in the field."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] from 0 to 1."""
        present = matches.frequencies > 0
        return _share(matches.total(matches.idf * present), matches.total(matches.idf))


@feature_kind("missing_idf")
@dataclass(frozen=True, kw_only=True)
class MissingIdf(FieldFeature):
    """Return the idf of the rarest query term that the field lacks, 0 if it lacks none."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] of 0 or more."""
        lacking: Float64 = (matches.idf * (matches.frequencies == 0)).max(axis=1)
        return lacking


@feature_kind("first_position")
@dataclass(frozen=True, kw_only=True)
class FirstPosition(FieldFeature):
    """Return 1 / p where p is the 1-based position of the first match, 0 without a match."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] from 0 to 1."""
        return _share(np.ones(len(matches.array)), matches.first, otherwise=0.0)


@feature_kind("ordered_pairs")
@dataclass(frozen=True, kw_only=True)
class OrderedPairs(FieldFeature):
    """Return the share of the query's distinct neighbour pairs that are neighbours in the field.

    Missing as well where the query has fewer than two tokens.
    """

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] from 0 to 1."""
        return _share(matches.pairs, matches.query_pairs)


@feature_kind("phrase")
@dataclass(frozen=True, kw_only=True)
class Phrase(FieldFeature):
    """Return 1 where all tokens of the query stand in the field in one run, else 0."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n], 0 or 1."""
        return matches.phrase


@feature_kind("whole_match")
@dataclass(frozen=True, kw_only=True)
class WholeMatch(FieldFeature):
    """Return 1 where the tokens of the field are those of the query, in order, else 0."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n], 0 or 1."""
        return np.where(matches.length == matches.tokens, matches.phrase, 0.0)


@feature_kind("query_density")
@dataclass(frozen=True, kw_only=True)
class QueryDensity(FieldFeature):
    """Return the share of the field's tokens that are query terms, 0 where the field is empty."""

    def measured(self, matches: Matches) -> Float64:
        """Return float64[n] from 0 to 1."""
        return _share(matches.frequencies.sum(axis=1), matches.length, otherwise=0.0)


@feature_kind("length")
@dataclass(frozen=True, kw_only=True)
class Length(FieldFeature):
    """Return how many tokens the field has; missing for unknown rows alone."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] of 0 or more."""
        length = matches_of(candidates, self.field).length.astype(np.float32)
        length[candidates.rows < 0] = np.nan
        return length


def _check_bm25(k1: float, b: float) -> None:
    if not 0 <= k1 <= MAX_K1:
        raise ValueError(f"k1: is {k1}; accepted is 0 to {MAX_K1}")
    if not 0 <= b <= 1:
        raise ValueError(f"b: is {b}; accepted is 0 to 1")


def _bm25(candidates: Candidates, field: str, k1: float, b: float) -> Float64:
    """Return the BM25 of one field, float64[n]; several features read it."""
    compute = partial(_bm25_of, field=field, k1=k1, b=b)
    return candidates.derived(("bm25", field, k1, b), compute).astype(np.float64, copy=False)


def _bm25_of(candidates: Candidates, field: str, k1: float, b: float) -> Float64:
    matches = matches_of(candidates, field)
    statistics = candidates.documents.statistics(field)
    average = statistics.tokens / statistics.documents if statistics.tokens else 1.0
    norm = k1 * (1 - b + b * matches.length / average)
    # Where a term is absent its weight is 0 / norm; k1 = 0 would make that 0 / 0.
    norm = np.maximum(norm, np.finfo(np.float64).tiny)
    frequencies, idf = matches.frequencies, matches.idf
    total = np.zeros(len(norm))
    for term in range(matches.width):
        tf = frequencies[:, term]
        total += idf[:, term] * (k1 + 1) * tf / (tf + norm)
    return total


def _share(part: Float64, whole: Float64, otherwise: float = np.nan) -> Float64:
    """Return part / whole, and `otherwise` where the whole is 0."""
    share: Float64 = np.divide(part, whole, out=np.full(len(whole), otherwise), where=whole > 0)
    return share
