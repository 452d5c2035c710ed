"""The front of a policy: what each preference reaches, which points are worth having, and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.business.shape import Shape
from cascade.candidates import Float32, Float64
from cascade.training.evolution.baselines import blend_grid, blend_scores
from cascade.training.evolution.constraints import parse_bound
from cascade.training.evolution.front import non_dominated, point_names, simplex
from cascade.training.evolution.hypervolume import Covered, covered, covered_more
from cascade.training.evolution.samples import Sample, measured, per_request, policy_scores

CHUNK = 32
RESAMPLES = 200
# The share of the base that a point may lose of an objective and still count.
ROOM = 0.1


@dataclass(frozen=True)
class Point:
    """Hold what one preference reaches.

    Attributes:
        preference: The share of each objective.
        values: The mean of each objective's measure over requests.
        kept: Whether no other point dominates it.
        accepted: Whether it keeps the bounds of acceptance, by a margin.
        names: What it is called, if anything.
    """

    preference: Mapping[str, float]
    values: Mapping[str, float]
    kept: bool
    accepted: bool
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Front:
    """Hold the points of a policy, and how much of the space of objectives they cover.

    Attributes:
        measures: The page measure of each objective, by name.
        base: The values of the order of relevance.
        points: Every preference that was tried.
        hypervolume: Of the points above the reference, in units of the base.
        grid: The hypervolume of a grid of blends of the same inputs.
        more: How much more the policy covers than the grid, on the same draws of requests.
        blends: How many blends the grid has.
        monotone: For each objective the rank correlation of its share with its value.
        requests: How many there are.
    """

    measures: Mapping[str, str]
    base: Mapping[str, float]
    points: tuple[Point, ...]
    hypervolume: Covered
    grid: Covered
    more: Covered
    blends: int
    monotone: Mapping[str, float]
    requests: int

    def named(self) -> dict[str, Mapping[str, float]]:
        """Return the preference of each named point."""
        return {name: point.preference for point in self.points for name in point.names}


@dataclass(frozen=True)
class Promises:
    """Hold bounds that are kept by a margin, since what holds here is broken by a little elsewhere.

    Attributes:
        bounds: Market measures with their bounds, as `parse_bound` reads them.
        margin: The share of each bound's room that is kept back.
    """

    bounds: Mapping[str, str]
    margin: float

    def kept(self, sample: Sample, scores: Float32) -> NDArray[np.bool_]:
        """Return which of k orders float32[n, k] keep every bound, bool[k]."""
        sound = np.ones(scores.shape[1], dtype=np.bool_)
        base = measured(sample, sample.scores[:, None], list(self.bounds))
        found = measured(sample, scores, list(self.bounds))
        for name, text in self.bounds.items():
            bound = parse_bound(name, text)
            sound &= bound.excess(found[name], float(base[name][0]), self.margin) <= 0
        return sound


@dataclass(frozen=True, eq=False)
class FrontAsked:
    """Say what a front is drawn from.

    Attributes:
        sample: The requests of one part.
        measures: The page measure of each objective, by name.
        steps: Between two objectives.
        columns: The inputs that the grid of blends adds to relevance.
        blends: How many blends the grid has at most.
        promises: What a point with a name must keep.
    """

    sample: Sample
    measures: Mapping[str, str]
    steps: int
    columns: Sequence[str]
    blends: int
    promises: Promises


def front_of(shape: Shape, weights: Float64, asked: FrontAsked) -> Front:
    """Return the front of a policy; names go to those of its points that keep the promises.

    Args:
        shape: Of the policy.
        weights: float64[d].
        asked: The requests, and what is looked at.
    """
    sample, measures = asked.sample, asked.measures
    preferences = simplex(len(measures), asked.steps)
    values, accepted = _reached(shape, weights, asked, preferences)
    shares = blend_grid(len(asked.columns), asked.blends)
    blends = _blended(asked, shares)
    base = np.nanmean(
        per_request(sample, sample.scores[:, None], list(measures.values()))[:, 0], axis=0
    )
    unit, reference = scale_of(base)
    ours, grid = _leading(values) / unit, _leading(blends) / unit
    return Front(
        measures=dict(measures),
        base=_by_name(list(measures), base),
        points=_points(list(measures), preferences, np.nanmean(values, axis=0), accepted),
        hypervolume=covered(ours, reference, RESAMPLES),
        grid=covered(grid, reference, RESAMPLES),
        more=covered_more(ours, grid, reference, RESAMPLES),
        blends=len(shares),
        monotone={
            name: _rank_correlation(shape, weights, sample, measures, name) for name in measures
        },
        requests=sample.requests,
    )


def scale_of(base: Float64) -> tuple[Float64, Float64]:
    """Return the unit of each objective, and the reference of hypervolumes in these units.

    The unit is the size of the base, 1 where the base is 0. The reference lies `ROOM` below the
    base, whatever the sign of that, so that the base and all that is better are above it. What
    loses more in any objective adds nothing: without this limit nearly all of the volume is that
    of points that nobody would choose.

    Args:
        base: float64[m], the values of the order of relevance.
    """
    unit = np.where(base == 0, 1.0, np.abs(base))
    return unit, base / unit - ROOM


def _reached(
    shape: Shape, weights: Float64, asked: FrontAsked, preferences: Float64
) -> tuple[Float64, NDArray[np.bool_]]:
    """Return the objectives under each of k preferences, float64[q, k, m], and whether accepted."""
    names = list(asked.measures)
    order = [names.index(name) for name in shape.objectives]
    parts, sound = [], []
    for some in _chunks(preferences):
        scores = policy_scores(shape, weights, asked.sample, some[:, order])
        parts.append(per_request(asked.sample, scores, list(asked.measures.values())))
        sound.append(asked.promises.kept(asked.sample, scores))
    return np.concatenate(parts, axis=1), np.concatenate(sound)


def _blended(asked: FrontAsked, shares: Float64) -> Float64:
    """Return the objectives of each of k blends, float64[q, k, m]."""
    texts = list(asked.measures.values())
    parts = [
        per_request(asked.sample, blend_scores(asked.sample, asked.columns, some), texts)
        for some in _chunks(shares)
    ]
    return np.concatenate(parts, axis=1)


def _points(
    names: Sequence[str], preferences: Float64, means: Float64, accepted: NDArray[np.bool_]
) -> tuple[Point, ...]:
    """Return the points of k preferences float64[k, m] that reach means float64[k, m]."""
    kept = non_dominated(means)
    at = np.flatnonzero(kept & accepted)
    found = point_names(means[at], names, shares=preferences[at])
    called = {name: int(at[i]) for name, i in found.items()}
    return tuple(
        Point(
            _by_name(names, preferences[i]),
            _by_name(names, means[i]),
            bool(kept[i]),
            bool(accepted[i]),
            tuple(name for name, point in called.items() if point == i),
        )
        for i in range(len(preferences))
    )


def ladder(objectives: Sequence[str], name: str, steps: int = 10) -> Float64:
    """Return preferences whose share of one objective rises, float64[steps + 1, m].

    What is left is divided evenly among the others.
    """
    share = np.linspace(0.0, 1.0, steps + 1)
    rest = (1.0 - share) / max(len(objectives) - 1, 1)
    return np.stack([share if o == name else rest for o in objectives], axis=1)


def _leading(values: Float64) -> Float64:
    """Return the points whose means no other dominates, float64[q, k, m]."""
    return values[:, non_dominated(np.nanmean(values, axis=0))]


def _rank_correlation(
    shape: Shape, weights: Float64, sample: Sample, measures: Mapping[str, str], name: str
) -> float:
    """Return Spearman's correlation of an objective's share with what it reaches, NaN if flat."""
    preferences = ladder(shape.objectives, name)
    scores = policy_scores(shape, weights, sample, preferences)
    reached = np.nanmean(per_request(sample, scores, [measures[name]])[:, :, 0], axis=0)
    ranks = _mid_ranks(reached)
    if np.ptp(ranks) == 0:
        return float("nan")
    return float(np.corrcoef(np.arange(len(ranks)), ranks)[0, 1])


def _mid_ranks(values: Float64) -> Float64:
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    return np.asarray(below + (equal + 1) / 2, dtype=np.float64)


def _chunks(rows: Float64) -> list[Float64]:
    return np.split(rows, range(CHUNK, len(rows), CHUNK))


def _by_name(names: Sequence[str], values: Any) -> dict[str, float]:  # noqa: ANN401 - an array
    return {name: float(value) for name, value in zip(names, values, strict=True)}
