"""A table of distinct strings on disk: from strings to numbers by hash, and back by offset.

Three arrays hold the strings (`text`, `offsets`) and a hash table with open addressing and linear
probing (`keys`, `slots`). At build every string is looked up again, and another seed is tried
until no two strings share a 64-bit hash, so a lookup compares hashes alone: a string that is in
the table is always found as itself, one that is not is mistaken for another with a probability
of about n / 2^64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.candidates import Int32, Int64
from cascade.errors import ChecksumError

UInt64 = NDArray[np.uint64]
Hash = Callable[[bytes, int], int]
PARTS = ("text", "offsets", "keys", "slots")
_SEEDS = 16


def hashed(strings: Sequence[str], seed: int, digest: Hash | None = None) -> UInt64:
    """Return the 64-bit hash of each string (XXH3), uint64[n]."""
    try:
        encoded = list(map(str.encode, strings))
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8; as it is passed here, it equals no string of a table.
        encoded = [s.encode("utf-8", "surrogatepass") for s in strings]
    digests = map(digest or xxhash.xxh3_64_intdigest, encoded, repeat(seed))
    return np.fromiter(digests, dtype=np.uint64, count=len(encoded))


def build_table(hash_all: Callable[[int], UInt64]) -> tuple[int, UInt64, Int32]:
    """Return the seed, keys and slots of a hash table over n distinct strings.

    Args:
        hash_all: Returns the hashes of all strings, in order, for a seed.

    Raises:
        ChecksumError: If no seed tells all strings apart, which only a broken hash does.
    """
    for seed in range(_SEEDS):
        hashes = hash_all(seed)
        if len(np.unique(hashes)) == len(hashes):
            keys, slots = _placed(hashes)
            found = _probed(hashes, keys, slots)
            if not np.array_equal(found, np.arange(len(hashes))):
                raise ChecksumError("the hash table is not complete; this is a defect of ours")
            return seed, keys, slots
    raise ChecksumError(f"{_SEEDS} seeds leave strings with equal hashes; are they distinct?")


class StringTable:
    """Look strings up by number and numbers by string, over memory-mapped arrays.

    Args:
        arrays: The parts: `text` uint8, `offsets` int64[n + 1], `keys` uint64[c], `slots` int32[c].
        seed: Of the hash.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], seed: int) -> None:
        self._text = arrays["text"]
        self._offsets: Int64 = arrays["offsets"]
        self._keys: UInt64 = arrays["keys"]
        self._slots: Int32 = arrays["slots"]
        self._seed = seed

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def numbers(self, strings: Sequence[str]) -> Int32:
        """Return the number of each string, int32[n], -1 where it is not in the table."""
        if not len(strings) or not len(self):
            return np.full(len(strings), -1, dtype=np.int32)
        return _probed(hashed(strings, self._seed), self._keys, self._slots)

    def strings(self, numbers: Int32 | Int64) -> list[str]:
        """Return the string of each number, "" for those below 0."""
        known = np.maximum(numbers, 0)
        if not len(self):
            return [""] * len(numbers)
        starts, stops = self._offsets[known].tolist(), self._offsets[known + 1].tolist()
        text = self._text.data
        found = [str(text[a:b], "utf-8") for a, b in zip(starts, stops, strict=True)]
        for i in np.flatnonzero(numbers < 0):
            found[i] = ""
        return found


def _placed(hashes: UInt64) -> tuple[UInt64, Int32]:
    """Insert all at once: each round, the first claimant of an empty slot gets it."""
    capacity = 8
    while capacity < 2 * len(hashes):
        capacity *= 2
    mask = np.uint64(capacity - 1)
    keys = np.zeros(capacity, dtype=np.uint64)
    slots = np.full(capacity, -1, dtype=np.int32)
    waiting = np.arange(len(hashes))
    at = (hashes & mask).astype(np.int64)
    while len(waiting):
        wanted = at[waiting]
        free = slots[wanted] < 0
        _, first = np.unique(wanted[free], return_index=True)
        winners = waiting[free][first]
        keys[at[winners]] = hashes[winners]
        slots[at[winners]] = winners
        waiting = waiting[slots[wanted] != waiting]
        at[waiting] = (at[waiting] + 1) & int(mask)
    return keys, slots


def _probed(hashes: UInt64, keys: UInt64, slots: Int32) -> Int32:
    mask = len(keys) - 1
    at = (hashes & np.uint64(mask)).astype(np.int64)
    found = slots[at]
    open_ = np.flatnonzero((found >= 0) & (keys[at] != hashes))
    while len(open_):
        at[open_] = (at[open_] + 1) & mask
        found[open_] = slots[at[open_]]
        open_ = open_[(found[open_] >= 0) & (keys[at[open_]] != hashes[open_])]
    return found
