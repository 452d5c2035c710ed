"""Moments as loggers write them: ISO 8601, or a number of seconds or milliseconds since 1970."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

# A number this large is milliseconds: as seconds it would lie beyond the year 5100.
LEAST_MS = 1e11
# The year 2286; a moment beyond it is no moment of a log.
LAST_S = 1e10

Moment = str | int | float | None


def seconds(moments: Sequence[Moment]) -> NDArray[np.float64]:
    """Return moments as float64[n] seconds since 1970, NaN for what is none.

    Text without a zone is UTC.
    """
    found = _zoned(moments)
    if found is None:
        found = np.fromiter((_seconds(given) for given in moments), np.float64, len(moments))
    with np.errstate(invalid="ignore"):
        found[~((found > 0) & (found < LAST_S))] = np.nan
    return found


def _zoned(moments: Sequence[Moment]) -> NDArray[np.float64] | None:
    """Return moments that are all text with a zone at once, else None."""
    import pyarrow as pa

    if set(map(type, moments)) != {str}:
        return None
    try:
        found = pa.array(moments, pa.string()).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return None
    microseconds: NDArray[np.int64] = found.cast(pa.int64()).to_numpy()
    return microseconds / 1e6


def _seconds(given: Moment) -> float:
    if isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            return _number(given)
        try:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, OSError):
            return math.nan
    return math.nan if given is None else _number(given)


def _number(given: str | float) -> float:
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return math.nan
    return number / 1e3 if number >= LEAST_MS else number
