"""The embedded engine: a tantivy index in a folder, searched within the process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import tantivy

from cascade.candidates import UNKNOWN, Candidates, Documents, Query
from cascade.engines._embedded.index import (
    ID,
    NO_ROW,
    ROW,
    SOURCE,
    count_of,
    failing,
    index_document,
    is_in_row_order,
    open_index,
    open_updates,
    row_ranges,
    source_of,
    stamp_of,
    stored,
    was_updated,
)
from cascade.engines._embedded.order import NOTHING, Found, Snapshot, first
from cascade.engines._embedded.query import QueryWriter, count_facets
from cascade.engines.asking import (
    Words,
    check_asked,
    check_highlight,
    cleaned,
    facet_groups,
    searched_fields,
)
from cascade.engines.highlight import highlighted
from cascade.errors import ChecksumError, DeadlineError, EngineError
from cascade.protocols import (
    NEVER,
    Asked,
    Capability,
    Deadline,
    FacetValue,
    PageDocument,
    Retrieval,
    Total,
)
from cascade.schema import Document, Schema

_ASKED = Asked()
_CAPABILITIES = frozenset(
    {
        Capability.FACETS,
        Capability.HIGHLIGHT,
        Capability.SORT,
        Capability.MINIMUM_MATCH,
        Capability.UPDATE,
    }
)


class EmbeddedEngine:
    """Search one index; any number of threads may read while one updates.

    Args:
        folder: What an `EmbeddedWriter` has finished.
        schema: What documents look like; its boosts are those of retrieval.
        documents: The catalogue of the same build; its schema holds the synonyms of that build.

    Raises:
        NotFoundError: If there is no index.
        ChecksumError: If it is half-written, damaged, or of another build than `documents`.
    """

    def __init__(self, folder: Path, schema: Schema, documents: Documents) -> None:
        self._folder = folder
        self._schema = schema
        self._documents = documents
        self._stamp = stamp_of(folder)
        self._index = open_index(folder, schema)
        self._snapshot = Snapshot(
            self._index.searcher(), is_in_row_order(row_ranges(folder, self._index))
        )
        self._words = Words.of(schema, documents.schema)
        self._queries = QueryWriter(schema, self._index.schema, self._words)
        self._searched = frozenset(field.name for field in searched_fields(schema))
        self._lock = threading.Lock()
        self._writer: tantivy.IndexWriter | None = None
        self._closed = False
        self._check_rows()

    @property
    def kind(self) -> str:
        """The engine's name in configuration."""
        return "embedded"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the index in the process can do."""
        return _CAPABILITIES

    def retrieve(
        self,
        queries: Sequence[Query],
        size: int,
        asked: Asked = _ASKED,
        deadline: Deadline = NEVER,
    ) -> Retrieval:
        """Return up to `size` (>= 0) candidates for each query, with totals and facets.

        Ordered by (score descending, row ascending), or by `asked.sort` with scores of 0.

        Raises:
            QueryError: If the size, a facet or the sort field cannot be used.
            EngineError: If the index fails, or the deadline has passed before a query begins; a
                query that has begun is not interrupted.
        """
        check_asked(self._schema, queries, size, asked)
        snapshot = self._open_snapshot()
        listings: list[Found] = []
        facets = []
        for i, query in enumerate(queries):
            if deadline.left_ms() <= 0:
                raise DeadlineError(
                    f"the deadline passed before query {i + 1} of {len(queries)} was retrieved"
                )
            only = None if asked.only is None else asked.only[i]
            with failing("retrieve"):
                text = self._queries.text(query.text, asked.minimum_match)
                whole = self._queries.whole(text, query.filters, asked, only)
                order = asked.sort or (ROW if text is None else None)
                listings.append(NOTHING if whole is None else first(snapshot, whole, size, order))
                if asked.facets:
                    facets.append(self._facets(snapshot.searcher, query, text, asked, only))
        return Retrieval(
            candidates=self._candidates(snapshot.searcher, queries, listings),
            totals=tuple(Total(found.total) for found in listings),
            facets=tuple(facets),
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
            EngineError: If the index fails.
        """
        check_highlight(self._schema, highlight)
        searcher = self._open_snapshot().searcher
        wanted = [cleaned(doc_id) for doc_id in ids]
        if not wanted:
            return []
        terms = {name: self._words.terms(name, query.text) for name in highlight}
        pages: dict[str, PageDocument] = {}
        with failing("fetch"):
            page = self._queries.page(wanted, query.filters)
            for _, address in searcher.search(page, len(set(wanted)), count=False).hits:
                found = searcher.doc(address)
                pages[stored(found, ID)] = self._page(stored(found, SOURCE), fields, terms)
        return [pages.get(doc_id) for doc_id in wanted]

    def upsert(self, documents: Sequence[Document]) -> None:
        """Put documents in place of those with the same ids; seen after `refresh`.

        A document that the catalogue knows keeps its row.

        Raises:
            EngineError: If they cannot be written.
        """
        rows = self._documents.rows([document.id for document in documents]).tolist()
        with self._lock, failing("upsert"):
            writer = self._updating()
            for row, document in zip(rows, documents, strict=True):
                tokens = {
                    name: self._words.analysers[name].tokens_of(values)
                    for name, values in document.texts.items()
                }
                known = None if row == UNKNOWN else row
                writer.delete_documents_by_term(ID, document.id)
                writer.add_document(index_document(self._searched, known, document, tokens))

    def delete(self, ids: Sequence[str]) -> None:
        """Take documents away; seen after `refresh`. Unknown ids change nothing.

        Raises:
            EngineError: If it cannot be written.
        """
        with self._lock, failing("delete"):
            writer = self._updating()
            for doc_id in ids:
                writer.delete_documents_by_term(ID, cleaned(doc_id))

    def refresh(self) -> None:
        """Make all updates durable, and seen by every retrieval that begins after this call.

        Raises:
            EngineError: If they cannot be written.
        """
        self._open_snapshot()
        with self._lock, failing("refresh"):
            if self._writer is None:
                return
            self._writer.commit()
            self._reload()

    def reload(self) -> None:
        """Let retrievals that begin after this call see what other processes have written.

        A retrieval does this by itself when the index says that it has changed.

        Raises:
            EngineError: If the index cannot be read.
        """
        with self._lock, failing("reload"):
            self._reload()

    def _reload(self) -> None:
        stamp = stamp_of(self._folder)
        self._index.reload()
        searcher = self._index.searcher()
        self._snapshot = Snapshot(searcher, in_row_order=searcher.num_segments == 1)
        self._stamp = stamp

    def healthy(self) -> bool:
        """Return whether the index answers."""
        try:
            snapshot = self._open_snapshot()
            with failing("answer"):
                snapshot.searcher.search(tantivy.Query.all_query(), 1, count=False)
        except EngineError:
            return False
        return True

    def close(self) -> None:
        """Let go of the index; updates that were not refreshed are lost."""
        with self._lock:
            self._closed = True
            if self._writer is not None:
                with failing("close"):
                    self._writer.wait_merging_threads()
                self._writer = None

    def _open_snapshot(self) -> Snapshot:
        if self._closed:
            raise EngineError("the engine is closed; open it again")
        stamp = stamp_of(self._folder)
        if stamp not in (None, self._stamp) and self._lock.acquire(blocking=False):
            try:
                # Files may go while they are read anew; the state before is as good until then.
                with suppress(EngineError), failing("reload"):
                    self._reload()
            finally:
                self._lock.release()
        return self._snapshot

    def _updating(self) -> tantivy.IndexWriter:
        self._open_snapshot()
        if self._writer is None:
            self._writer = open_updates(self._folder, self._index)
        return self._writer

    def _check_rows(self) -> None:
        if was_updated(self._folder):
            return  # rows that came later may be ahead of the columns of this process
        with failing("open"):
            beyond = tantivy.Query.range_query(
                self._index.schema,
                ROW,
                tantivy.FieldType.Unsigned,
                lower_bound=len(self._documents),
                upper_bound=NO_ROW,
                include_upper=False,
            )
            many = count_of(self._snapshot.searcher.search(beyond, 1))
        if many:
            raise ChecksumError(
                f"the index in {self._folder} has {many} documents beyond the "
                f"{len(self._documents)} rows of its catalogue; build the index again"
            )

    def _facets(
        self,
        searcher: tantivy.Searcher,
        query: Query,
        text: tantivy.Query | None,
        asked: Asked,
        only: Sequence[str] | None,
    ) -> dict[str, tuple[FacetValue, ...]]:
        counted: dict[str, tuple[FacetValue, ...]] = dict.fromkeys(asked.facets, ())
        if asked.facet_size == 0:
            return counted
        for filters, fields in facet_groups(asked.facets, query.filters).items():
            whole = self._queries.whole(text, filters, asked, only)
            if whole is not None:
                counted |= count_facets(searcher, whole, fields, asked.facet_size)
        return counted

    def _candidates(
        self, searcher: tantivy.Searcher, queries: Sequence[Query], listings: Sequence[Found]
    ) -> Candidates:
        lengths = [len(found.rows) for found in listings]
        rows = np.concatenate([NOTHING.rows, *(found.rows for found in listings)])
        rows = np.where(rows < len(self._documents), rows, np.int32(UNKNOWN))
        scores = np.concatenate([NOTHING.scores, *(found.scores for found in listings)])
        ranks = [np.arange(1, n + 1, dtype=np.float32) for n in lengths]
        doc_ids = None
        unknown = np.flatnonzero(rows == UNKNOWN)
        if len(unknown):
            addresses = [address for found in listings for address in found.addresses]
            doc_ids = np.array(self._documents.ids(rows), dtype=object)
            with failing("retrieve"):
                for at in unknown.tolist():
                    doc_ids[at] = stored(searcher.doc(addresses[at]), ID)
        return Candidates(
            queries=tuple(queries),
            offsets=np.cumsum([0, *lengths]).astype(np.int64),
            rows=rows,
            scores=scores,
            documents=self._documents,
            columns={
                "engine_score": scores,
                "engine_rank": np.concatenate([NOTHING.scores, *ranks]),
            },
            doc_ids=doc_ids,
        )

    def _page(
        self,
        source: bytes,
        fields: Sequence[str] | None,
        terms: Mapping[str, Sequence[str]],
    ) -> PageDocument:
        raw = source_of(source)
        shown = raw if fields is None else {name: raw[name] for name in fields if name in raw}
        if not terms:
            return PageDocument(shown)
        texts = self._schema.document(raw).texts
        marked = {}
        for name, found in terms.items():
            fragment = highlighted(texts.get(name, ()), found, self._words.analysers[name])
            if fragment is not None:
                marked[name] = fragment
        return PageDocument(shown, marked)
