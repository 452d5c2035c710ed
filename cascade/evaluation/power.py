"""Power: how small a difference the queries can show, and how many a smaller one would take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError

ALPHA, POWER, SHARE = 0.05, 0.8, 0.01
# Of the spread; what is smaller no query set of this world can show.
LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Power:
    """Say what a paired comparison can see.

    Attributes:
        queries: How many queries the comparison has.
        sd: The standard deviation of the differences from query to query.
        detectable: The least true difference that these queries show with the chance `power`.
        share: The part of the baseline's mean that is looked for, such as 0.01.
        needed: How many queries it takes to see that part; None where it cannot be said.
        alpha: The risk of finding a difference where there is none (two-sided).
        power: The chance of finding a true difference.
    """

    queries: int
    sd: float
    detectable: float
    share: float
    needed: int | None
    alpha: float = ALPHA
    power: float = POWER


def queries_needed(sd: float, difference: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """Return how many queries a paired test needs to see a true mean difference.

    n = ((z(1 - alpha / 2) + z(power)) · sd / difference)², the normal approximation of the paired
    t-test; good from about 30 queries on.

    Raises:
        InputError: If the difference is 0 or not a number, the standard deviation is not 0 or
            more, or so many queries cannot be counted.
    """
    if not math.isfinite(difference) or difference == 0:
        raise InputError(f"difference {difference:g}: accepted is any number but 0")
    if not 0 <= sd < math.inf:
        raise InputError(f"standard deviation {sd:g}: accepted is a number of 0 or more")
    ratio = _reach(alpha, power) * sd / difference
    if not math.isfinite(ratio * ratio):
        raise InputError(f"difference {difference:g} is too small beside the deviation {sd:g}")
    # Two alike systems need one query to see nothing; a hair's breadth must not add a query.
    return max(1, math.ceil(ratio * ratio - 1e-9))


def power_of(delta: Float64, baseline: Float64, share: float = SHARE) -> Power:
    """Return what the differences of float64[q] can show; NaN leaves a query out.

    Args:
        delta: The differences, query by query.
        baseline: The values of the baseline, of whose mean `share` is looked for.
        share: Above 0.
    """
    given = delta[~np.isnan(delta)]
    if len(given) < 2:
        return Power(len(given), math.nan, math.nan, share, None)
    sd = float(given.std(ddof=1))
    wanted = share * float(baseline[~np.isnan(delta)].mean())
    told = sd > 0 and abs(wanted) > LEAST * sd
    return Power(
        queries=len(given),
        sd=sd,
        detectable=_reach(ALPHA, POWER) * sd / math.sqrt(len(given)),
        share=share,
        needed=queries_needed(sd, wanted) if told else None,
    )


def _reach(alpha: float, power: float) -> float:
    normal = NormalDist()
    return normal.inv_cdf(1.0 - alpha / 2.0) + normal.inv_cdf(power)
