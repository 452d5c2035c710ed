"""(1+1): one child, kept if it is better than its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.training.evolution.optimisers import state as read
from cascade.training.evolution.optimisers.base import OptimiserSettings, State
from cascade.training.evolution.optimisers.strategy import Strategy


class OnePlusOne(Strategy):
    """Move to the child where it is better, and adapt sigma by the rule of one fifth.

    The parent is asked as child 0: fitness is measured on other requests in each generation, and
    a parent that keeps the value of a lucky one would be beaten by none. A tie leaves centre and
    sigma as they are.

    Hansen, Arnold and Auger, "Evolution Strategies" (2015), algorithm 2.
    """

    def __init__(self, settings: OptimiserSettings, start: Float64, seed: int) -> None:
        super().__init__(settings, start, seed)
        self._sigma = float(settings.sigma)

    def ask(self) -> Float64:
        """Return the parent and its child, float64[2, d]."""
        return np.stack([self._centre, self._child()])

    def _learn(self, fitness: Float64) -> Float64:
        better = bool(fitness[1] > fitness[0])
        centre = self._child() if better else self._centre.copy()
        self._sigma *= float(np.exp((better - 0.2) / np.sqrt(self._centre.size + 1)))
        return centre

    def _child(self) -> Float64:
        child: Float64 = self._centre + self._sigma * self._normal(1)[0]
        return child

    def _own_state(self) -> State:
        return {"sigma": self._sigma}

    def _adopt(self, state: Mapping[str, Any]) -> None:
        self._sigma = read.number(state, "sigma")
