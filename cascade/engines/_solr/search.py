"""Searching one core or collection: bodies out, rows, scores and counts back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from cascade.candidates import UNKNOWN, Documents, Query
from cascade.engines._server.fields import IndexFields, held_by
from cascade.engines._server.listing import NOTHING, Listing
from cascade.engines._solr.index import Found, Hit, SolrIndex
from cascade.engines._solr.query import Clauses, ClauseWriter
from cascade.engines._solr.template import Template
from cascade.engines.asking import MAX_QUERY_CHARS, cleaned
from cascade.errors import DeadlineError
from cascade.hosting import ID_FIELD, ROW_FIELD
from cascade.protocols import Asked, Deadline, Facets, FacetValue, Total

OVERREQUEST = 10_000
"""How many values of a facet each of several shards reports beyond those that are asked for."""


@dataclass(frozen=True, slots=True)
class View:
    """Say what an engine reads besides.

    Attributes:
        columns: Number and date fields of the schema whose values come along as columns
            `engine_<name>`.
        encoder: Gives the vector of a text, for `Matching.vector_field`.
    """

    columns: tuple[str, ...] = ()
    encoder: Callable[[str], Sequence[float]] | None = None


@dataclass(frozen=True)
class Matched:
    """Hold what one query asks of the server, before order and size.

    Attributes:
        body: What the search says of matching.
        tagged: The filters, named by field.
        scored: Whether scores order what is found.
    """

    body: Mapping[str, Any]
    tagged: Sequence[str]
    scored: bool

    def counting(self, facets: Mapping[str, Any]) -> dict[str, Any]:
        """Return the search that counts over all that matches and returns none of it."""
        own = [one for one in self.body["filter"][: -len(self.tagged) or None]]
        filters = [*own, *self.tagged] if self.tagged else own
        return {**self.body, "filter": filters, "limit": 0, "facet": dict(facets)}


@dataclass(frozen=True)
class Searcher:
    """Send searches to one index and read the answers.

    Attributes:
        index: The index.
        clauses: Writes what must match.
        fields: What holds the schema's fields.
        documents: The catalogue.
        total_cap: Up to which number matches are counted.
        timeout_s: How long a request may take that has no deadline.
        template: The search of a team's own, if there is one.
        columns: The fields of the schema whose values come along.
    """

    index: SolrIndex
    clauses: ClauseWriter
    fields: IndexFields
    documents: Documents
    total_cap: int
    timeout_s: float
    template: Template | None = None
    columns: tuple[str, ...] = ()

    @cached_property
    def _shape(self) -> type[Found[Hit]]:
        """What is read of each hit."""
        if not self.columns:
            return Found[Hit]
        places = [(_column(at), Any, None) for at in range(len(self.columns))]
        wide: Any = msgspec.defstruct("WideHit", places, bases=(Hit,))
        shape: type[Found[Hit]] = Found[wide]
        return shape

    def matched(self, query: Query, asked: Asked, only: Sequence[str] | None) -> Matched | None:
        """Return what a query asks; None if nothing can match.

        Raises:
            QueryError: If the index has not a field that is filtered.
        """
        if self.template is not None and query.text.strip():
            found = self.clauses.filtered(query.filters, only)
            text = cleaned(query.text[:MAX_QUERY_CHARS])
            body = self.template.filled(text, found.queries, found.params)
            if asked.match_all:
                body = {**body, "query": {"bool": {"must": "*:*^=0", "should": _query_of(body)}}}
            return Matched(body, found.tagged, True)
        found = self.clauses.retrieval(
            query.text,
            query.filters,
            minimum_match=asked.minimum_match,
            only=only,
            match_all=asked.match_all,
        )
        if found.score is None:
            return None
        return Matched(_body(found), found.tagged, found.score != "+*:*^=0")

    def nearest(
        self,
        vector: Sequence[float],
        path: str,
        query: Query,
        size: int,
        only: Sequence[str] | None,
    ) -> Matched:
        """Return what asks for the documents that lie nearest a vector and pass the filters."""
        found = self.clauses.filtered(query.filters, only)
        params = {**found.params, "vector": f"[{','.join(map(repr, map(float, vector)))}]"}
        body = {
            "query": f"{{!knn f={path} topK={size} v=$vector}}",
            "filter": found.queries,
            "params": params,
        }
        return Matched(body, found.tagged, True)

    def listing(self, one: Matched | None, size: int, asked: Asked, deadline: Deadline) -> Listing:
        """Return the first hits of a query, and how many there are.

        Raises:
            EngineError: If the server fails.
            DeadlineError: If the time is up.
        """
        if one is None:
            return NOTHING
        found = self._asked(one, size, asked, deadline, with_ids=not self.index.ours)
        if self.index.ours and bool((found.rows == UNKNOWN).any()):
            found = self._asked(one, size, asked, deadline, with_ids=True)
        return found

    def facets(self, one: Matched | None, asked: Asked, deadline: Deadline) -> Facets:
        """Return the most frequent values of each facet, counted without its own filter."""
        counted: dict[str, tuple[FacetValue, ...]] = dict.fromkeys(asked.facets, ())
        if one is None or asked.facet_size == 0:
            return counted
        wanted = {
            name: {
                "type": "terms",
                "field": held_by(self.fields, name)[0].path,
                "limit": asked.facet_size,
                "overrequest": OVERREQUEST,
                "refine": True,
                "domain": {"excludeTags": name},
            }
            for name in asked.facets
        }
        found = self.index.search(one.counting(wanted), Found[Hit], self._seconds(deadline))
        for name in asked.facets:
            buckets = found.facets.get(name, {}).get("buckets", ())
            values = (FacetValue(_text(bucket["val"]), int(bucket["count"])) for bucket in buckets)
            counted[name] = tuple(sorted(values, key=lambda value: (-value.count, value.value)))
        return counted

    def _asked(
        self, one: Matched, size: int, asked: Asked, deadline: Deadline, *, with_ids: bool
    ) -> Listing:
        by_score = one.scored and asked.sort is None
        body = {**one.body, "limit": size, "sort": self._sort(one, asked)}
        names = [ROW_FIELD] if self.index.ours else []
        if with_ids:
            key = self.clauses.key
            names.append(ID_FIELD if self.index.ours else f"{ID_FIELD}:{key}")
        paths = [held_by(self.fields, name)[0] for name in self.columns]
        names += [f"{_column(at)}:{held.path}" for at, held in enumerate(paths)]
        if by_score:
            names.append("score")
            body["params"] = {**body.get("params", {}), "minExactCount": str(self.total_cap)}
        body["fields"] = names
        response = self.index.search(body, self._shape, self._seconds(deadline)).response
        hits = response.docs
        ids = [hit.cascade_id for hit in hits] if with_ids else []
        if self.index.ours:
            rows = np.array([hit.cascade_row for hit in hits], dtype=np.int32)
            # What came into the index after the catalogue was read has no row in it either.
            rows[rows >= len(self.documents)] = UNKNOWN
        else:
            rows = self.documents.rows(ids) if ids else NOTHING.rows
        scores = np.zeros(len(hits), dtype=np.float32)
        if by_score:
            scores = np.array([hit.score for hit in hits], dtype=np.float32)
        total = Total(response.numFound, "eq" if response.numFoundExact else "gte")
        columns = {
            f"engine_{name}": np.array(
                [_number(getattr(hit, _column(at))) for hit in hits], dtype=np.float32
            )
            for at, name in enumerate(self.columns)
        }
        return Listing(rows, scores, total, ids, columns)

    def _sort(self, one: Matched, asked: Asked) -> str:
        tie = f"{ROW_FIELD if self.index.ours else self.clauses.key} asc"
        if asked.sort is None:
            return f"score desc,{tie}" if one.scored else tie
        path = held_by(self.fields, asked.sort.field)[0].path
        order = f"{path} {'desc' if asked.sort.descending else 'asc'},{tie}"
        # Types of ours put documents without a value last; those of others may not.
        return order if self.index.ours else f"exists({path}) desc,{order}"

    def _seconds(self, deadline: Deadline) -> float | None:
        left_ms = deadline.left_ms()
        if left_ms <= 0:
            raise DeadlineError(f"the deadline passed before {self.index.name!r} was asked")
        return None if left_ms >= self.timeout_s * 1000 else left_ms / 1000


def _body(found: Clauses) -> dict[str, Any]:
    return {"query": found.score, "filter": found.queries, "params": dict(found.params)}


def _query_of(body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
    """Return what a template's search asks, wherever it says it."""
    return body["query"] if "query" in body else f"{{!{body['params']['defType']} v=$q}}"


def _column(at: int) -> str:
    return f"column_{at}"


def _number(value: Any) -> float:  # noqa: ANN401 - a JSON value
    """Return a number, or the seconds of a date; of several values the first."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return math.nan if value is None else float(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
