"""Fitness shaping: what each child counts, from the fitness of all of them.

Every shaping returns weights that sum to 0 and already hold the 1 / n of a mean over children, so
that `weights @ mutations / sigma` is a gradient. Children of equal fitness count the same, and if
all are equal every weight is exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cascade.candidates import Float64
from cascade.training.evolution.optimisers.base import Shaping


def by_rank(fitness: Float64, best_first: Float64) -> Float64:
    """Give each child the weight of its rank, and to a tie the mean of the ranks it takes.

    Args:
        fitness: float64[n], higher is better.
        best_first: float64[n], the weight of each rank; they sum to 0.
    """
    levels, inverse, counts = np.unique(-fitness, return_inverse=True, return_counts=True)
    if levels.size == 1:
        return np.zeros(fitness.size)
    firsts = np.cumsum(counts) - counts
    weights: Float64 = (np.add.reduceat(best_first, firsts) / counts)[inverse]
    return weights


def utilities(fitness: Float64) -> Float64:
    """Return max(0, ln(n/2 + 1) - ln k) over its sum, less 1/n, for the k-th best of n.

    Wierstra et al., "Natural Evolution Strategies", JMLR 15 (2014), section 3.1.
    """
    n = fitness.size
    raw = np.maximum(0.0, np.log(n / 2 + 1) - np.log(np.arange(1, n + 1)))
    return by_rank(fitness, raw / raw.sum() - 1 / n)


def centred(fitness: Float64) -> Float64:
    """Return ranks spread evenly from 0.5 (best) to -0.5, over n.

    Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning"
    (2017), in its published code.
    """
    n = fitness.size
    return by_rank(fitness, np.linspace(0.5, -0.5, n) / n)


def standard(fitness: Float64) -> Float64:
    """Return fitness less its mean, in standard deviations, over n; it keeps distances."""
    if fitness.max() == fitness.min():
        return np.zeros(fitness.size)
    # In units of the largest, so that neither the mean nor the squares overflow.
    scaled = fitness / np.abs(fitness).max()
    scaled = scaled - scaled.mean()
    weights: Float64 = scaled / (scaled.std() * fitness.size)
    return weights


def recombination(fitness: Float64, parents: int) -> Float64:
    """Return ln(K + 1/2) - ln i over its sum for the i-th best of K parents, 0 below, less 1/n.

    Chrabaszcz et al., "Back to Basics: Benchmarking Canonical Evolution Strategies for Playing
    Atari" (2018). Less 1/n is ours: it takes the mean of all mutations, which says nothing about
    fitness, out of the step, so that ties give none.
    """
    n = fitness.size
    raw = np.zeros(n)
    raw[:parents] = np.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
    return by_rank(fitness, raw / raw.sum() - 1 / n)


SHAPE: Mapping[Shaping, Callable[[Float64], Float64]] = {
    "utilities": utilities,
    "centred": centred,
    "standard": standard,
}
