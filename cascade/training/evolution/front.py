"""Preferences, what they make of several objectives, and the points worth choosing from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float64
from cascade.errors import InputError

Scalarising = Literal["linear", "tchebycheff"]
AUGMENTATION = 0.05
# What the point that favours an objective is called, by a word in the objective's name.
POINT_NAMES: Mapping[str, str] = {
    "new_seller": "growth",
    "relevance": "relevance",
    "ndcg": "relevance",
    "revenue": "revenue",
    "price": "revenue",
    "distinct": "variety",
    "stock": "availability",
}
BALANCED = "balanced"


def draw_preferences(
    seed: int, generation: int, requests: int, objectives: int, concentration: float = 1.0
) -> Float64:
    """Return a preference for each request from a Dirichlet, float64[requests, objectives].

    A draw depends on its arguments alone, so every child of a generation meets the same ones.

    Args:
        seed: Of the search.
        generation: Of the search.
        requests: How many.
        objectives: How many; the shares of one request sum to 1.
        concentration: 1 is even over the simplex, less draws its corners.
    """
    generator = np.random.default_rng([seed, generation, 0x0D])
    return generator.dirichlet(np.full(objectives, concentration), size=requests)


def simplex(objectives: int, steps: int) -> Float64:
    """Return every preference whose shares are multiples of 1 / steps, float64[k, objectives].

    With two objectives and 10 steps that is 11 points, with three 66 (Das and Dennis 1998).
    """
    if objectives == 1:
        return np.ones((1, 1))
    counts = [[steps - i, i] for i in range(steps + 1)]
    for _ in range(objectives - 2):
        counts = [[*c[:-1], c[-1] - i, i] for c in counts for i in range(c[-1] + 1)]
    return np.array(counts, dtype=np.float64) / steps


def linear(gains: Float64, preferences: Float64) -> Float64:
    """Return the weighted sum of the objectives, float64[q, c].

    An objective that is undefined for a request is left out of its sum, and a request for which
    all are is NaN.

    Args:
        gains: float64[m, q, c], NaN where undefined.
        preferences: float64[q, m].
    """
    missing = np.isnan(gains)
    total = np.einsum("mqc,qm->qc", np.where(missing, 0.0, gains), preferences)
    return np.where(missing.all(axis=0), np.nan, total)


def tchebycheff(
    gains: Float64,
    preferences: Float64,
    ideal: Float64,
    augmentation: float = AUGMENTATION,
) -> Float64:
    """Return the augmented Tchebycheff value, float64[q, c], higher is better.

    `-(max_i p_i (z_i - f_i) + rho sum_i p_i (z_i - f_i))`, Steuer and Choo 1983. It reaches the
    points of a front that bends inward, which no weighted sum does. The ideal is the best value
    that each objective can reach.

    Args:
        gains: float64[m, q, c], NaN where undefined; such an objective is left out.
        preferences: float64[q, m].
        ideal: float64[m].
        augmentation: rho, above 0, so that no point that another dominates is the best.
    """
    missing = np.isnan(gains)
    short = (ideal[:, None, None] - gains) * preferences.T[:, :, None]
    worst = np.where(missing, -np.inf, short).max(axis=0)
    total = np.where(missing, 0.0, short).sum(axis=0)
    nothing = missing.all(axis=0)
    return np.where(nothing, np.nan, -(np.where(nothing, 0.0, worst) + augmentation * total))


def non_dominated(points: Float64) -> NDArray[np.bool_]:
    """Return which points no other dominates, bool[k], every objective to be raised.

    A point dominates another that is nowhere better and somewhere worse; equal points all stay.

    Args:
        points: float64[k, m].
    """
    if not np.isfinite(points).all():
        raise InputError("front: a point has a value that is not finite")
    at_least = np.ones((len(points), len(points)), dtype=np.bool_)
    above = np.zeros_like(at_least)
    for column in points.T:
        at_least &= column[:, None] >= column
        above |= column[:, None] > column
    return np.asarray(~(at_least & above).any(axis=0))


def point_names(
    points: Float64,
    objectives: Sequence[str],
    names: Mapping[str, str] = POINT_NAMES,
    shares: Float64 | None = None,
) -> dict[str, int]:
    """Return names for some points of a front, and the point that each names.

    Each objective names the point where it is highest, the first of equals; `balanced` is the
    point whose lowest objective, scaled from 0 to 1 over the front, is highest. Several names may
    mean one point.

    Args:
        points: float64[k, m], of the front alone.
        objectives: What the m columns are.
        names: What the point of an objective is called, by a word in the objective's name; an
            objective that no word fits gives `most <objective>`.
        shares: float64[k, m], what each point's preference asks for; an objective then names a
            point of which it has a share, none where there is no such point.
    """
    if not len(points):
        return {}
    asked = np.ones(points.shape, dtype=np.bool_) if shares is None else shares > 0
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    found = {BALANCED: int(np.argmax(((points - low) / span).min(axis=1)))}
    for number, objective in enumerate(objectives):
        plain = f"most {objective}"
        word = next((w for w in names if w in objective.lower()), None)
        name = names[word] if word is not None else plain
        if asked[:, number].any():
            highest = points[asked[:, number], number].max()
            at_top = np.flatnonzero(asked[:, number] & (points[:, number] == highest))
            # Of equals, the best in all together.
            best = np.argmax(((points[at_top] - low) / span).sum(axis=1))
            found[plain if name in found else name] = int(at_top[best])
    return found
