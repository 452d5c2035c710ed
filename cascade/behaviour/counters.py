"""Counters: what is counted, by what, over which time; and how features ask for the counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

By = Literal["document", "query", "pair", "group"]


@dataclass(frozen=True, slots=True, order=True)
class Counter:
    """Count an action by document, query, pair of both, or the value of a keyword field.

    An event of age a days (before the time that is asked for) counts
    `0.5 ** (a / half_life_days)`, and nothing beyond `window_days`; an event at the very time or
    after it never counts.

    Attributes:
        by: What the counts are kept for.
        action: "impression", "click", "favourite", "cart" or "purchase".
        window_days: How far back it looks; infinite looks back to the beginning.
        half_life_days: After how many days an event counts half; infinite means never.
        field: The keyword field, such as the seller, for `by = "group"`.
    """

    by: By
    action: str
    window_days: float = math.inf
    half_life_days: float = math.inf
    field: str = ""

    @property
    def name(self) -> str:
        """The name of its column, such as `count:document:click:30:7`."""
        of = f"{self.by}={self.field}" if self.field else self.by
        return f"count:{of}:{self.action}:{self.window_days:g}:{self.half_life_days:g}"


@dataclass(frozen=True)
class Counted:
    """Hold the k counts of one counter that are not 0.

    Attributes:
        texts: object[k] of normal query texts, for "query" and "pair", else None.
        names: object[k] of document ids ("document", "pair") or values of the field ("group"),
            else None.
        values: float64[k].
    """

    texts: NDArray[np.object_] | None
    names: NDArray[np.object_] | None
    values: NDArray[np.float64]


class Behaviour(Protocol):
    """Give the counts of a moment for documents of a catalogue.

    Attributes:
        as_of: The moment, in seconds since 1970.
    """

    @property
    def as_of(self) -> float:
        """The moment up to which was counted, in seconds since 1970."""
        ...

    @property
    def counters(self) -> tuple[Counter, ...]:
        """What is counted."""
        ...

    def total(self, counter: Counter) -> float:
        """Return the sum of a counter over everything."""
        ...

    def values(
        self,
        counter: Counter,
        texts: Sequence[str],
        listing: NDArray[np.int64],
        rows: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        """Return a counter for rows of listings, float64[n], 0 where nothing was counted.

        Args:
            counter: One of `counters`.
            texts: The query text of each of the q listings.
            listing: int64[n], the listing of each row.
            rows: int32[n] into the catalogue, -1 where it does not have the document.
        """
        ...


def normal_text(text: str) -> str:
    """Return a query text as counters know it: case folded, white space made one blank."""
    return " ".join(text.casefold().split())
