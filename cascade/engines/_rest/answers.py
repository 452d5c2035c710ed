"""Reading what Elasticsearch and OpenSearch answer to searches, by type and nothing beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from cascade.candidates import UNKNOWN, Float32, Int32
from cascade.engines._rest.client import Request, refusal
from cascade.engines._server.connecting import Answer
from cascade.errors import CascadeError, DeadlineError, EngineError
from cascade.protocols import FacetValue, Total

T = TypeVar("T")


class Hit(msgspec.Struct, gc=False):
    """Hold one hit: whatever was asked for of it."""

    sort: list[float | str | None] = []
    score: float | None = msgspec.field(name="_score", default=None)
    id: str = msgspec.field(name="_id", default="")
    fields: dict[str, list[Any]] = {}
    matched: dict[str, float] | list[str] = msgspec.field(
        name="matched_queries", default_factory=dict
    )
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b"null"))


class _Total(msgspec.Struct):
    value: int
    relation: str = "eq"


class _Hits(msgspec.Struct):
    total: _Total | None = None
    hits: list[Hit] = []


class _Bucket(msgspec.Struct, gc=False):
    key: str | int | float | bool
    doc_count: int
    key_as_string: str | None = None


class _Terms(msgspec.Struct):
    buckets: list[_Bucket] = []


class Page(msgspec.Struct):
    """Hold the answer to one search."""

    hits: _Hits = msgspec.field(default_factory=_Hits)
    aggregations: dict[str, _Terms] = {}
    timed_out: bool = False
    status: int = 200
    error: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""))


class _Pages(msgspec.Struct):
    responses: list[Page] = []


_PAGE = msgspec.json.Decoder(Page)
_PAGES = msgspec.json.Decoder(_Pages)


def page_of(answer: Answer) -> Page:
    """Return the answer to one search.

    Raises:
        EngineError: If it is no answer to a search.
        DeadlineError: If the server stopped before it had seen every document.
    """
    return _whole(_decoded(_PAGE, answer))


def pages_of(answer: Answer, count: int, where: str, request: Request) -> list[Page]:
    """Return the answers to several searches of one request.

    Raises:
        EngineError: If one of them failed, with the server's words.
        DeadlineError: If the server stopped before it had seen every document.
    """
    pages = _decoded(_PAGES, answer).responses
    if len(pages) != count:
        raise EngineError(f"{where} answered {len(pages)} of {count} searches")
    for page in pages:
        if error := bytes(page.error):
            raise _failure(where, request, page.status, error)
    return [_whole(page) for page in pages]


def total_of(page: Page) -> Total:
    """Return how many documents match."""
    total = page.hits.total
    if total is None:
        return Total(len(page.hits.hits), "gte")
    return Total(total.value, "eq" if total.relation == "eq" else "gte")


def scores_of(hits: Sequence[Hit], ordered: bool) -> Float32:
    """Return float32[n]; `ordered` says that the scores stand first in what hits are sorted by."""
    scores = [hit.sort[0] for hit in hits] if ordered else [hit.score or 0.0 for hit in hits]
    return np.array(scores, dtype=np.float32)


def rows_of(numbers: Sequence[Any], documents: int) -> Int32:
    """Return int32[n], the rows that hits name, -1 where they name none.

    A missing row is put beyond all numbers by the server. One of a document that came into the
    index after the catalogue was read is none either.
    """
    rows = np.array(numbers, dtype=np.float64)
    return np.where(rows < documents, rows, UNKNOWN).astype(np.int32)


def values_of(hits: Sequence[Hit], path: str, scale: float = 1.0) -> Float32:
    """Return float32[n] of a field's doc values, the first of several, NaN where there is none."""
    values = [_number(hit.fields.get(path)) for hit in hits]
    return (np.array(values, dtype=np.float64) * scale).astype(np.float32)


def matched_scores(hits: Sequence[Hit], name: str) -> Float32:
    """Return float32[n], what a named query gave each hit, 0 where it did not match."""
    scores = [
        hit.matched.get(name, 0.0) if isinstance(hit.matched, dict) else float(name in hit.matched)
        for hit in hits
    ]
    return np.array(scores, dtype=np.float32)


def facets_of(page: Page, names: Sequence[str]) -> dict[str, tuple[FacetValue, ...]]:
    """Return the counted values of each facet, the most frequent first, then by value."""
    return {
        name: tuple(
            sorted(
                (FacetValue(_text(bucket), bucket.doc_count) for bucket in terms.buckets),
                key=lambda value: (-value.count, value.value),
            )
        )
        for name in names
        for terms in (page.aggregations.get(name, _Terms()),)
    }


def _text(bucket: _Bucket) -> str:
    return bucket.key_as_string if bucket.key_as_string is not None else str(bucket.key)


def _number(values: Sequence[Any] | None) -> float:
    try:
        return float(values[0]) if values else np.nan
    except (TypeError, ValueError):
        return np.nan


def _decoded(decoder: msgspec.json.Decoder[T], answer: Answer) -> T:
    try:
        return decoder.decode(answer.body)
    except msgspec.DecodeError as error:
        shown = answer.body[:200].decode("utf-8", "replace")
        raise EngineError(f"the server's answer is none to a search: {error}: {shown}") from error


def _whole(page: Page) -> Page:
    if page.timed_out:
        raise DeadlineError("the server stopped searching when the time was up; nothing is shown")
    return page


def _failure(where: str, request: Request, status: int, error: bytes) -> CascadeError:
    return refusal(where, request, Answer(status, b'{"error":%b}' % error))
