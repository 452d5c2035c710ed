"""The documents of a page, as they were given, with their matches marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cascade.candidates import Query
from cascade.engines._server.pages import page_document
from cascade.engines._solr.index import Found, Hit, Plain, SolrIndex
from cascade.engines._solr.query import ClauseWriter
from cascade.engines.asking import Words
from cascade.hosting import ID_FIELD, RAW_FIELD
from cascade.protocols import PageDocument
from cascade.schema import Schema


@dataclass(frozen=True)
class Pages:
    """Read documents of one index by id.

    Attributes:
        index: The index.
        clauses: Writes what must match.
        schema: The fields.
        words: Finds the words of a text.
    """

    index: SolrIndex
    clauses: ClauseWriter
    schema: Schema
    words: Words

    def found(
        self,
        query: Query,
        ids: Sequence[str],
        fields: Sequence[str] | None,
        highlight: Sequence[str],
    ) -> dict[str, PageDocument]:
        """Return by id those documents that still pass the query's filters."""
        terms = {name: self.words.terms(name, query.text) for name in highlight}
        analysers = self.words.analysers
        return {
            doc_id: page_document(raw, fields, terms, self.schema, analysers)
            for doc_id, raw in self._stored(query, ids)
        }

    def _stored(self, query: Query, ids: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
        key = self.clauses.key
        found = self.clauses.page(ids, query.filters)
        body = {
            "query": found.score,
            "filter": found.queries,
            "params": dict(found.params),
            "limit": len(ids),
        }
        if self.index.ours:
            # `id` is stored, as the text is; the copy in doc values would be a second place.
            body["fields"] = [f"{ID_FIELD}:{key}", RAW_FIELD]
            hits = self.index.search(body, Found[Hit]).response.docs
            return [(hit.cascade_id, json.loads(hit.cascade_raw)) for hit in hits]
        body["fields"] = "*"
        plain = self.index.search(body, Found[Plain]).response.docs
        shown = [{k: v for k, v in one.items() if k != "_version_"} for one in plain]
        return [(str(one[key]), {self.schema.id: one[key], **one}) for one in shown]
