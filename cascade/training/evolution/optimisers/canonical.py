"""Canonical (mu, lambda): the weighted mean of the best mutations, at a fixed sigma."""

from __future__ import annotations

from cascade.candidates import Float64
from cascade.training.evolution.optimisers.shaping import recombination
from cascade.training.evolution.optimisers.strategy import Strategy


class Canonical(Strategy):
    """Move by the mean mutation of the K best children, the better ones weighing more."""

    def ask(self) -> Float64:
        """Return the centre with each child's mutation, float64[c, d]."""
        children: Float64 = self._centre + self._mutations()
        return children

    def _learn(self, fitness: Float64) -> Float64:
        weights = recombination(fitness, self._settings.best)
        centre: Float64 = self._centre + weights @ self._mutations()
        return centre

    def _mutations(self) -> Float64:
        return self._settings.sigma * self._normal(self._settings.population)
