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
from cascade.training.evolution.hypervolume import Covered, covered
from cascade.training.evolution.samples import Sample, measured, per_request, policy_scores

CHUNK = 32
RESAMPLES = 200


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
        blends: How many blends the grid has.
        monotone: For each objective the rank correlation of its share with its value.
        requests: How many there are.
    """

    measures: Mapping[str, str]
    base: Mapping[str, float]
    points: tuple[Point, ...]
    hypervolume: Covered
    grid: Covered
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
class Asked:
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


def front_of(shape: Shape, weights: Float64, asked: Asked) -> Front:
    """Return the front of a policy; names go to those of its points that keep the promises.

    Args:
        shape: Of the policy.
        weights: float64[d].
        asked: The requests, and what is looked at.
    """
    sample, measures = asked.sample, asked.measures
    names, texts = list(measures), list(measures.values())
    preferences = simplex(len(names), asked.steps)
    order = [names.index(name) for name in shape.objectives]
    parts, sound = [], []
    for some in _chunks(preferences):
        scores = policy_scores(shape, weights, sample, some[:, order])
        parts.append(per_request(sample, scores, texts))
        sound.append(asked.promises.kept(sample, scores))
    values, accepted = np.concatenate(parts, axis=1), np.concatenate(sound)
    shares = blend_grid(len(asked.columns), asked.blends)
    blends = np.concatenate(
        [
            per_request(sample, blend_scores(sample, asked.columns, s), texts)
            for s in _chunks(shares)
        ],
        axis=1,
    )
    base = np.nanmean(per_request(sample, sample.scores[:, None], texts)[:, 0], axis=0)
    means = np.nanmean(values, axis=0)
    unit = np.where(np.abs(base) > 0, np.abs(base), 1.0)
    reference = 0.9 * base / unit
    kept = non_dominated(means)
    at = np.flatnonzero(kept & accepted)
    called = {name: int(at[i]) for name, i in point_names(means[at], names).items()}
    points = tuple(
        Point(
            _by_name(names, preferences[i]),
            _by_name(names, means[i]),
            bool(kept[i]),
            bool(accepted[i]),
            tuple(name for name, point in called.items() if point == i),
        )
        for i in range(len(preferences))
    )
    return Front(
        measures=dict(measures),
        base=_by_name(names, base),
        points=points,
        hypervolume=covered(_leading(values) / unit, reference, RESAMPLES),
        grid=covered(_leading(blends) / unit, reference, RESAMPLES),
        blends=len(shares),
        monotone={
            name: _rank_correlation(shape, weights, sample, measures, name) for name in names
        },
        requests=sample.requests,
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
