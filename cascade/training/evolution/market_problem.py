"""The problem of a policy in a market: children's orders of a few requests, and their fitness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from cascade.business.learned import preference_shares
from cascade.business.shape import Shape
from cascade.candidates import Float32, Float64
from cascade.errors import InputError, nearest
from cascade.market import Ranked, ranked
from cascade.training.evolution.checkpoint import Value
from cascade.training.evolution.constraints import Multipliers
from cascade.training.evolution.fitness import Fitness
from cascade.training.evolution.front import draw_preferences
from cascade.training.evolution.goals import Preferred
from cascade.training.evolution.samples import Sample, random_policies

UNIT_POLICIES = 64
UNIT_REQUESTS = 1_000
ROUNDING = 1e-9
# How far towards the order of relevance a policy is drawn back when bounds are checked.
SHRUNK = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1)
_REQUESTS, _UNITS, _VALIDATION = 0x11, 0x12, 0x13


@dataclass(frozen=True)
class MarketSettings:
    """Say what a generation looks at.

    Attributes:
        requests: How many requests are drawn for a generation; 0 takes all.
        concentration: Of the Dirichlet that preferences are drawn from.
        preference: The shares of every request where the goal weighs no objectives; objectives
            that are not named have 0, and without any all have the same.
        seed: Of the start and of what each generation meets.
        common: Of what searches of several seeds have in common, so that they can be compared:
            the units of the fitness and the preferences on validation.
        threads: How many threads order the children; None means one for each core.
    """

    requests: int = 256
    concentration: float = 1.0
    preference: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    common: int = 0
    threads: int | None = None


class MarketProblem:
    """Measure policies by a fitness over a market.

    The children of a generation meet the same requests with the same preferences. The bound on
    displacement that serving keeps is not applied here; `displaced` tells how far a policy moves
    rows.

    Attributes:
        training: The requests that generations are drawn from.
        validation: Held-out requests, with preferences that stay.
        shape: Of the policies.
        fitness: With its units, from random policies on the training requests.
        settings: What a generation looks at.
        multipliers: What each bound costs, for the Lagrangian form.
    """

    def __init__(
        self,
        training: Sample,
        validation: Sample,
        shape: Shape,
        fitness: Fitness,
        settings: MarketSettings | None = None,
    ) -> None:
        self.settings = settings or MarketSettings()
        for sample in (training, validation):
            if sample.names != shape.inputs or not sample.requests:
                raise InputError(
                    f"a sample has {sample.requests} requests and the inputs {sample.names}; "
                    f"accepted are the policy's inputs {shape.inputs} of one request or more"
                )
        self.training, self.validation, self.shape = training, validation, shape
        self._objectives = fitness.goal.names if isinstance(fitness.goal, Preferred) else ()
        self._columns = self._preference_columns()
        self.multipliers = Multipliers.none(len(fitness.bounds), fitness.penalty)
        self.fitness = self._with_units(fitness)
        self._held_out = self._prepared(validation, _VALIDATION, 0)
        self._latest: tuple[int, _Drawn] | None = None

    def start(self) -> Float64:
        """Return the weights a search starts from, float64[d]: the order of relevance."""
        return self.shape.start(self.settings.seed)

    def evaluate(self, weights: Float64, generation: int) -> Float64:
        """Return the fitness of children float64[c, d] on the requests of a generation."""
        drawn = self._drawn(generation)
        orders = self._orders(weights, drawn, f"of generation {generation}")
        return self.fitness.values(orders, drawn.base, drawn.preferences, self.multipliers)

    def validate(self, weights: Float64) -> Float64:
        """Return the goal on held-out requests of weights that keep the bounds there."""
        orders = self._orders(weights, self._held_out, "on validation")
        return self.fitness.judged(orders, self._held_out.base, self._held_out.preferences)

    def offers(self, centre: Float64) -> Float64:
        """Return what validation chooses from, float64[k, d].

        A policy learns to keep its bounds on the requests it is trained on, and breaks them by
        a little on others. Where there are bounds, the policy is therefore offered with less of
        its effect as well: with its first weight, which scales what is added to the score, shrunk.
        """
        if not self.fitness.bounds:
            return centre[None, :].copy()
        offered = np.tile(centre, (len(SHRUNK), 1))
        offered[:, 0] *= SHRUNK
        return offered

    def advance(self, centre: Float64, generation: int) -> None:
        """Let the multipliers follow the bounds as the centre keeps or breaks them."""
        if self.fitness.form != "lagrangian" or not self.fitness.bounds:
            return
        drawn = self._drawn(generation)
        orders = self._orders(centre[None, :], drawn, f"(the centre) of generation {generation}")
        self.multipliers = self.multipliers.after(self.fitness.excesses(orders, drawn.base)[:, 0])

    def state(self) -> dict[str, Value]:
        """Return the multipliers, and the units as a check."""
        return {"multipliers": self.multipliers.values, "units": repr(self.fitness)}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take up the multipliers.

        Raises:
            InputError: If the state is of another fitness or of other requests.
        """
        if state["units"] != repr(self.fitness):
            raise InputError("the checkpoint is of another fitness, or of other training requests")
        values = cast(Float64, state["multipliers"])
        self.multipliers = Multipliers(values, self.multipliers.penalty, self.multipliers.rate)

    def judged(self, scores: Float32, sample: Sample) -> Float64:
        """Return the goal of any k orders float32[n, k] that keep the bounds, float64[k].

        This is how baselines are chosen: by the same goal, on requests of the same preference.

        Args:
            scores: Of the rows of `sample`.
            sample: The training or the validation requests.
        """
        orders = ranked(sample.listings, scores)
        return self.fitness.judged(orders, sample.base(), self.preferences(sample))

    def promised(self, scores: Float32, sample: Sample) -> Float64:
        """Return the goal of k orders float32[n, k], float64[k]: minus infinity if a bound breaks.

        The bounds are the promises themselves, nothing kept back, as a report holds them.
        """
        orders, base = ranked(sample.listings, scores), sample.base()
        goal = self.fitness.goal.values(orders, base, self.preferences(sample))
        if not self.fitness.bounds:
            return goal
        excesses = self.fitness.excesses(orders, base, margin=0.0)
        return np.where((excesses > ROUNDING).any(axis=0), -np.inf, goal)

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the preferences of `preferences` weigh, in order."""
        return self._objectives or self.shape.objectives

    def preferences(self, sample: Sample) -> Float64:
        """Return the preferences by which `judged` judges requests, float64[q, m]."""
        return self._preferences(sample.requests, _VALIDATION, 0)

    def utilities(self, weights: Float64, sample: Sample) -> Float32:
        """Return what policies float64[c, d] make of a sample, float32[n, c].

        Requests have the preference of the settings, or those drawn for validation.
        """
        drawn = self._prepared(sample, _VALIDATION, 0)
        return self._utilities(weights, drawn)

    def _drawn(self, generation: int) -> _Drawn:
        if self._latest is None or self._latest[0] != generation:
            sample = _some(
                self.training, self.settings.requests, self.settings.seed, _REQUESTS, generation
            )
            self._latest = generation, self._prepared(sample, _REQUESTS, generation)
        return self._latest[1]

    def _prepared(self, sample: Sample, stream: int, generation: int) -> _Drawn:
        preferences = self._preferences(sample.requests, stream, generation)
        seen = preferences
        if self._objectives:
            seen = preferences[:, self._columns]
        by_row = seen.astype(np.float32)[sample.listings.request]
        return _Drawn(sample, sample.base(), preferences, by_row)

    def _preferences(self, requests: int, stream: int, generation: int) -> Float64:
        """Return float64[q, m]: one share for each objective of the goal, else of the shape."""
        if not self._objectives:
            given = self.settings.preference
            names = self.shape.objectives
            even = np.full(len(names), 1 / len(names))
            share = preference_shares(given, names).astype(np.float64) if given else even
            return np.tile(share, (requests, 1))
        drawn = self.settings.seed if stream == _REQUESTS else self.settings.common
        seed = drawn * 64 + stream
        many = len(self._objectives)
        return draw_preferences(seed, generation, requests, many, self.settings.concentration)

    def _preference_columns(self) -> list[int]:
        if self._objectives:
            known: tuple[str, ...] = self._objectives
            wanted: tuple[str, ...] = self.shape.objectives
            what = "the policy's objective"
        else:
            known, wanted = self.shape.objectives, tuple(self.settings.preference)
            what = "the preference"
        for name in wanted:
            if name not in known:
                raise InputError(f"{what} {name!r}; {nearest(name, known)}")
        return [known.index(name) for name in wanted]

    def _with_units(self, fitness: Fitness) -> Fitness:
        """Return the fitness in units of what random policies change."""
        seed = self.settings.common
        sample = _some(self.training, UNIT_REQUESTS, seed, _UNITS, 0)
        drawn = self._prepared(sample, _UNITS, 0)
        weights = random_policies(self.shape, sample, UNIT_POLICIES, [seed, _UNITS])
        return fitness.fitted(self._orders(weights, drawn, "drawn for the units"), drawn.base)

    def _orders(self, weights: Float64, drawn: _Drawn, what: str) -> Ranked:
        bad = np.flatnonzero(~np.isfinite(weights).all(axis=1))
        if len(bad):
            raise InputError(f"child {bad[0]} {what} has a weight that is not finite")
        return ranked(drawn.sample.listings, self._utilities(weights, drawn), self.settings.threads)

    def _utilities(self, weights: Float64, drawn: _Drawn) -> Float32:
        sample = drawn.sample
        return self.shape.utilities(weights, sample.scores, sample.inputs, drawn.by_row)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Hold requests with their preferences: float64[q, m], and float32[n, p] by row."""

    sample: Sample
    base: Ranked
    preferences: Float64
    by_row: Float32


def requests_drawn(requests: int, sample: Sample) -> int:
    """Return how many requests of a sample are drawn where so many are asked for; 0 takes all."""
    return min(requests or sample.requests, sample.requests)


def _some(sample: Sample, requests: int, seed: int, stream: int, generation: int) -> Sample:
    if requests_drawn(requests, sample) == sample.requests:
        return sample
    generator = np.random.default_rng([seed, stream, generation])
    return sample.take(np.sort(generator.choice(sample.requests, requests, replace=False)))
