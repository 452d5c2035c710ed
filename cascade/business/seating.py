"""Seating: pins take their slots, and the other rows fill the rest as quotas allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.business.reserving import Floor, Reserve
from cascade.business.rules import AtLeast, AtMost, Diversify, QuotaRule
from cascade.business.tallies import Limit, Spread
from cascade.business.where import matches
from cascade.candidates import Candidates, Int64

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Seating:
    """Hold an order, and the rows that a quota moved.

    Attributes:
        order: int64[n], the former position of the row at each rank.
        passed: For each quota's name the former positions of the rows that it held back.
        raised: For each quota's name those of the rows that it let pass others.
    """

    order: Int64
    passed: Mapping[str, Sequence[int]]
    raised: Mapping[str, Sequence[int]]


def seated(candidates: Candidates, quotas: Sequence[QuotaRule], pins: Mapping[int, int]) -> Seating:
    """Return one listing in an order that keeps pins and quotas.

    Slots are filled from the top; pinned rows count beforehand, wherever their slot lies in a
    quota's top. A slot without a pin takes the first row that is left of the best kind there is:

    1. it breaks no `AtMost`, leaves enough rows and slots to every `AtLeast`, and is far enough
       from its like for every `Diversify`;
    2. the same, but for `Diversify`;
    3. it breaks an `AtMost`, as all that are left do.

    Args:
        candidates: One listing.
        quotas: The quotas, all at once, so that none undoes another.
        pins: For a position its slot, both from 0; a slot beyond the end takes the last free one.
    """
    count = len(candidates)
    slots = _within(pins, count)
    table = _Table.of(candidates, quotas, slots)
    horizon = min(max((quota.top for quota in quotas), default=0), count)
    sequence = [table.seat(slot) for slot in range(horizon) if slot not in slots]
    order = np.empty(count, dtype=np.int64)
    unpinned = np.ones(count, dtype=np.bool_)
    unpinned[list(slots)] = False
    order[list(slots)] = list(slots.values())
    order[unpinned] = np.concatenate(
        [np.array(sequence, dtype=np.int64), np.flatnonzero(table.waiting)]
    )
    return Seating(order, _listed(table.passed), _listed(table.raised))


@dataclass(slots=True)
class _Table:
    """Hold who waits for a slot, and what the quotas say of it."""

    waiting: Bool
    limits: list[Limit]
    spreads: list[Spread]
    reserve: Reserve
    passed: dict[str, Bool]
    raised: dict[str, Bool]

    @classmethod
    def of(
        cls, candidates: Candidates, quotas: Sequence[QuotaRule], slots: Mapping[int, int]
    ) -> _Table:
        """Return the table with the pinned rows seated.

        Args:
            candidates: The listing.
            quotas: The quotas.
            slots: The position of each pinned slot.
        """
        count = len(candidates)
        waiting = np.ones(count, dtype=np.bool_)
        waiting[list(slots.values())] = False
        limits = [Limit.of(q, candidates) for q in quotas if isinstance(q, AtMost)]
        spreads = [Spread.of(q, candidates, slots) for q in quotas if isinstance(q, Diversify)]
        for limit in limits:
            for slot, position in slots.items():
                if slot < limit.top:
                    limit.add(position)
        floors = [
            Floor.of(q.name, matches(q.where, candidates), q.count, min(q.top, count), slots)
            for q in quotas
            if isinstance(q, AtLeast)
        ]
        reserve = Reserve(floors, limits, waiting, frozenset(slots))
        reserve.begin()
        blank = {quota.name: np.zeros(count, dtype=np.bool_) for quota in quotas}
        raised = {quota.name: np.zeros(count, dtype=np.bool_) for quota in quotas}
        return cls(waiting, limits, spreads, reserve, blank, raised)

    def seat(self, slot: int) -> int:
        """Return the position of the row that takes a slot, and take it from those that wait."""
        limits = [limit for limit in self.limits if slot < limit.top]
        spreads = [spread for spread in self.spreads if slot < spread.top]
        full = [(limit.name, limit.full) for limit in limits]
        near = [(spread.name, spread.near(slot)) for spread in spreads]
        allowed = _clear(self.waiting, full)
        if allowed.any():
            pools = (_clear(allowed, near), allowed) if near else (allowed,)
            row = self.reserve.choice(slot, pools)
        else:
            row = self.reserve.forced(slot, self.waiting)
        self._note(row, slot, full + near)
        self.waiting[row] = False
        for limit in limits:
            limit.add(row)
        for spread in spreads:
            spread.add(row, slot)
        self.reserve.take(row, slot)
        return row

    def _note(self, row: int, slot: int, held: Sequence[tuple[str, Bool]]) -> None:
        """Keep which rule moved a row: the first that holds it back, or the one that wants it."""
        left = self.waiting[:row].copy()
        for name, mask in held:
            if not left.any():
                return
            self.passed[name][:row] |= left & mask[:row]
            left &= ~mask[:row]
        if not left.any():
            return
        wanting = self.reserve.wanting(slot, row)
        if wanting is not None:
            self.raised[wanting][row] = True
        elif (keeping := self.reserve.wanting(slot)) is not None:
            self.passed[keeping][:row] |= left


def _clear(rows: Bool, held: Iterable[tuple[str, Bool]]) -> Bool:
    """Return the rows that no rule holds back."""
    for _, mask in held:
        rows = rows & ~mask
    return rows


def _listed(marked: Mapping[str, Bool]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in marked.items()}


def _within(pins: Mapping[int, int], count: int) -> dict[int, int]:
    """Return the position of each pinned slot, those beyond the end moved to free slots."""
    slots = {slot: position for position, slot in pins.items() if slot < count}
    beyond = sorted((slot, position) for position, slot in pins.items() if slot >= count)
    last = count - 1
    for _, position in reversed(beyond):
        while last in slots:
            last -= 1
        slots[last] = position
    return slots
