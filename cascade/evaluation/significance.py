"""Paired tests: how likely a difference is that large when two systems are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.evaluation.bootstrap import CHUNK_CELLS

# Two sums over the same differences in another order are the same sum.
ALIKE = 1e-12


@dataclass(frozen=True, slots=True)
class PValue:
    """Hold the p-value of one difference; all are NaN where there is no query.

    Attributes:
        p: Of the test alone.
        holm: Corrected so that one false finding among all is as likely as alpha (Holm 1979).
        fdr: Corrected so that the share alpha of the findings is false (Benjamini and Hochberg
            1995).
    """

    p: float
    holm: float
    fdr: float


@dataclass(frozen=True, slots=True)
class Randomisation:
    """Test means of paired differences by flipping their signs (Fisher 1935).

    If two systems are alike, each query's difference might as well have the other sign. The
    p-value is two-sided: the share of sign patterns whose mean lies as far from 0 as the one seen.
    All patterns are tried where they are no more than `resamples`; else they are drawn, and the
    pattern seen counts as one of them.

    Attributes:
        resamples: How many sign patterns are drawn.
        seed: What the draws are made from.
    """

    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise InputError(f"randomisation: {self.resamples} resamples; at least 1 is needed")

    def p_values(self, differences: Float64) -> Float64:
        """Return float64[c] for float64[q, c]; NaN leaves a query out of its column."""
        missing = np.isnan(differences)
        values = np.where(missing, 0.0, differences)
        values = values[(values != 0.0).any(axis=1)]
        seen = np.abs(values.sum(axis=0)) - ALIKE * np.abs(values).sum(axis=0)
        exact = len(values) < 60 and 2 ** len(values) <= self.resamples
        flips = self._all(len(values)) if exact else self._drawn(len(values))
        far = np.zeros(values.shape[1])
        for signs in flips:
            far += (np.abs(signs @ values) >= seen).sum(axis=0)
        p = far / 2 ** len(values) if exact else (1.0 + far) / (1.0 + self.resamples)
        return np.where(missing.all(axis=0), np.nan, p)

    def _all(self, queries: int) -> Iterator[Float64]:
        patterns = np.arange(2**queries)[:, None] >> np.arange(queries)
        yield _signs(patterns & 1)

    def _drawn(self, queries: int) -> Iterator[Float64]:
        draws = np.random.default_rng(self.seed)
        chunk = max(1, CHUNK_CELLS // max(1, queries))
        for start in range(0, self.resamples, chunk):
            size = min(chunk, self.resamples - start)
            drawn = draws.integers(0, 256, (size, -(-queries // 8)), dtype=np.uint8)
            yield _signs(np.unpackbits(drawn, axis=1, count=queries))


def _signs(bits: NDArray[Any]) -> Float64:
    return bits.astype(np.float64) * 2.0 - 1.0


def holm(p: Float64) -> Float64:
    """Return p-values of m tests corrected by Holm's step-down procedure, float64[m]."""
    return _stepped(p, lambda ordered, m: np.maximum.accumulate(ordered * (m - np.arange(m))))


def benjamini_hochberg(p: Float64) -> Float64:
    """Return p-values of m tests corrected for the false discovery rate, float64[m]."""

    def step_up(ordered: Float64, m: int) -> Float64:
        scaled = ordered * m / np.arange(1, m + 1)
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _stepped(p, step_up)


def _stepped(p: Float64, step: Callable[[Float64, int], Float64]) -> Float64:
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(step(p[order], len(order)), 1.0)
    return corrected
