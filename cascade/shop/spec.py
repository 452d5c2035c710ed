"""What a demo marketplace is made of: its size, its seed, its clock and its random streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from cascade.errors import InputError

# 2025-06-01T00:00:00Z. Ages and dates count back from here, so a shop never depends on the clock.
REFERENCE_EPOCH_S = 1_748_736_000
LOG_DAYS = 60
BLOCK_ROWS = 16_384
MAX_LISTINGS = 10_000_000
MAX_SELLERS = 20_000
MAX_QUERIES = 50_000
MAX_SESSIONS = 10_000_000

# Called with the part, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]

_PARTS = ("sellers", "listings", "wording", "queries", "judgments", "visitors", "synonyms")


@dataclass(frozen=True)
class ShopSpec:
    """Say how large a marketplace is and which one of them it is.

    The same spec gives the same bytes; every part draws from its own stream, so that more
    sessions change no listing.

    Attributes:
        seed: Which marketplace.
        listings: Documents in `products.ndjson`.
        sellers: Shops that the listings belong to.
        queries: Distinct query texts.
        sessions: Visits in the event log; 0 writes empty logs.
    """

    seed: int = 7
    listings: int = 20_000
    sellers: int = 400
    queries: int = 2_000
    sessions: int = 8_000

    def check(self) -> None:
        """Refuse sizes that make no shop.

        Raises:
            InputError: A size is not a whole number or lies outside its range.
        """
        ranges = {
            "seed": (0, 2**63 - 1),
            "listings": (1, MAX_LISTINGS),
            "sellers": (1, MAX_SELLERS),
            "queries": (1, MAX_QUERIES),
            "sessions": (0, MAX_SESSIONS),
        }
        problems = []
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or not low <= value <= high:
                problems.append(
                    f"{name} is {value!r}; give a whole number from {low:,} to {high:,}"
                )
        if problems:
            raise InputError("shop: " + "; ".join(problems))


def stream(seed: int, part: str, block: int = 0) -> Generator:
    """Return the random numbers of one part's block, independent of every other stream."""
    return Generator(PCG64(SeedSequence(entropy=seed, spawn_key=(_PARTS.index(part), block))))


def blocks(rows: int, size: int = BLOCK_ROWS) -> list[tuple[int, int, int]]:
    """Return (block, first row, one past the last row) for `rows` rows."""
    starts = range(0, rows, size)
    return [(block, start, min(start + size, rows)) for block, start in enumerate(starts)]
