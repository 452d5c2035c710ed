"""The documents of a page: fields as they were given, and highlights, from a stored index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from cascade.candidates import Query
from cascade.engines._rest.answers import Hit, page_of
from cascade.engines._rest.client import RestClient
from cascade.engines._rest.index import at
from cascade.engines._rest.query import QueryWriter, shown
from cascade.engines._rest.search import View
from cascade.engines._server.pages import page_document
from cascade.hosting import RAW_FIELD
from cascade.protocols import PageDocument
from cascade.schema import Schema

_BAD = frozenset({400})
_PARAMS = {"filter_path": "hits.hits._id,hits.hits._source,hits.hits.fields,timed_out,error"}


class Pages:
    """Read documents by id from one index.

    Args:
        client: The server.
        name: The index.
        schema: The fields.
        queries: Writes the query of ids under filters.
        view: How the index is read.
    """

    def __init__(
        self, client: RestClient, name: str, schema: Schema, queries: QueryWriter, view: View
    ) -> None:
        self._client = client
        self._name = name
        self._schema = schema
        self._queries = queries
        self._view = view
        self._tells_vectors = not view.managed and client.kind == "elasticsearch"

    def read(
        self,
        query: Query,
        ids: Sequence[str],
        fields: Sequence[str] | None,
        highlight: Sequence[str],
    ) -> dict[str, PageDocument]:
        """Return the documents, by id, that are there and pass the query's filters.

        Raises:
            EngineError: If the server fails.
        """
        terms = {name: self._queries.words.terms(name, query.text) for name in highlight}
        analysers = self._queries.words.analysers
        pages: dict[str, PageDocument] = {}
        for hit in self._stored(query, ids):
            doc_id, raw = self._raw(hit)
            pages[doc_id] = page_document(raw, fields, terms, self._schema, analysers)
        return pages

    def _stored(self, query: Query, ids: Sequence[str]) -> list[Hit]:
        """Return the stored documents that still pass the filters."""
        body: dict[str, Any] = {
            "query": self._queries.page(ids, query.filters),
            "size": len(ids),
            "track_total_hits": False,
            "_source": shown(self._view.managed, self._tells_vectors),
        }
        if self._view.id_field is not None:
            body["docvalue_fields"] = [self._view.id_field]
        path = f"{at(self._name)}/_search"
        allow = _BAD if self._tells_vectors else frozenset[int]()
        answer = self._client.request(
            "POST", path, params=_PARAMS, body=msgspec.json.encode(body), allow=allow
        )
        if answer.status in _BAD:
            # A server before 9.2, which gives vectors without being told.
            self._tells_vectors = False
            return self._stored(query, ids)
        return page_of(answer).hits.hits

    def _raw(self, hit: Hit) -> tuple[str, dict[str, Any]]:
        """Return a hit's id and its document as it was given."""
        source: dict[str, Any] = json.loads(bytes(hit.source)) or {}
        if self._view.managed:
            return hit.id, source.get(RAW_FIELD) or {}
        path = self._view.id_field
        doc_id = hit.id if path is None else str(hit.fields.get(path, (hit.id,))[0])
        return doc_id, {self._schema.id: doc_id, **source}
