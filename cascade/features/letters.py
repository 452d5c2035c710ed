"""How alike the letters of a query and of a keyword value are, whatever their words.

Words are matched whole by all other kinds; three letters in a row are alike as well where a word is
misspelt, cut short, or written together: `spiderman` and `Spider-Man`. Texts are folded, and all
but letters and digits is left out, blanks too; the text's start and end count as a letter each.

Missing (NaN) where the row has no value of the field, or the query has no letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade.candidates import Candidates, Float32, Float64, Int64
from cascade.features.base import BaseFeature, Bool, field_of, narrowed
from cascade.features.registry import feature_kind
from cascade.schema import Kind

MOST_CHARACTERS = 200
_ENDS = 2
_BREAK = "\n"
_NO_LETTER = re.compile(r"[^\w\n]|_")
_OVERLAP, _MATCH, _COVERAGE, _INSIDE = range(4)


@dataclass(frozen=True, kw_only=True)
class LetterFeature(BaseFeature):
    """Read how alike the letters of one keyword field's values are to the query's.

    Attributes:
        field: A keyword field; of several values the largest number counts.
    """

    field: str = field_of(Kind.KEYWORD)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] from 0 to 1."""
        return narrowed(self.measured(letters_matched(candidates, self.field)))

    def measured(self, table: Float64) -> Float64:
        """Return the float64[n] that this kind shows."""
        raise NotImplementedError


@feature_kind("letter_overlap")
@dataclass(frozen=True, kw_only=True)
class LetterOverlap(LetterFeature):
    """Return the trigrams that value and query share, in both, of all in both (Dice)."""

    def measured(self, table: Float64) -> Float64:
        """Return float64[n] from 0 to 1."""
        return table[:, _OVERLAP]


@feature_kind("letter_match")
@dataclass(frozen=True, kw_only=True)
class LetterMatch(LetterFeature):
    """Return the share of the value's trigrams that stand in the query."""

    def measured(self, table: Float64) -> Float64:
        """Return float64[n] from 0 to 1."""
        return table[:, _MATCH]


@feature_kind("letter_coverage")
@dataclass(frozen=True, kw_only=True)
class LetterCoverage(LetterFeature):
    """Return the share of the query's distinct trigrams that stand in the value."""

    def measured(self, table: Float64) -> Float64:
        """Return float64[n] from 0 to 1."""
        return table[:, _COVERAGE]


@feature_kind("letters_in_query")
@dataclass(frozen=True, kw_only=True)
class LettersInQuery(LetterFeature):
    """Return 1 where all letters of some value stand in one run in the query's, else 0."""

    def measured(self, table: Float64) -> Float64:
        """Return float64[n], 0 or 1."""
        return table[:, _INSIDE]


@dataclass(frozen=True, slots=True)
class _Trigrams:
    """Hold the trigrams of texts, one text after the other.

    Attributes:
        texts: Their letters and digits.
        codes: int64[t], each trigram of any text.
        owners: int64[t], the text of each.
        counts: int64[texts], how many each text has.
    """

    texts: Sequence[str]
    codes: Int64
    owners: Int64
    counts: Int64


def letters_matched(candidates: Candidates, field: str) -> Float64:
    """Return what the features of one keyword field read, float64[n, 4]."""

    def find(asked: Candidates) -> Float64:
        return _match(asked, field)

    found = candidates.derived(("letters", field), find)
    return found.astype(np.float64, copy=False)


def _match(candidates: Candidates, field: str) -> Float64:
    values = candidates.documents.keywords(field, candidates.rows)
    codes, place = np.unique(values.values, return_inverse=True)
    written = _trigrams(candidates.documents.keyword_values(field, codes.astype(np.int32)))
    asked = _trigrams([query.text[:MOST_CHARACTERS] for query in candidates.queries])
    known, number = np.unique(asked.codes, return_inverse=True)
    wanted: Bool = np.zeros((len(asked.texts), max(len(known), 1)), dtype=np.bool_)
    wanted[asked.owners, number] = True
    row = values.owners()
    listing = candidates.listing[row]
    in_value, in_query = _shared(written, known, wanted, place, listing)
    total, distinct = written.counts[place], wanted.sum(axis=1)[listing]
    measured = np.stack(
        [
            (in_value + in_query) / np.maximum(total + distinct, 1),
            in_value / np.maximum(total, 1),
            in_query / np.maximum(distinct, 1),
            # The trigrams at a value's two ends may stand in no query that has all its letters.
            _inside(written.texts, asked.texts, place, listing, in_value >= total - _ENDS),
        ],
        axis=1,
    )
    table = np.full((len(candidates), 4), np.nan)
    filled = values.lengths > 0
    if len(measured):
        table[filled] = np.maximum.reduceat(measured, values.offsets[:-1][filled], axis=0)
    table[np.logical_not(asked.counts)[candidates.listing]] = np.nan
    return table


def _shared(
    written: _Trigrams, known: Int64, wanted: Bool, place: Int64, listing: Int64
) -> tuple[Float64, Float64]:
    """Return of each value of each row how many of its trigrams stand in the row's query, float64.

    Then how many distinct ones of the query stand in it.
    """
    width = max(len(known), 1)
    at = known.searchsorted(written.codes)
    at[at == len(known)] = 0
    hit = known[at] == written.codes if len(known) else np.zeros(len(at), dtype=np.bool_)
    pairs, often = np.unique(written.owners[hit] * width + at[hit], return_counts=True)
    lengths = np.bincount(pairs // width, minlength=len(written.texts))
    starts = np.concatenate([[0], np.cumsum(lengths)])[place]
    spread = lengths[place]
    entry = np.repeat(np.arange(len(place)), spread)
    pair = np.arange(len(entry)) + np.repeat(starts - (np.cumsum(spread) - spread), spread)
    stands = wanted[listing[entry], pairs[pair] % width]
    entry, pair = entry[stands], pair[stands]
    in_value = np.bincount(entry, often[pair], len(place))
    in_query = np.bincount(entry, minlength=len(place))
    return in_value.astype(np.float64), in_query.astype(np.float64)


def _inside(
    texts: Sequence[str], queries: Sequence[str], place: Int64, listing: Int64, likely: Bool
) -> Float64:
    """Return 1 where a value's letters stand in its query's, float64; only likely ones are read."""
    inside = np.zeros(len(place))
    at = np.flatnonzero(likely)
    pairs = zip(place[at].tolist(), listing[at].tolist(), strict=True)
    inside[at] = [bool(texts[value]) and texts[value] in queries[query] for value, query in pairs]
    return inside


def _trigrams(texts: Sequence[str]) -> _Trigrams:
    joined = _BREAK.join([text.replace(_BREAK, " ") for text in texts])
    letters = _NO_LETTER.sub("", unicodedata.normalize("NFKD", joined).casefold())
    written = f"{_BREAK}{letters}{_BREAK}".encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(written, dtype="<u4").astype(np.int64)
    # A code point has at most 21 bits. What has a break in its middle belongs to two texts.
    codes = (points[:-2] << 42) | (points[1:-1] << 21) | points[2:]
    ends = points == ord(_BREAK)
    kept = ~ends[1:-1]
    owners = (np.cumsum(ends)[1:-1] - 1)[kept]
    counts = np.bincount(owners, minlength=len(texts))
    return _Trigrams(letters.split(_BREAK), codes[kept], owners, counts)
