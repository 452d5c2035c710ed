"""Filling an index of Elasticsearch or OpenSearch, a few requests at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cascade.engines._rest.bulk import (
    Action,
    BulkSender,
    Lines,
    index_action,
    refusal,
)
from cascade.engines._server.sending import UNSENDABLE
from cascade.errors import EngineError
from cascade.hosting import BulkOptions, Rejected
from cascade.schema import Document


class RestBulkWriter:
    """Fill an index: requests of many documents, a few of them on their way at once.

    What is in memory is at most `in_flight` + 1 requests: `add` waits until one is answered.

    Args:
        sender: Sends to the index.
        lines: Gives the JSON of a document.
        options: How much at once.
        stop: What ends the sender's waiting when it is set.
        complete: Makes the index ready to be searched, as often as it is called; told how many
            documents must be in it.
    """

    def __init__(
        self,
        sender: BulkSender,
        lines: Lines,
        options: BulkOptions,
        stop: threading.Event,
        complete: Callable[[int], None],
    ) -> None:
        self._sender = sender
        self._lines = lines
        self._options = options
        self._stop = stop
        self._complete = complete
        self._threads = ThreadPoolExecutor(options.in_flight, thread_name_prefix="cascade-bulk")
        self._room = threading.BoundedSemaphore(options.in_flight)
        self._lock = threading.Lock()
        self._answered: dict[int, int] = {}  # where a request that was answered begins and ends
        self._acknowledged = options.skip
        self._rejected: list[Rejected] = []
        self._failure: Exception | None = None
        self._ended = False
        self._request: list[Action] = []
        self._size = 0
        self._begin = options.skip
        self._seen = 0

    @property
    def acknowledged(self) -> int:
        """How many documents, counted from the first, the server has answered for."""
        with self._lock:
            return self._acknowledged

    @property
    def rejected(self) -> Sequence[Rejected]:
        """The documents that the server refused for what they are, by row."""
        with self._lock:
            return sorted(self._rejected, key=lambda one: one.row)

    def add(self, row: int, document: Document, tokens: Mapping[str, Sequence[str]]) -> None:
        """Add a document; the server's analysers make its terms, `tokens` are not sent.

        Raises:
            EngineError: If the server failed to take an earlier one.
        """
        if self._ended:
            raise EngineError("the writer has ended; open another")
        self._seen += 1
        if self._seen <= self._options.skip:
            return
        reason = refusal(document.id)
        if not reason:
            try:
                action = index_action(document.id, row, self._lines(row, document))
            except UNSENDABLE as error:
                reason = str(error)
        if reason:
            with self._lock:
                self._rejected.append(Rejected(document.id, row, reason))
            return
        if self._size + len(action.lines) > self._options.bytes:
            self._submit(self._seen - 1)
        self._request.append(action)
        self._size += len(action.lines)
        if len(self._request) >= self._options.documents:
            self._submit(self._seen)

    def finish(self) -> None:
        """Send the rest, wait for every answer, and make all of it searchable.

        Raises:
            EngineError: If the server fails, or holds another number of documents than it took.
        """
        if self._ended:
            raise EngineError("the writer has ended; open another")
        self._submit(self._seen)
        self._threads.shutdown(wait=True)
        self._ended = True
        self._raise_failure()
        refused = self._options.skip_refused + len(self._rejected)
        expected = self._acknowledged - refused
        self._sender.outlast(lambda: self._complete(expected))

    def abandon(self) -> None:
        """Stop; nothing sends any more when this returns. The index keeps what it has taken."""
        self._ended = True
        self._stop.set()
        self._request = []
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _submit(self, end: int) -> None:
        """Hand over the request of the documents up to `end`, those not sent among them."""
        begin, actions = self._begin, self._request
        self._begin, self._request, self._size = max(begin, end), [], 0
        if not actions:
            self._answer(begin, self._begin)
            return
        self._room.acquire()
        try:
            self._raise_failure()
            self._threads.submit(self._run, begin, end, actions)
        except BaseException:
            self._room.release()
            raise

    def _run(self, begin: int, end: int, actions: Sequence[Action]) -> None:
        try:
            rejected = self._sender.send(actions)
        except Exception as error:
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()
        else:
            with self._lock:
                self._rejected.extend(rejected)
            self._answer(begin, end)
        finally:
            self._room.release()

    def _answer(self, begin: int, end: int) -> None:
        """Count documents as answered for; those behind a request under way wait for it."""
        with self._lock:
            if end > begin:
                self._answered[begin] = end
            while (reached := self._answered.pop(self._acknowledged, None)) is not None:
                self._acknowledged = reached

    def _raise_failure(self) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
