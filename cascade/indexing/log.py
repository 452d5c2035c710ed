"""The update log: what happened to documents, in order, durable before anything else sees it.

A folder of segments, each named by the number of its first entry, each line one entry with its own
checksum. One process writes at a time; any number read.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import orjson
import xxhash

from cascade.catalogue.entries import Entry, Op
from cascade.catalogue.files import sync_folder
from cascade.engines._embedded.index import source_bytes, source_of
from cascade.errors import ChecksumError, InputError

SEGMENT_BYTES = 16 * 2**20
CHUNK_BYTES = 8 * 2**20
LOCK = "log.lock"
_SUFFIX = ".ndjson"
_TAIL_BYTES = 64 * 1024
_NUMBER = re.compile(rb'\{"seq":([0-9]+),')
_SUM = b',"sum":"'
_END = b'"}\n'
_SUM_BYTES = len(_SUM) + 16 + len(_END)


@dataclass(frozen=True, slots=True)
class Item:
    """Say what is to be written.

    Attributes:
        op: What happened.
        doc_id: To which document.
        document: What an upsert puts in its place, as it was given.
    """

    op: Op
    doc_id: str = ""
    document: Mapping[str, Any] | None = None


class Log:
    """Keep the entries of one index in a folder.

    Args:
        folder: Where; made when the first entry is written.
        segment_bytes: A segment that has so many takes no more.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes

    @property
    def position(self) -> int:
        """The number of the last whole entry, 0 before the first.

        Raises:
            ChecksumError: If what is behind it is not what a killed writer leaves.
        """
        segments = segments_of(self.folder)
        return _end(segments[-1])[0] if segments else 0

    @contextmanager
    def alone(self) -> Iterator[LogWriter]:
        """Hold off every other writer, wait for the one that is at work, and give the pen.

        What a killed writer left half-written is cut off first.

        Raises:
            ChecksumError: If the end of the log is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield LogWriter(self.folder, self._segment_bytes)

    def tail(self, after: int) -> Tail:
        """Return a reader of the entries beyond a position."""
        return Tail(self.folder, after)

    def read(self, after: int = 0) -> Iterator[Entry]:
        """Yield the entries beyond a position, up to the last that is there.

        Raises:
            ChecksumError: If an entry is damaged, or was trimmed.
        """
        tail = self.tail(after)
        while entries := tail.read():
            yield from entries

    def trim(self, position: int) -> list[str]:
        """Remove the segments that lie wholly at or below a position; return their names.

        The last segment stays, since it says where the log is.
        """
        with self.alone():
            segments = segments_of(self.folder)
            old = [
                path for path, following in pairwise(segments) if _first(following) <= position + 1
            ]
            for path in old:
                path.unlink()
            if old:
                sync_folder(self.folder)
        return [path.name for path in old]


class LogWriter:
    """Append to a log; `Log.alone` gives one."""

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        segments = segments_of(folder)
        self._path = segments[-1] if segments else None
        self.position = 0
        if self._path is not None:
            self.position, size = _end(self._path)
            if size < self._path.stat().st_size:
                with self._path.open("r+b") as stream:
                    stream.truncate(size)
                    os.fsync(stream.fileno())

    def append(self, items: Sequence[Item], time: float) -> int:
        """Write entries and return the position of the last, when they are durable.

        Args:
            items: What happened, in order.
            time: When, in seconds since 1970.
        """
        if not items:
            return self.position
        lines = [_line(number, time, item) for number, item in enumerate(items, self.position + 1)]
        if self._path is None or self._path.stat().st_size >= self._segment_bytes:
            self._path = self._folder / f"{self.position + 1:012d}{_SUFFIX}"
            self._path.touch()
            sync_folder(self._folder)
        with self._path.open("ab") as stream:
            # If this fails, whole lines stay: a reader may have seen them, and a torn one is cut
            # off by the next writer.
            stream.write(b"".join(lines))
            stream.flush()
            os.fsync(stream.fileno())
        self.position += len(items)
        return self.position


class Tail:
    """Read a log from a position on, again and again.

    Args:
        folder: Of the log.
        after: The position; the next entry is the first to be read.
    """

    def __init__(self, folder: Path, after: int) -> None:
        self.position = after
        self._folder = folder
        self._path: Path | None = None
        self._offset = 0
        self._looked: tuple[Path | None, int, str, str] = (None, -1, "", "")

    def pending(self) -> bool:
        """Return whether there may be more to read, by two looks at names and sizes.

        Any thread may ask while another reads.
        """
        path, position, looked = self._path, self.position, self._looked
        if path is None:
            return self._folder.is_dir()
        # Plain strings: paths cost more than the looks themselves.
        if looked[0] is not path or looked[1] != position:
            looked = path, position, os.fspath(path), os.fspath(self._following())
            self._looked = looked
        try:
            return os.stat(looked[2]).st_size > self._offset or (
                looked[2] != looked[3] and os.path.exists(looked[3])
            )
        except OSError:
            return True

    def read(self) -> list[Entry]:
        """Return entries that were written since, some megabytes at most; none at the end.

        Raises:
            ChecksumError: If an entry is damaged, or was trimmed before it was read.
        """
        while self._locate():
            assert self._path is not None
            try:
                with self._path.open("rb") as stream:
                    stream.seek(self._offset)
                    content = _whole_lines(stream)
            except FileNotFoundError:  # trimmed in this moment
                self._path = None
                continue
            fresh = _parsed(content, self._path, self.position)
            self._offset += len(content)
            for at, entry in enumerate(fresh, self.position + 1):
                if entry.seq != at:
                    raise ChecksumError(f"{self._path}: after entry {at - 1} comes {entry.seq}")
            if fresh:
                self.position = fresh[-1].seq
                return fresh
            if not content:
                return []
        return []

    def _locate(self) -> bool:
        """Find the segment that has the next entry; return whether there may be one."""
        following = self._following()
        if self._path is not None and self._path != following:
            try:
                if self._path.stat().st_size > self._offset:
                    return True
            except FileNotFoundError:
                self._path = None
        if self._path is None:
            segments = segments_of(self._folder)
            before = [path for path in segments if _first(path) <= self.position + 1]
            if segments and not before:
                raise ChecksumError(
                    f"the log {self._folder} begins at entry {_first(segments[0])}, and entry "
                    f"{self.position + 1} is needed: it was trimmed; build the index again"
                )
            if not before:
                return False
            self._path, self._offset = before[-1], 0
        elif self._path != following:
            later = [path for path in segments_of(self._folder) if path > self._path]
            # The writer may have gone on here before it began the next segment.
            if later and self._path.stat().st_size > self._offset:
                return True
            if later and later[0] != following:
                raise ChecksumError(
                    f"{self._path}: after entry {self.position} comes {_first(later[0])}"
                )
            if later:
                self._path, self._offset = following, 0
        return True

    def _following(self) -> Path:
        """Return the segment that begins with the next entry, if there is one."""
        return self._folder / f"{self.position + 1:012d}{_SUFFIX}"


def segments_of(folder: Path) -> list[Path]:
    """Return the segments of a log, the oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
    except FileNotFoundError:
        return []


def _first(path: Path) -> int:
    try:
        return int(path.stem)
    except ValueError:
        raise ChecksumError(f"{path} is no segment of a log; move it elsewhere") from None


def _line(number: int, time: float, item: Item) -> bytes:
    if (item.document is not None) != (item.op is Op.UPSERT):
        raise InputError(f"an entry {item.op} of {item.doc_id!r} with a document, or without one")
    head = {"seq": number, "time": time, "op": str(item.op), "id": item.doc_id}
    body = orjson.dumps(head)[:-1]
    if item.document is not None:
        body += b',"document":' + source_bytes(item.document)
    return body + _SUM + xxhash.xxh3_64_hexdigest(body).encode() + _END


def _entry(line: bytes) -> Entry | None:
    """Return what a whole line says, None if it is not what was written."""
    body = line[:-_SUM_BYTES]
    if line != body + _SUM + xxhash.xxh3_64_hexdigest(body).encode() + _END:
        return None
    raw = source_of(line)
    return Entry(raw["seq"], raw["time"], Op(raw["op"]), raw["id"], raw.get("document"))


def _parsed(content: bytes, path: Path, after: int) -> list[Entry]:
    """Return the entries of whole lines that lie beyond a position."""
    entries: list[Entry] = []
    for line in content.splitlines(keepends=True):
        number = _NUMBER.match(line)
        if number is not None and int(number[1]) <= after:
            continue
        entry = _entry(line)
        if entry is None:
            raise _damaged(path, entries[-1].seq if entries else None)
        entries.append(entry)
    return entries


def _whole_lines(stream: IO[bytes]) -> bytes:
    """Return some megabytes up to the end of a line, more if the line is longer."""
    content = stream.read(CHUNK_BYTES)
    while b"\n" not in content:
        more = stream.read(CHUNK_BYTES)
        if not more:
            return b""
        content += more
    return content[: content.rindex(b"\n") + 1]


def _end(path: Path) -> tuple[int, int]:
    """Return the number of the last entry of a segment, and where its line ends.

    A killed writer leaves at most the beginning of a line; a line that has its end was written
    whole, and is damaged if its checksum is not its own.
    """
    size = path.stat().st_size
    reach = _TAIL_BYTES
    with path.open("rb") as stream:
        while True:
            start = max(0, size - reach)
            stream.seek(start)
            content = stream.read(size - start)
            stop = content.rfind(b"\n") + 1
            begin = content.rfind(b"\n", 0, max(stop - 1, 0)) + 1
            if stop and (begin or start == 0):
                entry = _entry(content[begin:stop])
                if entry is None:
                    raise _damaged(path, None)
                return entry.seq, start + stop
            if start == 0:
                return _first(path) - 1, 0
            reach *= 8


def _damaged(path: Path, after: int | None) -> ChecksumError:
    where = "" if after is None else f" after entry {after}"
    return ChecksumError(f"{path} is damaged{where}; restore it, or build the index again")
