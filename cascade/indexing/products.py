"""Reading product files: one JSON object a line, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import orjson

from cascade.errors import DocumentError

MAX_TOLD = 20


class OnError(StrEnum):
    """Say what a line that cannot be used does to a build."""

    REFUSE = "refuse"
    SKIP = "skip"


class Quarantine:
    """Count the lines that were left out, and keep the first few reasons.

    Args:
        on_error: Whether the first bad line ends the build.
    """

    def __init__(self, on_error: OnError) -> None:
        self.on_error = on_error
        self.count = 0
        self.reasons: list[str] = []

    def put(self, reason: str) -> None:
        """Leave a line out.

        Raises:
            DocumentError: If bad lines are refused.
        """
        if self.on_error is OnError.REFUSE:
            raise DocumentError(
                f"{reason}. Nothing was built; --on-error skip leaves such lines out"
            )
        self.count += 1
        if len(self.reasons) < MAX_TOLD:
            self.reasons.append(reason)


def read_products(path: Path, quarantine: Quarantine) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the place ("file, line 7") and content of each document.

    Raises:
        DocumentError: If the file cannot be read, or for a bad line that is refused; naming
            file, line and column.
    """
    number = 0
    try:
        with _opened(path) as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                place = f"{path.name}, line {number}"
                try:
                    raw = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    quarantine.put(f"{place}, column {error.colno}: not valid JSON: {error.msg}")
                    continue
                yield place, raw
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DocumentError(f"{path} cannot be read after line {number}: {what}") from None


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
