"""Seating: pins take their slots, and the other rows fill the rest as quotas allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cascade.business.rules import AtMost
from cascade.business.where import matches
from cascade.candidates import Candidates, Int64


@dataclass(frozen=True, slots=True)
class Seating:
    """Hold an order, and the rows that a quota passed over.

    Attributes:
        order: int64[n], the former position of the row at each rank.
        passed: For each quota's name the former positions of the rows that it held back.
    """

    order: Int64
    passed: Mapping[str, Sequence[int]]


def seated(candidates: Candidates, quotas: Sequence[AtMost], pins: Mapping[int, int]) -> Seating:
    """Return one listing in an order that keeps pins and quotas.

    Slots are filled from the top. A slot without a pin takes the first row that is left and breaks
    no quota of that slot; pinned rows are counted beforehand, wherever their slot lies in the
    quota's top. If every row that is left breaks one, the first of them is taken.

    Args:
        candidates: One listing.
        quotas: The quotas, all at once, so that none undoes another.
        pins: For a position its slot, both from 0; a slot beyond the end takes the last free one.
    """
    count = len(candidates)
    slots = _within(pins, count)
    pinned = np.zeros(count, dtype=np.bool_)
    pinned[list(slots.values())] = True
    waiting: list[int] = np.flatnonzero(~pinned).tolist()
    tallies = [_Tally.of(quota, candidates) for quota in quotas]
    for tally in tallies:
        for slot, position in slots.items():
            if slot < tally.top:
                tally.add(position)

    sequence: list[int] = []
    passed: dict[str, list[int]] = {quota.name: [] for quota in quotas}
    for top in sorted({tally.top for tally in tallies}):
        active = [tally for tally in tallies if tally.top >= top]
        free = top - sum(slot < top for slot in slots) - len(sequence)
        taken, waiting = _fill(free, waiting, active, passed)
        sequence += taken
    sequence += waiting

    order = np.empty(count, dtype=np.int64)
    unpinned = np.ones(count, dtype=np.bool_)
    unpinned[list(slots)] = False
    order[list(slots)] = list(slots.values())
    order[unpinned] = sequence
    return Seating(order, passed)


@dataclass(slots=True)
class _Tally:
    """Count the seated rows of each value of a quota's field."""

    name: str
    top: int
    most: int
    offsets: list[int]
    values: list[int]
    seen: dict[int, int] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, quota: AtMost, candidates: Candidates) -> _Tally:
        """Return the tally of a quota before any row is seated."""
        rows = candidates.rows
        if quota.where is not None:
            # An unknown row has no values, and a row without values is not counted.
            rows = np.where(matches(quota.where, candidates), rows, np.int32(-1))
        codes = candidates.documents.keywords(quota.field, rows)
        lists = codes.offsets.tolist(), codes.values.tolist()
        return cls(quota.name, quota.top, quota.count, *lists)

    def full(self, position: int) -> bool:
        """Return whether one more row such as this breaks the quota."""
        codes = self.values[self.offsets[position] : self.offsets[position + 1]]
        return not self.closed.isdisjoint(codes)

    def add(self, position: int) -> None:
        """Count a row."""
        for code in self.values[self.offsets[position] : self.offsets[position + 1]]:
            self.seen[code] = self.seen.get(code, 0) + 1
            if self.seen[code] >= self.most:
                self.closed.add(code)


def _fill(
    free: int, waiting: list[int], active: Sequence[_Tally], passed: dict[str, list[int]]
) -> tuple[list[int], list[int]]:
    """Return the rows that take `free` slots, and those that still wait, both in order."""
    taken: list[int] = []
    held: list[int] = []
    walked = 0
    # The walk ends as soon as the top is full: it looks at few rows of a long list.
    for position in waiting:
        if len(taken) == free:
            break
        walked += 1
        for tally in active:
            if tally.full(position):
                held.append(position)
                passed[tally.name].append(position)
                break
        else:
            taken.append(position)
            for tally in active:
                tally.add(position)
    forced = held[: free - len(taken)]
    for position in forced:
        for tally in active:
            tally.add(position)
    return taken + forced, held[len(forced) :] + waiting[walked:]


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
