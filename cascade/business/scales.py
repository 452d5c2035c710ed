"""Scales: values of one group of rows brought to 0..1, so that unlike things can be added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from cascade.candidates import Float64, Int64

_LARGEST = 1e300


def minmax(values: Float64, starts: Int64) -> Float64:
    """Return (value - lowest) / (highest - lowest) within each group.

    Args:
        values: float64[n], NaN where missing.
        starts: int64[g], the first row of each group, ascending from 0; none is empty.

    Returns:
        float64[n] in 0..1; 0.5 where a group has one distinct value, NaN where missing.
    """
    if not len(values):
        return values
    # The difference of two values must not overflow.
    values = np.clip(values, -_LARGEST, _LARGEST)
    sizes = np.diff(starts, append=len(values))
    low = np.repeat(np.fmin.reduceat(values, starts), sizes)
    span = np.repeat(np.fmax.reduceat(values, starts), sizes) - low
    shares = np.where(np.isnan(values), np.nan, 0.5)
    np.divide(values - low, span, out=shares, where=span > 0)
    return shares


def percentile(values: Float64, starts: Int64) -> Float64:
    """Return the share of the other rows of the group that lie below, ties counted half.

    With m values in the group, b of them below and e equal (itself among them):
    (b + (e - 1) / 2) / (m - 1). It does not depend on how far outliers lie.

    Args:
        values: float64[n], NaN where missing.
        starts: int64[g], the first row of each group, ascending from 0; none is empty.

    Returns:
        float64[n] in 0..1; 0.5 where a group has one distinct value, NaN where missing.
    """
    shares = np.empty_like(values)
    for first, last in pairwise([*starts.tolist(), len(values)]):
        shares[first:last] = _percentile(values[first:last])
    return shares


def _percentile(values: Float64) -> Float64:
    missing = np.isnan(values)
    present = len(values) - int(np.count_nonzero(missing))
    if present > 1:
        ordered = np.sort(values)  # missing values come last
        below = np.searchsorted(ordered, values, side="left")
        to_equal = np.searchsorted(ordered, values, side="right")
        shares = (below + to_equal - 1) / (2.0 * (present - 1))
    else:
        shares = np.full(len(values), 0.5)
    shares[missing] = np.nan
    return shares


SCALES: Mapping[str, Callable[[Float64, Int64], Float64]] = {
    "minmax": minmax,
    "percentile": percentile,
}
