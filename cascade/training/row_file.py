"""The rows of a matrix, in memory or in a file; selections of a file lie in a file again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Int64

BLOCK_VALUES = 1 << 22  # 16 MB of float32


class RowFile:
    """Collect the rows of a matrix, in memory up to a limit and in a file beyond it.

    The file has no name in its folder, so nothing of it is left when the process ends.

    Args:
        folder: Where the file is made; None means the system's place for such files.
        memory_mb: How much stays in memory.
    """

    def __init__(self, folder: Path | None, memory_mb: int) -> None:
        self._folder = folder
        self._limit = memory_mb * (1 << 20)
        self._parts: list[Float32] = []
        self._bytes = 0
        self._rows = 0
        self._file: IO[bytes] | None = None

    def add(self, rows: Float32) -> None:
        """Add float32[m, f]."""
        self._rows += len(rows)
        self._bytes += rows.nbytes
        self._parts.append(rows)
        if self._bytes > self._limit:
            if self._file is None:
                if self._folder is not None:
                    self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - it is kept
            for part in self._parts:
                self._file.write(np.ascontiguousarray(part).data)
            self._parts, self._bytes = [], 0

    def matrix(self, width: int) -> Float32:
        """Return float32[n, width], an array or a memory map of the file; nothing follows it."""
        if self._file is None:
            empty = np.empty((0, width), dtype=np.float32)
            return np.concatenate([empty, *self._parts])
        # The map keeps the file open by itself.
        with self._file as file:
            for part in self._parts:
                file.write(np.ascontiguousarray(part).data)
            file.flush()
            return np.memmap(file, dtype=np.float32, mode="r", shape=(self._rows, width))


def in_file(matrix: Float32) -> bool:
    """Return whether the rows lie in a file."""
    return isinstance(matrix, np.memmap)


def picked(matrix: Float32, rows: NDArray[np.bool_]) -> Float32:
    """Return the rows that a mask bool[n] selects."""
    if not in_file(matrix):
        return matrix[rows]
    return _filed((part[rows[at]] for at, part in _blocks(matrix)), matrix.shape[1])


def columns_of(matrix: Float32, columns: Sequence[int]) -> Float32:
    """Return these columns, in this order, as float32[n, len(columns)]."""
    if not in_file(matrix):
        return np.ascontiguousarray(matrix[:, columns])
    return _filed((part[:, columns] for _, part in _blocks(matrix)), len(columns))


def stacked(matrices: Sequence[Float32]) -> Float32:
    """Return the rows of matrices of one width, one after the other."""
    if not any(map(in_file, matrices)):
        return np.concatenate(matrices)
    parts = (part for matrix in matrices for _, part in _blocks(matrix))
    return _filed(parts, matrices[0].shape[1])


def blanked_at(matrix: Float32, rows: Int64, columns: Int64) -> Float32:
    """Return a copy in which the cells of these rows and columns are missing (NaN)."""

    def blank(part: Float32, within: Int64) -> Float32:
        copy = np.array(part)
        copy[np.ix_(within, columns)] = np.nan
        return copy

    if not in_file(matrix):
        return blank(matrix, rows)
    parts = (
        blank(part, rows[(rows >= at.start) & (rows < at.stop)] - at.start)
        for at, part in _blocks(matrix)
    )
    return _filed(parts, matrix.shape[1])


def _blocks(matrix: Float32) -> Iterator[tuple[slice, Float32]]:
    step = max(1, BLOCK_VALUES // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), step):
        at = slice(start, min(start + step, len(matrix)))
        yield at, matrix[at]


def _filed(parts: Iterable[Float32], width: int) -> Float32:
    rows = RowFile(None, 0)
    for part in parts:
        rows.add(part)
    return rows.matrix(width)
