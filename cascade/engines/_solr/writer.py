"""Filling a core or collection: requests of many documents, and which of them are refused."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import orjson

from cascade.engines._server.sending import UNSENDABLE, outlast
from cascade.engines._solr.fields import fields_of_managed
from cascade.engines._solr.index import SolrIndex
from cascade.engines.asking import cleaned
from cascade.engines.mappings import document_solr
from cascade.errors import EngineError, EngineUnavailableError
from cascade.hosting import BulkOptions, Change, Rejected
from cascade.schema import Document, Schema

_BULK = BulkOptions()
T = TypeVar("T")
Commands = Callable[[int, Document], bytes]
"""Gives the update command of a document from its row and itself."""


@dataclass(frozen=True, slots=True)
class Item:
    """Hold one command of an update request, and whose it is."""

    doc_id: str
    row: int
    command: bytes


def adding(document: Mapping[str, object]) -> bytes:
    """Return the command that puts a document in the place of that with its id."""
    return b'"add":{"doc":%b}' % orjson.dumps(document)


def deleting(doc_id: str) -> bytes:
    """Return the command that takes a document away."""
    return b'"delete":[%b]' % orjson.dumps(doc_id)


def commands_of(index: SolrIndex, schema: Schema) -> Commands:
    """Return what gives the commands that add documents of a schema to an index."""
    held = fields_of_managed(index, schema)
    renamed = {
        name: places[0].path for name, places in held.items() if places and places[0].path != name
    }

    def command(row: int, document: Document) -> bytes:
        body = document_solr(row, document, index.name, schema)
        return adding({renamed.get(name, name): value for name, value in body.items()})

    return command


class BatchSender:
    """Send commands to one index until the server has answered for each.

    Sending a command twice is sending it once, since every one names its id. Solr refuses a whole
    request for its first bad document: the request is sent again without it, or in halves where
    the answer does not say which it is.

    Args:
        index: The index.
        options: How often, and how long to wait in between.
        stop: Ends the waiting when it is set.
    """

    def __init__(self, index: SolrIndex, options: BulkOptions, stop: threading.Event) -> None:
        self._index = index
        self._options = options
        self._stop = stop

    def send(self, items: Sequence[Item]) -> list[Rejected]:
        """Send commands in order and return those that the server refused for what they are.

        Raises:
            EngineUnavailableError: If there was no room for them to the last.
            EngineError: If the server refuses all, whatever they are.
        """
        rejected: list[Rejected] = []
        waiting = [list(items)]
        while waiting:
            batch = waiting.pop()
            why = self._patiently(batch) if batch else ""
            if not why:
                continue
            bad = batch[0] if len(batch) == 1 else _named(batch, why)
            if bad is not None:
                rejected.append(Rejected(bad.doc_id, bad.row, why))
                waiting.append([item for item in batch if item is not bad])
            else:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
        return rejected

    def _patiently(self, items: Sequence[Item]) -> str:
        """Send until there is room; return why the server refused, "" if it did not."""
        commands = [item.command for item in items]
        try:
            return self.outlast(lambda: self._index.send(commands))
        except EngineUnavailableError as error:
            raise EngineUnavailableError(
                f"{len(items)} documents for {self._index.name!r} were sent "
                f"{self._options.retries + 1} times without being taken, the last time because: "
                f"{error}"
            ) from error

    def outlast(self, work: Callable[[], T]) -> T:
        """Do what may be done twice, again while the server cannot be reached or has no room.

        Raises:
            EngineUnavailableError: If that is so to the last.
        """
        return outlast(work, self._index.name, self._options, self._stop)


def _named(items: Sequence[Item], why: str) -> Item | None:
    """Return the item that the server's words name, if they name one."""
    for item in items:
        if f"[doc={item.doc_id}]" in why or f"document id {item.doc_id} to " in why:
            return item
    return None


class SolrBulkWriter:
    """Fill an index: requests of many documents, a few of them on their way at once.

    What is in memory is at most `in_flight` + 1 requests: `add` waits until one is answered.

    Args:
        sender: Sends commands until each is answered for.
        commands: Gives the command of a document.
        options: How much at once.
        stop: Ends the waiting of `sender` when it is set.
        complete: Makes the index ready to be searched, as often as it is called; told how many
            documents must be in it.
    """

    def __init__(
        self,
        sender: BatchSender,
        commands: Commands,
        options: BulkOptions,
        stop: threading.Event,
        complete: Callable[[int], None],
    ) -> None:
        self._sender = sender
        self._commands = commands
        self._options = options
        self._stop = stop
        self._complete = complete
        self._threads = ThreadPoolExecutor(options.in_flight, thread_name_prefix="cascade-bulk")
        self._lock = threading.Lock()
        # What is on its way, the oldest first, with how many documents each request stands for.
        self._under_way: deque[tuple[Future[list[Rejected]], int]] = deque()
        self._acknowledged = options.skip
        self._rejected: list[Rejected] = []
        self._batch: list[Item] = []
        self._size = 0
        self._begun = 0  # documents since the last request, those not sent among them
        self._seen = 0
        self._ended = False

    @property
    def acknowledged(self) -> int:
        """How many documents, counted from the first, the server has answered for."""
        with self._lock:
            while self._under_way and _succeeded(self._under_way[0][0]):
                self._settle()
            return self._acknowledged

    @property
    def rejected(self) -> Sequence[Rejected]:
        """The documents that the server refused for what they are, by row."""
        with self._lock:
            return sorted(self._rejected, key=lambda one: one.row)

    def add(self, row: int, document: Document, tokens: Mapping[str, Sequence[str]]) -> None:
        """Add a document; `tokens` are not needed.

        Raises:
            EngineError: If the server failed to take an earlier one.
        """
        if self._ended:
            raise EngineError("the writer has ended; open another")
        self._seen += 1
        if self._seen <= self._options.skip:
            return
        self._begun += 1
        try:
            item = Item(document.id, row, self._commands(row, document))
        except UNSENDABLE as error:
            with self._lock:
                self._rejected.append(Rejected(document.id, row, str(error)))
        else:
            self._batch.append(item)
            self._size += len(item.command)
        if self._begun >= self._options.documents or self._size >= self._options.bytes:
            self._submit()

    def finish(self) -> None:
        """Send the rest, wait for every answer, and make all of it searchable.

        Raises:
            EngineError: If the server fails, or holds another number of documents than it took.
        """
        if self._ended:
            raise EngineError("the writer has ended; open another")
        self._submit()
        with self._lock:
            while self._under_way:
                self._settle()
        self._ended = True
        self._threads.shutdown(wait=True)
        refused = self._options.skip_refused + len(self._rejected)
        expected = self._acknowledged - refused
        self._sender.outlast(lambda: self._complete(expected))

    def abandon(self) -> None:
        """Stop; nothing sends any more when this returns. The index keeps what it has taken."""
        self._ended = True
        self._stop.set()
        self._batch = []
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _submit(self) -> None:
        """Hand over what was gathered, when an earlier request has made room."""
        items, count = self._batch, self._begun
        self._batch, self._size, self._begun = [], 0, 0
        if not count:
            return
        with self._lock:
            while len(self._under_way) >= self._options.in_flight:
                self._settle()
            self._under_way.append((self._threads.submit(self._sender.send, items), count))

    def _settle(self) -> None:
        """Wait for the oldest request and count its documents; raise what it raised."""
        sent, count = self._under_way[0]
        self._rejected.extend(sent.result())
        self._acknowledged += count
        self._under_way.popleft()


def _succeeded(sent: Future[list[Rejected]]) -> bool:
    return sent.done() and not sent.cancelled() and sent.exception() is None


def apply_changes(
    index: SolrIndex, schema: Schema, changes: Sequence[Change], options: BulkOptions = _BULK
) -> list[Rejected]:
    """Send changes in order and return those that were refused for what they are."""
    rejected: list[Rejected] = []
    items: list[Item] = []
    if not changes:
        return rejected
    command_of = commands_of(index, schema)
    for change in changes:
        doc_id = cleaned(change.doc_id)
        try:
            command = (
                deleting(doc_id)
                if change.document is None
                else command_of(change.row, change.document)
            )
        except UNSENDABLE as error:
            rejected.append(Rejected(doc_id, change.row, str(error)))
        else:
            items.append(Item(doc_id, change.row, command))
    sender = BatchSender(index, options, threading.Event())
    for at in range(0, len(items), options.documents):
        rejected += sender.send(items[at : at + options.documents])
    return rejected
