"""What shoppers did with documents, counted: the counters, and the columns they are kept in."""

from cascade.behaviour.binding import BoundCounts, Counts, NoCounts
from cascade.behaviour.counters import ACTIONS, Behaviour, Counted, Counter, normal_text
from cascade.behaviour.snapshot import Snapshot, open_snapshot, snapshot_of, write_snapshot

__all__ = [
    "ACTIONS",
    "Behaviour",
    "BoundCounts",
    "Counted",
    "Counter",
    "Counts",
    "NoCounts",
    "Snapshot",
    "normal_text",
    "open_snapshot",
    "snapshot_of",
    "write_snapshot",
]
