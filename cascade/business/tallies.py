"""What seated rows leave to those that wait: values that are full, and values that are near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cascade.business.rules import AtMost, Diversify
from cascade.business.where import matches
from cascade.candidates import Candidates, Int64

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Codes:
    """Hold the values of a keyword field by row, and the rows by value.

    Attributes:
        offsets: Where the values of each row begin, n + 1 numbers.
        values: The codes of the values.
        sorted_values: int64[m], the same ascending.
        owners: int64[m], the row of each.
    """

    offsets: list[int]
    values: list[int]
    sorted_values: Int64
    owners: Int64

    @classmethod
    def of(cls, candidates: Candidates, name: str, counted: Bool | None = None) -> Codes:
        """Return the codes of one listing; rows that do not count have none."""
        rows = candidates.rows
        if counted is not None:
            # An unknown row has no values, and a row without values is not counted.
            rows = np.where(counted, rows, np.int32(-1))
        codes = candidates.documents.keywords(name, rows)
        order = np.argsort(codes.values, kind="stable")
        return cls(
            codes.offsets.tolist(),
            codes.values.tolist(),
            codes.values[order].astype(np.int64),
            codes.owners()[order].astype(np.int64),
        )

    def at(self, position: int) -> list[int]:
        """Return the codes of a row."""
        return self.values[self.offsets[position] : self.offsets[position + 1]]

    def rows(self, code: int) -> Int64:
        """Return the rows of a code."""
        first, last = np.searchsorted(self.sorted_values, [code, code + 1])
        return self.owners[first:last]


@dataclass(slots=True)
class Limit:
    """Count the seated rows of each value of an `AtMost`.

    Attributes:
        name: The rule.
        top: The first ranks that it is for.
        most: How many rows of a value.
        codes: The values of the rows that count.
        full: bool[n], the rows of which one more breaks the rule.
        seen: How many rows of each value are seated.
    """

    name: str
    top: int
    most: int
    codes: Codes
    full: Bool
    seen: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, rule: AtMost, candidates: Candidates) -> Limit:
        """Return the tally before any row is seated."""
        counted = None if rule.where is None else matches(rule.where, candidates)
        codes = Codes.of(candidates, rule.field, counted)
        return cls(rule.name, rule.top, rule.count, codes, np.zeros(len(candidates), np.bool_))

    def add(self, position: int) -> None:
        """Count a row."""
        for code in self.codes.at(position):
            self.seen[code] = self.seen.get(code, 0) + 1
            if self.seen[code] == self.most:
                self.full[self.codes.rows(code)] = True


@dataclass(slots=True)
class Spread:
    """Know which values of a `Diversify` stand near a slot.

    Attributes:
        name: The rule.
        top: The first ranks that it is for.
        gap: How far apart rows of one value are.
        codes: The values.
        taken: The position that is seated at each slot of the top.
    """

    name: str
    top: int
    gap: int
    codes: Codes
    taken: dict[int, int]

    @classmethod
    def of(cls, rule: Diversify, candidates: Candidates, slots: Mapping[int, int]) -> Spread:
        """Return the spread with the pinned rows seated."""
        taken = {slot: position for slot, position in slots.items() if slot < rule.top}
        return cls(rule.name, rule.top, rule.gap, Codes.of(candidates, rule.field), taken)

    def near(self, slot: int) -> Bool:
        """Return bool[n], the rows that have a value of a row which stands near a slot."""
        found = np.zeros(len(self.codes.offsets) - 1, dtype=np.bool_)
        for other, position in self.taken.items():
            if abs(other - slot) < self.gap:
                for code in self.codes.at(position):
                    found[self.codes.rows(code)] = True
        return found

    def add(self, position: int, slot: int) -> None:
        """Seat a row."""
        self.taken[slot] = position
