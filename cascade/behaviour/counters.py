"""Counters: what is counted, by what, over which time; and how features ask for the counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

By = Literal["document", "query", "pair", "group"]
ACTIONS = ("impression", "click", "favourite", "cart", "purchase")


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
        return f"count:{self.table}:{self.action}:{self.window_days:g}:{self.half_life_days:g}"

    @property
    def total_name(self) -> str:
        """The name of the column of its sum over everything, `total:document:click:30:7`."""
        return f"total:{self.table}:{self.action}:{self.window_days:g}:{self.half_life_days:g}"

    @property
    def table(self) -> str:
        """What its counts are kept with: those of other counters by the same thing."""
        return f"{self.by}={self.field}" if self.field else self.by


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
    """Give the counts of a moment for documents of a catalogue."""

    @property
    def as_of(self) -> float:
        """The moment up to which was counted, in seconds since 1970."""
        ...

    @property
    def counters(self) -> tuple[Counter, ...]:
        """What is counted."""
        ...

    @property
    def columns(self) -> Mapping[str, int]:
        """The column of each counter in `values`, by the counter's name."""
        ...

    @property
    def totals(self) -> Sequence[float]:
        """The sum of each counter over everything, rounded to float32."""
        ...

    def usable(self, time: float) -> bool:
        """Return whether a query of this time may read the counts.

        Not when they know what came after it, nor when they are too old; a query without a time
        (0) may always.
        """
        ...

    def values(
        self, texts: Sequence[str], listing: NDArray[np.int64], rows: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return every counter for rows of listings, float32[n, counters].

        0 where nothing was counted; NaN for a row that the catalogue does not have, except by
        query.

        Args:
            texts: The query text of each of the q listings.
            listing: int64[n], the listing of each row.
            rows: int32[n] into the catalogue, -1 where it does not have the document.
        """
        ...


def normal_text(text: str) -> str:
    """Return a query text as counters know it: case folded, white space made one blank."""
    return " ".join(text.casefold().split())
