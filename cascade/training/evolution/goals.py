"""Goals: what a search raises, from the orders of many children."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.market import MarketMeasure, Mean, PageMeasure, Ranked
from cascade.training.evolution.front import AUGMENTATION, Scalarising, linear, tchebycheff

Plain: TypeAlias = Callable[[Ranked], Float64]


class Goal(Protocol):
    """What is raised, before the bounds are looked at."""

    def fitted(self, sample: Ranked, base: Ranked) -> Goal:
        """Return the goal with its units, from random policies and the order of relevance."""
        ...

    def values(self, ranked: Ranked, base: Ranked, preferences: Float64) -> Float64:
        """Return float64[c], of preferences float64[q, m]."""
        ...


@dataclass(frozen=True)
class WeightedSum:
    """Raise `sum of weight x (value - base) / spread`.

    The base is the measure's value in the order of relevance on the same requests, the spread
    the root mean square change that random policies make of it. So 1 is worth as much as a
    typical random change, whatever a measure is counted in, and the order of relevance has 0.

    Attributes:
        measures: What is added.
        weights: One a measure; below 0 lowers it.
        spreads: One a measure, from `fitted`.
    """

    measures: tuple[MarketMeasure, ...]
    weights: tuple[float, ...]
    spreads: tuple[float, ...] = ()

    def fitted(self, sample: Ranked, base: Ranked) -> WeightedSum:
        """Return the sum with its spreads.

        Raises:
            InputError: If no random policy changes a measure, or no request defines it.
        """
        found = []
        for measure in self.measures:
            changes = of_base(measure, sample, base) - defined(measure, base)
            found.append(_spread(measure, changes))
        return replace(self, spreads=tuple(found))

    def values(self, ranked: Ranked, base: Ranked, preferences: Float64) -> Float64:
        """Return float64[c]; preferences make no difference."""
        if not self.spreads:
            raise InputError("a weighted sum has no units yet; take what `fitted` returns")
        total = np.zeros(ranked.children)
        for measure, weight, spread in zip(self.measures, self.weights, self.spreads, strict=True):
            total += weight * (of_base(measure, ranked, base) - defined(measure, base)) / spread
        return total


@dataclass(frozen=True)
class Preferred:
    """Raise what each request's preference makes of several objectives.

    Each objective is a page measure; its gain in a request is `(value - base) / spread`, with the
    spread over random policies and requests. The fitness is the mean over requests of the
    scalarised gains; a request for which every objective is undefined is left out.

    Attributes:
        names: The objectives, in the order of the preference.
        measures: One an objective.
        scalarising: By weighted sum, or by augmented Tchebycheff.
        spreads: One an objective, from `fitted`.
        ideal: One an objective, from `fitted`: the mean over requests of the best gain in each,
            over random policies and the order of relevance.
    """

    names: tuple[str, ...]
    measures: tuple[PageMeasure, ...]
    scalarising: Scalarising = "tchebycheff"
    spreads: tuple[float, ...] = ()
    ideal: tuple[float, ...] = ()

    def fitted(self, sample: Ranked, base: Ranked) -> Preferred:
        """Return the goal with its spreads and its ideal.

        Steuer and Choo 1983 measure from the best attainable value of each objective. The fitness
        is a mean over requests, so that value is the mean of what each request can gain where it
        has the policy that is best for it: no policy of the sample has a higher mean.
        """
        spreads, ideal = [], []
        for measure in self.measures:
            changes = _gains(measure, sample, base)
            # Where the base has no value, no policy has a change.
            known = changes[~np.isnan(changes[:, 0])]
            if not len(known):
                raise InputError(f"{measure} is undefined for every request")
            spreads.append(_spread(measure, known))
            ideal.append(float(known.max(axis=1, initial=0.0).mean()) / spreads[-1])
        return replace(self, spreads=tuple(spreads), ideal=tuple(ideal))

    def values(self, ranked: Ranked, base: Ranked, preferences: Float64) -> Float64:
        """Return float64[c], of preferences float64[q, m] in the order of `names`."""
        if not self.spreads:
            raise InputError("a preferred goal has no units yet; take what `fitted` returns")
        gains = np.stack(
            [
                _gains(measure, ranked, base) / spread
                for measure, spread in zip(self.measures, self.spreads, strict=True)
            ]
        )
        if self.scalarising == "linear":
            worth = linear(gains, preferences)
        else:
            worth = tchebycheff(gains, preferences, np.array(self.ideal), AUGMENTATION)
        counted = ~np.isnan(worth[:, 0])
        if not counted.any():
            raise InputError(f"{', '.join(map(str, self.measures))}: undefined for every request")
        return np.asarray(worth[counted].mean(axis=0))


@dataclass(frozen=True)
class PlainFunction:
    """Raise what a function makes of the orders; its units are its own.

    Attributes:
        name: As it was written, "module:function".
        function: From the orders of c children to float64[c].
    """

    name: str
    function: Plain = field(repr=False)

    def fitted(self, sample: Ranked, base: Ranked) -> PlainFunction:
        """Return itself."""
        return self

    def values(self, ranked: Ranked, base: Ranked, preferences: Float64) -> Float64:
        """Return what the function returns, float64[c].

        Raises:
            InputError: If it does not return one number a child.
        """
        try:
            found = np.asarray(self.function(ranked), dtype=np.float64)
        except Exception as error:  # Whatever a function of somebody else raises.
            raise InputError(f"{self.name}: {type(error).__name__}: {error}") from error
        if found.shape != (ranked.children,):
            raise InputError(
                f"{self.name}: returned the shape {found.shape}; accepted is "
                f"({ranked.children},), one number a child"
            )
        bad = np.flatnonzero(~np.isfinite(found))
        if len(bad):
            raise InputError(
                f"{self.name}: returned {found[bad[0]]} for child {bad[0]} "
                f"({len(bad)} of {ranked.children} children); accepted are finite numbers"
            )
        return found


def load_function(name: str) -> PlainFunction:
    """Return the function that "module:function" names.

    Raises:
        InputError: If there is none, or its module cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # Whatever a module of somebody else raises.
        raise InputError(
            f"fitness function {name!r}: {type(error).__name__}: {error}; accepted is "
            "'module:function', a function from cascade.market's Ranked to one number a child"
        ) from error
    if not callable(function):
        raise InputError(f"fitness function {name!r}: is {function!r}, which is no function")
    return PlainFunction(name, function)


def defined(measure: MarketMeasure, base: Ranked) -> float:
    """Return the value in the order of relevance, and refuse it if it is not finite."""
    value = float(measure.of(base)[0])
    if not np.isfinite(value):
        raise InputError(
            f"{measure} is {value} in the order of relevance over {base.listings.requests} "
            "requests; take more requests, or another measure"
        )
    return value


def of_base(measure: MarketMeasure, ranked: Ranked, base: Ranked) -> Float64:
    """Return a measure over the requests that define it in the order of relevance, float64[c].

    A mean leaves out a request whose page has no value. Were those left out that a child made so,
    a child could raise its mean by showing rows without a value where the others are low; so a
    page that it made undefined counts as 0.
    """
    if not isinstance(measure, Mean):
        return measure.of(ranked)
    known = ~np.isnan(measure.pages(base)[:, 0])
    if not known.any():
        return measure.of(ranked)
    return np.asarray(np.nan_to_num(measure.pages(ranked)[known]).mean(axis=0))


def _gains(measure: PageMeasure, ranked: Ranked, base: Ranked) -> Float64:
    """Return what children change in each request, float64[q, c], NaN where the base has no value.

    A page that a child made undefined counts as 0, as in `of_base`.
    """
    before = measure.per_request(base)
    return np.where(np.isnan(before), np.nan, np.nan_to_num(measure.per_request(ranked)) - before)


def _spread(measure: MarketMeasure | PageMeasure, changes: Float64) -> float:
    spread = float(np.sqrt(np.mean(changes**2)))
    if not (np.isfinite(spread) and spread > 0):
        raise InputError(
            f"{measure}: random policies change it by {spread}; a measure that no order changes "
            "cannot be raised"
        )
    return spread
