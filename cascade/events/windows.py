"""Counts of what lies strictly before a time, within windows and decayed, for many keys at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# What lies this many half lives back weighs less than the last bit of what lies nearer.
_GONE_HALF_LIVES = 128.0


class Past:
    """Hold what happened: n moments, each of a key, each of a weight.

    numpy orders complex numbers by their real part, then by their imaginary part: with the key in
    one and the time in the other, both exact, one sort and one binary search do for all keys.
    """

    def __init__(self, keys: Float64, times: Float64, weights: Float64 | None = None) -> None:
        moments = ordered_pairs(keys, times)
        if weights is None:
            self._moments, self._weights = np.sort(moments), np.ones(len(moments))
        else:
            order = np.argsort(moments)
            self._moments, self._weights = moments[order], weights[order]
        self._keys = np.ascontiguousarray(self._moments.real)
        self._times = np.ascontiguousarray(self._moments.imag)
        n = len(self._keys)
        begins = np.flatnonzero(np.diff(self._keys, prepend=np.nan))
        self._place = np.arange(n) - np.repeat(begins, np.diff(begins, append=n))

    def counts(
        self, keys: Float64, times: Float64, spans: Sequence[tuple[float, float]]
    ) -> Float64:
        """Return what had happened to m keys strictly before their times, float64[k, m].

        Keys and times that ascend together are found several times faster: their binary searches
        stay in the processor's caches.

        Args:
            keys: float64[m].
            times: float64[m], seconds since 1970.
            spans: k windows and half lives, in seconds, either of them infinite.
        """
        begin = np.searchsorted(self._keys, keys)
        end = np.searchsorted(self._moments, ordered_pairs(keys, times))
        starts = {
            window: np.searchsorted(self._moments, ordered_pairs(keys, times - window))
            if math.isfinite(window)
            else begin
            for window in {window for window, _ in spans}
        }
        sums = {half: self._running(half) for half in {half for _, half in spans}}
        found = np.zeros((len(spans), len(keys)))
        for row, (window, half_life) in zip(found, spans, strict=True):
            start, total = starts[window], sums[half_life]
            if math.isinf(half_life):
                row[:] = total[end] - total[start]
                continue
            held = np.flatnonzero(end > start)
            at = times[held]
            value = self._faded(total, end[held] - 1, at, half_life)
            earlier = np.flatnonzero(start[held] > begin[held])
            value[earlier] -= self._faded(total, start[held[earlier]] - 1, at[earlier], half_life)
            row[held] = np.maximum(value, 0.0)
        return found

    def _running(self, half_life: float) -> Float64:
        """Return the sum of each moment's past, of all keys before each place if nothing decays.

        float64[n + 1] without decay; else float64[n], of its key alone, the moment included.
        Doubling (Hillis and Steele 1986): after the pass of a step each sum has twice as many
        moments. No weight ever grows, so nothing overflows however long the log is.
        """
        if math.isinf(half_life):
            return np.concatenate([[0.0], np.cumsum(self._weights)])
        total = self._weights.copy()
        at, step = np.flatnonzero(self._place >= 1), 1
        while len(at):
            age = (self._times[at] - self._times[at - step]) / half_life
            near = age < _GONE_HALF_LIVES
            at, age = at[near], age[near]
            total[at] += total[at - step] * np.exp2(-age)
            step *= 2
            at = at[self._place[at] >= step]
        return total

    def _faded(self, total: Float64, rows: Int64, times: Float64, half_life: float) -> Float64:
        faded: Float64 = total[rows] * np.exp2((self._times[rows] - times) / half_life)
        return faded


def ordered_pairs(keys: NDArray[np.generic], times: NDArray[np.generic]) -> NDArray[np.complex128]:
    """Return pairs that numpy orders by key, then by time; both stay exact below 2^53."""
    found = np.empty(len(keys), np.complex128)
    found.real, found.imag = keys, times
    return found
