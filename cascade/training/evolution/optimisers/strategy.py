"""What all evolution strategies share: seeded mutations, checks, ties and states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.training.evolution.optimisers import state as read
from cascade.training.evolution.optimisers.base import OptimiserSettings, State


class Strategy(ABC):
    """Mutate a centre and learn from what the mutations are worth.

    Each generation draws from a stream of its own, keyed by the seed and the generation, so no
    position in a stream has to be kept.

    Args:
        settings: Which strategy, and how.
        start: The first centre, float64[d].
        seed: 0 or more.

    Raises:
        InputError: If the start is not a vector of finite numbers, or the seed is below 0.
    """

    def __init__(self, settings: OptimiserSettings, start: Float64, seed: int) -> None:
        self._settings = settings
        self._seed = _checked_seed(seed)
        self._generation = 0
        self._centre = _frozen(_checked_start(start))

    @property
    def centre(self) -> Float64:
        """What would be shipped, float64[d], read-only."""
        return self._centre

    @property
    def generation(self) -> int:
        """How many generations have been told."""
        return self._generation

    @abstractmethod
    def ask(self) -> Float64:
        """Return the children of this generation, float64[c, d]."""

    def tell(self, fitness: Float64) -> None:
        """Learn from the fitness of the children, float64[c], higher is better.

        Where all children are equally fit nothing is learned, by any strategy: a plateau says
        nothing about where to go, and moving on it would be a walk at random.

        Raises:
            InputError: If there is not one finite value for each child, or if the step leads to
                weights that are not finite.
        """
        values = _checked_fitness(fitness, self._settings.population, self._generation)
        if (values != values[0]).any():
            with np.errstate(all="ignore"):
                centre = self._learn(values)
            if not np.isfinite(centre).all():
                raise InputError(
                    f"generation {self._generation}: the step leads to weights that are not "
                    "finite; lower the learning rate or sigma"
                )
            self._centre = _frozen(centre)
        self._generation += 1

    def state(self) -> State:
        """Return all that the next generations depend on, as of the last `tell`."""
        return {
            "settings": repr(self._settings),
            "seed": self._seed,
            "generation": self._generation,
            "centre": self._centre.copy(),
            **self._own_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, of any seed.

        Raises:
            InputError: If the state is of other settings or another size, or lacks something.
        """
        given, mine = read.text(state, "settings"), repr(self._settings)
        if given != mine:
            raise InputError(
                f"optimiser state: it is of {given}, and this is {mine}; go on with the settings "
                "that it was made with, or start anew from its centre"
            )
        seed, generation = read.whole(state, "seed"), read.whole(state, "generation")
        centre = read.array(state, "centre", self._centre.shape)
        self._adopt(state)
        self._seed, self._generation, self._centre = seed, generation, _frozen(centre)

    @abstractmethod
    def _learn(self, fitness: Float64) -> Float64:
        """Return the next centre; the fitness is finite and not all equal."""

    def _own_state(self) -> State:
        """Return what this strategy keeps beside its centre."""
        return {}

    def _adopt(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - a centre may be all
        """Take back what `_own_state` gave."""

    def _normal(self, rows: int) -> Float64:
        """Return the standard normal mutations of this generation, float64[rows, d]."""
        stream = np.random.SeedSequence(self._seed, spawn_key=(self._generation,))
        return np.random.default_rng(stream).standard_normal((rows, self._centre.size))


def _checked_seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"the seed is {seed!r}; it must be a whole number, 0 or more")
    return seed


def _checked_start(start: Float64) -> Float64:
    values = np.array(start, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"the start has the shape {list(values.shape)}; it must be a vector of one or more "
            "weights, all finite"
        )
    return values


def _checked_fitness(fitness: Float64, children: int, generation: int) -> Float64:
    values = np.asarray(fitness, dtype=np.float64)
    if values.shape != (children,):
        raise InputError(
            f"generation {generation}: fitness has the shape {list(values.shape)}; it must hold "
            f"one value for each of the {children} children"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        more = f", and that of {bad.size - 1} more is not finite either" if bad.size > 1 else ""
        raise InputError(
            f"generation {generation}: the fitness of child {bad[0]} is {values[bad[0]]}{more}; "
            "a fitness must be finite for all weights"
        )
    return values


def _frozen(values: Float64) -> Float64:
    values.flags.writeable = False
    return values
