"""Holding the indexes of a Solr: cores of a standalone server, collections of a SolrCloud."""

from __future__ import annotations

import json
import math
import re
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cascade.candidates import Documents
from cascade.engines._server.fields import DATES
from cascade.engines._server.sending import first_reasons
from cascade.engines._solr.client import KIND, SolrClient, reading
from cascade.engines._solr.collections import Collections
from cascade.engines._solr.cores import Cores
from cascade.engines._solr.engine import SolrEngine
from cascade.engines._solr.fields import give_fields, key_of, types_of_index
from cascade.engines._solr.index import Found, Hit, Marker, Plain, SolrIndex, T
from cascade.engines._solr.query import instant
from cascade.engines._solr.search import View
from cascade.engines._solr.writer import BatchSender, SolrBulkWriter, apply_changes, commands_of
from cascade.engines.connection import Connection, IndexShape, Matching
from cascade.engines.mappings import render_solr
from cascade.errors import CascadeError, DocumentError, EngineError, NotFoundError, RefusedError
from cascade.hosting import (
    ID_FIELD,
    RAW_FIELD,
    BulkOptions,
    Change,
    IndexState,
    Place,
)
from cascade.schema import Schema

BATCH = 1_000
ID_BATCH = 10_000
MAX_BATCH = 10_000
"""How many documents are read in one request at most, whatever was asked for."""
_BULK = BulkOptions()
_VIEW = View()


class SolrHost:
    """Make, fill, name, read and remove the indexes of one Solr.

    Indexes that it did not make itself are read and never changed.

    Args:
        connection: Where the server is; each engine has connections of its own.
        matching: What the engines that it opens match.
        shape: How new indexes are laid out.
    """

    _making = threading.Lock()

    def __init__(self, connection: Connection, matching: Matching, shape: IndexShape) -> None:
        self._connection = connection
        self._client = SolrClient(connection)
        self._matching = matching
        self._shape = shape
        self._found: Cores | Collections | None = None
        self._lock = threading.Lock()

    @property
    def kind(self) -> str:
        """The engine's name in configuration."""
        return KIND

    def create(self, place: Place, schema: Schema, about: Mapping[str, str]) -> None:
        """Make an empty core or collection with the schema's fields and the marker that it is ours.

        Raises:
            RefusedError: If there is one already, or it would change a configset that others use.
            EngineError: If the server refuses it.
        """
        holders = self._holders
        wanted = render_solr(schema, self._shape, about)
        if holders.target(place.name) is not None:
            raise RefusedError(
                f"{place.name!r} is on the server already; give another name, or drop it"
            )
        # Solr writes a shared configset's file without looking: a core must read it, and add to
        # it, before another does.
        with self._making:
            holders.make(place.name)
            try:
                index = self._index(place.name)
                give_fields(self._client, index.path, wanted)
                index.mark(Marker(place.name, uuid.uuid4().hex, about))
            except CascadeError:
                holders.remove(place.name)
                raise

    def open_writer(
        self, place: Place, schema: Schema, options: BulkOptions = _BULK
    ) -> SolrBulkWriter:
        """Return what fills an index that `create` made.

        Raises:
            NotFoundError: If there is none.
            RefusedError: If others made it.
        """
        index = self._own(place.name, "filled")
        stop = threading.Event()
        command = commands_of(index, schema)

        def complete(expected: int) -> None:
            count = index.commit_at_least(expected, stop)
            if stop.is_set():
                raise EngineError(f"filling {place.name!r} was stopped")
            if count != expected:
                raise EngineError(
                    f"{place.name!r} holds {count} documents, but {expected} were taken; are there "
                    "two with one id, or does another write into it?"
                )

        sender = BatchSender(index, options, stop)
        return SolrBulkWriter(sender, command, options, stop, complete)

    def state(self, place: Place) -> IndexState:
        """Return how an index stands, after a refresh.

        Raises:
            NotFoundError: If there is none.
        """
        index = self._index(place.name)
        if index.marker is None:
            documents, failed = index.count()
            return IndexState(documents, failed, self._holders.made(place.name))
        index.commit(soft=True)
        documents, failed = index.count()
        return IndexState(documents, failed, index.marker.identity, index.marker.about)

    def names(self, index: str) -> list[str]:
        """Return the concrete indexes `<index>-NNNNNN` that are there, sorted."""
        pattern = re.compile(re.escape(index) + r"-\d{6}\Z")
        return sorted(name for name in self._holders.concrete() if pattern.match(name))

    def drop(self, place: Place) -> None:
        """Remove an index; one that is not there is no error.

        Raises:
            RefusedError: If others made it.
        """
        try:
            self._own(place.name, "removed")
        except NotFoundError:
            return
        self._holders.remove(place.name)

    def target(self, alias: str) -> str | None:
        """Return the concrete index behind an alias, itself for the name of an index.

        Raises:
            RefusedError: If several are behind it.
        """
        found = self._holders.target(alias)
        if found is not None and "," in found:
            raise RefusedError(
                f"the alias {alias!r} stands for several collections ({found}); let it stand for "
                "one, or name one of them"
            )
        return found

    def point(self, alias: str, place: Place) -> None:
        """Let an alias name this index from one request to the next.

        Raises:
            RefusedError: If `alias` is the name of an index, if an index of others is concerned,
                or, on a standalone Solr, if the index has another alias.
            NotFoundError: If there is no such index.
        """
        if alias in self._holders.concrete():
            raise RefusedError(f"{alias!r} is an index and can be no alias; give another name")
        before = self.target(alias)
        if before is not None and before != place.name:
            self._own(before, f"taken off {alias!r}")
        self._own(place.name, f"pointed at by {alias!r}")
        if before != place.name:
            self._holders.point(alias, place.name)

    def documents(self, name: str, batch: int = BATCH) -> Iterator[list[Mapping[str, Any]]]:
        """Yield every document as it was given, by id; of an index of others what it stores.

        Raises:
            NotFoundError: If there is no such index.
        """
        index = self._index(name)
        if index.ours:
            for hits in _pages(index, Found[Hit], "id", RAW_FIELD, batch):
                yield [json.loads(hit.cascade_raw) for hit in hits]
        else:
            yield from _plain(index, batch)

    def changed_since(
        self, name: str, field: str, since: float
    ) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the documents whose date in `field` is `since` (seconds since 1970) or later.

        Those without one come as well, and all of them where the field is no date of the index.

        Raises:
            NotFoundError: If there is no such index.
        """
        index = self._index(name)
        if index.ours or types_of_index(index).get(field) not in DATES:
            yield from self.documents(name)
        else:
            late = f"{field}:[{instant(since, math.floor)} TO *]"
            yield from _plain(index, BATCH, [f"{late} (*:* -{field}:[* TO *])"])

    def ids(self, name: str, batch: int = ID_BATCH) -> Iterator[list[str]]:
        """Yield the id of every document.

        Raises:
            NotFoundError: If there is no such index.
        """
        index = self._index(name)
        if index.ours:
            for hits in _pages(index, Found[Hit], "id", ID_FIELD, batch):
                yield [hit.cascade_id for hit in hits]
        else:
            key = key_of(index)
            for found in _pages(index, Found[Plain], key, key, batch):
                yield [str(one[key]) for one in found]

    def apply(
        self, place: Place, schema: Schema, changes: Sequence[Change], *, refresh: bool = True
    ) -> None:
        """Apply changes in order; they are in the server's log when this returns.

        Raises:
            DocumentError: If the server refuses a document for what it is; the rest is applied.
            RefusedError: If others made the index.
            EngineError: If the server fails.
        """
        index = self._own(place.name, "changed")
        rejected = apply_changes(index, schema, changes)
        if changes and refresh:
            index.commit(soft=True)
        if rejected:
            raise DocumentError(
                f"{place.name!r} refused {len(rejected)} of {len(changes)} changes:"
                + first_reasons(rejected)
            )

    def engine(
        self,
        place: Place,
        schema: Schema,
        documents: Documents,
        view: View = _VIEW,
    ) -> SolrEngine:
        """Return an engine that searches this one index.

        Args:
            place: The index.
            schema: The fields, and their weights in retrieval.
            documents: The catalogue of the same build.
            view: What is read besides.

        Raises:
            NotFoundError: If there is no such index.
        """
        client = SolrClient(self._connection)
        holders = type(self._holders)(client, self._shape)
        try:
            index = SolrIndex(client, holders, place.name)
            return SolrEngine(client, index, schema, documents, self._matching, view)
        except CascadeError:
            client.close()
            raise

    def mapping(self, name: str) -> dict[str, Any]:
        """Return the schema of an index as Solr tells it, and the fields that documents made.

        Raises:
            NotFoundError: If there is no such index.
        """
        index = self._index(name)
        made = index.get("/admin/luke", numTerms="0").get("fields") or {}
        return {**index.get("/schema")["schema"], "made": made}

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    @property
    def _holders(self) -> Cores | Collections:
        with self._lock:
            if self._found is None:
                mode = self._client.json(reading("/admin/info/system")).get("mode")
                kind = Collections if mode == "solrcloud" else Cores
                self._found = kind(self._client, self._shape)
            return self._found

    def _index(self, name: str) -> SolrIndex:
        return SolrIndex(self._client, self._holders, name)

    def _own(self, name: str, what: str) -> SolrIndex:
        index = self._index(name)
        if not index.ours:
            raise RefusedError(
                f"{name!r} was not made by this system and is not {what}; do that where it is made"
            )
        return index


def _plain(
    index: SolrIndex, batch: int, filters: Sequence[str] = ()
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield what an index of others stores of the documents that pass some filters."""
    for found in _pages(index, Found[Plain], key_of(index), "*", batch, filters):
        yield [{k: v for k, v in one.items() if k != "_version_"} for one in found]


def _pages(
    index: SolrIndex,
    shape: type[Found[T]],
    key: str,
    fields: str,
    batch: int,
    filters: Sequence[str] = (),
) -> Iterator[list[T]]:
    """Yield what documents have of some fields, in the order of the ids."""
    mark = "*"
    while True:
        body = {
            "query": "*:*",
            "filter": [*index.own_filters, *filters],
            "fields": fields,
            "sort": f"{key} asc",
            "limit": min(batch, MAX_BATCH),
            "params": {"cursorMark": mark, **index.own_params},
        }
        found = index.search(body, shape)
        if found.response.docs:
            yield found.response.docs
        if found.nextCursorMark in ("", mark):
            return
        mark = found.nextCursorMark
