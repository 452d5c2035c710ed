"""How much of a build's input was read."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path


class Meter:
    """Count the bytes that were read of files, as they lie on the disk.

    Args:
        files: All that will be read, in order; with one of unknown length, such as a pipe, the
            total is unknown.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        found = [path.stat() for path in files]
        regular = all(stat.S_ISREG(s.st_mode) for s in found)
        self._total = sum(s.st_size for s in found) if regular else 0
        self._before = 0
        self._position: Callable[[], int] = int
        self._told: int | None = None

    def begin(self, position: Callable[[], int]) -> None:
        """Say how far a reader is in the file that it begins."""
        self._position = position

    def end(self, path: Path) -> None:
        """Say that a file was read to its end."""
        self._position = int
        self._before += path.stat().st_size

    def tell(self, read: int) -> None:
        """Take the count of the process that reads."""
        self._told = read

    def read(self) -> int:
        """Return the bytes that were read so far."""
        if self._told is not None:
            return self._told
        with suppress(OSError, ValueError):  # a pipe has no position
            return self._before + self._position()
        return self._before

    def expected(self, documents: int) -> int | None:
        """Return how many documents there will be, judged by those so far; None if unknown."""
        read = self.read()
        if not self._total or not read or not documents:
            return None
        return max(documents, round(documents * self._total / read))
