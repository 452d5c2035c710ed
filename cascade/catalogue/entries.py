"""What happens to documents after a build: the entries of the update log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias


class Op(StrEnum):
    """Say what an entry does."""

    UPSERT = "upsert"
    DELETE = "delete"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one entry of the log.

    Attributes:
        seq: Its place, 1 for the first, without gaps.
        time: When it was written, in seconds since 1970.
        op: What it does. A heartbeat changes no document: it says that the feed is alive.
        doc_id: To which document; "" for a heartbeat.
        document: What an upsert puts in its place, as it was given.
    """

    seq: int
    time: float
    op: Op
    doc_id: str
    document: Mapping[str, Any] | None = None


Source: TypeAlias = Callable[[], Sequence[Entry]]
"""Returns the entries that were written since it was asked last, in order, some at a time."""


def no_entries() -> Sequence[Entry]:
    """Return what a log that nobody writes to gives."""
    return ()
