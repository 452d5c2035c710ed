"""Work off the response's path: a bounded queue, one thread, and a count of what had no room."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class Background(Generic[T]):
    """Do something with each item in a thread of its own.

    Args:
        act: What is done; what it raises is logged and told to `failed`.
        size: How many items wait at most; more are dropped.
        dropped: Told of each item that had no room.
        failed: Told of each item that could not be done.
        name: Of the thread.
    """

    def __init__(
        self,
        act: Callable[[T], None],
        size: int,
        dropped: Callable[[T], None],
        failed: Callable[[T], None],
        name: str,
    ) -> None:
        self._act = act
        self._dropped = dropped
        self._failed = failed
        self._waiting: queue.Queue[T | None] = queue.Queue(size)
        self._stopped = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item; never waits."""
        if not self._stopped.is_set():
            with suppress(queue.Full):
                self._waiting.put_nowait(item)
                return
        self._dropped(item)

    def wait(self) -> None:
        """Wait until everything that was handed over is done."""
        self._waiting.join()

    def stop(self) -> None:
        """End after the item at hand; what still waits is dropped."""
        self._stopped.set()
        if self._thread.ident is None:
            return
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                if self._stopped.is_set():
                    self._dropped(item)
                else:
                    self._act(item)
            except Exception as error:  # what answers requests must not fall for it
                if str(error) != self._told:  # a model that fails fails for every request
                    _LOG.warning("%s failed", self._thread.name, exc_info=True)
                self._told = str(error)
                self._failed(item)
            finally:
                self._waiting.task_done()
        self._waiting.task_done()
