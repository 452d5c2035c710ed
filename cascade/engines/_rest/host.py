"""Holding the indexes of an Elasticsearch or OpenSearch server."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cascade.candidates import Documents
from cascade.engines._rest.bulk import (
    BulkSender,
    actions_of,
    lines_of,
    requests_of,
)
from cascade.engines._rest.client import RestClient, reason
from cascade.engines._rest.engine import RestEngine
from cascade.engines._rest.index import (
    CARD_PARAMS,
    MADE_BY,
    MADE_BY_KEY,
    Card,
    at,
    card_of,
    counted,
    filling,
    interval,
    several,
)
from cascade.engines._rest.scan import ELASTICSEARCH_READING, OPENSEARCH_READING, Reading, Scan
from cascade.engines._rest.search import View
from cascade.engines._rest.writer import RestBulkWriter
from cascade.engines._server.sending import first_reasons
from cascade.engines.connection import IndexShape, Matching
from cascade.engines.mappings import render_elasticsearch, render_opensearch
from cascade.errors import DocumentError, EngineError, NotFoundError, RefusedError
from cascade.hosting import BulkOptions, Change, IndexState, Place, Rejected
from cascade.protocols import Engine
from cascade.schema import Schema

BATCH = 1_000
ID_BATCH = 10_000
READY_S = 60
"""How long a filled index may take until its parts are there."""

_BULK = BulkOptions()
_ABSENT = frozenset({404})
_BAD = frozenset({400})


@dataclass(frozen=True, slots=True)
class Dialect:
    """Say in what the hosts of two servers differ.

    Attributes:
        render: Gives the body that an index is created with, from the schema, the shape and what
            is kept in the mapping's `_meta`.
        reading: How all of an index is read.
    """

    render: Callable[[Schema, IndexShape, Mapping[str, str]], Mapping[str, Any]]
    reading: Reading


ELASTICSEARCH = Dialect(render_elasticsearch, ELASTICSEARCH_READING)
OPENSEARCH = Dialect(render_opensearch, OPENSEARCH_READING)


class RestHost:
    """Make, fill, name, read and remove the indexes of one server.

    Indexes that it did not make itself are read and never changed: not dropped, not filled, and
    no alias is put on or taken off them.

    Args:
        client: The server; closed with the host.
        dialect: Its ways.
        shape: How new indexes are laid out.
        open_engine: Opens what searches an index, told whether it is ours; the engine is its
            caller's to close.
    """

    def __init__(
        self,
        client: RestClient,
        dialect: Dialect,
        shape: IndexShape,
        open_engine: Callable[[str, Schema, Documents, bool], Engine],
        id_field: str | None = None,
    ) -> None:
        self._client = client
        self._dialect = dialect
        self._shape = shape
        self._open_engine = open_engine
        self._id_field = id_field

    @property
    def kind(self) -> str:
        """The engine's name in configuration."""
        return self._client.kind

    def create(self, place: Place, schema: Schema, about: Mapping[str, str]) -> None:
        """Make an empty index, laid out for being filled: no refresh, no copies.

        Raises:
            RefusedError: If there is an index or alias of that name already.
            EngineError: If the server refuses the mapping.
        """
        name = place.name
        body = filling(self._dialect.render(schema, self._shape, {**about, MADE_BY_KEY: MADE_BY}))
        answer = self._client.request("PUT", at(name), body=orjson.dumps(body), allow=_BAD)
        if answer.status < 400:
            return
        why = reason(answer.body)
        if "already_exists" in why or "already exists" in why:
            raise RefusedError(
                f"{name!r} is on the server already: {why}; give another name, or drop it"
            )
        raise EngineError(f"the server does not make the index {name!r}: {why}")

    def open_writer(
        self, place: Place, schema: Schema, options: BulkOptions = _BULK
    ) -> RestBulkWriter:
        """Return what fills an index that `create` made.

        Raises:
            NotFoundError: If there is none.
            RefusedError: If others made it.
        """
        card = self._own(place.name, "filled")
        stop = threading.Event()

        def complete(expected: int) -> None:
            self._complete(card, expected)

        sender = BulkSender(self._client, card.name, options, stop)
        return RestBulkWriter(sender, lines_of(schema), options, stop, complete)

    def state(self, place: Place) -> IndexState:
        """Return how an index stands; one of ours after a refresh.

        Raises:
            NotFoundError: If there is none.
        """
        card = self._card(place.name)
        documents, failed = counted(self._client, card)
        # A refresh would wait a minute for a part that does not answer; others refresh their own.
        if card.ours and not failed:
            self._refresh(card.name)
            documents, failed = counted(self._client, card)
        return IndexState(documents, failed, card.identity, card.about)

    def names(self, index: str) -> list[str]:
        """Return the concrete indexes `<index>-NNNNNN` that are there, sorted."""
        answer = self._client.request("GET", f"{at(index)}-*/_alias", allow=_ABSENT)
        if answer.status in _ABSENT:
            return []
        pattern = re.compile(re.escape(index) + r"-\d{6}\Z")
        return sorted(name for name in orjson.loads(answer.body) if pattern.match(name))

    def drop(self, place: Place) -> None:
        """Remove an index; one that is not there is no error.

        Raises:
            RefusedError: If others made it.
        """
        try:
            card = self._own(place.name, "removed")
        except NotFoundError:
            return
        self._client.request("DELETE", at(card.name), allow=_ABSENT)

    def target(self, alias: str) -> str | None:
        """Return the concrete index behind an alias, itself for the name of an index.

        Raises:
            RefusedError: If several are behind it.
        """
        answer = self._client.request("GET", f"{at(alias)}/_alias", allow=_ABSENT)
        if answer.status in _ABSENT:
            return None
        found = sorted(orjson.loads(answer.body))
        if len(found) > 1:
            raise RefusedError(several(alias, found))
        return found[0] if found else None

    def point(self, alias: str, place: Place) -> None:
        """Let an alias name this index, in one request that takes it off the others.

        Raises:
            RefusedError: If `alias` is the name of an index, if an index of others is concerned,
                or if the alias was moved by another process meanwhile.
            NotFoundError: If there is no such index.
        """
        card = self._own(place.name, f"pointed at by {alias!r}")
        before = self._cards(alias)
        for other in before:
            if other.name == alias:
                raise RefusedError(f"{alias!r} is an index and can be no alias; give another name")
            if not other.ours:
                raise RefusedError(
                    f"the alias {alias!r} points at {other.name!r}, which this system did not "
                    "make; take it off there yourself, or give another alias"
                )
        if [other.name for other in before] == [card.name]:
            return
        actions: list[dict[str, Any]] = [
            {"remove": {"index": other.name, "alias": alias, "must_exist": True}}
            for other in before
            if other.name != card.name
        ]
        actions.append({"add": {"index": card.name, "alias": alias}})
        body = orjson.dumps({"actions": actions})
        answer = self._client.request("POST", "/_aliases", body=body, allow=_ABSENT)
        if answer.status in _ABSENT:
            raise RefusedError(
                f"the alias {alias!r} was moved by another while it was to be pointed at "
                f"{card.name!r}: {reason(answer.body)}; see where it points, then try again"
            )

    def documents(self, name: str, batch: int = BATCH) -> Iterator[list[Mapping[str, Any]]]:
        """Yield every document as it was given, from one view of the index.

        Of an index of others these are the documents as it stored them, with `_id` beside their
        own keys.

        Raises:
            NotFoundError: If there is no such index.
            EngineError: If it does not store its documents, or a part of it does not answer.
        """
        return self._scan(name, batch).documents()

    def changed_since(
        self, name: str, field: str, since: float
    ) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the documents whose date in `field` is `since` (seconds since 1970) or later.

        Those without one come as well, and all of them where the field is no date of the index.

        Raises:
            NotFoundError: If there is no such index.
            EngineError: As `documents` does.
        """
        return self._scan(name, BATCH).changed_since(field, since)

    def ids(self, name: str, batch: int = ID_BATCH) -> Iterator[list[str]]:
        """Yield the id of every document.

        Raises:
            NotFoundError: If there is no such index.
        """
        return self._scan(name, batch).ids(self._id_field)

    def apply(
        self, place: Place, schema: Schema, changes: Sequence[Change], *, refresh: bool = True
    ) -> None:
        """Apply changes in order; the server has them on disk when this returns.

        Raises:
            DocumentError: If the server refuses documents for what they are; the rest is applied.
            NotFoundError: If there is no such index.
            RefusedError: If others made it.
            EngineError: If the server fails.
        """
        # A server makes an index that is not there of the first document sent to it.
        card = self._own(place.name, "changed")
        rejected: list[Rejected] = []
        actions = actions_of(lines_of(schema), changes, rejected)
        sender = BulkSender(self._client, card.name, _BULK, threading.Event())
        for request in requests_of(actions, _BULK):
            rejected.extend(sender.send(request))
        if refresh and changes:
            self._refresh(card.name)
        if rejected:
            raise DocumentError(
                f"{card.name!r} refused {len(rejected)} of {len(changes)} changes; the others are "
                f"applied:{first_reasons(rejected)}"
            )

    def mapping(self, name: str) -> dict[str, Any]:
        """Return `mappings` and `settings.analysis` as the server has them.

        Raises:
            NotFoundError: If there is no such index.
        """
        params = {"filter_path": "error,*.mappings,*.settings.index.analysis"}
        answer = self._client.request("GET", at(name), params=params, allow=_ABSENT)
        if answer.status in _ABSENT:
            raise NotFoundError(f"there is no index {name!r} on the server")
        found = orjson.loads(answer.body)
        if len(found) > 1:
            raise RefusedError(several(name, sorted(found)))
        index: Mapping[str, Any] = next(iter(found.values()), {})
        analysis = index.get("settings", {}).get("index", {}).get("analysis", {})
        return {"settings": {"analysis": analysis}, "mappings": index.get("mappings", {})}

    def engine(self, place: Place, schema: Schema, documents: Documents) -> Engine:
        """Return an engine that searches this one index; close it apart from the host.

        Raises:
            NotFoundError: If there is no such index.
        """
        managed = self._card(place.name).ours
        return self._open_engine(place.name, schema, documents, managed)

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _scan(self, name: str, batch: int) -> Scan:
        return Scan(self._client, self._card(name), self._dialect.reading, batch)

    def _cards(self, name: str) -> list[Card]:
        """Return what the index of a name, or those behind an alias, say of themselves."""
        answer = self._client.request("GET", at(name), params=CARD_PARAMS, allow=_ABSENT)
        if answer.status in _ABSENT:
            return []
        return [card_of(key, index) for key, index in sorted(orjson.loads(answer.body).items())]

    def _card(self, name: str) -> Card:
        cards = self._cards(name)
        if not cards:
            raise NotFoundError(f"there is no index {name!r} on the server")
        if len(cards) > 1:
            raise RefusedError(several(name, [card.name for card in cards]))
        return cards[0]

    def _own(self, name: str, what: str) -> Card:
        """Return the card of an index that is ours, by its own name."""
        card = self._card(name)
        if card.name != name:
            raise RefusedError(f"{name!r} is an alias; name the index itself, {card.name!r}")
        if not card.ours:
            raise RefusedError(
                f"{name!r} was not made by this system, so it is not {what}: its mapping has no "
                f'`_meta.{MADE_BY_KEY}` of "{MADE_BY}"'
            )
        return card

    def _refresh(self, name: str) -> None:
        self._client.request(
            "POST", f"{at(name)}/_refresh", params={"filter_path": "error,_shards"}
        )

    def _complete(self, card: Card, expected: int) -> None:
        """Lay a filled index out for being searched, and check that all of it is there."""
        name = card.name
        if self._own(name, "filled").identity != card.identity:
            raise EngineError(f"{name!r} was made anew by another while it was filled; build again")
        settings = {
            "refresh_interval": interval(self._shape.refresh_s),
            "number_of_replicas": self._shape.replicas,
        }
        body = orjson.dumps({"index": settings})
        self._client.request("PUT", f"{at(name)}/_settings", body=body)
        self._client.request(
            "GET",
            f"/_cluster/health{at(name)}",
            params={"wait_for_status": "yellow", "timeout": f"{READY_S}s"},
            timeout_s=READY_S + 5.0,
        )
        self._refresh(name)
        documents, failed = counted(self._client, card)
        if failed:
            raise EngineError(f"{failed} parts of {name!r} do not answer; see the server's log")
        if documents != expected:
            raise EngineError(
                f"{name!r} holds {documents} documents, but {expected} were taken; are there two "
                "with one id, or does another write into it?"
            )


def rest_host(
    connect: Callable[[], RestClient], dialect: Dialect, shape: IndexShape, matching: Matching
) -> RestHost:
    """Return the host of a server; it and each of its engines have a client of their own.

    Args:
        connect: Opens a client.
        dialect: The server's ways.
        shape: How new indexes are laid out.
        matching: What the engines must match and what that counts.
    """

    def open_engine(name: str, schema: Schema, documents: Documents, managed: bool) -> Engine:
        view = View(managed=managed, id_field=matching.id_field)
        client = connect()
        try:
            return RestEngine(client, name, schema, documents, matching, view)
        except BaseException:
            client.close()
            raise

    return RestHost(connect(), dialect, shape, open_engine, matching.id_field)
