"""Off-policy estimates: what another policy would have earned, from the log of the one that ran.

The log says of each action how likely it was (its propensity). An action that the other policy
would take more often counts for more. Without true propensities none of this can be said.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cascade.candidates import Float64, Int64
from cascade.errors import InputError
from cascade.evaluation.bootstrap import Bootstrap, Interval

# Squares of weights beyond it would overflow.
LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class Actions:
    """Hold n logged actions, such as a document shown at a rank, and what became of each.

    Attributes:
        rewards: float64[n], such as 1 for a click.
        propensities: float64[n], how likely the logging policy was to take the action.
        target: float64[n], how likely the other policy is to take it in the same place.
        predicted: float64[n], the reward that a model expects of the action; None without one.
        expected: float64[n], the reward that it expects of the other policy in the same place.
        units: int64[n], what is drawn together in the bootstrap, such as the search of each
            action; None draws actions.
    """

    rewards: Float64
    propensities: Float64
    target: Float64
    predicted: Float64 | None = None
    expected: Float64 | None = None
    units: Int64 | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Hold what the other policy would have earned, a mean reward an action.

    Attributes:
        logged: What the logging policy earned.
        ips: Inverse propensity scoring (Horvitz and Thompson 1952).
        snips: The same, divided by the mean weight (Swaminathan and Joachims 2015).
        dr: Doubly robust (Dudík et al. 2011); None without a reward model.
        actions: How many actions the log has.
        matched: How many of them the other policy takes at all.
        effective: (Σ weight)² / Σ weight²: how many equally weighted actions are as uncertain.
        largest: The largest weight.
        coverage: The mean weight: about 1 where the logging policy could take whatever the other
            one takes, and below where it never does; what it never does is not estimated.
        clipped: How many weights were cut to the bound.
    """

    logged: Interval
    ips: Interval
    snips: Interval
    dr: Interval | None
    actions: int
    matched: int
    effective: float
    largest: float
    coverage: float
    clipped: int


def estimate(
    actions: Actions, bootstrap: Bootstrap | None = None, clip: float | None = None
) -> Estimate:
    """Return the estimates with their bootstrap intervals.

    Args:
        actions: The log.
        bootstrap: How the intervals are made.
        clip: What weights are cut to, trading variance for bias; None cuts none.

    Raises:
        InputError: If the log is empty, a propensity is not above 0 and at most 1, or each is 1:
            then nothing was drawn, and the log says nothing of what was not shown; if columns
            differ in length, hold what is no number, or a weight is too large to be summed.
    """
    _check(actions)
    weights, clipped = _weights(actions, clip)
    columns = [actions.rewards, weights * actions.rewards, weights]
    if actions.predicted is not None and actions.expected is not None:
        residual = actions.rewards - actions.predicted
        columns.append(actions.expected + weights * residual)
    sums, sizes = _by_unit(np.stack(columns, axis=1), actions.units)
    totals = np.concatenate([sums, sizes[:, None]], axis=1)
    bootstrap = bootstrap or Bootstrap(resamples=2_000)
    drawn = bootstrap.resampled_means(totals)
    means = totals.mean(axis=0)
    count = len(columns)

    def interval(part: int, whole: int) -> Interval:
        tail = (1.0 - bootstrap.level) / 2.0
        ratios = drawn[:, part] / np.where(drawn[:, whole] > 0, drawn[:, whole], np.nan)
        some = ratios[~np.isnan(ratios)]
        low, high = np.quantile(some, [tail, 1.0 - tail]) if len(some) else (np.nan, np.nan)
        mean = means[part] / means[whole] if means[whole] > 0 else np.nan
        return Interval(float(mean), float(low), float(high))

    squares = float((weights**2).sum())
    return Estimate(
        logged=interval(0, count),
        ips=interval(1, count),
        snips=interval(1, 2),
        dr=interval(3, count) if count > 3 else None,
        actions=len(weights),
        matched=int(np.count_nonzero(weights)),
        effective=float(weights.sum()) ** 2 / squares if squares else 0.0,
        largest=float(weights.max()),
        coverage=float(weights.mean()),
        clipped=clipped,
    )


def _weights(actions: Actions, clip: float | None) -> tuple[Float64, int]:
    """Return the weight of each action, and how many were cut."""
    if clip is not None and not clip > 0:
        raise InputError(f"clip is {clip:g}; accepted is a bound above 0")
    with np.errstate(over="ignore"):
        weights = actions.target / actions.propensities
    if clip is not None:
        return np.minimum(weights, clip), int((weights > clip).sum())
    if weights.max() > LARGEST:
        raise InputError(
            f"the propensity {float(actions.propensities[weights.argmax()]):g} gives a weight of "
            "more than all others together could answer for; cut weights by a clip, such as 1000"
        )
    return weights, 0


def _check(actions: Actions) -> None:
    propensities = actions.propensities
    if not len(propensities):
        raise InputError("the log has no action; off-policy estimates need logged propensities")
    columns = {field.name: getattr(actions, field.name) for field in fields(actions)}
    for name, column in columns.items():
        if column is not None and len(column) != len(propensities):
            message = f"there are {len(column)} {name} of {len(propensities)} propensities"
            raise InputError(f"{message}; give one an action")
        if column is not None and name != "propensities" and not np.isfinite(column).all():
            raise InputError(f"{name} holds what is no number; give each action a finite one")
    if (actions.target < 0).any() or (actions.target > 1).any():
        shown = float(actions.target[(actions.target < 0) | (actions.target > 1)][0])
        raise InputError(f"target holds {shown:g}; accepted are probabilities, from 0 to 1")
    bad = ~(np.isfinite(propensities) & (propensities > 0) & (propensities <= 1))
    if bad.any():
        shown = float(propensities[bad][0])
        raise InputError(
            f"{int(bad.sum())} of {len(bad)} propensities are missing or no probability, such as "
            f"{shown:g}; accepted is above 0 and at most 1, as the logging policy had them"
        )
    if (propensities == 1.0).all():
        raise InputError(
            "every propensity is 1: the logging policy drew nothing, so the log says nothing of "
            "other orders; set [exploration] swap_share above 0 and log again"
        )


def _by_unit(values: Float64, units: Int64 | None) -> tuple[Float64, Float64]:
    """Return the sums of each unit, float64[u, c], and how many actions it has, float64[u]."""
    if units is None:
        return values, np.ones(len(values))
    _, unit = np.unique(units, return_inverse=True)
    sizes = np.bincount(unit).astype(np.float64)
    sums = np.stack([np.bincount(unit, weights=column) for column in values.T], axis=1)
    return sums.astype(np.float64), sizes
