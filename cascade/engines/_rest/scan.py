"""Reading every document of an index of Elasticsearch or OpenSearch, from one view of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from cascade.engines._rest.client import RestClient, reason
from cascade.engines._rest.index import Card, at
from cascade.engines._rest.search import opened
from cascade.engines._server.connecting import Answer
from cascade.engines._server.fields import DATES, types_of
from cascade.errors import CascadeError, EngineError
from cascade.hosting import ID_FIELD, RAW_FIELD

KEEP_ALIVE = "5m"
MOST_AT_ONCE = 10_000
"""The servers' own limit of hits in one answer."""

_REFUSED = frozenset({400, 403, 404, 405})
_FILTER = "error,_scroll_id,pit_id,timed_out,_shards.failed,_shards.failures"


@dataclass(frozen=True, slots=True)
class Reading:
    """Say how a server opens and closes a view that stays as it is, a point in time.

    Attributes:
        open: The path behind the index, to post to.
        close: The path to delete.
        id: The name of the view's id where it is opened and closed.
        leaves_vectors_out: Whether a server of this kind may leave vectors out of what it gives
            of a document unless it is told otherwise.
    """

    open: str
    close: str
    id: str
    leaves_vectors_out: bool = False


ELASTICSEARCH_READING = Reading("_pit", "/_pit", "id", leaves_vectors_out=True)
OPENSEARCH_READING = Reading("_search/point_in_time", "/_search/point_in_time", "pit_id")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what is read of each document.

    Attributes:
        body: The parts of a search body that ask for it.
        part: What of a hit it is, so that the rest of the answer is left out; "" for all, since a
            server that cuts an answer down writes the documents in it anew.
    """

    body: Mapping[str, Any]
    part: str = ""

    @property
    def params(self) -> dict[str, str]:
        """What an answer is cut down to."""
        if not self.part:
            return {}
        return {"filter_path": f"{_FILTER},hits.hits.sort,hits.hits.{self.part}"}


class Scan:
    """Read an index from end to end in pages.

    A point in time and `search_after` are used where the server has them, else a scroll.

    Args:
        client: The server.
        card: The index.
        reading: How this server is read.
        size: Documents a page.
    """

    def __init__(self, client: RestClient, card: Card, reading: Reading, size: int) -> None:
        self._client = client
        self._card = card
        self._name = card.name
        self._reading = reading
        self._size = max(1, min(size, MOST_AT_ONCE))

    def documents(
        self, query: Mapping[str, Any] | None = None
    ) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the documents as they were given; those of others as stored, with `_id`.

        Args:
            query: Which ones; None takes all.

        Raises:
            EngineError: If the index does not store them, or a part of it does not answer.
        """
        source = [RAW_FIELD] if self._card.ours else self._whole_source()
        wanted = Wanted({"_source": source, **({} if query is None else {"query": query})})
        for hits in self.pages(wanted):
            if any("_source" not in hit for hit in hits):
                raise EngineError(
                    f"{self._name!r} does not store its documents (`_source` is off); build it "
                    "from files"
                )
            if self._card.ours:
                yield [hit["_source"][RAW_FIELD] for hit in hits]
            else:
                yield [{"_id": hit["_id"], **hit["_source"]} for hit in hits]

    def changed_since(self, field: str, since: float) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the documents whose date in a field is `since` (seconds since 1970) or later.

        Those without one come as well, and all of them where the field is no date of the index.

        Raises:
            EngineError: As `documents` does.
        """
        _, properties = opened(self._client, self._name, mapping=True)
        if dict(types_of(properties, "")).get(field) not in DATES:
            return self.documents()
        late = {"gte": math.floor(since * 1000), "format": "epoch_millis"}
        undated = {"bool": {"must_not": [{"exists": {"field": field}}]}}
        return self.documents({"bool": {"should": [{"range": {field: late}}, undated]}})

    def ids(self, field: str | None = None) -> Iterator[list[str]]:
        """Yield the id of every document.

        Args:
            field: In an index of others, the keyword field that holds it; None takes `_id`.

        Raises:
            EngineError: If a part of the index does not answer, or a document has no such field.
        """
        wanted = ID_FIELD if self._card.ours else field
        if wanted is not None:
            # `_id` would open every stored document.
            body = {"stored_fields": "_none_", "docvalue_fields": [wanted]}
            for hits in self.pages(Wanted(body, f"fields.{wanted}")):
                if not all(hit.get("fields") for hit in hits):
                    raise EngineError(
                        f"documents of {self._name!r} have no {wanted!r}, which is to be their id; "
                        "correct engine.id_field"
                    )
                yield [str(hit["fields"][wanted][0]) for hit in hits]
        else:
            for hits in self.pages(Wanted({"_source": False}, "_id")):
                yield [str(hit["_id"]) for hit in hits]

    def _whole_source(self) -> bool | dict[str, bool]:
        """Return what asks for whole documents, vectors too."""
        whole = {"exclude_vectors": False}
        if not self._reading.leaves_vectors_out:
            return True
        body = orjson.dumps({"size": 0, "_source": whole})
        path = f"{at(self._name)}/_search"
        answer = self._client.request("POST", path, body=body, allow=frozenset({400}))
        return whole if answer.status < 400 else True  # an older server, which leaves none out

    def pages(self, wanted: Wanted) -> Iterator[list[Any]]:
        """Yield the hits, a list a page, none of them empty.

        Raises:
            NotFoundError: If there is no such index.
            EngineError: If a part of the index does not answer.
        """
        view = self._open()
        if view is not None:
            first = self._page(view, None, wanted, allow=frozenset({400}))
            if first.status < 400:
                yield from self._by_view(view, first, wanted)
                return
            self._close(view)  # a server that cannot order by `_shard_doc`
        yield from self._by_scroll(wanted)

    def _open(self) -> str | None:
        """Return the id of a view, None where there is no such thing or we may not."""
        answer = self._client.request(
            "POST",
            f"{at(self._name)}/{self._reading.open}",
            params={"keep_alive": KEEP_ALIVE},
            allow=_REFUSED,
        )
        return None if answer.status >= 400 else str(orjson.loads(answer.body)[self._reading.id])

    def _close(self, view: str) -> None:
        closed: Any = [view] if self._reading is OPENSEARCH_READING else view
        with suppress(CascadeError):  # it goes by itself when it is not asked for any more
            self._client.request(
                "DELETE", self._reading.close, body=orjson.dumps({self._reading.id: closed})
            )

    def _page(
        self, view: str, after: list[Any] | None, wanted: Wanted, allow: frozenset[int]
    ) -> Answer:
        body = {
            "size": self._size,
            "pit": {"id": view, "keep_alive": KEEP_ALIVE},
            "sort": [{"_shard_doc": "asc"}],
            "track_total_hits": False,
            **wanted.body,
        }
        if after is not None:
            body["search_after"] = after
        return self._client.request(
            "POST",
            "/_search",
            params=wanted.params,
            body=orjson.dumps(body),
            allow=allow,
        )

    def _by_view(self, view: str, first: Answer, wanted: Wanted) -> Iterator[list[Any]]:
        try:
            answer = first
            while True:
                found = self._read(answer)
                view = str(found.get("pit_id", view))
                hits = _hits(found)
                if hits:
                    yield hits
                if len(hits) < self._size:
                    return
                answer = self._page(view, hits[-1]["sort"], wanted, allow=frozenset())
        finally:
            self._close(view)

    def _by_scroll(self, wanted: Wanted) -> Iterator[list[Any]]:
        body = {"size": self._size, "sort": ["_doc"], **wanted.body}
        answer = self._client.request(
            "POST",
            f"{at(self._name)}/_search",
            params={"scroll": KEEP_ALIVE, **wanted.params},
            body=orjson.dumps(body),
        )
        scroll = ""
        try:
            while True:
                found = orjson.loads(answer.body)
                scroll = str(found.get("_scroll_id", scroll))
                self._check(found)
                hits = _hits(found)
                if not hits:
                    return
                yield hits
                answer = self._client.request(
                    "POST",
                    "/_search/scroll",
                    params=wanted.params,
                    body=orjson.dumps({"scroll": KEEP_ALIVE, "scroll_id": scroll}),
                )
        finally:
            with suppress(CascadeError):
                self._client.request(
                    "DELETE", "/_search/scroll", body=orjson.dumps({"scroll_id": [scroll]})
                )

    def _read(self, answer: Answer) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(answer.body)
        self._check(found)
        return found

    def _check(self, found: Mapping[str, Any]) -> None:
        shards = found.get("_shards", {})
        if shards.get("failed") or found.get("timed_out"):
            why = reason(orjson.dumps({"error": {"failed_shards": shards.get("failures", [])}}))
            raise EngineError(
                f"{shards.get('failed', 0)} parts of {self._name!r} did not answer, so that not "
                f"every document could be read: {why or 'no reason given'}"
            )


def _hits(found: Mapping[str, Any]) -> list[Any]:
    hits: list[Any] = found.get("hits", {}).get("hits", [])
    return hits
