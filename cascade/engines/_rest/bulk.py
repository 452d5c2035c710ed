"""Sending documents in bulk to Elasticsearch or OpenSearch, again where they found no room."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cascade.engines._rest.client import RestClient
from cascade.engines._rest.index import at
from cascade.engines._server.connecting import Answer
from cascade.engines._server.sending import UNSENDABLE, outlast, wait_s
from cascade.engines.mappings import document_elasticsearch
from cascade.errors import DeadlineError, EngineError, EngineUnavailableError
from cascade.hosting import BulkOptions, Change, Rejected
from cascade.schema import Document, Schema

ID_BYTES = 512
"""The longest id that the servers take; one longer fails the whole request that it stands in."""

_BUSY = frozenset({429, 500, 502, 503, 504})
_TOO_LARGE = 413
_FAILED = 500
_ANSWERS = frozenset({_TOO_LARGE, _FAILED})
_PARAMS = {
    "filter_path": "errors,error,items.*.status,items.*.error.type,items.*.error.reason,"
    "items.*.error.caused_by.reason"
}
# What is wrong with the index or with us, whatever the document.
_NO_FAULT_OF_THE_DOCUMENT = frozenset({401, 403, 404})
_DELETED_BEFORE = 404

Lines = Callable[[int, Document], bytes]
"""Gives the JSON of a document in the index, on one line, from its row and itself."""


@dataclass(frozen=True, slots=True)
class Action:
    """Hold one document's lines of a request: `index` with what is indexed, or `delete`."""

    doc_id: str
    row: int
    lines: bytes
    deletes: bool = False


def index_action(doc_id: str, row: int, document: bytes) -> Action:
    """Return the action that puts a document in the place of that with its id."""
    return Action(doc_id, row, b'{"index":{"_id":%b}}\n%b\n' % (orjson.dumps(doc_id), document))


def delete_action(doc_id: str) -> Action:
    """Return the action that takes a document away."""
    return Action(doc_id, -1, b'{"delete":{"_id":%b}}\n' % orjson.dumps(doc_id), deletes=True)


def refusal(doc_id: str) -> str:
    """Return why no server would take an id, "" if one would."""
    size = len(doc_id.encode("utf-8", "surrogatepass"))
    return f"its id has {size} bytes; accepted are {ID_BYTES}" if size > ID_BYTES else ""


class BulkSender:
    """Send actions to one index until each has been answered for.

    Sending an action twice is sending it once, since every one names its id: a request whose
    answer was lost is sent again.

    Args:
        client: The server.
        name: The index.
        options: How often, and how long to wait in between.
        stop: Ends the waiting when it is set.
    """

    def __init__(
        self, client: RestClient, name: str, options: BulkOptions, stop: threading.Event
    ) -> None:
        self._client = client
        self._name = name
        self._options = options
        self._stop = stop

    def send(self, actions: Sequence[Action]) -> list[Rejected]:
        """Send actions in order and return those that the server refused for what they are.

        Raises:
            EngineUnavailableError: If there was no room for some of them to the last.
            EngineError: If the server refuses all, whatever they are.
        """
        rejected: list[Rejected] = []
        pending, reason = actions, ""
        for _ in self._attempts():
            pending, reason = self._attempt(pending, rejected)
            if not pending:
                return rejected
        raise EngineUnavailableError(
            f"{len(pending)} documents for {self._name!r} were sent "
            f"{self._options.retries + 1} times without being taken, the last time because: "
            f"{reason}; give the server more room, or send less at once"
        )

    def outlast(self, work: Callable[[], None]) -> None:
        """Do what may be done twice, again while the server cannot be reached or has no room.

        Raises:
            EngineUnavailableError: If that is so to the last.
        """
        outlast(work, self._name, self._options, self._stop)

    def _attempts(self) -> Iterator[int]:
        """Yield the numbers of the attempts, with the waiting between them."""
        for attempt in range(self._options.retries + 1):
            if attempt and self._stop.wait(wait_s(self._options.backoff_s, attempt)):
                raise EngineError(f"filling {self._name!r} was stopped")
            yield attempt

    def _attempt(
        self, actions: Sequence[Action], rejected: list[Rejected]
    ) -> tuple[Sequence[Action], str]:
        """Send once; return the actions to send again, and why."""
        try:
            answer = self._client.request(
                "POST",
                f"{at(self._name)}/_bulk",
                params=_PARAMS,
                body=b"".join([action.lines for action in actions]),
                ndjson=True,
                allow=_ANSWERS,
            )
        except (EngineUnavailableError, DeadlineError) as error:
            return actions, str(error)
        if answer.status == _FAILED:
            return actions, f"the server failed (status {_FAILED})"
        if answer.status == _TOO_LARGE:
            return self._in_halves(actions, rejected)
        return self._read(actions, answer, rejected)

    def _in_halves(
        self, actions: Sequence[Action], rejected: list[Rejected]
    ) -> tuple[Sequence[Action], str]:
        if len(actions) == 1:
            (one,) = actions
            reason = f"its {len(one.lines)} bytes are more than the server takes in one request"
            rejected.append(Rejected(one.doc_id, one.row, reason))
            return (), ""
        middle = len(actions) // 2
        first, reason = self._attempt(actions[:middle], rejected)
        second, other = self._attempt(actions[middle:], rejected)
        return [*first, *second], reason or other

    def _read(
        self, actions: Sequence[Action], answer: Answer, rejected: list[Rejected]
    ) -> tuple[Sequence[Action], str]:
        try:
            found = orjson.loads(answer.body)
            items = [next(iter(item.values())) for item in found.get("items", ())]
        except (ValueError, AttributeError, StopIteration):
            return actions, "an answer that is no JSON, as of a request that broke off"
        if len(items) != len(actions):
            raise EngineError(
                f"the server answered for {len(items)} of {len(actions)} documents sent to "
                f"{self._name!r}; is something between us that changes answers?"
            )
        if not found.get("errors"):
            return (), ""
        again: list[Action] = []
        reason = ""
        for action, item in zip(actions, items, strict=True):
            status = int(item.get("status", 0))
            if status in _BUSY:
                again.append(action)
                reason = f"{status} {_reason(item)}"
            elif status >= 400 and not (action.deletes and status == _DELETED_BEFORE):
                if status in _NO_FAULT_OF_THE_DOCUMENT:
                    raise EngineError(
                        f"{self._name!r} takes no documents: {status} {_reason(item)}"
                    )
                rejected.append(Rejected(action.doc_id, action.row, _reason(item)))
        return again, reason


def _reason(item: Mapping[str, Any]) -> str:
    """Return what an answer says of one document: the reason, and what caused it."""
    error = item.get("error") or {}
    if not isinstance(error, Mapping):
        return str(error)
    reason = f"{error.get('type', 'unknown')}: {error.get('reason', '')}"
    cause = (error.get("caused_by") or {}).get("reason")
    return f"{reason} ({cause})" if cause else reason


def lines_of(schema: Schema) -> Lines:
    """Return what writes the documents of a schema as JSON."""

    def lines(row: int, document: Document) -> bytes:
        body = document_elasticsearch(row, document, schema)
        try:
            return orjson.dumps(body)
        except TypeError:  # numbers beyond 64 bits, which the servers hold
            return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()

    return lines


def actions_of(
    lines: Lines, changes: Sequence[Change], rejected: list[Rejected]
) -> Iterator[Action]:
    """Yield the last change of each id; put those that cannot be sent into `rejected`."""
    last = {change.doc_id: change for change in changes}
    for doc_id, change in last.items():
        if why := refusal(doc_id):
            rejected.append(Rejected(doc_id, change.row, why))
        elif change.document is None:
            yield delete_action(doc_id)
        else:
            try:
                yield index_action(doc_id, change.row, lines(change.row, change.document))
            except UNSENDABLE as error:
                rejected.append(Rejected(doc_id, change.row, str(error)))


def requests_of(actions: Iterable[Action], options: BulkOptions) -> Iterator[list[Action]]:
    """Split actions into requests of at most so many documents and about so many bytes."""
    request: list[Action] = []
    size = 0
    for action in actions:
        full = len(request) >= options.documents or size + len(action.lines) > options.bytes
        if request and full:
            yield request
            request, size = [], 0
        request.append(action)
        size += len(action.lines)
    if request:
        yield request
