"""Reserving: which rows may take a slot so that enough are left for every `AtLeast`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cascade.business.tallies import Limit
from cascade.candidates import Int64

Bool = NDArray[np.bool_]


@dataclass(slots=True)
class Floor:
    """Count the seated rows of an `AtLeast`.

    Attributes:
        name: The rule.
        members: bool[n], the rows that are wanted.
        count: How many of them.
        top: The first ranks that the rule is for, no more than the list has.
        have: How many are seated there.
        target: How many there can be, `count` at most.
    """

    name: str
    members: Bool
    count: int
    top: int
    have: int
    target: int

    @classmethod
    def of(cls, name: str, members: Bool, count: int, top: int, slots: Mapping[int, int]) -> Floor:
        """Return the floor with the pinned rows seated."""
        have = sum(bool(members[position]) for slot, position in slots.items() if slot < top)
        return cls(name, members, count, top, have, count)


@dataclass(slots=True)
class Reserve:
    """Keep enough slots, and enough rows that no `AtMost` holds back, for every floor.

    Attributes:
        floors: The floors, as they are written.
        limits: The tallies of the other quotas, which others count on.
        waiting: bool[n], the rows without a slot, which others take from.
        pinned: The slots that are taken beforehand.
    """

    floors: Sequence[Floor]
    limits: Sequence[Limit]
    waiting: Bool
    pinned: frozenset[int]
    _plans: list[list[tuple[int, Floor, list[int]]]] = field(default_factory=list)
    _shared: list[frozenset[int]] = field(default_factory=list)
    _missed: bool = False

    def begin(self) -> None:
        """Find how many rows each floor can have beside the others and the limits."""
        serves = np.zeros(len(self.waiting), dtype=np.int64)
        for floor in self.floors:
            serves += floor.members
        wanted = np.flatnonzero(serves).tolist()
        rivals = self._rivals(serves)
        # Rows that serve several floors need the fewest slots; rows without rivals take nothing
        # from other floors. Which matters more is tried.
        keys = [(rivals, -serves), (-serves, rivals)] if rivals.any() else [(-serves,)]
        for key in keys:
            order = np.lexsort(key)
            plan = [
                (number, floor, order[(floor.members & self.waiting)[order]].tolist())
                for number, floor in enumerate(self.floors)
            ]
            self._plans.append(sorted(plan, key=lambda entry: entry[1].top))
        self._shared = [
            frozenset(code for row in wanted for code in limit.codes.at(row))
            for limit in self.limits
        ]
        self._lower(0)

    def choice(self, slot: int, pools: Sequence[Bool]) -> int:
        """Return the first row of the first pool that leaves enough to every floor.

        If no row does, the first of the first pool that is not empty.

        Args:
            slot: The slot, from 0.
            pools: Which rows may take it, those that are better first; the last is not empty.
        """
        needy = [f for f in self.floors if slot < f.top and f.have < f.target]
        if needy:
            answers: dict[Hashable, bool] = {}
            for pool in pools:
                rows = pool
                for floor in needy:
                    if floor.target - floor.have >= self._free(slot, floor.top):
                        rows = rows & floor.members
                for row in np.flatnonzero(rows).tolist():
                    kind = self._kind(row)
                    if kind not in answers:
                        answers[kind] = self._leaves_enough(row, slot)
                    if answers[kind]:
                        return int(row)
            self._missed = True
        return int(np.argmax(next(pool for pool in pools if pool.any())))

    def forced(self, slot: int, rows: Bool) -> int:
        """Return the first row where each breaks a limit: a wanted one if slots are short."""
        self._missed = True
        for floor in self.floors:
            short = floor.count - floor.have
            if slot < floor.top and short > 0 and short >= self._free(slot, floor.top):
                wanted = rows & floor.members
                rows = wanted if wanted.any() else rows
        return int(np.argmax(rows))

    def take(self, row: int, slot: int) -> None:
        """Seat a row that no longer waits."""
        for floor in self.floors:
            if slot < floor.top:
                floor.have += int(floor.members[row])
        if self._missed:
            self._lower(slot + 1)

    def wanting(self, slot: int, row: int | None = None) -> str | None:
        """Return the first rule that lacks rows at a slot and, if one is given, wants this row."""
        for floor in self.floors:
            wanted = row is None or floor.members[row]
            if wanted and slot < floor.top and floor.have < floor.count:
                return floor.name
        return None

    def _lower(self, slot: int) -> None:
        """Ask for no more than the best plan gives, the floors that are written first before."""
        if not self.floors:
            return
        best = max(
            [min(got, f.target) for got, f in zip(reached, self.floors, strict=True)]
            for reached in self._ways(slot)
        )
        for floor, reached in zip(self.floors, best, strict=True):
            floor.target = reached
        self._missed = False

    def _rivals(self, serves: Int64) -> Int64:
        """Return int64[n], how many rows that other floors want share a full value with a row."""
        rivals = np.zeros(len(serves), dtype=np.int64)
        if len(self.floors) < 2:
            return rivals
        for limit in self.limits:
            _, values = np.unique(limit.codes.sorted_values, return_inverse=True)
            for floor in self.floors:
                mine = floor.members[limit.codes.owners]
                counts = np.bincount(values, mine).astype(np.int64)
                # What this floor wants of a value stands against the rows that it does not want.
                np.add.at(rivals, limit.codes.owners, counts[values] * ~mine)
        return rivals

    def _leaves_enough(self, row: int, slot: int) -> bool:
        return any(
            all(got >= floor.target for floor, got in zip(self.floors, reached, strict=True))
            for reached in self._ways(slot + 1, row, slot)
        )

    def _ways(self, free_from: int, row: int = -1, slot: int = 0) -> Iterator[list[int]]:
        """Yield how many rows each floor can have in the end, for each plan.

        Rows are planned for the floors that end first. With one floor, or without limits, a plan
        is as good as any; with several floors and limits a better one may be missed.

        Args:
            free_from: The slots from here on are open.
            row: A row that takes `slot`, -1 if none does.
            slot: Its slot.
        """
        for planned in self._plans:
            reached = [
                f.have + int(row >= 0 and slot < f.top and f.members[row]) for f in self.floors
            ]
            plan = _Plan(self.limits)
            if row >= 0:
                plan.seat(row, slot)
            for number, floor, members in planned:
                need = floor.target - reached[number]
                if need > 0:
                    rows = self._planned(plan, floor, members, need, free_from)
                    for other, later in enumerate(self.floors):
                        if later.top >= floor.top:
                            reached[other] += sum(bool(later.members[r]) for r in rows)
            yield reached

    def _planned(
        self, plan: _Plan, floor: Floor, members: Sequence[int], need: int, free_from: int
    ) -> list[int]:
        """Plan up to `need` more rows for a floor, and return them."""
        room = self._free(free_from, floor.top) - len(plan.rows)
        spare = [self._free(max(limit.top, free_from), floor.top) for limit in self.limits]
        rows: list[int] = []
        for member in members:
            if len(rows) >= min(need, room):
                break
            free = self.waiting[member] and member != plan.seated and member not in plan.rows
            if free and plan.admits(member, spare):
                rows.append(member)
        return rows

    def _free(self, first: int, end: int) -> int:
        """Return how many slots from `first` to before `end` have no pin."""
        return max(end - first, 0) - sum(first <= slot < end for slot in self.pinned)

    def _kind(self, row: int) -> Hashable:
        """Return what decides whether a row leaves enough: whom it serves, what it uses up."""
        used = [
            tuple(code for code in limit.codes.at(row) if code in shared)
            for limit, shared in zip(self.limits, self._shared, strict=True)
        ]
        return tuple(bool(floor.members[row]) for floor in self.floors), tuple(used)


@dataclass(slots=True)
class _Plan:
    """Hold rows that are to be seated, and what they use of the limits.

    Attributes:
        limits: The tallies of the seated rows.
        rows: The planned rows.
        seated: The row that takes a slot, -1 for none.
        used: How many planned rows of each value, for each limit.
        below: How many planned rows stand below the top of each limit.
    """

    limits: Sequence[Limit]
    rows: set[int] = field(default_factory=set)
    seated: int = -1
    used: list[dict[int, int]] = field(init=False)
    below: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.used = [{} for _ in self.limits]
        self.below = [0] * len(self.limits)

    def seat(self, row: int, slot: int) -> None:
        """Count a row that takes a slot."""
        self.seated = row
        for limit, used in zip(self.limits, self.used, strict=True):
            if slot < limit.top:
                _count(limit, used, row)

    def admits(self, row: int, spare: Sequence[int]) -> bool:
        """Plan a row if the limits allow it, and return whether they do.

        Args:
            row: The row.
            spare: For each limit how many open slots below its top the row may take.
        """
        full = [
            number
            for number, (limit, used) in enumerate(zip(self.limits, self.used, strict=True))
            if limit.full[row] or (used and _breaks(limit, used, row))
        ]
        if any(self.below[number] >= spare[number] for number in full):
            return False
        for number, (limit, used) in enumerate(zip(self.limits, self.used, strict=True)):
            if number in full:
                self.below[number] += 1
            else:
                _count(limit, used, row)
        self.rows.add(row)
        return True


def _breaks(limit: Limit, used: dict[int, int], row: int) -> bool:
    seen = limit.seen
    return any(seen.get(code, 0) + used.get(code, 0) >= limit.most for code in limit.codes.at(row))


def _count(limit: Limit, used: dict[int, int], row: int) -> None:
    for code in limit.codes.at(row):
        used[code] = used.get(code, 0) + 1
