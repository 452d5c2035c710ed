"""Columns that grow while others read them.

Each keeps an array with room at its end. What is appended lies beyond every view that was given
out, so a view never changes; when the room is used up, a copy of twice the size takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Int32, Int64, Ragged, TextStatistics
from cascade.catalogue.reader import gathered

_ROOM = 256


class GrowingRows:
    """Keep an array that grows along its first axis.

    Args:
        start: What it begins with; not copied before it grows.
        fill: What the room at its end holds.
    """

    def __init__(self, start: NDArray[Any], fill: float = 0) -> None:
        self._array = start
        self._count = len(start)
        self._fill = fill

    def __len__(self) -> int:
        return self._count

    def extend(self, rows: NDArray[Any]) -> None:
        """Append rows."""
        self.widen(len(rows))
        self._array[self._count - len(rows) : self._count] = rows

    def widen(self, more: int) -> None:
        """Append rows that hold the fill."""
        needed = self._count + more
        if needed > len(self._array):
            shape = (needed + max(_ROOM, needed // 2), *self._array.shape[1:])
            grown = np.full(shape, self._fill, dtype=self._array.dtype)
            grown[: self._count] = self._array[: self._count]
            self._array = grown
        self._count = needed

    def view(self) -> NDArray[Any]:
        """Return what is there."""
        return self._array[: self._count]


class GrowingLists:
    """Keep lists of numbers of different lengths."""

    def __init__(self) -> None:
        self._offsets = GrowingRows(np.zeros(1, dtype=np.int64))
        self._values = GrowingRows(np.empty(0, dtype=np.int32))

    def extend(self, lengths: Sequence[int], values: Sequence[int]) -> None:
        """Append lists, given by their lengths and their values one after the other."""
        self._offsets.extend(len(self._values) + np.cumsum(lengths, dtype=np.int64))
        self._values.extend(np.array(values, dtype=np.int32))

    def view(self) -> Ragged:
        """Return what is there."""
        return Ragged(self._offsets.view(), self._values.view())


class GrowingFrequency:
    """Keep the statistics of a text field, frozen, with 0 for each term that came later."""

    def __init__(self, frozen: TextStatistics) -> None:
        self._frozen = frozen
        self._frequency = GrowingRows(frozen.document_frequency)

    def widen(self, terms: int) -> None:
        """Make room for so many more terms."""
        self._frequency.widen(terms)

    def view(self) -> TextStatistics:
        """Return the statistics."""
        frozen = self._frozen
        return TextStatistics(frozen.documents, frozen.tokens, self._frequency.view())


def merged(base: Ragged, later: Ragged, numbers: Int32, start: int) -> Ragged:
    """Return the lists of `base`, and those of `later` for numbers from `start` on.

    Args:
        base: n lists, empty where a number is not below `start`.
        later: Lists that are numbered from `start`.
        numbers: int32[n], which lists are asked for.
        start: How many lists `base` was taken from.
    """
    count = len(later.offsets) - 1
    at = np.where((numbers >= start) & (numbers < start + count), numbers - start, -1)
    more = gathered(later.offsets, later.values, at.astype(np.int64))
    places: Int64 = np.repeat(base.offsets[:-1], more.lengths)
    return Ragged(base.offsets + more.offsets, np.insert(base.values, places, more.values))
