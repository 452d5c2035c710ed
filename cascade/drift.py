"""Drift: how far values have moved from those of training, and an order from another one."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64, Int64
from cascade.errors import ChecksumError, InputError

FORMAT = 1
BINS = 10
# A share of 0 would make one empty bin outweigh everything else.
LEAST_SHARE = 1e-4
PROBE_ROWS = 32
# Below so many listings a feature that is one number a query moves by chance alone.
LEAST_LISTINGS = 500
SCORE = "score"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Hold how values were spread.

    Attributes:
        edges: Inner edges, ascending; bin i is `edges[i - 1] <= value < edges[i]`.
        shares: The share of each of the `len(edges) + 1` bins, then of missing values.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def found(self, values: Float32 | Float64, weights: Float64 | None = None) -> Float64:
        """Return the share of each bin, float64[len(edges) + 2], missing values last.

        Args:
            values: float[n], one or more.
            weights: float64[n] that add up to 1; None weighs all alike.
        """
        bins = np.searchsorted(np.array(self.edges), values, side="right")
        bins[np.isnan(values)] = len(self.edges) + 1
        each = np.full(len(values), 1 / len(values)) if weights is None else weights
        return np.bincount(bins, each, minlength=len(self.edges) + 2).astype(np.float64)


@dataclass(frozen=True)
class Reference:
    """Hold how the features and the score of a model were spread over rows as they are served.

    Attributes:
        features: The histogram of each feature, in the order of the model's input.
        score: That of the score.
        rows: How many rows they are made from.
        listings: How many listings the rows are of.
        probe: A few of the rows, float32[m, f], NaN where a value is missing.
        probe_scores: What the model made of them, float32[m].
    """

    features: Mapping[str, Histogram]
    score: Histogram
    rows: int
    listings: int
    probe: Float32
    probe_scores: Float32

    def encoded(self) -> bytes:
        """Return the reference as a file holds it; float32 numbers come back bit for bit."""
        content = {
            "format": FORMAT,
            "rows": self.rows,
            "listings": self.listings,
            "features": {name: _plain(each) for name, each in self.features.items()},
            "score": _plain(self.score),
            "probe": [[None if math.isnan(v) else v for v in row] for row in self.probe.tolist()],
            "probe_scores": self.probe_scores.tolist(),
        }
        return json.dumps(content).encode()


def reference_of(
    matrix: Float32, scores: Float32, names: Sequence[str], offsets: Int64
) -> Reference:
    """Return how features and scores are spread, and a probe of the first to the last row.

    Every listing weighs the same, however many rows it has.

    Args:
        matrix: float32[n, f], rows as serving would score them.
        scores: float32[n], what the model makes of them.
        names: The f features.
        offsets: int64[q + 1], where the listings begin and end.

    Raises:
        InputError: If there are no rows, or the shapes do not fit each other.
    """
    if matrix.ndim != 2 or not len(matrix) or matrix.shape != (len(scores), len(names)):
        raise InputError(
            f"a reference needs rows: {matrix.shape} values, {len(scores)} scores and "
            f"{len(names)} features were given"
        )
    chosen = np.unique(np.linspace(0, len(matrix) - 1, PROBE_ROWS).astype(np.int64))
    lengths = np.diff(offsets)
    listings = int(np.count_nonzero(lengths))
    weights = np.repeat(1.0 / (np.maximum(lengths, 1) * listings), lengths)
    return Reference(
        features={name: histogram_of(matrix[:, at], weights) for at, name in enumerate(names)},
        score=histogram_of(scores, weights),
        rows=len(matrix),
        listings=listings,
        probe=matrix[chosen].astype(np.float32),
        probe_scores=scores[chosen].astype(np.float32),
    )


def read_reference(content: bytes) -> Reference:
    """Return a reference from what `encoded` gave.

    Raises:
        ChecksumError: If it is not of this form.
    """
    try:
        raw = json.loads(content)
        return Reference(
            features={name: _histogram(each) for name, each in raw["features"].items()},
            score=_histogram(raw["score"]),
            rows=int(raw["rows"]),
            listings=int(raw["listings"]),
            probe=np.array(raw["probe"], dtype=np.float32).reshape(-1, len(raw["features"])),
            probe_scores=np.array(raw["probe_scores"], dtype=np.float32),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChecksumError(f"a bundle's reference cannot be read: {error}") from None


def histogram_of(values: Float32 | Float64, weights: Float64 | None = None) -> Histogram:
    """Return the histogram of values over bins that each hold about a tenth of them.

    A number that makes up more than a bin gets one of its own, so that what lies above it, such
    as the few rows that are not 0, is a bin as well.

    Args:
        values: float[n].
        weights: float64[n] that add up to 1; None weighs all alike.
    """
    known = ~np.isnan(values)
    if not known.any():
        return Histogram((), (0.0, 1.0))
    order = np.argsort(values[known], kind="stable")
    ascending = values[known][order].astype(np.float64)
    weight = np.ones(len(order)) if weights is None else weights[known][order]
    below = np.cumsum(weight) / weight.sum()
    at = np.searchsorted(below, np.arange(1, BINS) / BINS - 1e-12)
    edges, repeats = np.unique(ascending[np.minimum(at, len(order) - 1)], return_counts=True)
    above = np.nextafter(edges[repeats > 1].astype(np.float32), np.float32(np.inf))
    merged = np.unique(np.concatenate([edges, above.astype(np.float64)]))
    empty = Histogram(tuple(merged.tolist()), ())
    return Histogram(empty.edges, tuple(empty.found(values, weights).tolist()))


def stability(expected: Float64, found: Float64) -> float:
    """Return the population stability index of two arrays of shares, 0 where they are equal.

    The sum of (q - p) ln(q / p) over the bins (Siddiqi 2006). A share below 1e-4 counts as that.
    """
    p, q = np.maximum(expected, LEAST_SHARE), np.maximum(found, LEAST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())


class DriftMonitor:
    """Compare the rows that a model scores with its reference; may be called from any thread.

    It looks at the latest one to two blocks of listings, so what is long over is forgotten. Every
    listing weighs the same, however many rows it has.

    Args:
        reference: Of the model's bundle.
        block: How many listings a block has.
    """

    def __init__(self, reference: Reference, block: int = LEAST_LISTINGS) -> None:
        self._histograms = {**reference.features, SCORE: reference.score}
        if SCORE in reference.features:
            raise InputError(f"a feature is named {SCORE!r}, as the model's score is; rename it")
        self._block = block
        self._lock = threading.Lock()
        self._now = self._empty()
        self._before = self._empty()
        self._listings = [0, 0]

    @property
    def listings(self) -> int:
        """How many listings the comparison is over."""
        return sum(self._listings)

    def observe(self, matrix: Float32, scores: Float32) -> None:
        """Take in one listing.

        Args:
            matrix: float32[n, f], the features as the model was given them.
            scores: float32[n], what it made of them.
        """
        if not len(matrix):
            return
        columns = [*matrix.T, scores]
        found = [
            each.found(values)
            for each, values in zip(self._histograms.values(), columns, strict=True)
        ]
        with self._lock:
            for name, shares in zip(self._histograms, found, strict=True):
                self._now[name] = self._now[name] + shares
            self._listings[1] += 1
            if self._listings[1] >= self._block:
                self._before, self._now = self._now, self._empty()
                self._listings = [self._listings[1], 0]

    def psi(self, least: int | None = None) -> dict[str, float]:
        """Return the index of each feature and of the score, by name.

        Args:
            least: With fewer listings, or none at all, nothing is returned; None means a block.
        """
        with self._lock:
            listings = sum(self._listings)
            if listings < max(1, self._block if least is None else least):
                return {}
            sums = {name: self._now[name] + self._before[name] for name in self._histograms}
        found = {}
        for name, each in self._histograms.items():
            expected = np.array(each.shares)
            # One listing as expected keeps a bin that few listings left empty from deciding all.
            found[name] = stability(expected, (sums[name] + expected) / (listings + 1))
        return found

    def _empty(self) -> dict[str, Float64]:
        return {name: np.zeros(len(h.edges) + 2) for name, h in self._histograms.items()}


def overlap(first: NDArray[Any], second: NDArray[Any], p: float = 0.9) -> float:
    """Return the rank-biased overlap of two rankings, from 0 to 1 for equal ones.

    Extrapolated beyond what is seen, for lists of any lengths (Webber, Moffat and Zobel 2010,
    eq. 32). The first 10 ranks have 86 % of the weight at p = 0.9.

    Args:
        first: Distinct items, best first.
        second: The same of another ranking.
        p: How likely a reader goes on to the next rank, between 0 and 1.
    """
    if not 0 < p < 1:
        raise InputError(f"p is {p:g}; accepted is a number between 0 and 1")
    shorter, longer = sorted((first, second), key=len)
    s, length = len(shorter), len(longer)
    if s == 0:
        return 1.0 if length == 0 else 0.0
    _, at, other = np.intersect1d(shorter, longer, assume_unique=True, return_indices=True)
    depth = np.arange(1, length + 1)
    # A shared item counts from the depth at which both lists have shown it.
    shared = np.cumsum(np.bincount(np.maximum(at, other), minlength=length))
    weight = p ** depth.astype(np.float64)
    within = shared[s - 1]
    total = float((shared / depth * weight).sum())
    total += float((within * (depth - s) / (s * depth) * weight)[s:].sum())
    rest = (shared[-1] - within) / length + within / s
    return min(1.0, (1 - p) / p * total + float(rest) * p**length)


def _plain(histogram: Histogram) -> dict[str, object]:
    return {"edges": histogram.edges, "shares": histogram.shares}


def _histogram(raw: Mapping[str, Any]) -> Histogram:
    edges, shares = tuple(map(float, raw["edges"])), tuple(map(float, raw["shares"]))
    if len(shares) != len(edges) + 2:
        raise ValueError(f"{len(edges)} edges and {len(shares)} shares")
    return Histogram(edges, shares)
