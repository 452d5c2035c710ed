"""Sending documents to a server: how long to wait for room, and what it refused."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from cascade.errors import DeadlineError, DocumentError, EngineError, EngineUnavailableError
from cascade.hosting import BulkOptions, Rejected

LONGEST_WAIT_S = 10.0
SHOWN_REASONS = 5
UNSENDABLE = (DocumentError, TypeError, ValueError)
"""What a document raises that cannot be written as JSON."""
T = TypeVar("T")


def wait_s(first_s: float, attempt: int) -> float:
    """Return how many seconds to wait after an attempt (1-based) that found no room.

    Doubled each time, up to `LONGEST_WAIT_S`, and by chance up to half of it less.
    """
    most = min(first_s * 2.0 ** min(attempt - 1, 30), LONGEST_WAIT_S)
    return most * random.uniform(0.5, 1.0)


def outlast(work: Callable[[], T], name: str, options: BulkOptions, stop: threading.Event) -> T:
    """Do what may be done twice, again while a server cannot be reached or has no room.

    Args:
        work: What is done.
        name: The index that is filled.
        options: How often, and how long to wait in between.
        stop: Ends the waiting when it is set.

    Raises:
        EngineUnavailableError: If that is so to the last.
        EngineError: If it is stopped.
    """
    for attempt in range(1, options.retries + 1):
        try:
            return work()
        except (EngineUnavailableError, DeadlineError):
            if stop.wait(wait_s(options.backoff_s, attempt)):
                raise EngineError(f"filling {name!r} was stopped") from None
    try:
        return work()
    except DeadlineError as error:
        raise EngineUnavailableError(str(error)) from error


def first_reasons(rejected: Sequence[Rejected]) -> str:
    """Return the first refusals, one line each."""
    lines = [f"\n  {r.doc_id!r}: {r.reason}" for r in rejected[:SHOWN_REASONS]]
    left = len(rejected) - SHOWN_REASONS
    return "".join(lines) + (f"\n  and {left} more" if left > 0 else "")
