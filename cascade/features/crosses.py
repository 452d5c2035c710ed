"""Hashed crosses: one number for a combination of words, such as query and category.

The hash is XXH64 with seed 0 over the UTF-8 of the parts, joined by the unit separator (U+001F);
it depends on neither process, platform nor Python version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from cascade.candidates import UNKNOWN, Candidates, Documents, Float32, Int64, Query
from cascade.errors import nearest
from cascade.features.base import BaseFeature
from cascade.features.context import HOUR_S
from cascade.features.registry import feature_kind
from cascade.schema import Kind, Schema

SEPARATOR = "\x1f"
MAX_BUCKETS = 1 << 24
"""The largest number up to which float32 holds every integer."""


def _words(query: Query) -> list[str]:
    return query.text.casefold().split()


def _text(query: Query) -> str | None:
    return " ".join(_words(query)) or None


def _first_word(query: Query) -> str | None:
    return next(iter(_words(query)), None)


def _last_word(query: Query) -> str | None:
    return next(reversed(_words(query)), None)


def _surface(query: Query) -> str | None:
    return query.surface


def _hour(query: Query) -> str | None:
    return str(int(query.time // HOUR_S % 24)) if query.time else None


QUERY_PARTS: Mapping[str, Callable[[Query], str | None]] = {
    "query.text": _text,
    "query.first_word": _first_word,
    "query.last_word": _last_word,
    "query.surface": _surface,
    "query.hour": _hour,
}


def cross_hash(parts: Sequence[str]) -> int:
    """Return the 64-bit hash of a combination of words."""
    return xxhash.xxh64_intdigest(SEPARATOR.join(parts).encode("utf-8", "replace"))


@feature_kind("cross")
@dataclass(frozen=True, kw_only=True)
class Cross(BaseFeature):
    """Return XXH64 of the parts modulo the buckets; missing where a part is missing.

    Attributes:
        parts: Keyword fields, of which the first value counts, and `query.text` (case folded,
            single blanks), `query.first_word`, `query.last_word`, `query.surface`, `query.hour`
            (UTC).
        buckets: How many numbers there are, 2 to 2^24.
    """

    parts: tuple[str, ...]
    buckets: int = 1024

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts: is empty; name at least one")
        if not 2 <= self.buckets <= MAX_BUCKETS:
            raise ValueError(f"buckets: is {self.buckets}; accepted is 2 to {MAX_BUCKETS}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The keyword fields among the parts."""
        return tuple(part for part in self.parts if part not in QUERY_PARTS)

    def problems(self, schema: Schema) -> list[str]:
        """Return what is wrong with these settings under a schema."""
        accepted = [*QUERY_PARTS, *(f.name for f in schema.of_kind(Kind.KEYWORD))]
        wrong = [part for part in self.parts if part not in accepted]
        return [f"parts: {part!r} is none; {nearest(part, accepted, 12)}" for part in wrong]

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n], whole numbers from 0 to buckets - 1."""
        documents = candidates.documents
        keys = [candidates.listing]
        keys += [_first_codes(documents, name, candidates) for name in self.reads]
        distinct, row_of = _distinct(keys)
        words = {
            name: documents.keyword_values(name, distinct[:, 1 + i].astype(np.int32))
            for i, name in enumerate(self.reads)
        }
        for name, of in QUERY_PARTS.items():
            if name in self.parts:
                each = [of(query) for query in candidates.queries]
                words[name] = [each[i] or "" for i in distinct[:, 0].tolist()]
        combined = zip(*(words[part] for part in self.parts), strict=True)
        buckets = [cross_hash(c) % self.buckets if all(c) else np.nan for c in combined]
        return np.array(buckets, dtype=np.float32)[row_of]


def _first_codes(documents: Documents, field: str, candidates: Candidates) -> Int64:
    """Return the code of each row's first value, -1 without any, int64[n]."""
    values = documents.keywords(field, candidates.rows)
    first = np.full(len(candidates), UNKNOWN, dtype=np.int64)
    filled = values.lengths > 0
    first[filled] = values.values[values.offsets[:-1][filled]]
    return first


def _distinct(keys: Sequence[Int64]) -> tuple[Int64, Int64]:
    """Return the distinct combinations of keys, int64[d, k], and which one each row has."""
    combined = np.zeros(len(keys[0]), dtype=np.int64)
    for key in keys:
        span = int(key.max(initial=0)) + 2
        combined = np.unique(combined * span + (key + 1), return_inverse=True)[1]
    count = int(combined.max(initial=-1)) + 1
    distinct = np.zeros((count, len(keys)), dtype=np.int64)
    for column, key in enumerate(keys):
        distinct[combined, column] = key
    return distinct, combined
