"""The engine of an index on Solr."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cascade.candidates import Documents, Query
from cascade.engines._server.facets import in_time
from cascade.engines._server.fields import IndexFields
from cascade.engines._server.fusion import fused
from cascade.engines._server.listing import Listing, candidates_of
from cascade.engines._solr.client import KIND, SolrClient
from cascade.engines._solr.fields import fields_of_index, fields_of_managed, key_of
from cascade.engines._solr.index import Found, Hit, SolrIndex
from cascade.engines._solr.pages import Pages
from cascade.engines._solr.query import ClauseWriter
from cascade.engines._solr.search import Matched, Searcher, View
from cascade.engines._solr.template import Template
from cascade.engines._solr.writer import apply_changes
from cascade.engines.asking import Words, check_asked, check_highlight, cleaned
from cascade.engines.connection import Matching
from cascade.errors import (
    CascadeError,
    ConfigError,
    DeadlineError,
    DocumentError,
    EngineError,
    nearest,
)
from cascade.hosting import Change
from cascade.protocols import (
    NEVER,
    Asked,
    Capability,
    Deadline,
    PageDocument,
    Retrieval,
)
from cascade.schema import Document, Kind, Schema

_ASKED, _MATCHING, _VIEW = Asked(), Matching(), View()
_ALWAYS = frozenset(
    {
        *(Capability.FACETS, Capability.HIGHLIGHT, Capability.SORT),
        *(Capability.PHRASES, Capability.TYPOS, Capability.TEMPLATE),
        Capability.DOC_VALUES,
    }
)


class SolrEngine:
    """Search one core or collection; any number of threads may.

    Args:
        client: The server; closed with the engine.
        index: The index.
        schema: The fields; its boosts are those of retrieval.
        documents: The catalogue; its schema holds the synonyms of the build.
        matching: What a text must match and what that counts. An index of ours holds our own
            terms, so there the text is always analysed here.
        view: What is read besides.

    Raises:
        NotFoundError: If there is no such index.
        ConfigError: If the template or the vector field cannot be used, or the index holds none
            of the fields.
        EngineError: If the server fails.
    """

    def __init__(
        self,
        client: SolrClient,
        index: SolrIndex,
        schema: Schema,
        documents: Documents,
        matching: Matching = _MATCHING,
        view: View = _VIEW,
    ) -> None:
        self._client = client
        self._index = index
        self._schema = schema
        self._documents = documents
        self._matching = matching
        self._view = view
        self._encoder = view.encoder
        self._words = Words.of(schema, documents.schema)
        held = fields_of_managed if index.ours else fields_of_index
        self._fields: IndexFields = held(index, schema)
        self._template = None if matching.template is None else Template.parse(matching.template)
        self._check_fields()
        key = "id" if index.ours else matching.id_field or key_of(index)
        clauses = ClauseWriter(self._words, self._fields, matching, key, index.ours, index.always)
        self._searcher = Searcher(
            index=index,
            clauses=clauses,
            fields=self._fields,
            documents=documents,
            total_cap=matching.total_cap,
            timeout_s=client.timeout_s,
            template=self._template,
            columns=view.columns,
        )
        self._pages = Pages(index, clauses, schema, self._words)
        self._threads = ThreadPoolExecutor(client.pool, "cascade-solr")
        self._closed = False

    @property
    def kind(self) -> str:
        """The engine's name in configuration."""
        return KIND

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this index can do, as it is searched."""
        able = set(_ALWAYS)
        if self._template is None:
            able.add(Capability.MINIMUM_MATCH)
        if self._index.ours:
            able.add(Capability.UPDATE)
        if self._vector_path is not None:
            able.add(Capability.VECTORS)
        return frozenset(able)

    def retrieve(
        self,
        queries: Sequence[Query],
        size: int,
        asked: Asked = _ASKED,
        deadline: Deadline = NEVER,
    ) -> Retrieval:
        """Return up to `size` (>= 0) candidates for each query, with totals and facets.

        Ordered by (score descending, row ascending), or by `asked.sort` with scores of 0; an
        index of others by (score descending, id ascending). Several queries go side by side, and
        so do facets, which are left out, with a line in `missing`, if they are not there just
        before the deadline.

        Raises:
            QueryError: If the size, a facet or the sort field cannot be used.
            NotFoundError: If the index is gone.
            EngineError: If the server fails.
            DeadlineError: If it does not answer before the deadline.
        """
        self._check_open()
        check_asked(self._schema, queries, size, asked)
        if queries and deadline.left_ms() <= 0:
            raise DeadlineError(
                f"the deadline passed before query 1 of {len(queries)} was retrieved"
            )
        asks = [self._ask(query, i, asked) for i, query in enumerate(queries)]
        counting = [
            self._threads.submit(self._searcher.facets, one.text, asked, deadline)
            for one in (asks if asked.facets else ())
        ]
        try:
            listings = self._listings(asks, size, asked, deadline)
        except BaseException:
            for future in counting:
                future.cancel()
            raise
        counted = [in_time(one, {}, deadline) for one in counting]
        return Retrieval(
            candidates=candidates_of(queries, listings, self._documents),
            totals=tuple(found.total for found in listings),
            facets=tuple(facets for facets, _ in counted),
            missing=tuple(dict.fromkeys(why for _, why in counted if why)),
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
        wanted = list(dict.fromkeys(map(cleaned, ids)))
        if not wanted:
            return []
        pages = self._pages.found(query, wanted, fields, highlight)
        return [pages.get(cleaned(doc_id)) for doc_id in ids]

    def upsert(self, documents: Sequence[Document]) -> None:
        """Put documents in place of those with the same ids; seen after `refresh`.

        A document that the catalogue knows keeps its row.

        Raises:
            DocumentError: If the server refuses one for what it is.
            EngineError: If they cannot be written.
        """
        rows = self._documents.rows([document.id for document in documents]).tolist()
        self._change(
            [
                Change(document.id, row, document)
                for row, document in zip(rows, documents, strict=True)
            ]
        )

    def delete(self, ids: Sequence[str]) -> None:
        """Take documents away; seen after `refresh`. Unknown ids change nothing.

        Raises:
            EngineError: If it cannot be written.
        """
        self._change([Change(doc_id) for doc_id in ids])

    def refresh(self) -> None:
        """Let all updates be seen by every retrieval that begins after this call.

        Raises:
            EngineError: If the server fails.
        """
        self._check_open()
        self._index.commit(soft=True)

    def healthy(self) -> bool:
        """Return whether the index answers with every part of it."""
        try:
            self._check_open()
            body = {"query": "*:*", "limit": 0, "filter": self._index.own_filters}
            self._index.search({**body, "params": self._index.own_params}, Found[Hit])
        except CascadeError:
            return False
        return True

    def close(self) -> None:
        """Let go of the connections; what is under way may still fail."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    @property
    def _vector_path(self) -> str | None:
        name = self._matching.vector_field
        held = self._fields.get(name, ()) if name is not None else ()
        return held[0].path if held and self._encoder is not None else None

    def _check_fields(self) -> None:
        names = [spec.name for spec in self._words.fields]
        if self._template is None and not any(self._fields[name] for name in names):
            problem = f"the index {self._index.name!r} holds none of the searched fields"
            raise ConfigError(self._schema.source, [f"{problem} {', '.join(names)}"])
        numbers = {spec.name for spec in self._schema.of_kind(Kind.NUMBER, Kind.DATE)}
        problems = [
            f"{name}: is no number or date field, so it can be no column; " + nearest(name, numbers)
            for name in self._view.columns
            if name not in numbers
        ]
        problems += [
            f"{name}: the index {self._index.name!r} has no field that holds it"
            for name in [*self._view.columns, *filter(None, [self._matching.vector_field])]
            if not self._fields.get(name)
        ]
        if problems:
            raise ConfigError("engine", problems)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed; open it again")

    def _ask(self, query: Query, place: int, asked: Asked) -> _Ask:
        only = None if asked.only is None else asked.only[place]
        return _Ask(query, only, self._searcher.matched(query, asked, only))

    def _listings(
        self, asks: Sequence[_Ask], size: int, asked: Asked, deadline: Deadline
    ) -> list[Listing]:
        if len(asks) == 1:
            return [self._listing(asks[0], size, asked, deadline)]
        under_way = [
            self._threads.submit(self._listing, one, size, asked, deadline) for one in asks
        ]
        try:
            return [one.result() for one in under_way]
        finally:
            for one in under_way:
                one.cancel()

    def _listing(self, one: _Ask, size: int, asked: Asked, deadline: Deadline) -> Listing:
        found = self._searcher.listing(one.text, size, asked, deadline)
        path = self._vector_path
        scored = one.text is not None and one.text.scored
        if path is None or not scored or asked.sort is not None or size == 0:
            return found
        assert self._encoder is not None
        vector = self._encoder(one.query.text)
        near = self._searcher.nearest(vector, path, one.query, size, one.only)
        return fused(found, self._searcher.listing(near, size, asked, deadline), size)

    def _change(self, changes: Sequence[Change]) -> None:
        self._check_open()
        rejected = apply_changes(self._index, self._schema, changes)
        if rejected:
            first = rejected[0]
            raise DocumentError(
                f"{self._index.name!r} refused {len(rejected)} of {len(changes)} documents; the "
                f"first, {first.doc_id!r}: {first.reason}"
            )


@dataclass(frozen=True, slots=True)
class _Ask:
    """Hold one query of a retrieval; `text` is None if nothing can match."""

    query: Query
    only: Sequence[str] | None
    text: Matched | None
