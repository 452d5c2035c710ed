"""The surrogate gain of a guard rail: what a score is worth, fitted on graded rows."""

from __future__ import annotations

import numpy as np

from cascade.business.guard import SurrogateGain
from cascade.candidates import Float32
from cascade.errors import InputError, OptionalDependencyError

KNOTS = 32


def fit_surrogate(scores: Float32, gains: Float32, knots: int = KNOTS) -> SurrogateGain:
    """Return a gain that never falls with the score, as close to the grades as it can be.

    Rows are divided by their score into bins of equal size; the means of the bins, weighed by
    their rows, are made monotone by isotonic regression (Robertson, Wright and Dykstra 1988).

    Args:
        scores: float32[n], standardised in their listings, of rows that training left out.
        gains: float32[n], 0 or more; NaN counts as 0.
        knots: At most how many bins.

    Raises:
        InputError: If no row has a gain.
        OptionalDependencyError: If the extra `train` is not installed.
    """
    try:
        from scipy.optimize import isotonic_regression
    except ImportError:
        raise OptionalDependencyError("scipy", "train") from None
    worth = np.maximum(np.nan_to_num(gains), 0.0).astype(np.float64)
    if not worth.any():
        raise InputError(
            f"none of {len(gains)} rows has a gain above 0, so no score can be worth more than "
            "another; take requests with graded rows"
        )
    order = np.argsort(scores, kind="stable")
    bins = [part for part in np.array_split(order, knots) if len(part)]
    middle = np.array([scores[part].astype(np.float64).mean() for part in bins])
    means = np.array([worth[part].mean() for part in bins])
    fitted = isotonic_regression(means, weights=[len(part) for part in bins]).x
    # Bins of one score are one knot, and it has their mean.
    distinct, at = np.unique(middle, return_inverse=True)
    held = np.bincount(at, fitted) / np.bincount(at)
    return SurrogateGain(scores=tuple(distinct.tolist()), gains=tuple(held.tolist()))
