"""How far a number of a document is from one that the query names, such as a year."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from cascade.candidates import Candidates, Float32
from cascade.features.base import BaseFeature, field_of, narrowed, number_of
from cascade.features.registry import feature_kind
from cascade.schema import Kind

_DIGITS = re.compile(r"(?<![\w.])\d{1,15}(?![\w.])", re.ASCII)


@feature_kind("number_gap")
@dataclass(frozen=True, kw_only=True)
class NumberGap(BaseFeature):
    """Return the document's number less the nearest whole number that the query names.

    Missing where the document has no number, or the query names none that is accepted.

    Attributes:
        field: A number field.
        least: The smallest number of a query that counts.
        most: The largest.
    """

    field: str = field_of(Kind.NUMBER)
    least: float = 0.0
    most: float = 1e9

    def __post_init__(self) -> None:
        if not self.least <= self.most:
            raise ValueError(f"least: is {self.least}, more than most, {self.most}")

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n], 0 where the query names the document's number."""
        gaps = np.full(len(candidates), np.nan)
        wanted = [self._named(query.text) for query in candidates.queries]
        if any(wanted):
            numbers = number_of(candidates, self.field)
            for i, named in enumerate(wanted):
                part = slice(int(candidates.offsets[i]), int(candidates.offsets[i + 1]))
                for number in named:
                    gap = numbers[part] - number
                    nearer = ~(np.abs(gap) >= np.abs(gaps[part]))
                    gaps[part] = np.where(nearer, gap, gaps[part])
        return narrowed(gaps)

    def _named(self, text: str) -> list[float]:
        found = (float(digits) for digits in _DIGITS.findall(text))
        return sorted({number for number in found if self.least <= number <= self.most})
