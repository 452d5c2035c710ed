"""Log files in blocks of whole lines; `.gz` and `.zip` are unpacked."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cascade.errors import InputError

BLOCK_BYTES = 4 << 20
LONGEST_LINE_BYTES = 64 << 20


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Block:
    """Hold whole lines of one file.

    Attributes:
        source: The file, and the member of an archive.
        first: The number of the first line, from 1.
        data: The lines, each with its end.
    """

    source: str
    first: int
    data: bytes

    def lines(self) -> list[bytes]:
        """Return the lines without their ends."""
        lines = self.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines


def blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield a file's lines in blocks of about `size` bytes.

    Raises:
        InputError: If it cannot be read, or holds no lines of text.
    """
    with _told(path):
        for source, stream in _parts(path):
            first, rest = 1, b""
            while chunk := stream.read(size):
                if first == 1 and not rest and b"\0" in chunk[:1024]:
                    raise InputError(
                        f"{source} is no text: it has zero bytes; give one object a line"
                    )
                end = chunk.rfind(b"\n") + 1
                if not end:
                    rest += chunk
                    if len(rest) > LONGEST_LINE_BYTES:
                        raise InputError(
                            f"{source}: line {first} is longer than {LONGEST_LINE_BYTES >> 20} MB; "
                            "give one object a line"
                        )
                    continue
                block = Block(source, first, rest + chunk[:end])
                rest = chunk[end:]
                yield block
                first += block.data.count(b"\n")
            if rest:
                yield Block(source, first, rest)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, unpacked."""
    digested = hashlib.sha256()
    with _told(path):
        for _, stream in _parts(path):
            while chunk := stream.read(BLOCK_BYTES):
                digested.update(chunk)
    return digested.hexdigest()


def _parts(path: Path) -> Iterator[tuple[str, _Bytes]]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            for info in members:
                with archive.open(info) as stream:
                    yield f"{path.name}/{info.filename}", stream
    elif path.suffix == ".gz":
        with gzip.open(path) as packed:
            yield path.name, packed
    else:
        with path.open("rb") as plain:
            yield path.name, plain


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is a damaged archive: {error}; fetch it again") from None
