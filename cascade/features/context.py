"""Where and when a query was asked: the same value for every row of its listing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.candidates import Candidates, Float32
from cascade.features.base import BaseFeature, per_row
from cascade.features.registry import feature_kind

HOUR_S = 3600
DAY_S = 86_400
# 1970 began on a Thursday, the day 3 of a week that begins with Monday as 0.
_FIRST_WEEKDAY = 3


@feature_kind("surface")
@dataclass(frozen=True, kw_only=True)
class Surface(BaseFeature):
    """Return 1 where the query comes from this surface, else 0; missing if it names none.

    Attributes:
        surface: As the request names it, "web" or "app" for example.
    """

    surface: str

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n], 0 or 1."""
        named = [query.surface for query in candidates.queries]
        return per_row(candidates, [np.nan if s is None else s == self.surface for s in named])


@feature_kind("hour")
@dataclass(frozen=True, kw_only=True)
class Hour(BaseFeature):
    """Return the hour of the query's time in UTC, 0 to 23; missing without a time (0)."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        times = [query.time for query in candidates.queries]
        return per_row(candidates, [time // HOUR_S % 24 if time else np.nan for time in times])


@feature_kind("weekday")
@dataclass(frozen=True, kw_only=True)
class Weekday(BaseFeature):
    """Return the day of the query's time in UTC, Monday 0 to Sunday 6; missing without a time."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        days = [query.time // DAY_S if query.time else np.nan for query in candidates.queries]
        return per_row(candidates, [(day + _FIRST_WEEKDAY) % 7 for day in days])
