"""Judgments in memory: the grade that people gave a document for a query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Judgments:
    """Hold grades by query id and document id.

    Attributes:
        texts: The query text of each query id, in the order of the file.
        grades: For each query id, the grade (0 or more) of each judged document.
        skipped: How many lines of the file had no grade.
        conflicts: How many lines gave a pair another grade than a line above; the last one holds.
        frequency: How often each query id is asked, 0 or more; empty where no column says so.
    """

    texts: Mapping[str, str]
    grades: Mapping[str, Mapping[str, float]]
    skipped: int = 0
    conflicts: int = 0
    frequency: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(grades) for grades in self.grades.values())

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The query ids, in the order of the file."""
        return tuple(self.texts)

    def only(self, query_ids: Iterable[str]) -> Judgments:
        """Return the judgments of these queries."""
        kept = tuple(query_ids)
        return Judgments(
            {q: self.texts[q] for q in kept},
            {q: self.grades[q] for q in kept},
            self.skipped,
            self.conflicts,
            {q: self.frequency[q] for q in kept if q in self.frequency},
        )
