"""Waiting for facets that are counted beside a retrieval, and never longer than a page can."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import TypeVar

from cascade.errors import DeadlineError, EngineError, NotFoundError
from cascade.protocols import Deadline

GRACE_MS = 10.0
"""So long before the deadline a page goes without the facets that are not there yet."""
LATE = "facets: they were not counted before the deadline"

T = TypeVar("T")


def in_time(counting: Future[T], nothing: T, deadline: Deadline) -> tuple[T, str]:
    """Return what was counted and ""; or `nothing` and why, where it failed or is late."""
    left_ms = deadline.left_ms()
    seconds = None if left_ms == float("inf") else max(0.0, left_ms - GRACE_MS) / 1000
    try:
        return counting.result(seconds), ""
    except (LateError, DeadlineError):
        counting.cancel()
        return nothing, LATE
    except (EngineError, NotFoundError) as error:
        return nothing, f"facets: {error}"
