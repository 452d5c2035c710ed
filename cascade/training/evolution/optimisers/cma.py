"""CMA-ES: a full covariance of the mutations, by the package `cmaes`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError, OptionalDependencyError
from cascade.training.evolution.optimisers import state as read
from cascade.training.evolution.optimisers.base import OptimiserSettings, State
from cascade.training.evolution.optimisers.strategy import Strategy

# What a generation of `cmaes.CMA` changes; the rest follows from the settings. Its own pickles
# leave out the random stream and half of the covariance, so they do not continue bit for bit.
_MOVING = ("_mean", "_C", "_p_sigma", "_pc")


class CMA(Strategy):
    """Adapt the covariance of the mutations to the paths that were worth taking.

    Time and memory of a generation grow with c * d squared, so it is for some hundred weights.
    Children that tie with some others, not with all, are taken in the order asked.

    Hansen, "The CMA Evolution Strategy: A Tutorial" (2016), as implemented by `cmaes`.

    Raises:
        OptionalDependencyError: If `cmaes` is not installed.
        InputError: If there is one weight only.
    """

    def __init__(self, settings: OptimiserSettings, start: Float64, seed: int) -> None:
        super().__init__(settings, start, seed)
        if self._centre.size < 2:
            raise InputError("optimiser 'cma' takes two weights or more; use 'nes' for one")
        try:
            import cmaes
        except ImportError:
            raise OptionalDependencyError("cmaes", "evolve") from None
        self._version: str = cmaes.__version__
        self._cma = cmaes.CMA(
            mean=self._centre.copy(),
            sigma=float(settings.sigma),
            population_size=settings.population,
        )
        self._kept = self._moving()
        self._asked: Float64 | None = None

    def ask(self) -> Float64:
        """Return the children of this generation, float64[c, d]."""
        return self._children().copy()

    def tell(self, fitness: Float64) -> None:
        """Learn from the fitness of the children, float64[c], higher is better.

        Raises:
            InputError: If there is not one finite value for each child, or if the step leads to
                weights that are not finite.
        """
        super().tell(fitness)
        self._asked = None

    def _learn(self, fitness: Float64) -> Float64:
        self._cma.tell([(x, -float(f)) for x, f in zip(self._children(), fitness, strict=True)])
        self._kept = self._moving()
        return np.array(self._cma.mean)

    def _children(self) -> Float64:
        if self._asked is None:
            # The factors are made in place, so they begin from the same covariance every time.
            # Its own `ask` multiplies d x d matrices for each child; here it is once for all.
            self._put(self._kept)
            axes, lengths = self._cma._eigen_decomposition()
            mutations = (self._normal(self._settings.population) * lengths) @ axes.T
            self._asked = self._kept["cma_mean"] + self._kept["cma_sigma"] * mutations
        return self._asked

    def _own_state(self) -> State:
        return {"cmaes": self._version, **copy.deepcopy(self._kept)}

    def _adopt(self, state: Mapping[str, Any]) -> None:
        version = read.text(state, "cmaes")
        if version != self._version:
            raise InputError(
                f"optimiser state: it is of cmaes {version}, and {self._version} is installed; "
                f"go on with that release (pip install cmaes=={version})"
            )
        arrays = {
            name: read.array(state, f"cma{name}", np.shape(self._kept[f"cma{name}"]))
            for name in _MOVING
        }
        self._kept = {
            **{f"cma{name}": values for name, values in arrays.items()},
            "cma_sigma": read.number(state, "cma_sigma"),
            "cma_g": read.whole(state, "cma_g"),
        }
        self._asked = None

    def _moving(self) -> dict[str, Any]:
        held = vars(self._cma)
        return {
            **{f"cma{name}": held[name].copy() for name in _MOVING},
            "cma_sigma": float(held["_sigma"]),
            "cma_g": int(held["_g"]),
        }

    def _put(self, kept: Mapping[str, Any]) -> None:
        held = vars(self._cma)
        held.update({name: np.array(kept[f"cma{name}"]) for name in _MOVING})
        held.update(_sigma=kept["cma_sigma"], _g=kept["cma_g"], _B=None, _D=None)
