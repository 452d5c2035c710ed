"""Intervals by the paired bootstrap: what another draw of queries might have shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError

# Bounds the memory of one chunk of resamples, at 8 bytes a cell.
CHUNK_CELLS = 1 << 21


@dataclass(frozen=True, slots=True)
class Interval:
    """Hold a mean over queries and its interval; all are NaN where no query has a value."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 if the whole interval lies above 0, -1 if below, else 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Draw queries with replacement and read percentile intervals off the resampled means.

    Every column is resampled with the same draws, so the interval of a column of differences is
    that of the paired difference (Efron and Tibshirani 1993, chapter 13; for retrieval, Sakai
    2006).

    Attributes:
        resamples: How many times the queries are drawn.
        level: The share of the resampled means that an interval holds.
        seed: What the draws are made from.
    """

    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise InputError(f"bootstrap: {self.resamples} resamples; at least 1 is needed")
        if not 0 < self.level < 1:
            raise InputError(f"bootstrap: level {self.level:g} is not between 0 and 1")

    def intervals(self, values: Float64) -> list[Interval]:
        """Return an interval for each column of float64[q, c]; NaN leaves a query out of it."""
        missing = np.isnan(values)
        patterns, pattern_of = np.unique(missing, axis=1, return_inverse=True)
        bounds = np.full((3, values.shape[1]), np.nan)
        for i, pattern in enumerate(patterns.T):
            columns = np.flatnonzero(pattern_of == i)
            defined = values[np.ix_(~pattern, columns)]
            if len(defined):
                tail = (1.0 - self.level) / 2.0
                bounds[0, columns] = defined.mean(axis=0)
                bounds[1:, columns] = np.quantile(
                    self.resampled_means(defined), [tail, 1.0 - tail], axis=0
                )
        return [Interval(*(float(bound) for bound in column)) for column in bounds.T]

    def difference(self, system: Float64, baseline: Float64) -> Interval:
        """Return the interval of the mean of `system - baseline`, each float64[q].

        A query that is NaN in either is left out.
        """
        return self.intervals((system - baseline)[:, None])[0]

    def resampled_means(self, values: Float64) -> Float64:
        """Return the mean of each column of float64[q, c] for each draw, float64[resamples, c]."""
        queries, columns = values.shape
        draws = np.random.default_rng(self.seed)
        means = np.empty((self.resamples, columns))
        chunk = max(1, CHUNK_CELLS // queries)
        for start in range(0, self.resamples, chunk):
            size = min(chunk, self.resamples - start)
            drawn = draws.integers(queries, size=(size, queries))
            drawn += np.arange(size)[:, None] * queries
            counts = np.bincount(drawn.ravel(), minlength=size * queries).reshape(size, queries)
            means[start : start + size] = counts.astype(np.float64) @ values / queries
        return means
