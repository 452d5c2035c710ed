"""What a reader makes of a block of lines: columns as they were written, and lines it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cascade.events.lines import Block
from cascade.events.times import Moment

Id: TypeAlias = str | int | float | None
# An empty text names nobody: everyone without a name would be one.
NO_ID = (None, "")


@dataclass(frozen=True, slots=True)
class Refused:
    """Say why a line cannot be used.

    Attributes:
        line: Its place in the block, from 0.
        reason: One of few, to be counted.
        detail: What is wrong with this very line.
    """

    line: int
    reason: str
    detail: str = ""


@dataclass
class Searches:
    """Hold n searches in columns; `line` is the place in the block, None is unknown."""

    line: list[int] = field(default_factory=list)
    query_id: list[Id] = field(default_factory=list)
    text: list[str | None] = field(default_factory=list)
    time: list[Moment] = field(default_factory=list)
    session: list[Id] = field(default_factory=list)
    visitor: list[Id] = field(default_factory=list)
    surface: list[str | None] = field(default_factory=list)
    results: list[list[str] | None] = field(default_factory=list)
    propensities: list[list[float] | None] = field(default_factory=list)
    consent: list[bool | None] = field(default_factory=list)
    agent: list[str | None] = field(default_factory=list)


@dataclass
class Events:
    """Hold n events in columns; `action` is one of ours, `rank` 1-based or None."""

    line: list[int] = field(default_factory=list)
    query_id: list[Id] = field(default_factory=list)
    action: list[str] = field(default_factory=list)
    doc_id: list[Id] = field(default_factory=list)
    rank: list[int | None] = field(default_factory=list)
    time: list[Moment] = field(default_factory=list)
    session: list[Id] = field(default_factory=list)
    visitor: list[Id] = field(default_factory=list)
    surface: list[str | None] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    consent: list[bool | None] = field(default_factory=list)
    agent: list[str | None] = field(default_factory=list)
    text: list[str | None] = field(default_factory=list)


@dataclass
class LeftOut:
    """Hold n events of other actions that name their query: who it was, and when."""

    query_id: list[Id] = field(default_factory=list)
    time: list[Moment] = field(default_factory=list)
    session: list[Id] = field(default_factory=list)
    visitor: list[Id] = field(default_factory=list)
    consent: list[bool | None] = field(default_factory=list)
    agent: list[str | None] = field(default_factory=list)


@dataclass
class Parsed:
    """Hold what was read from one block.

    Attributes:
        searches: The searches.
        events: The events whose action is one of ours.
        left_out: Those of other actions, for the gaps of their searches.
        refused: The lines that cannot be used.
        others: How often each other action, or kind of line, was left out.
        lines: How many lines were not empty.
    """

    searches: Searches = field(default_factory=Searches)
    events: Events = field(default_factory=Events)
    left_out: LeftOut = field(default_factory=LeftOut)
    refused: list[Refused] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    lines: int = 0


Reader: TypeAlias = Callable[[Block], Parsed]


def rank_of(given: Any, first: int) -> int | None:  # noqa: ANN401  (whatever a logger wrote)
    """Return a 1-based rank from a position that counts from `first`, None if it is none."""
    if isinstance(given, bool):
        return None
    try:
        rank = float(given) - first + 1
    except (TypeError, ValueError):
        return None
    return int(rank) if 1 <= rank < 1 << 31 and rank == int(rank) else None


def number_of(given: Any) -> float | None:  # noqa: ANN401
    """Return a finite number, None if it is none."""
    if isinstance(given, bool):
        return None
    try:
        number = float(given)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None
