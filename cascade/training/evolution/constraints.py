"""Bounds on market measures, and how a search is held to them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError

MARGIN = 0.5
PENALTY = 10.0
RATE = 0.1
# Room below this share of the base value is taken for this much, so that no unit is zero.
SMALLEST_ROOM = 0.01

_WRITTEN = re.compile(r"\s*(>=|<=)\s*([-+0-9.eE]+)(\s+of\s+base)?\s*")


@dataclass(frozen=True, slots=True)
class Bound:
    """Promise that a measure stays on one side of a level.

    Attributes:
        measure: The market measure, as it is written.
        at_least: Whether the level is the lowest that is allowed, else the highest.
        level: The level, or the share of the base order's value.
        of_base: Whether the level is such a share.
    """

    measure: str
    at_least: bool
    level: float
    of_base: bool = False

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.measure} {sign} {self.level:g}{' of base' if self.of_base else ''}"

    def required(self, base: float, margin: float = 0.0) -> float:
        """Return the value that is asked for.

        A bound that holds on the requests of a search is broken by a little on others, so a
        search is asked for more than the promise: with room = |base - level|, the level is moved
        by margin x room to the side that is safe.

        Args:
            base: The measure's value in the order of relevance.
            margin: The share of the room that is kept back, 0 for the promise itself.
        """
        level = self.level * base if self.of_base else self.level
        kept = margin * abs(base - level)
        return level + kept if self.at_least else level - kept

    def excess(self, values: Float64, base: float, margin: float = 0.0) -> Float64:
        """Return by how many rooms each value breaks the bound, float64[c]; below 0 it holds.

        One unit is the room between the base and the level, or `SMALLEST_ROOM` of the base where
        that is more. So two bounds weigh alike, whatever their measures are counted in.

        Args:
            values: float64[c].
            base: The measure's value in the order of relevance.
            margin: The share of the room that is kept back.
        """
        level = self.level * base if self.of_base else self.level
        unit = max(abs(base - level), SMALLEST_ROOM * abs(base), np.finfo(np.float64).tiny)
        over = values - self.required(base, margin)
        return np.asarray((-over if self.at_least else over) / unit, dtype=np.float64)

    def holds(self, value: float, base: float) -> bool:
        """Return whether a value keeps the promise itself, up to the last bits of a float64."""
        required = self.required(base)
        slack = 1e-12 * max(1.0, abs(required))
        return value >= required - slack if self.at_least else value <= required + slack


def parse_bound(measure: str, text: object) -> Bound:
    """Read a bound such as ">= 0.99 of base", ">= 0.31" or "<= 0.5".

    Raises:
        InputError: If it is written otherwise.
    """
    found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
    try:
        level = float(found[2]) if found else math.nan
    except ValueError:
        level = math.nan
    if found is None or not math.isfinite(level):
        raise InputError(
            f"bound on {measure}: is {text!r}; accepted is '>=' or '<=', a number, and "
            "'of base' if it is a share of the value in the order of relevance"
        )
    return Bound(measure, found[1] == ">=", level, found[3] is not None)


@dataclass(frozen=True)
class Multipliers:
    """Hold what the augmented Lagrangian has learned of the price of each bound.

    Nocedal and Wright, "Numerical Optimization", 2006, section 17.4.

    Attributes:
        values: float64[b], 0 or more; 0 for a bound that costs nothing.
        penalty: The weight of the square of an excess.
        rate: The share of the penalty by which a generation moves a multiplier. The textbook's
            step is 1; a generation sees a sample of requests, so the steps are smaller.
    """

    values: Float64
    penalty: float = PENALTY
    rate: float = RATE

    @classmethod
    def none(cls, bounds: int, penalty: float = PENALTY) -> Multipliers:
        """Return the multipliers that a search starts with."""
        return cls(np.zeros(bounds), penalty)

    def cost(self, excesses: Float64) -> Float64:
        """Return what the bounds take from each child's fitness, float64[c] (eq. 17.58-17.64).

        Args:
            excesses: float64[b, c].
        """
        priced = np.maximum(0.0, self.values[:, None] + self.penalty * excesses)
        total = (priced**2 - self.values[:, None] ** 2).sum(axis=0) / (2 * self.penalty)
        return np.asarray(total, dtype=np.float64)

    def after(self, excesses: Float64) -> Multipliers:
        """Return the multipliers after a generation whose centre has these excesses, float64[b]."""
        moved = self.values + self.rate * self.penalty * excesses
        return replace(self, values=np.maximum(0.0, moved))


def penalty_cost(excesses: Float64, penalty: float = PENALTY) -> Float64:
    """Return the exact penalty of each child, float64[c]: penalty x the sum of its breaches.

    Args:
        excesses: float64[b, c].
        penalty: What one whole room of breach costs, in units of the goal.
    """
    return np.asarray(penalty * np.maximum(0.0, excesses).sum(axis=0), dtype=np.float64)


def broken(bounds: Sequence[Bound], values: Sequence[float], base: Sequence[float]) -> list[Bound]:
    """Return the bounds whose promise these values do not keep, one value and base a bound."""
    return [b for b, v, at in zip(bounds, values, base, strict=True) if not b.holds(v, at)]
