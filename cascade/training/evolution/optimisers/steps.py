"""Steps: what is made of a gradient, to be added to the centre."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from cascade.candidates import Float64
from cascade.training.evolution.optimisers import state as read
from cascade.training.evolution.optimisers.base import State, StepName


class Step(ABC):
    """Turn gradients, uphill, into changes of the centre.

    Args:
        size: How many weights there are.
        rate: The learning rate.
    """

    averages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, size: int, rate: float) -> None:
        self._rate = rate
        self._taken = 0
        self._averages = {name: np.zeros(size) for name in self.averages}

    def change(self, gradient: Float64) -> Float64:
        """Return what to add to the centre, float64[d], for a gradient, float64[d]."""
        self._taken += 1
        return self._rate * self._direction(gradient)

    def state(self) -> State:
        """Return all that the next steps depend on."""
        kept = {f"step_{name}": values.copy() for name, values in self._averages.items()}
        return {"steps_taken": self._taken, **kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raise InputError if it is not one of such a step."""
        taken = read.whole(state, "steps_taken")
        self._averages = {
            name: read.array(state, f"step_{name}", values.shape)
            for name, values in self._averages.items()
        }
        self._taken = taken

    @abstractmethod
    def _direction(self, gradient: Float64) -> Float64:
        """Return the step for a learning rate of 1."""

    def _average(self, name: str, values: Float64, keep: float) -> Float64:
        """Move the average `name` towards the values and return it."""
        self._averages[name] = keep * self._averages[name] + (1 - keep) * values
        return self._averages[name]


class Plain(Step):
    """Follow the gradient."""

    def _direction(self, gradient: Float64) -> Float64:
        return gradient


class Momentum(Step):
    """Follow the moving average of gradients (Polyak 1964); it starts at 0."""

    averages = ("gradient",)

    def _direction(self, gradient: Float64) -> Float64:
        return self._average("gradient", gradient, 0.9)


class RMSProp(Step):
    """Divide by the root of the mean square (Tieleman and Hinton 2012, lecture 6.5)."""

    averages = ("square",)

    def _direction(self, gradient: Float64) -> Float64:
        square = self._average("square", gradient**2, 0.9)
        direction: Float64 = gradient / (np.sqrt(square) + 1e-8)
        return direction


class Adam(Step):
    """Divide the mean by the root of the mean square, both corrected for their start at 0.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """

    averages = ("gradient", "square")

    def _direction(self, gradient: Float64) -> Float64:
        mean = self._average("gradient", gradient, 0.9) / (1 - 0.9**self._taken)
        square = self._average("square", gradient**2, 0.999) / (1 - 0.999**self._taken)
        direction: Float64 = mean / (np.sqrt(square) + 1e-8)
        return direction


STEPS: Mapping[StepName, type[Step]] = {
    "plain": Plain,
    "momentum": Momentum,
    "rmsprop": RMSProp,
    "adam": Adam,
}
