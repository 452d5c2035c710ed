"""One index of a Solr, under whichever name it has: asked, changed and told apart from others.

In standalone mode a swap exchanges the names of two cores, so a name may come to mean other
documents between two requests. Two things keep them apart. Every search carries the name of the
generation as a filter: in another core it finds nothing, which has the name looked up again. And
every change begins with the index's own marker, on the condition that it is there: in another core
the whole request is refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import orjson

from cascade.engines._server.sending import wait_s
from cascade.engines._solr.client import (
    BAD_REQUEST,
    CONFLICT,
    NOT_FOUND,
    Ask,
    SolrClient,
    reading,
    reason,
    refusal,
)
from cascade.errors import DeadlineError, EngineError, EngineUnavailableError, NotFoundError
from cascade.hosting import GENERATION_FIELD, RAW_FIELD

TURNS = 4
"""How often a request follows an index that changes its name."""

REPLAY_S, REPLAY_LOOK_S = 120.0, 0.2
"""How long a server that came back may replay its log, and the first wait for it, seconds."""

_UPDATES = frozenset({BAD_REQUEST, NOT_FOUND, CONFLICT, 500})
_MADE_BY, _US = "made_by", "cascade"
_GENERATION = "generation"
T = TypeVar("T")


class Header(msgspec.Struct):
    """Hold what an answer says of itself."""

    partialResults: object = False


class Page(msgspec.Struct, Generic[T]):
    """Hold what was found."""

    numFound: int
    docs: list[T]
    numFoundExact: bool = True


class Found(msgspec.Struct, Generic[T]):
    """Hold the answer to a search."""

    responseHeader: Header
    response: Page[T]
    facets: dict[str, Any] = {}
    nextCursorMark: str = ""


class Hit(msgspec.Struct):
    """Hold one document of an index of ours."""

    cascade_row: int = -1
    score: float = 0.0
    cascade_id: str = ""
    cascade_raw: str = ""


Plain = dict[str, Any]
"""One document of an index of others."""


class Holders(Protocol):
    """Know what an index is called at the moment, and make, remove and point at indexes."""

    @property
    def swaps(self) -> bool:
        """Whether a name may come to mean another index."""
        ...

    def holder(self, name: str, *, fresh: bool = False) -> str | None:
        """Return what a concrete index is called on the server, None if there is none.

        Args:
            name: The concrete index.
            fresh: Whether to ask again, and not to use what is remembered.
        """
        ...

    def make(self, name: str) -> None:
        """Make an empty index with the fields of its configset."""
        ...

    def remove(self, name: str) -> None:
        """Remove an index."""
        ...

    def concrete(self) -> list[str]:
        """Return the names of all indexes."""
        ...

    def target(self, alias: str) -> str | None:
        """Return the concrete index behind an alias or name, None if there is no such alias."""
        ...

    def point(self, alias: str, name: str) -> None:
        """Let an alias name an index from one request to the next."""
        ...

    def made(self, name: str) -> str:
        """Return what changes when an index of others is made anew."""
        ...


@dataclass(frozen=True, slots=True)
class Marker:
    """Hold the document by which an index of ours is known.

    Attributes:
        name: The concrete index.
        identity: Made by chance when the index was.
        about: What was to be kept with the index.
    """

    name: str
    identity: str
    about: Mapping[str, str]

    @property
    def id(self) -> str:
        """The marker's id: no other index has it."""
        return f"{_US}/{self.name}"

    def document(self, *, first: bool = False) -> bytes:
        """Return the marker as JSON, to be added only where it is not, or already is."""
        raw = {_MADE_BY: _US, "identity": self.identity, "about": dict(self.about)}
        return orjson.dumps(
            {
                "id": self.id,
                RAW_FIELD: orjson.dumps(raw).decode(),
                "_version_": -1 if first else 1,
            }
        )


class SolrIndex:
    """Ask and change one concrete index; any number of threads may.

    Args:
        client: The server.
        holders: Knows its present name.
        name: The concrete index; any other core, collection or alias stands for itself.
    """

    def __init__(self, client: SolrClient, holders: Holders, name: str) -> None:
        self._client = client
        self._holders = holders
        self.name = name
        self.marker = self._read_marker()

    @property
    def path(self) -> str:
        """Where it is now, `/products`.

        Raises:
            NotFoundError: If there is none.
        """
        return self._path()

    @property
    def ours(self) -> bool:
        """Whether this system made it."""
        return self.marker is not None

    @property
    def always(self) -> dict[str, tuple[str, str]]:
        """Return the filter that its own documents alone pass, and its value, by the value's name.

        An index of others has none.
        """
        if self.marker is None:
            return {}
        return {_GENERATION: (f"{{!term f={GENERATION_FIELD} v=${_GENERATION}}}", self.name)}

    @property
    def own_filters(self) -> list[str]:
        """The clauses of `always`."""
        return [clause for clause, _ in self.always.values()]

    @property
    def own_params(self) -> dict[str, str]:
        """The values of `always`."""
        return {name: value for name, (_, value) in self.always.items()}

    def count(self) -> tuple[int, int]:
        """Return how many documents searches see, and how many shards do not answer."""
        body = {
            "query": "*:*",
            "filter": self.own_filters,
            "limit": 0,
            "params": {"shards.info": "true", "shards.tolerant": "true", **self.own_params},
        }
        encoded = orjson.dumps(body)

        def ask(path: str) -> dict[str, Any]:
            return self._client.json(reading(f"{path}/select", encoded))

        found = self._following(ask, lambda answer: not answer["response"]["numFound"])
        shards = found.get("shards.info") or {}
        failed = sum("error" in shard for shard in shards.values())
        return int(found["response"]["numFound"]), failed

    def search(
        self, body: Mapping[str, Any], shape: type[Found[T]], timeout_s: float | None = None
    ) -> Found[T]:
        """Return the answer to a search in Solr's JSON form.

        Args:
            body: The search.
            shape: `Found[Hit]`, or `Found[Plain]` for an index of others.
            timeout_s: How long it may take; None takes the connection's.

        Raises:
            DeadlineError: If the server could not search everything in that time.
            NotFoundError: If the index is gone.
            EngineError: If the server fails.
        """
        encoded = orjson.dumps(body)
        # A text may hold `${...}`, which Solr would otherwise put parameters into.
        params = {"expandMacros": "false", "shards.tolerant": "false"}
        if timeout_s is not None:
            params["timeAllowed"] = str(max(1, int(timeout_s * 1000)))

        def ask(path: str) -> Found[T]:
            asked = reading(f"{path}/select", encoded, **params)
            return self._client.read(asked, shape, timeout_s=timeout_s)

        found = self._following(ask, lambda found: found.response.numFound == 0)
        if found.responseHeader.partialResults:
            raise DeadlineError(
                f"{self._client.where} searched only a part of {self.name!r} in the time that was "
                "left; give the request more time, or look at the server's load"
            )
        return found

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """Return the answer of one of the index's own handlers, as plain data."""
        return self._following(
            lambda at: self._client.json(Ask("GET", f"{at}{path}", params)), lambda _: False
        )

    def send(self, commands: Sequence[bytes]) -> str:
        """Send commands of the update handler in order, as one request.

        Returns:
            Why the server refused what was sent, "" if it took all of it.

        Raises:
            EngineUnavailableError: If the server has no room, or cannot be reached.
            EngineError: If the server refuses all, whatever it is, or the index is another.
        """
        if self.marker is None:
            raise EngineError(f"{self.name!r} was not made by this system and is not changed")
        fence = [b'"add":{"doc":%b}' % self.marker.document()] if self._holders.swaps else []
        body = b"{%b}" % b",".join([*fence, *commands])
        path = self._path()
        for _ in range(TURNS):
            ask = Ask("POST", f"{path}/update", {}, body)
            answer = self._client.send(ask, allow=_UPDATES)
            if answer.status < BAD_REQUEST:
                return ""
            why = reason(answer.body)
            if answer.status == BAD_REQUEST:
                return why or "no reason given"
            if answer.status == 500:
                raise EngineUnavailableError(f"{self._client.where} failed to take {ask}: {why}")
            now = self._path(fresh=True)
            if now == path:
                raise refusal(self._client.where, ask, answer)
            path = now
        raise EngineError(f"{self.name!r} changes its name all the time; who swaps its core?")

    def commit(self, *, soft: bool) -> None:
        """Make what was sent visible to searches that begin after this, and hard: durable too."""
        params = {"softCommit" if soft else "commit": "true", "waitSearcher": "true"}

        def ask(path: str) -> None:
            self._client.send(Ask("POST", f"{path}/update", {**params}, b"{}"))

        before = self._path()
        ask(before)
        # A swap in between means that another core was told.
        if self._holders.swaps and (now := self._path(fresh=True)) != before:
            ask(now)

    def commit_at_least(
        self, least: int, stop: threading.Event, patience_s: float = REPLAY_S
    ) -> int:
        """Commit hard until searches see at least so many documents, and return how many they see.

        A core that replays its log after its server died ignores commits and says nothing of it,
        and what it takes meanwhile is seen when it is done. Fewer documents than `least` are
        returned if they are not there in `patience_s`, or when `stop` is set.
        """
        until, attempt = time.monotonic() + patience_s, 0
        while True:
            attempt += 1
            self.commit(soft=False)
            found, _ = self.count()
            over = found >= least or time.monotonic() > until
            if over or stop.wait(wait_s(REPLAY_LOOK_S, attempt)):
                return found

    def mark(self, marker: Marker) -> None:
        """Write the marker of an index that has just been made."""
        body = b'{"add":{"doc":%b}}' % marker.document(first=True)
        self._client.send(Ask("POST", f"{self._path()}/update", {"commit": "true"}, body))
        self.marker = marker

    def _following(self, ask: Callable[[str], T], doubtful: Callable[[T], bool]) -> T:
        """Ask, and ask again under its new name where the index seems to be gone."""
        path = self._path()
        for _ in range(TURNS):
            try:
                found = ask(path)
            except NotFoundError:
                found = None
            if found is not None and not (self._holders.swaps and doubtful(found)):
                return found
            now = self._path(fresh=True)
            if now == path:
                if found is None:
                    return ask(path)
                return found
            path = now
        raise EngineError(f"{self.name!r} changes its name all the time; who swaps its core?")

    def _path(self, *, fresh: bool = False) -> str:
        holder = self._holders.holder(self.name, fresh=fresh)
        if holder is None:
            raise NotFoundError(
                f"{self._client.where} has no index {self.name!r}; build it with "
                "`cascade index build`"
            )
        return f"/{holder}"

    def _read_marker(self) -> Marker | None:
        """Look for the marker among what was committed, as it was when the index was made."""
        wanted = Marker(self.name, "", {})
        params = {"q": "{!term f=id v=$marker}", "marker": wanted.id, "fl": RAW_FIELD}
        params["expandMacros"] = "false"

        def ask(path: str) -> list[dict[str, Any]]:
            asked = Ask("GET", f"{path}/select", params)
            answer = self._client.send(asked, allow=frozenset({BAD_REQUEST}))
            if answer.status == BAD_REQUEST:
                return []  # an index of others that has no field `id`
            return list(orjson.loads(answer.body)["response"]["docs"])

        try:
            (found,) = self._following(ask, lambda docs: not docs)
            raw = orjson.loads(found[RAW_FIELD])
            about = {str(key): str(value) for key, value in raw["about"].items()}
            return Marker(self.name, str(raw["identity"]), about)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
