"""What an index is built from: product files of several forms, or an index that exists."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from cascade.errors import DocumentError, InputError, NotFoundError
from cascade.hosting import IndexHost
from cascade.indexing.dead_letters import Quarantine
from cascade.indexing.meter import Meter
from cascade.indexing.parquet import need_parquet, read_parquet
from cascade.indexing.products import Products, read_lines, read_table

SPOOL = "spool.ndjson"
"""The file of a staged folder that holds the documents of the index that is read."""
HASHED_BYTES = 65_536
_Read = Callable[[str, IO[bytes], Quarantine], Products]
_LINES: Mapping[str, _Read] = {
    ".ndjson": read_lines,
    ".jsonl": read_lines,
    ".json": read_lines,
    ".csv": partial(read_table, delimiter=","),
    ".tsv": partial(read_table, delimiter="\t"),
}
_PARQUET = ".parquet"


class Source(Protocol):
    """Give the files that hold the documents of a build, the same whenever it is gone on with."""

    def identity(self) -> str:
        """Return what changes when the documents do."""
        ...

    def files(self, folder: Path, told: Callable[[int], None]) -> Sequence[Path]:
        """Return the files to read, in order.

        Args:
            folder: For files that are made; it goes with the build.
            told: Told how many documents were written to them.
        """
        ...

    def ready(self, folder: Path) -> bool:
        """Return whether the files that an earlier run made in a folder are whole."""
        ...


@dataclass(frozen=True)
class Files:
    """Read product files: JSON lines, CSV, TSV (each plain or gzipped) and Parquet.

    Raises:
        InputError: If a suffix is none of these.
        OptionalDependencyError: If a file is Parquet and pyarrow is not installed.
    """

    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        for path in self.paths:
            _form(path)

    def identity(self) -> str:
        """Return a digest over each file's path, size, time of change, head and tail."""
        return hashlib.sha256(json.dumps([_identity(p) for p in self.paths]).encode()).hexdigest()

    def files(self, folder: Path, told: Callable[[int], None]) -> Sequence[Path]:
        """Return the files as they were given."""
        return self.paths

    def ready(self, folder: Path) -> bool:
        """Return whether they are there: no other file is needed."""
        return True


@dataclass(frozen=True)
class IndexSource:
    """Read an index that exists, through a file: an index has no order that stays.

    Args:
        host: Who holds it.
        name: Its name or its alias.
    """

    host: IndexHost
    name: str

    def identity(self) -> str:
        """Return the name of the concrete index.

        Raises:
            NotFoundError: If there is none.
        """
        concrete = self.host.target(self.name)
        if concrete is None:
            raise NotFoundError(f"there is no index {self.name!r} on the server to build from")
        return f"index {concrete}"

    def files(self, folder: Path, told: Callable[[int], None]) -> Sequence[Path]:
        """Write the documents of the index to one file, unless an earlier run did."""
        path = folder / SPOOL
        if not path.is_file():
            concrete = self.identity().removeprefix("index ")
            unfinished, count = path.with_suffix(".part"), 0
            with unfinished.open("wb") as stream:
                for batch in self.host.documents(concrete):
                    stream.writelines(orjson.dumps(d, default=dict) + b"\n" for d in batch)
                    count += len(batch)
                    told(count)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(path)
        return (path,)

    def ready(self, folder: Path) -> bool:
        """Return whether that file is whole."""
        return (folder / SPOOL).is_file()


def read_products(
    path: Path, quarantine: Quarantine, meter: Meter | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the place ("file, line 7") and content of each document of a file.

    Args:
        path: The file; its suffix says its form.
        quarantine: Takes the lines that cannot be used.
        meter: Told how far it is.

    Raises:
        InputError: If the suffix is none that is read.
        DocumentError: If the file cannot be read, or for a bad line that is refused; naming
            file, line and column.
    """
    meter = Meter([path]) if meter is None else meter
    read = _form(path)
    if read is None:
        yield from read_parquet(path, meter)
    else:
        yield from _read_text(path, read, quarantine, meter)
    meter.end(path)


def _read_text(path: Path, read: _Read, quarantine: Quarantine, meter: Meter) -> Products:
    place = "line 0"
    try:
        with path.open("rb") as stream:
            meter.begin(stream.tell)
            if path.suffix.lower() != ".gz":
                products = read(path.name, stream, quarantine)
            else:
                products = read(path.name, gzip.GzipFile(fileobj=stream), quarantine)  # type: ignore[arg-type]
            with closing(products):  # before the stream is
                for found in products:
                    place = found[0]
                    yield found
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        after = place.removeprefix(f"{path.name}, ")
        raise DocumentError(f"{path} cannot be read after {after}: {what}") from None


def _form(path: Path) -> _Read | None:
    """Return what reads a text file, None for Parquet.

    Raises:
        InputError: If the suffix is none that is read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [_PARQUET]:
        need_parquet()
        return None
    plain = suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:]
    if plain and plain[0] in _LINES:
        return _LINES[plain[0]]
    raise InputError(
        f"{path}: the form of a file is told by its suffix; accepted are {', '.join(_LINES)}, "
        f"each plain or with .gz, and {_PARQUET}"
    )


def _identity(path: Path) -> list[str | int]:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return [os.urandom(16).hex()]  # a pipe gives nothing twice
    with path.open("rb") as stream:
        digest = hashlib.sha256(stream.read(HASHED_BYTES))
        stream.seek(max(0, found.st_size - HASHED_BYTES))
        digest.update(stream.read(HASHED_BYTES))
    return [str(path.resolve()), found.st_size, found.st_mtime_ns, digest.hexdigest()]
