"""Fitness: what the children of a search are ranked by, as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.market import MarketMeasure, Ranked, parse_market_measure, parse_page_measure
from cascade.training.evolution.constraints import (
    MARGIN,
    PENALTY,
    Bound,
    Multipliers,
    parse_bound,
    penalty_cost,
)
from cascade.training.evolution.front import Scalarising
from cascade.training.evolution.goals import (
    Goal,
    Preferred,
    WeightedSum,
    defined,
    load_function,
    of_base,
)

Form = Literal["penalty", "lagrangian"]
# Below every fitness that keeps its bounds; the worse the breach, the lower.
BROKEN = -1e6


@dataclass(frozen=True)
class Fitness:
    """Raise a goal, held to bounds.

    Attributes:
        goal: What is raised.
        bounds: What is promised.
        bounded: The measure of each bound.
        form: How bounds are kept: by a penalty of fixed size, or by an augmented Lagrangian,
            whose multipliers follow what each bound costs.
        margin: The share of each bound's room that a search keeps back.
        penalty: What one room of breach costs, in units of the goal.
    """

    goal: Goal
    bounds: tuple[Bound, ...] = ()
    bounded: tuple[MarketMeasure, ...] = ()
    form: Form = "penalty"
    margin: float = MARGIN
    penalty: float = PENALTY

    def fitted(self, sample: Ranked, base: Ranked) -> Fitness:
        """Return the fitness with its units; see `WeightedSum`."""
        return replace(self, goal=self.goal.fitted(sample, base))

    def excesses(self, ranked: Ranked, base: Ranked, margin: float | None = None) -> Float64:
        """Return by how many rooms each child breaks each bound, float64[b, c]; see `Bound`."""
        kept = self.margin if margin is None else margin
        found = [
            bound.excess(of_base(measure, ranked, base), defined(measure, base), kept)
            for bound, measure in zip(self.bounds, self.bounded, strict=True)
        ]
        return np.array(found).reshape(len(found), ranked.children)

    def values(
        self, ranked: Ranked, base: Ranked, preferences: Float64, multipliers: Multipliers
    ) -> Float64:
        """Return the fitness of each child, float64[c].

        Args:
            ranked: Their orders.
            base: The order of relevance of the same requests.
            preferences: float64[q, m].
            multipliers: Of the bounds; only the Lagrangian form reads them.
        """
        goal = self.goal.values(ranked, base, preferences)
        if not self.bounds:
            return goal
        excesses = self.excesses(ranked, base)
        if self.form == "lagrangian":
            return goal - multipliers.cost(excesses)
        return goal - penalty_cost(excesses, self.penalty)

    def judged(self, ranked: Ranked, base: Ranked, preferences: Float64) -> Float64:
        """Return the goal of each child that keeps its bounds, float64[c], for a choice.

        Half of the margin is kept back here, for what was chosen is a little worse elsewhere. A
        child that breaks a bound lies below every one that keeps them (Deb 2000), the further
        the more it breaks.
        """
        goal = self.goal.values(ranked, base, preferences)
        if not self.bounds:
            return goal
        breach = np.maximum(0.0, self.excesses(ranked, base, self.margin / 2)).sum(axis=0)
        return np.where(breach > 0, BROKEN * (1 + breach), goal)


@dataclass(frozen=True)
class FitnessSettings:
    """Say what is raised, in one of four ways, and what is promised.

    Attributes:
        measures: Market measures with their weights.
        raised: The one measure to be raised.
        function: The one function to be raised, "module:function".
        objectives: The page measure of each objective that a preference weighs.
        scalarising: What a preference makes of the objectives.
        bounds: Market measures with bounds, as `parse_bound` reads them.
        form: See `Fitness`.
        margin: See `Fitness`.
        penalty: See `Fitness`.
    """

    measures: Mapping[str, float] = field(default_factory=dict)
    raised: str = ""
    function: str = ""
    objectives: Mapping[str, str] = field(default_factory=dict)
    scalarising: Scalarising = "tchebycheff"
    bounds: Mapping[str, str] = field(default_factory=dict)
    form: Form = "penalty"
    margin: float = MARGIN
    penalty: float = PENALTY


def make_fitness(settings: FitnessSettings) -> Fitness:
    """Return the fitness that settings describe; it has no units before `fitted`.

    Raises:
        InputError: If not exactly one way is used, or a measure, bound or function cannot be.
    """
    if not (0 <= settings.margin < 1 and settings.penalty > 0):
        raise InputError(
            f"fitness: margin {settings.margin:g} and penalty {settings.penalty:g}; accepted are "
            "a margin from 0 to below 1 and a penalty above 0"
        )
    bounds = tuple(parse_bound(name, text) for name, text in settings.bounds.items())
    return Fitness(
        goal=_goal(settings),
        bounds=bounds,
        bounded=tuple(parse_market_measure(bound.measure) for bound in bounds),
        form=settings.form,
        margin=settings.margin,
        penalty=settings.penalty,
    )


def _goal(settings: FitnessSettings) -> Goal:
    ways = {
        "measures": bool(settings.measures),
        "raised": bool(settings.raised),
        "function": bool(settings.function),
        "objectives": bool(settings.objectives),
    }
    used = [name for name, given in ways.items() if given]
    if len(used) != 1:
        raise InputError(
            f"fitness: {' and '.join(used) or 'nothing'} is given; accepted is exactly one of "
            f"{', '.join(ways)}"
        )
    if settings.function:
        return load_function(settings.function)
    if settings.objectives:
        return Preferred(
            tuple(settings.objectives),
            tuple(parse_page_measure(text) for text in settings.objectives.values()),
            settings.scalarising,
        )
    weights = {settings.raised: 1.0} if settings.raised else settings.measures
    unusable = [name for name, weight in weights.items() if not (np.isfinite(weight) and weight)]
    if unusable:
        raise InputError(
            f"fitness: the weight of {unusable[0]} is {weights[unusable[0]]}; accepted is a "
            "finite number other than 0"
        )
    return WeightedSum(
        tuple(parse_market_measure(name) for name in weights),
        tuple(float(weight) for weight in weights.values()),
    )
