"""What happens to documents after a build: the entries of the update log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Op(StrEnum):
    """Say what an entry does."""

    UPSERT = "upsert"
    DELETE = "delete"
    HEARTBEAT = "heartbeat"
    FLIPPED = "flipped"


CHANGES = frozenset({Op.UPSERT, Op.DELETE})
"""What an entry does that changes a document."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one entry of the log.

    Attributes:
        seq: Its place, 1 for the first, without gaps.
        time: When it was written, in seconds since 1970.
        op: What it does. A heartbeat changes no document: it says that the feed is alive. Nor does
            `flipped`: it says that others have put another index in the place of theirs.
        doc_id: To which document; "" for a heartbeat; for `flipped` the other index, "" once it is
            the one of the catalogue.
        document: What an upsert puts in its place, as it was given.
    """

    seq: int
    time: float
    op: Op
    doc_id: str
    document: Mapping[str, Any] | None = None


class Source(Protocol):
    """Read a log on and on."""

    def pending(self) -> bool:
        """Return whether there is more to read; answered at every retrieval."""
        ...

    def read(self) -> Sequence[Entry]:
        """Return the next entries in order, some at a time; none at the end."""
        ...


class NoEntries:
    """Read a log that nobody writes to."""

    def pending(self) -> bool:
        """Return False."""
        return False

    def read(self) -> Sequence[Entry]:
        """Return nothing."""
        return ()
