"""Optimisers: seeded evolution strategies behind one ask and tell, resumable bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

from cascade.candidates import Float64
from cascade.training.evolution.optimisers.base import (
    Name,
    Optimiser,
    OptimiserSettings,
    Shaping,
    State,
    StepName,
)
from cascade.training.evolution.optimisers.canonical import Canonical
from cascade.training.evolution.optimisers.cma import CMA
from cascade.training.evolution.optimisers.nes import NES
from cascade.training.evolution.optimisers.one_plus_one import OnePlusOne
from cascade.training.evolution.optimisers.openai_es import OpenAIES
from cascade.training.evolution.optimisers.strategy import Strategy

__all__ = [
    "OPTIMISERS",
    "Name",
    "Optimiser",
    "OptimiserSettings",
    "Shaping",
    "State",
    "StepName",
    "make_optimiser",
]

OPTIMISERS: Mapping[Name, type[Strategy]] = {
    "one_plus_one": OnePlusOne,
    "nes": NES,
    "canonical": Canonical,
    "openai_es": OpenAIES,
    "cma": CMA,
}


def make_optimiser(settings: OptimiserSettings, start: Float64, seed: int) -> Optimiser:
    """Return the optimiser that the settings name, at generation 0.

    Args:
        settings: Which one, and how.
        start: The first centre, float64[d].
        seed: 0 or more; all that is random follows from it.

    Raises:
        InputError: If the start is not a vector of finite numbers, or the seed is below 0.
        OptionalDependencyError: If the optimiser needs a package that is not installed.
    """
    return OPTIMISERS[settings.name](settings, start, seed)
