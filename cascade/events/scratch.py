"""Rows put aside on disk in parts, so that each part is worked on alone and memory stays flat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Scratch:
    """Append structured rows to the parts of named piles, and read a part back.

    Attributes:
        folder: Where the parts are; the caller removes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, pile: str, parts: NDArray[np.int64], rows: NDArray[np.void]) -> None:
        """Append rows to the parts that they belong to; within a part they keep their order."""
        if not len(rows):
            return
        # A stable sort of 16-bit integers is a radix sort.
        order = np.argsort(parts.astype(np.uint16), kind="stable")
        sorted_parts, sorted_rows = parts[order], rows[order]
        begins = np.flatnonzero(np.diff(sorted_parts, prepend=-1))
        ends = [*begins[1:].tolist(), len(rows)]
        for begin, end in zip(begins.tolist(), ends, strict=True):
            with self._path(pile, int(sorted_parts[begin])).open("ab") as file:
                sorted_rows[begin:end].tofile(file)

    def take(self, pile: str, part: int, dtype: np.dtype[np.void]) -> NDArray[np.void]:
        """Return a part of a pile and remove it; a part that got no rows is empty."""
        path = self._path(pile, part)
        if not path.exists():
            return np.empty(0, dtype)
        rows = np.fromfile(path, dtype)
        path.unlink()
        return rows

    def _path(self, pile: str, part: int) -> Path:
        return self.folder / f"{pile}-{part}.bin"


def spread(keys: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Return a part below `parts` for each key, the same for equal keys."""
    mixed = keys.astype(np.uint64) * _GOLDEN >> np.uint64(32)
    return (mixed % np.uint64(parts)).astype(np.int64)
