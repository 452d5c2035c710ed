"""Policies: what turns objectives and a preference into one utility for each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cascade.business.objectives import Relevance
from cascade.candidates import Candidates, Float32
from cascade.errors import QueryError, nearest
from cascade.protocols import Objective

MAX_PREFERENCE = 1000.0


class Policy(Protocol):
    """Blend objectives into a utility; a learned policy fits here as the linear one does."""

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives that a preference may name."""
        ...

    def utilities(self, candidates: Candidates, preference: Mapping[str, float]) -> Float32:
        """Return float32[n], higher is better, comparable within one listing.

        Args:
            candidates: The window of one or many listings, in the order of relevance.
            preference: The share of each objective; the ones it does not name have none.
        """
        ...

    def base(self, candidates: Candidates) -> Float32:
        """Return the utilities of relevance alone, float32[n], never rising with the rank.

        The guard rail falls back towards them; nothing else asks for them.
        """
        ...

    def values(self, candidates: Candidates) -> Mapping[str, Float32]:
        """Return what utilities are made of, float32[n] by name, for explanations."""
        ...


@dataclass(frozen=True)
class LinearBlend:
    """Give relevance + sum of preference_i x objective_i.

    A preference of 1 makes the best value of an objective worth the whole way from the last to
    the first score of the window.
    """

    objectives: tuple[Objective, ...] = ()
    relevance: Objective = field(default_factory=Relevance)

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives that a preference may name."""
        return tuple(objective.name for objective in self.objectives)

    def utilities(self, candidates: Candidates, preference: Mapping[str, float]) -> Float32:
        """Return float32[n]."""
        utilities = self.relevance.values(candidates).astype(np.float64)
        for objective in self.objectives:
            share = preference.get(objective.name, 0.0)
            if share:
                utilities += share * objective.values(candidates).astype(np.float64)
        return utilities.astype(np.float32)

    def base(self, candidates: Candidates) -> Float32:
        """Return relevance, float32[n]."""
        return self.relevance.values(candidates)

    def values(self, candidates: Candidates) -> Mapping[str, Float32]:
        """Return relevance and every objective, float32[n] by name."""
        every = {"relevance": self.relevance.values(candidates)}
        return every | {o.name: o.values(candidates) for o in self.objectives}


def check_point(name: str, points: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the shares of a named operating point.

    Args:
        name: What a request gave as its preference.
        points: The shares of each point there is.

    Raises:
        QueryError: If there is no such point, naming the nearest.
    """
    if name in points:
        return dict(points[name])
    known = nearest(name, points, most=len(points))
    if not points:
        known = "none is defined, since only a learned policy has them; accepted are shares"
    raise QueryError(f"preference: {name!r} is no operating point; {known}")


def check_preference(preference: Mapping[str, object], names: Iterable[str]) -> dict[str, float]:
    """Return a preference of finite shares of known objectives.

    Args:
        preference: The share of each objective, 0 to `MAX_PREFERENCE`.
        names: The objectives there are.

    Raises:
        QueryError: For an unknown objective, naming the nearest, or a share that is not a finite
            number of 0 or more.
    """
    known = tuple(names)
    checked = {}
    for name, share in preference.items():
        if name not in known:
            raise QueryError(
                f"preference.{name}: {name!r} is no objective; "
                + nearest(str(name), known, most=len(known))
            )
        checked[name] = _share(name, share)
    return checked


def _share(name: str, share: object) -> float:
    number = isinstance(share, int | float) and not isinstance(share, bool)
    # Every comparison with NaN is false.
    if number and 0 <= share <= MAX_PREFERENCE:  # type: ignore[operator]
        return float(share)  # type: ignore[arg-type]
    raise QueryError(
        f"preference.{name} is {share!r}; accepted is a number from 0 (none) to {MAX_PREFERENCE:g}"
    )
