"""Holds: which generations the serving processes of an index have open."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from cascade.indexing.objects import Objects

STALE_S = 60.0
"""A hold that was not renewed for so long is of a process that ended."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Say what one serving process has open of one index.

    Attributes:
        replica: Names the process.
        serves: The generation that answers its requests.
        holds: Every generation that it has open, or is opening.
        time: When this was said, in seconds since 1970.
    """

    replica: str
    serves: str
    holds: tuple[str, ...]
    time: float


def put_hold(objects: Objects, index: str, hold: Hold) -> None:
    """Say, or say again, what a process holds."""
    objects.write(_key(index, hold.replica), json.dumps(asdict(hold)).encode())


def drop_hold(objects: Objects, index: str, replica: str) -> None:
    """Take a process's word back, when it ends."""
    objects.remove(_key(index, replica))


def fresh_holds(objects: Objects, index: str, now: float | None = None) -> list[Hold]:
    """Return what processes hold that have said so lately."""
    at = time.time() if now is None else now
    return [hold for _, hold in _all(objects, index) if at - hold.time <= STALE_S]


def held(objects: Objects, index: str, now: float | None = None) -> dict[str, list[str]]:
    """Return the processes that hold each generation."""
    found: dict[str, list[str]] = {}
    for hold in fresh_holds(objects, index, now):
        for name in hold.holds:
            found.setdefault(name, []).append(hold.replica)
    return found


def sweep_holds(objects: Objects, index: str, now: float | None = None) -> None:
    """Remove what processes said that ended without taking it back."""
    at = time.time() if now is None else now
    for key, hold in _all(objects, index):
        if at - hold.time > STALE_S:
            objects.remove(key)


def _all(objects: Objects, index: str) -> Iterable[tuple[str, Hold]]:
    for key in objects.keys(f"holds/{index}"):
        if key.rpartition("/")[2].startswith("."):
            continue
        content = objects.read(key)
        if content is None:  # taken back between the two
            continue
        raw = json.loads(content)
        yield key, Hold(raw["replica"], raw["serves"], tuple(raw["holds"]), float(raw["time"]))


def _key(index: str, replica: str) -> str:
    return f"holds/{index}/{replica}.json"
