"""Hypervolume: how much of the space of objectives a front covers, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError, OptionalDependencyError

RESAMPLES = 1_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Covered:
    """Hold a hypervolume and its interval by the bootstrap over requests."""

    value: float
    low: float
    high: float


def hypervolume(points: Float64, reference: Float64) -> float:
    """Return the volume between the points and a reference, every objective to be raised.

    It is exact (Zitzler and Thiele 1998 by the algorithms of Fonseca and others 2006). A point
    that is not above the reference in every objective adds nothing.

    Args:
        points: float64[k, m].
        reference: float64[m], the worst values that count.

    Raises:
        OptionalDependencyError: If the extra `evolve` is not installed.
        InputError: If a value is not finite, or the widths differ.
    """
    try:
        import moocore
    except ImportError:
        raise OptionalDependencyError("moocore", "evolve") from None
    _check(points, reference)
    above = points[(points > reference).all(axis=1)]
    if not len(above):
        return 0.0
    if points.shape[1] == 1:
        return float(above.max() - reference[0])
    return float(moocore.hypervolume(above, ref=reference, maximise=True))


def covered(
    values: Float64,
    reference: Float64,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Covered:
    """Return the hypervolume of a front of means over requests, and a percentile interval.

    Args:
        values: float64[q, k, m], of each request at each point, NaN where undefined.
        reference: float64[m].
        resamples: How many times the requests are drawn with replacement.
        level: The share of the resampled hypervolumes that the interval holds.
        seed: Of the draws.
    """
    drawn = _resampled(values, reference, resamples, seed)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Covered(hypervolume(_mean(values), reference), float(low), float(high))


def covered_more(
    front: Float64,
    other: Float64,
    reference: Float64,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Covered:
    """Return how much more one front covers than another, both drawn on the same requests.

    Args:
        front: float64[q, k, m].
        other: float64[q, l, m], of the same requests.
        reference: float64[m].
        resamples: How many times the requests are drawn.
        level: The share that the interval holds.
        seed: Of the draws.
    """
    if len(front) != len(other):
        raise InputError(
            f"hypervolume: fronts of {len(front)} and {len(other)} requests; they are compared "
            "on the same requests"
        )
    drawn = _resampled(front, reference, resamples, seed)
    drawn -= _resampled(other, reference, resamples, seed)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    value = hypervolume(_mean(front), reference) - hypervolume(_mean(other), reference)
    return Covered(value, float(low), float(high))


def _resampled(values: Float64, reference: Float64, resamples: int, seed: int) -> Float64:
    """Return the hypervolume of each resample; equal seeds draw equal requests."""
    generator = np.random.default_rng(seed)
    requests = len(values)
    if not requests:
        raise InputError("hypervolume: there is no request to draw")
    drawn = np.stack(
        [
            np.bincount(generator.integers(requests, size=requests), minlength=requests)
            for _ in range(resamples)
        ]
    ).astype(np.float64)
    return np.array([hypervolume(points, reference) for points in _means(values, drawn)])


def _mean(values: Float64) -> Float64:
    return np.asarray(_means(values, np.ones((1, len(values))))[0])


def _means(values: Float64, counts: Float64) -> Float64:
    """Return float64[r, k, m], the means over r draws; refuse what no request defines.

    Args:
        values: float64[q, k, m].
        counts: float64[r, q], how often each draw has each request.
    """
    present = ~np.isnan(values)
    if not present.any(axis=0).all():
        raise InputError("hypervolume: an objective is undefined for every request")
    flat = (len(values), -1)
    known = np.where(present, values, 0.0).reshape(flat)
    total, seen = counts @ known, counts @ present.astype(np.float64).reshape(flat)
    # A draw may miss every request that defines an objective: the mean of all stands in.
    whole = known.sum(axis=0) / present.reshape(flat).sum(axis=0)
    means = np.where(seen > 0, total / np.maximum(seen, 1.0), whole)
    return np.asarray(means.reshape(-1, *values.shape[1:]))


def _check(points: Float64, reference: Float64) -> None:
    if points.ndim != 2 or points.shape[1:] != reference.shape:
        raise InputError(
            f"hypervolume: points of shape {points.shape} and a reference of shape "
            f"{reference.shape}; accepted are [k, m] and [m]"
        )
    if not (np.isfinite(points).all() and np.isfinite(reference).all()):
        raise InputError("hypervolume: a point or the reference is not finite")
