"""Dead letters: the lines and documents that a build left out, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeAlias

import orjson

from cascade.errors import DocumentError

MAX_TOLD = 20
MAX_LETTER_BYTES = 65_536
Given: TypeAlias = bytes | Mapping[str, Any] | list[str] | None
"""A line, a document or the cells of a row, as they were given."""


class OnError(StrEnum):
    """Say what a line that cannot be used does to a build."""

    REFUSE = "refuse"
    SKIP = "skip"


class DeadLetters:
    """Write one JSON object a line: `place`, `reason`, and `given` where it is small.

    Use it as a context manager; without a letter there is no file.

    Args:
        path: The file; what an earlier run left there is overwritten.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: BinaryIO | None = None
        path.unlink(missing_ok=True)

    def put(self, place: str, reason: str, given: Given) -> None:
        """Add a letter; what was given is left out where it is over 64 KiB."""
        if self._stream is None:
            self._stream = self.path.open("wb")
        self._stream.write(letter(place, reason, given) + b"\n")

    def __enter__(self) -> DeadLetters:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()


def letter(place: str, reason: str, given: Given) -> bytes:
    """Return one line of a dead-letter file, without its end."""
    told: dict[str, Any] = {"place": place, "reason": reason}
    if isinstance(given, bytes):
        told |= _small("given", given.decode("utf-8", "replace").rstrip("\r\n"), len(given))
    elif given is not None:
        try:
            told |= _small("given", given, len(orjson.dumps(given)))
        except orjson.JSONEncodeError:
            told |= _small("given", repr(given), len(repr(given)))
    try:
        return orjson.dumps(told)
    except orjson.JSONEncodeError:  # a lone surrogate: JSON can name it, UTF-8 cannot hold it
        return orjson.dumps({key: _valid(value) for key, value in told.items()})


def _small(name: str, value: object, size: int) -> dict[str, object]:
    return {name: value} if size <= MAX_LETTER_BYTES else {"bytes": size}


def _valid(value: object) -> object:
    return value if isinstance(value, int) else str(value).encode("utf-8", "replace").decode()


class Quarantine:
    """Count what was left out, keep the first few reasons, and write all of them down.

    Args:
        on_error: Whether the first bad line ends the build.
        letters: Where they are written, if anywhere.
    """

    def __init__(self, on_error: OnError, letters: DeadLetters | None = None) -> None:
        self.on_error = on_error
        self.letters = letters
        self.count = 0
        self.reasons: list[str] = []

    def put(self, place: str, reason: str, given: Given = None) -> None:
        """Leave a line out.

        Args:
            place: Where it stands: "products.ndjson, line 7".
            reason: Why it cannot be used.
            given: The line, as it was given.

        Raises:
            DocumentError: If bad lines are refused.
        """
        told = f"{place}: {reason}"
        if self.on_error is OnError.REFUSE:
            raise DocumentError(f"{told}. Nothing was built; --on-error skip leaves such lines out")
        self.count += 1
        if len(self.reasons) < MAX_TOLD:
            self.reasons.append(told)
        if self.letters is not None:
            self.letters.put(place, reason, given)
