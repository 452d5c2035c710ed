"""Exploration: a stated share of adjacent swaps inside the head, with known propensities.

What a log shows of an order that never varies says nothing of another order. Swapping neighbours
at a known chance costs a row one rank at most, and lets estimates off the policy be made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.business.rules import BaseRule, Boost, Bury, Diversify, OrderRule, Pin, QuotaRule
from cascade.business.where import matches
from cascade.candidates import Candidates, Float64

HEAD = 10


@dataclass(frozen=True, slots=True)
class Explored:
    """Hold a listing after the swaps.

    Attributes:
        candidates: The listing.
        swapped: The upper rank (from 1) of each pair that was swapped.
        propensities: float64[n], the chance with which the row at each rank stands there.
    """

    candidates: Candidates
    swapped: tuple[int, ...]
    propensities: Float64


@dataclass(frozen=True)
class Exploration:
    """Swap neighbours in the head of a list.

    A fair coin says whether the pairs are ranks 1-2, 3-4, ... or 2-3, 4-5, ...; each pair is then
    swapped with the chance `swap_share`. Coin and draws are hashes of the query's id: one id gives
    one order, on every replica and page. A pair is left alone where a rule speaks of one of its
    rows, or where a quota ends between them, so rules hold as before.

    Attributes:
        swap_share: The chance of a swap, 0 to 1.
        head: The ranks that take part.
    """

    swap_share: float
    head: int = HEAD

    def __post_init__(self) -> None:
        if not 0 <= self.swap_share <= 1 or self.head < 2:
            raise ValueError(
                f"swap_share {self.swap_share}, head {self.head}: accepted are 0 to 1, 2 or more"
            )

    def apply(self, candidates: Candidates, rules: Sequence[BaseRule] = ()) -> Explored:
        """Return one listing after the swaps that its query's id draws.

        Args:
            candidates: One listing in its last order.
            rules: The rules that it was ordered by.
        """
        count, query_id = len(candidates), candidates.queries[0].id
        head = min(self.head, count)
        propensities = np.ones(count)
        if head < 2 or not self.swap_share:
            return Explored(candidates, (), propensities)
        shares = self.swap_share * _free(candidates.head(head).bare(), rules)
        # A row stays unless the coin pairs it above or below and that pair is swapped.
        propensities[:head] -= 0.5 * np.append(shares, 0.0) + 0.5 * np.append(0.0, shares)
        first = int(_draw(query_id, "pairs") < 0.5)
        pairs = [k for k in range(first, head - 1, 2) if _draw(query_id, str(k)) < shares[k]]
        if not pairs:
            return Explored(candidates, (), propensities)
        order = np.arange(count)
        for upper in pairs:
            order[[upper, upper + 1]] = upper + 1, upper
            propensities[[upper, upper + 1]] = 0.5 * shares[upper]
        swapped = tuple(upper + 1 for upper in pairs)
        return Explored(candidates.take(order), swapped, propensities)


def _free(head: Candidates, rules: Sequence[BaseRule]) -> NDArray[np.float64]:
    """Return float64[n - 1], 1 for each pair of neighbours that no rule holds, else 0."""
    query = head.queries[0]
    held = np.zeros(len(head), dtype=np.bool_)
    free = np.ones(len(head) - 1)
    for rule in rules:
        if not rule.covers(query):
            continue
        if isinstance(rule, Boost | Bury):
            held |= matches(rule.where, head)
        elif isinstance(rule, Pin):
            held |= np.isin(np.array(head.ids(), dtype=object), [i for i, _ in rule.slots])
        elif isinstance(rule, Diversify):
            # A swap changes the distance to every other row of the top, and across its end.
            free[: rule.top] = 0.0
        elif isinstance(rule, QuotaRule):
            # Within the top the counts stay; across its end it might not.
            free[rule.top - 1 : rule.top] = 0.0
        elif isinstance(rule, OrderRule):
            held[:] = True
    free[held[:-1] | held[1:]] = 0.0
    return free


def _draw(query_id: str, what: str) -> float:
    """Return a number in [0, 1) that depends on the id and what it is for alone."""
    return xxhash.xxh3_64_intdigest(f"swap:{what}:{query_id}".encode()) / 2.0**64
