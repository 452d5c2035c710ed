"""The engine of an index on Elasticsearch or OpenSearch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import orjson

from cascade.candidates import Documents, Query
from cascade.engines._rest.bulk import BulkSender, delete_action, index_action, refusal
from cascade.engines._rest.client import RestClient
from cascade.engines._rest.facets import FacetCounter
from cascade.engines._rest.index import at
from cascade.engines._rest.pages import Pages
from cascade.engines._rest.query import Matched, QueryWriter
from cascade.engines._rest.search import Searcher, View, opened, with_id_field
from cascade.engines._rest.template import Template
from cascade.engines._server.facets import in_time
from cascade.engines._server.fields import fields_of_others, fields_of_ours
from cascade.engines._server.fusion import fused
from cascade.engines._server.listing import Listing, candidates_of
from cascade.engines.asking import Words, check_asked, check_highlight
from cascade.engines.connection import Matching
from cascade.engines.mappings import document_elasticsearch
from cascade.errors import (
    CascadeError,
    ConfigError,
    DeadlineError,
    DocumentError,
    EngineError,
    QueryError,
)
from cascade.hosting import BulkOptions
from cascade.protocols import (
    NEVER,
    Asked,
    Capability,
    Deadline,
    Facets,
    PageDocument,
    Retrieval,
)
from cascade.schema import Document, Schema

MAX_SIZE = 10_000
"""How many hits a server gives at most, unless its `index.max_result_window` was raised."""
CHUNK = 50
"""How many queries go in one request."""

_ASKED = Asked()
_MATCHING = Matching()
_VIEW = View()
_ALWAYS = frozenset(
    {
        *(Capability.FACETS, Capability.HIGHLIGHT, Capability.SORT, Capability.TYPOS),
        *(Capability.PHRASES, Capability.TEMPLATE, Capability.NAMED_QUERIES),
        Capability.DOC_VALUES,
    }
)


class RestEngine:
    """Search one index of an Elasticsearch or OpenSearch server; any number of threads may.

    Args:
        client: The server; closed with the engine.
        index_name: The concrete index, or for an index of others its name or alias.
        schema: The fields; its boosts are those of retrieval.
        documents: The catalogue; its schema holds the synonyms of the build.
        matching: What a text must match and what that counts.
        view: How the index is read.

    Raises:
        NotFoundError: If there is no such index.
        ConfigError: If the template, a column or the vector field cannot be used.
        EngineError: If the server fails.
    """

    def __init__(
        self,
        client: RestClient,
        index_name: str,
        schema: Schema,
        documents: Documents,
        matching: Matching = _MATCHING,
        view: View = _VIEW,
    ) -> None:
        self._client = client
        self._name = index_name
        self._schema = schema
        self._documents = documents
        self._matching = matching
        shards, properties = opened(client, index_name, mapping=not view.managed)
        if view.managed:
            fields = fields_of_ours(schema)
        else:
            fields = fields_of_others(schema, properties)
            view = with_id_field(view, schema, properties)
        self._view = view
        self._fields = fields
        template = None if matching.template is None else Template.parse(matching.template)
        words = Words.of(schema, documents.schema)
        if not view.managed and template is None and not any(fields[f.name] for f in words.fields):
            names = ", ".join(field.name for field in words.fields)
            problem = f"the index {index_name!r} holds none of the searched fields {names}"
            raise ConfigError(schema.source, [problem])
        self._queries = QueryWriter(words, fields, matching, view.id_field, template, view.named)
        self._searcher = Searcher(
            client=client,
            name=index_name,
            shards=shards,
            fields=fields,
            documents=documents,
            view=view,
            total_cap=matching.total_cap,
            names=self._names(template) if view.named else (),
            ordered=template is None or template.ordered,
        )
        self._check_columns()
        self._facets = FacetCounter(self._searcher, self._queries)
        self._pages = Pages(client, index_name, schema, self._queries, view)
        self._closed = False

    @property
    def kind(self) -> str:
        """The engine's name in configuration."""
        return self._client.kind

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this index can do, as it is searched."""
        able = set(_ALWAYS)
        if self._matching.template is None:
            able.add(Capability.MINIMUM_MATCH)
        if self._view.managed:
            able.add(Capability.UPDATE)
        if self._fuses:
            able.add(Capability.VECTORS)
        return frozenset(able)

    def retrieve(
        self,
        queries: Sequence[Query],
        size: int,
        asked: Asked = _ASKED,
        deadline: Deadline = NEVER,
    ) -> Retrieval:
        """Return up to `size` (0 to 10,000) candidates for each query, with totals and facets.

        Ordered by (score descending, row ascending), or by `asked.sort` with scores of 0; an
        index of others by (score descending, id ascending). Facets are counted at the same time
        and left out, with a line in `missing`, if they are not there just before the deadline.

        Raises:
            QueryError: If the size, a facet or the sort field cannot be used.
            NotFoundError: If the index is gone.
            EngineError: If the server fails.
            DeadlineError: If it does not answer before the deadline.
        """
        self._check_open()
        self._check(queries, size, asked)
        listings: list[Listing] = []
        facets: list[Facets] = []
        missing: dict[str, None] = {}
        for start in range(0, len(queries), CHUNK):
            part = range(start, min(start + CHUNK, len(queries)))
            if deadline.left_ms() <= 0:
                raise DeadlineError(
                    f"the deadline passed before query {start + 1} of {len(queries)} was retrieved"
                )
            chunk = [queries[i] for i in part]
            only = [None if asked.only is None else asked.only[i] for i in part]
            counting = self._facets.begin(chunk, only, asked, deadline) if asked.facets else None
            listings += self._listings(list(zip(chunk, only, strict=True)), size, asked, deadline)
            if counting is not None:
                nothing: list[Facets] = [{} for _ in chunk]
                counted, why = in_time(counting, nothing, deadline)
                facets += counted
                missing |= {why: None} if why else {}
        return Retrieval(
            candidates=candidates_of(queries, listings, self._documents),
            totals=tuple(found.total for found in listings),
            facets=tuple(facets),
            missing=tuple(missing),
        )

    def fetch(
        self,
        query: Query,
        ids: Sequence[str],
        fields: Sequence[str] | None = None,
        highlight: Sequence[str] = (),
    ) -> list[PageDocument | None]:
        """Return the page's documents in the order of `ids`, None for one that is gone.

        Raises:
            QueryError: If a field to highlight is no text field.
            EngineError: If the server fails.
        """
        self._check_open()
        check_highlight(self._schema, highlight)
        wanted = list(dict.fromkeys(ids))
        if len(wanted) > MAX_SIZE:
            raise QueryError(f"{len(wanted)} documents of a page; accepted are {MAX_SIZE}")
        if not wanted:
            return []
        pages = self._pages.read(query, wanted, fields, highlight)
        return [pages.get(doc_id) for doc_id in ids]

    def upsert(self, documents: Sequence[Document]) -> None:
        """Put documents in place of those with the same ids; seen after `refresh`.

        A document that the catalogue knows keeps its row.

        Raises:
            DocumentError: If the server refuses one for what it is.
            EngineError: If they cannot be written.
        """
        rows = self._documents.rows([document.id for document in documents]).tolist()
        actions = []
        for row, document in zip(rows, documents, strict=True):
            if why := refusal(document.id):
                raise DocumentError(f"document {document.id[:60]!r}: {why}")
            body = orjson.dumps(document_elasticsearch(row, document, self._schema))
            actions.append(index_action(document.id, row, body))
        self._send("upsert", actions)

    def delete(self, ids: Sequence[str]) -> None:
        """Take documents away; seen after `refresh`. Unknown ids change nothing.

        Raises:
            EngineError: If it cannot be written.
        """
        self._send("delete", [delete_action(doc_id) for doc_id in ids if not refusal(doc_id)])

    def refresh(self) -> None:
        """Let all updates be seen by every retrieval that begins after this call.

        Raises:
            EngineError: If the server fails.
        """
        self._check_open()
        self._client.request("POST", f"{at(self._name)}/_refresh")

    def healthy(self) -> bool:
        """Return whether the index answers with every part of it."""
        body = {"size": 0, "terminate_after": 1, "track_total_hits": False}
        try:
            self._check_open()
            self._searcher.pages([body], ["timed_out"], NEVER)
        except CascadeError:
            return False
        return True

    def close(self) -> None:
        """Let go of the connections; what is under way may still fail."""
        self._closed = True
        self._facets.close()
        self._client.close()

    @property
    def _fuses(self) -> bool:
        name = self._matching.vector_field
        return name is not None and self._view.encoder is not None and bool(self._fields.get(name))

    def _names(self, template: Template | None) -> list[str]:
        if template is not None:
            return template.names()
        return [field.name for field in self._queries.words.fields if self._fields[field.name]]

    def _check_columns(self) -> None:
        wanted = [*self._view.columns, *filter(None, [self._matching.vector_field])]
        problems = [
            f"{name}: the index {self._name!r} has no field that holds it"
            for name in wanted
            if not self._fields.get(name)
        ]
        if problems:
            raise ConfigError("engine", problems)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed; open it again")

    def _check(self, queries: Sequence[Query], size: int, asked: Asked) -> None:
        check_asked(self._schema, queries, size, asked)
        if size > MAX_SIZE:
            raise QueryError(f"size is {size}; accepted is 0 to {MAX_SIZE}, which a server gives")

    def _listings(
        self,
        queries: Sequence[tuple[Query, Sequence[str] | None]],
        size: int,
        asked: Asked,
        deadline: Deadline,
    ) -> list[Listing]:
        """Return what each query finds among the ids that it may find."""
        asks = [
            self._queries.matched(query.text, query.filters, asked, only) for query, only in queries
        ]
        if not self._fuses or asked.sort is not None or size == 0:
            return self._searcher.found(asks, size, asked, deadline)
        near = [
            self._near(query, size, only) if ask is not None and ask.scored else None
            for (query, only), ask in zip(queries, asks, strict=True)
        ]
        found = self._searcher.found([*asks, *near], size, asked, deadline)
        return [
            text if vector is None else fused(text, by_vector, size)
            for text, by_vector, vector in zip(
                found[: len(asks)], found[len(asks) :], near, strict=True
            )
        ]

    def _near(self, query: Query, size: int, only: Sequence[str] | None) -> Matched:
        assert self._view.encoder is not None
        near = self._queries.nearest(self._view.encoder(query.text), query.filters, size, only)
        return near.as_option() if self.kind == "elasticsearch" else near.as_query()

    def _send(self, doing: str, actions: Sequence[Any]) -> None:
        self._check_open()
        if not self._view.managed:
            raise EngineError(f"{self._name!r} belongs to others; {doing} where it is filled from")
        if not actions:
            return
        sender = BulkSender(self._client, self._name, BulkOptions(), threading.Event())
        rejected = sender.send(actions)
        if rejected:
            first = rejected[0]
            raise DocumentError(
                f"{self._name!r} refused {len(rejected)} of {len(actions)} documents; the first, "
                f"{first.doc_id!r}: {first.reason}"
            )
