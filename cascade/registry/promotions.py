"""Promotions: what became live when, what it was judged by, and what was refused."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cascade.errors import ChecksumError

FILE = "promotions.ndjson"
Action = Literal["promoted", "refused", "rolled back"]
_START = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Decision:
    """Hold one decision on the models of a cascade.

    Attributes:
        action: What was decided.
        cascade: Whose models they are.
        time: Seconds since 1970.
        before: The live version of each name before.
        after: The live version of each name that was wanted.
        checks: What the gate found, line by line.
        data: What it was found on.
    """

    action: Action
    cascade: str
    time: float
    before: Mapping[str, int | None]
    after: Mapping[str, int]
    checks: list[Mapping[str, Any]] = field(default_factory=list)
    data: Mapping[str, Any] = field(default_factory=dict)


def record_decision(root: Path, decision: Decision) -> None:
    """Append a decision; what stands in the file is never changed.

    Each line holds the checksum of the one before, so a line that is changed or taken out later
    is found by `read_decisions`. A line that a crash cut off was never recorded and gives way.
    """
    with (root / FILE).open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        lines = _whole(stream.read())
        stream.truncate(sum(len(line) + 1 for line in lines))
        content = {**asdict(decision), "follows": _sum(lines[-1]) if lines else _START}
        stream.write(json.dumps(content).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_decisions(root: Path) -> list[Decision]:
    """Return every decision, the oldest first.

    Raises:
        ChecksumError: Naming the first line that does not follow the one before it.
    """
    try:
        lines = _whole((root / FILE).read_bytes())
    except FileNotFoundError:
        return []
    found, before = [], _START
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            follows = content.pop("follows")
            found.append(Decision(**content))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ChecksumError(f"{root / FILE}, line {number} is damaged: {error}") from None
        if follows != before:
            raise ChecksumError(
                f"{root / FILE}, line {number} does not follow the line before it: a line was "
                "changed or taken out; restore the file"
            )
        before = _sum(line)
    return found


def _whole(content: bytes) -> list[bytes]:
    """Return the lines that were written to their end."""
    return content.split(b"\n")[:-1]


def _sum(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
