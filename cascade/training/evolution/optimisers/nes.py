"""NES: the natural gradient of shaped fitness, with a sigma for each weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.training.evolution.optimisers import state as read
from cascade.training.evolution.optimisers.base import OptimiserSettings, State
from cascade.training.evolution.optimisers.shaping import SHAPE
from cascade.training.evolution.optimisers.strategy import Strategy


class NES(Strategy):
    """Follow the natural gradient in the centre and in the logarithm of each sigma.

    This is the separable form: d sigmas in place of a covariance of d x d.

    Wierstra et al., "Natural Evolution Strategies", JMLR 15 (2014), algorithm 6 and table 1.
    """

    def __init__(self, settings: OptimiserSettings, start: Float64, seed: int) -> None:
        super().__init__(settings, start, seed)
        size = self._centre.size
        self._sigma = np.full(size, float(settings.sigma))
        default = (3 + np.log(size)) / (5 * np.sqrt(size))
        self._sigma_rate = float(default if settings.sigma_rate is None else settings.sigma_rate)

    def ask(self) -> Float64:
        """Return the centre with each child's mutation, float64[c, d]."""
        children: Float64 = self._centre + self._sigma * self._normal(self._settings.population)
        return children

    def _learn(self, fitness: Float64) -> Float64:
        weights = SHAPE[self._settings.shaped](fitness)
        mutations = self._normal(self._settings.population)
        centre: Float64 = self._centre + self._settings.rate * self._sigma * (weights @ mutations)
        self._sigma = self._sigma * np.exp(self._sigma_rate / 2 * (weights @ (mutations**2 - 1)))
        return centre

    def _own_state(self) -> State:
        return {"sigma": self._sigma.copy()}

    def _adopt(self, state: Mapping[str, Any]) -> None:
        self._sigma = read.array(state, "sigma", self._centre.shape)
