"""Writing the request log: a bounded queue, one thread, and files that are whole or absent."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cascade.events.request_columns import schema, table_of, writer_options
from cascade.events.request_log import SUFFIX
from cascade.events.requests import LoggedRequest, need_pyarrow

GROUP = 32
PART = ".part"
DAY_S = 86_400.0
ABANDONED_S = 3_600.0
_STAMP = "%Y%m%dT%H%M%S"
_PREFIX = "requests"
_LOG = logging.getLogger(__name__)

Make = Callable[[], LoggedRequest]
Count = Callable[[str, int], None]


@dataclass(frozen=True)
class Writing:
    """Say how a log is written.

    Attributes:
        rows: Requests of one file at most.
        flush_s: After how many seconds a file is finished.
        queue: Requests that wait to be written; more are dropped.
        keep_days: Days after which a file is removed; None keeps them.
    """

    rows: int = 10_000
    flush_s: float = 60.0
    queue: int = 256
    keep_days: int | None = None


def _ignored(_outcome: str, _requests: int) -> None:
    """Count nothing."""


class RequestWriter:
    """Write requests from one thread, so that nobody who answers waits for a disk.

    A file is written under another suffix, synced, and then renamed: readers find it whole or not
    at all. What a process that is killed had not finished is lost; `flush_s` bounds it.

    Args:
        root: The folder; it is made.
        writing: How it is written.
        count: Told how many requests were `written`, `dropped` (the queue was full) or `failed`.
        clock: Gives seconds since 1970, for names of files and their age.

    Raises:
        OptionalDependencyError: If pyarrow is not installed.
    """

    def __init__(
        self,
        root: Path,
        writing: Writing,
        count: Count = _ignored,
        clock: Callable[[], float] = time.time,
    ) -> None:
        need_pyarrow()
        self.root = root
        self._writing = writing
        self._count = count
        self._clock = clock
        self._waiting: queue.Queue[Make | None] = queue.Queue(writing.queue)
        self._stopped = False
        self._file: _Part | None = None
        self._batch: list[Any] = []
        self._due = float("inf")
        self._number = 0
        self._process = secrets.token_hex(4)  # many machines may write into one folder
        self._thread = threading.Thread(target=self._run, name="cascade-requests", daemon=True)

    def start(self) -> None:
        """Make the folder, remove what is too old, and begin to write."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._retire()
        self._thread.start()

    def put(self, make: Make) -> bool:
        """Hand over a request; return whether there was room. Never waits.

        Args:
            make: Gives the request; called by the writing thread.
        """
        if not self._stopped:
            with suppress(queue.Full):
                self._waiting.put_nowait(make)
                return True
        self._count("dropped", 1)
        return False

    def stop(self) -> None:
        """Write what waits, finish the file, and end."""
        self._stopped = True
        if self._thread.ident is not None:
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                make = self._waiting.get(timeout=self._left_s())
            except queue.Empty:
                self._guarded(self._finish)
                continue
            if make is None:
                self._guarded(self._finish)
                self._count("dropped", self._waiting.qsize())
                return
            self._guarded(lambda make=make: self._take(make))  # type: ignore[misc]

    def _left_s(self) -> float | None:
        left = self._due - time.monotonic()
        return None if left == float("inf") else max(left, 0.0)

    def _take(self, make: Make) -> None:
        try:
            # One by one: a large batch would hold the interpreter's lock against requests.
            self._batch.append(table_of([make()]))
        except Exception:
            self._count("failed", 1)
            _LOG.exception("a request cannot be logged")
            return
        if self._due == float("inf"):
            self._due = time.monotonic() + self._writing.flush_s
        written = self._file.rows if self._file is not None else 0
        if written + len(self._batch) >= self._writing.rows or time.monotonic() >= self._due:
            self._finish()
        elif len(self._batch) >= GROUP:
            self._write_group()

    def _write_group(self) -> None:
        if self._file is None:
            self._number += 1
            now = datetime.fromtimestamp(self._clock(), UTC).strftime(_STAMP)
            name = f"{_PREFIX}-{now}-{self._process}-{self._number:06d}"
            self._file = _Part(self.root / f"{name}{PART}", self.root / f"{name}{SUFFIX}")
        batch, self._batch = self._batch, []
        self._file.rows += len(batch)
        self._file.write(batch)

    def _finish(self) -> None:
        self._due = float("inf")
        if self._batch:
            self._write_group()
        file, self._file = self._file, None
        if file is not None:
            try:
                file.finish()
            except BaseException:
                self._file = file
                raise
            self._count("written", file.rows)
            self._retire()

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do it; a disk that is full costs the log a file, and the service nothing."""
        try:
            act()
        except Exception:
            _LOG.exception("the request log in %s cannot be written", self.root)
            lost = len(self._batch)
            if self._file is not None:
                lost += self._file.rows
                self._file.abandon()
            self._file, self._batch, self._due = None, [], float("inf")
            self._count("failed", lost)

    def _retire(self) -> None:
        """Remove files that are too old, and parts that a killed process left."""
        now = self._clock()
        for path in self.root.glob(f"{_PREFIX}-*"):
            with suppress(OSError, ValueError):  # another process was first, or it is not ours
                if path.suffix == PART:
                    old = now - path.stat().st_mtime > ABANDONED_S
                else:
                    stamp = datetime.strptime(path.name.split("-")[1], _STAMP).replace(tzinfo=UTC)
                    days = self._writing.keep_days
                    old = days is not None and now - stamp.timestamp() > days * DAY_S
                if old and (self._file is None or path != self._file.path):
                    path.unlink()


class _Part:
    """Hold a file that is being written."""

    def __init__(self, path: Path, final: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        self.rows = 0
        self._final = final
        self._stream = path.open("wb")
        self._writer: Any = pq.ParquetWriter(self._stream, schema(), **writer_options())

    def write(self, requests: list[Any]) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.concat_tables(requests))

    def finish(self) -> None:
        self._writer.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self.path.rename(self._final)
        folder = os.open(self._final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def abandon(self) -> None:
        with suppress(Exception):
            self._writer.close()
        with suppress(OSError):
            self._stream.close()
        self.path.unlink(missing_ok=True)
