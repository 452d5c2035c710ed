"""OpenAI-ES: a gradient from antithetic pairs, and a step made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.training.evolution.optimisers.base import OptimiserSettings, State
from cascade.training.evolution.optimisers.shaping import SHAPE
from cascade.training.evolution.optimisers.steps import STEPS
from cascade.training.evolution.optimisers.strategy import Strategy


class OpenAIES(Strategy):
    """Estimate the gradient of shaped fitness, smoothed by mutations of a fixed sigma.

    Child i and child i + c/2 have mutations that are exact negatives of each other.

    Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning"
    (2017), algorithm 1.
    """

    def __init__(self, settings: OptimiserSettings, start: Float64, seed: int) -> None:
        super().__init__(settings, start, seed)
        self._step = STEPS[settings.stepping](self._centre.size, settings.rate)

    def ask(self) -> Float64:
        """Return the centre plus, then minus, each mutation, float64[c, d]."""
        mutations = self._settings.sigma * self._half()
        return np.concatenate([self._centre + mutations, self._centre - mutations])

    def _learn(self, fitness: Float64) -> Float64:
        weights = SHAPE[self._settings.shaped](fitness)
        half = weights.size // 2
        gradient = (weights[:half] - weights[half:]) @ self._half() / self._settings.sigma
        centre: Float64 = self._centre + self._step.change(gradient)
        return centre

    def _half(self) -> Float64:
        return self._normal(self._settings.population // 2)

    def _own_state(self) -> State:
        return self._step.state()

    def _adopt(self, state: Mapping[str, Any]) -> None:
        self._step.restore(state)
