"""Sending documents to a server: how long to wait for room, and what it refused."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cascade.errors import DocumentError
from cascade.hosting import Rejected

LONGEST_WAIT_S = 10.0
SHOWN_REASONS = 5
UNSENDABLE = (DocumentError, TypeError, ValueError)
"""What a document raises that cannot be written as JSON."""


def wait_s(first_s: float, attempt: int) -> float:
    """Return how many seconds to wait after an attempt (1-based) that found no room.

    Doubled each time, up to `LONGEST_WAIT_S`, and by chance up to half of it less.
    """
    most = min(first_s * 2.0 ** min(attempt - 1, 30), LONGEST_WAIT_S)
    return most * random.uniform(0.5, 1.0)


def first_reasons(rejected: Sequence[Rejected]) -> str:
    """Return the first refusals, one line each."""
    lines = [f"\n  {r.doc_id!r}: {r.reason}" for r in rejected[:SHOWN_REASONS]]
    left = len(rejected) - SHOWN_REASONS
    return "".join(lines) + (f"\n  and {left} more" if left > 0 else "")
