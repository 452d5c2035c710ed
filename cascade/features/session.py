"""What a visitor has seen in this session, against each candidate.

Of `Query.session` the last documents count, as far as the catalogue has them: the latest 1, each
one before it less, by a half-life in documents. Missing (NaN) for every row where the session is
empty or nothing of it is known, so that such a query is ordered as for anybody; and where the
documents do not have the row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cascade.candidates import UNKNOWN, Candidates, Float32, Float64, Int32, Int64, Ragged
from cascade.features.base import BaseFeature, Bool, field_of, narrowed, number_of
from cascade.features.registry import feature_kind
from cascade.schema import Kind


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what the visitors of q listings have seen.

    Attributes:
        rows: int32[m] of documents, those of a listing side by side.
        listing: int64[m], the listing of each.
        weights: float64[m], how much each counts, the latest of a session 1.
    """

    rows: Int32
    listing: Int64
    weights: Float64

    def means(self, values: Float64, queries: int) -> Float64:
        """Return the weighted mean for each listing of what is there, NaN without any."""
        there = ~np.isnan(values)
        listing, weights = self.listing[there], self.weights[there]
        sums = np.bincount(listing, weights * values[there], minlength=queries)
        whole = np.bincount(listing, weights, minlength=queries)
        means = np.full(queries, np.nan)
        np.divide(sums, whole, out=means, where=whole > 0)
        return means


@dataclass(frozen=True, kw_only=True)
class SessionFeature(BaseFeature):
    """Compare a candidate with what was seen.

    Attributes:
        last: How many documents of the session count.
        half_life: A document that was seen so many documents earlier counts half; 0 is never.
    """

    last: int = 10
    half_life: float = 5.0

    def __post_init__(self) -> None:
        if self.last < 1:
            raise ValueError(f"last: is {self.last}; accepted is 1 or more")
        if not 0 <= self.half_life < math.inf:
            raise ValueError(f"half_life: is {self.half_life}; accepted is 0 or more")

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        if not any(query.session for query in candidates.queries):
            return np.full(len(candidates), np.nan, dtype=np.float32)
        seen = self._seen(candidates)
        values = self.compared(candidates, seen)
        begun = np.bincount(seen.listing, minlength=len(candidates.queries)) > 0
        values[~begun[candidates.listing] | (candidates.rows < 0)] = np.nan
        return narrowed(values)

    def compared(self, candidates: Candidates, seen: Seen) -> Float64:
        """Return float64[n], a new array; what it says of rows without a session is not read."""
        raise NotImplementedError

    def _seen(self, candidates: Candidates) -> Seen:
        parts = [query.session[-self.last :] for query in candidates.queries]
        rows = candidates.documents.rows([doc_id for part in parts for doc_id in part])
        listing = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        ago = np.array([i for part in parts for i in reversed(range(len(part)))], dtype=np.float64)
        weights = 0.5 ** (ago / self.half_life) if self.half_life else np.ones(len(ago))
        known = rows != UNKNOWN
        return Seen(rows[known], listing[known], weights[known])


@feature_kind("seen_before")
@dataclass(frozen=True, kw_only=True)
class SeenBefore(SessionFeature):
    """Return 1 where the document itself was seen, else 0."""

    def compared(self, candidates: Candidates, seen: Seen) -> Float64:
        """Return float64[n], 0 or 1."""
        pairs = _keys(candidates.listing, candidates.rows)
        return np.isin(pairs, _keys(seen.listing, seen.rows)).astype(np.float64)


@feature_kind("session_affinity")
@dataclass(frozen=True, kw_only=True)
class SessionAffinity(SessionFeature):
    """Return the weighted share of what was seen that has a value of the candidate's.

    Of a candidate with several values the largest share counts; missing where it has none, or
    nothing that was seen has one.

    Attributes:
        field: A keyword field, such as the brand.
    """

    field: str = field_of(Kind.KEYWORD)

    def compared(self, candidates: Candidates, seen: Seen) -> Float64:
        """Return float64[n] from 0 to 1."""
        profile = _profile(seen, candidates.documents.keywords(self.field, seen.rows), candidates)
        own = candidates.documents.keywords(self.field, candidates.rows)
        found = np.full(len(candidates), np.nan)
        filled = own.lengths > 0
        if filled.any():
            shares = profile.shares(own, candidates.listing)
            found[filled] = np.maximum.reduceat(shares, own.offsets[:-1][filled])
        return found


@feature_kind("session_similarity")
@dataclass(frozen=True, kw_only=True)
class SessionSimilarity(SessionFeature):
    """Return the weighted mean similarity of the candidate to what was seen.

    The similarity to one document is the share of the candidate's tokens that the document has,
    or the cosine of a vector field. Missing where one of the two has no token or no vector.

    Attributes:
        field: A text field or a vector field.
    """

    field: str = field_of(Kind.TEXT, Kind.VECTOR)

    def compared(self, candidates: Candidates, seen: Seen) -> Float64:
        """Return float64[n], from 0 to 1, of a vector field from -1."""
        documents = candidates.documents
        if documents.schema.by_name[self.field].kind is Kind.VECTOR:
            return self._cosines(candidates, seen)
        profile = _profile(seen, documents.tokens(self.field, seen.rows), candidates)
        own = documents.tokens(self.field, candidates.rows)
        shares = profile.shares(own, candidates.listing)
        sums = np.bincount(own.owners(), shares, minlength=len(candidates))
        found = np.full(len(candidates), np.nan)
        np.divide(sums, own.lengths, out=found, where=own.lengths > 0)
        return found

    def _cosines(self, candidates: Candidates, seen: Seen) -> Float64:
        documents, queries = candidates.documents, len(candidates.queries)
        before = _unit(documents.vectors(self.field, seen.rows))
        # The weighted mean of cosines is the cosine part of the weighted mean of unit vectors.
        means = np.stack([seen.means(column, queries) for column in before.T], axis=1)
        own = _unit(documents.vectors(self.field, candidates.rows))
        return _products(own, means[candidates.listing])


@feature_kind("session_closeness")
@dataclass(frozen=True, kw_only=True)
class SessionCloseness(SessionFeature):
    """Return min(x, m) / max(x, m), m the weighted geometric mean of the numbers seen.

    1 at the mean, 1/2 at half or twice of it: a distance in logarithms. Missing where a number is
    missing or not above 0.

    Attributes:
        field: A number field, such as the price.
    """

    field: str = field_of(Kind.NUMBER)

    def compared(self, candidates: Candidates, seen: Seen) -> Float64:
        """Return float64[n] from 0 to 1."""
        before = _logarithms(candidates.documents.numbers((self.field,), seen.rows)[:, 0])
        mean = seen.means(before, len(candidates.queries))[candidates.listing]
        closeness: Float64 = np.exp(-np.abs(_logarithms(number_of(candidates, self.field)) - mean))
        return closeness


@dataclass(frozen=True, slots=True)
class _Profile:
    """Hold the weighted share of what was seen that has each code, by listing.

    Attributes:
        keys: int64[k] of listing and code, ascending.
        weights: float64[k].
        empty: bool[q], whether nothing that was seen in a listing has any code.
    """

    keys: Int64
    weights: Float64
    empty: Bool

    def shares(self, lists: Ragged, listing: Int64) -> Float64:
        """Return the share of each code of rows, float64[codes], NaN without a profile."""
        of = listing[lists.owners()]
        shares = np.zeros(len(of))
        if len(self.keys):
            asked = _keys(of, lists.values)
            at = np.minimum(self.keys.searchsorted(asked), len(self.keys) - 1)
            shares = np.where(self.keys[at] == asked, self.weights[at], 0.0)
        shares[self.empty[of]] = np.nan
        return shares


def _profile(seen: Seen, lists: Ragged, candidates: Candidates) -> _Profile:
    """Return which codes the documents seen have; `lists` has those of each."""
    owners = lists.owners()
    # A document counts once for each code, however often it has it.
    distinct = np.unique(_keys(owners, lists.values))
    owners, codes = distinct >> 32, distinct & 0xFFFFFFFF
    keys, of = np.unique(_keys(seen.listing[owners], codes), return_inverse=True)
    filled = lists.lengths > 0
    queries = len(candidates.queries)
    whole = np.bincount(seen.listing[filled], seen.weights[filled], minlength=queries)
    sums = np.bincount(of, seen.weights[owners], minlength=len(keys))
    return _Profile(keys, sums / whole[keys >> 32], whole == 0)


def _keys(listing: Int64, codes: Int32 | Int64) -> Int64:
    """Return one number for a listing and a code or row; -1 becomes 2^32 - 1."""
    return (listing << 32) | (codes.astype(np.int64) & 0xFFFFFFFF)


def _logarithms(numbers: Float64) -> Float64:
    found = np.full(len(numbers), np.nan)
    np.log(numbers, out=found, where=numbers > 0)
    return found


def _unit(vectors: Float32) -> Float64:
    """Return vectors of length 1, NaN where there is none or it is 0."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(_products(wide, wide))[:, None]
    unit = np.full(wide.shape, np.nan)
    np.divide(wide, lengths, out=unit, where=lengths > 0)
    return unit


def _products(left: Float64, right: Float64) -> Float64:
    """Return the dot product of each pair of rows, float64[n], whatever the other rows."""
    if not left.size:
        return np.full(len(left), np.nan)
    starts = np.arange(0, left.size, left.shape[1])
    products: Float64 = np.add.reduceat((left * right).ravel(), starts)
    return products
