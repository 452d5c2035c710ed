"""Numbers and dates of a document; missing (NaN) where it has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.candidates import Candidates, Float32
from cascade.features.base import BaseFeature, field_of, narrowed, number_of
from cascade.features.registry import feature_kind
from cascade.schema import Kind

DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class NumberFeature(BaseFeature):
    """Read one number or date field.

    Attributes:
        field: A number or date field; dates are seconds since 1970.
    """

    field: str = field_of(Kind.NUMBER, Kind.DATE)


@feature_kind("number")
@dataclass(frozen=True, kw_only=True)
class Number(NumberFeature):
    """Return the number as it is."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        return narrowed(number_of(candidates, self.field))


@feature_kind("log")
@dataclass(frozen=True, kw_only=True)
class Log(NumberFeature):
    """Return sign(x) * ln(1 + |x|), which keeps the sign and is 0 at 0."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        number = number_of(candidates, self.field)
        return narrowed(np.copysign(np.log1p(np.abs(number)), number))


@feature_kind("age")
@dataclass(frozen=True, kw_only=True)
class Age(NumberFeature):
    """Return the days from a date to the query's time, below 0 for a date ahead.

    Missing as well where the query has no time (0).

    Attributes:
        field: A date field.
    """

    field: str = field_of(Kind.DATE)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n], in days."""
        times = np.array([query.time or np.nan for query in candidates.queries])
        now = np.repeat(times, candidates.lengths)
        return narrowed((now - number_of(candidates, self.field)) / DAY_S)
