"""What the features of a row tell of its clicks, as the prior of what its own clicks tell."""

from __future__ import annotations

import numpy as np

from cascade.candidates import Float32
from cascade.errors import OptionalDependencyError
from cascade.events.clicks.pages import Float64, Int64
from cascade.training.fit import threads_for
from cascade.training.staged import FOLDS

# The fold of a row that is foreseen and not learned from.
HELD_OUT = -1
ROUNDS = 80
PARAMETERS = {
    "objective": "count:poisson",
    "tree_method": "hist",
    "eta": 0.1,
    "max_depth": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "min_child_weight": 5.0,
    "base_score": 1.0,
}
# The logarithms between which the shape of the prior is looked for.
LEAST_SHAPE, MOST_SHAPE = -4.0, 6.0


def foreseen(matrix: Float32, clicks: Float64, looks: Float64, folds: Int64, seed: int) -> Float64:
    """Return the rate of clicks that the features of each row lead to expect, float64[n].

    Trees of a Poisson regression with the looks as exposure. A row is foreseen by trees that did
    not see its query, so that its own clicks are not counted twice. A row that is held out is
    foreseen by trees of all the others, and what happened to it changes no rate.

    Args:
        matrix: float32[n, f].
        clicks: float64[n], what was gained.
        looks: float64[n], how often it could have been, above 0.
        folds: int64[n], the fold of the query of each row, or `HELD_OUT`.
        seed: Of the fits.
    """
    try:
        import xgboost
    except ImportError:
        raise OptionalDependencyError("xgboost", "train") from None
    learned = folds != HELD_OUT
    common = float(clicks[learned].sum() / looks[learned].sum()) if learned.any() else 0.0
    rates = np.full(len(looks), common)
    if common <= 0:
        return rates
    for fold in (*range(FOLDS), HELD_OUT):
        others = np.flatnonzero(learned & (folds != fold))
        mine = np.flatnonzero(folds == fold)
        if not len(mine) or not clicks[others].any():
            continue
        margin = np.log(looks[others] * common)
        rows = xgboost.DMatrix(matrix[others], label=clicks[others], base_margin=margin)
        threads = threads_for(len(others) * matrix.shape[1])
        parameters = {**PARAMETERS, "seed": seed, "nthread": threads}
        booster = xgboost.train(parameters, rows, ROUNDS)
        asked = xgboost.DMatrix(matrix[mine], base_margin=np.full(len(mine), np.log(common)))
        rates[mine] = booster.predict(asked)
    return rates


def prior_shape(clicks: Float64, expected: Float64) -> float:
    """Return the shape k of the gamma that true rates over foreseen ones are spread by.

    Mean 1, variance 1/k. The most likely one for counts that are then negative binomial (empirical
    Bayes; Casella, "An Introduction to Empirical Bayes Data Analysis", 1985).

    Args:
        clicks: float64[n].
        expected: float64[n], the foreseen rate times the looks.
    """
    try:
        from scipy.optimize import minimize_scalar
        from scipy.special import gammaln
    except ImportError:
        raise OptionalDependencyError("scipy", "train") from None
    mean = np.maximum(expected, 1e-12)

    def loss(log_shape: float) -> float:
        k = float(np.exp(log_shape))
        told = gammaln(clicks + k) - gammaln(k) - k * np.log1p(mean / k)
        return -float((told + clicks * np.log(mean / (k + mean))).sum())

    found = minimize_scalar(loss, bounds=(LEAST_SHAPE, MOST_SHAPE), method="bounded")
    return float(np.exp(found.x))


def posterior(clicks: Float64, looks: Float64, rates: Float64, shape: float) -> Float64:
    """Return the mean rate of each row given its clicks, float64[n], 0 to 1.

    A row that few looked at stays close to what its features lead to expect; how close, the shape
    of the prior tells.

    Args:
        clicks: float64[n].
        looks: float64[n].
        rates: float64[n], foreseen.
        shape: Of the gamma that true rates over foreseen ones are spread by.
    """
    found: Float64 = np.clip(rates * (clicks + shape) / (rates * looks + shape), 0.0, 1.0)
    return found
