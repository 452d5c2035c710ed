"""Requests as a search sees them, and what any scores make of them: one report for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cascade.business.shape import Shape
from cascade.candidates import Float32, Float64, Int64
from cascade.errors import InputError, nearest
from cascade.market import (
    Listings,
    Ranked,
    parse_market_measure,
    parse_page_measure,
    ranked,
)


@dataclass(frozen=True, eq=False)
class Sample:
    """Hold the rows of q requests, each listing in its order of relevance, with their inputs.

    Attributes:
        listings: What measures read.
        scores: float32[n], the relevance that a policy starts from; never rising in a listing.
        inputs: float32[n, f], what a policy sees of each row.
        names: Of the f inputs.

    Raises:
        InputError: If shapes differ, a value is not finite, or a score rises within a listing.
    """

    listings: Listings
    scores: Float32
    inputs: Float32
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.listings)
        given = (self.scores.shape, self.inputs.shape)
        if given != ((count,), (count, len(self.names))):
            raise InputError(
                f"a sample's scores and inputs have the shapes {given}; accepted: {(count,)} and "
                f"{(count, len(self.names))}, a row for each of the listings' rows"
            )
        if not (np.isfinite(self.scores).all() and np.isfinite(self.inputs).all()):
            raise InputError(
                "a sample's scores or inputs hold NaN or infinity; give finite numbers"
            )
        inside = np.diff(self.listings.request) == 0
        if (np.diff(self.scores)[inside] > 0).any():
            raise InputError(
                "a sample's scores rise within a listing; rows stand in their order of relevance"
            )

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return self.listings.requests

    def take(self, requests: Int64) -> Sample:
        """Return some of the requests, int64[m], in the order given."""
        rows = self.listings.rows_of(requests)
        return Sample(
            self.listings.take(requests), self.scores[rows], self.inputs[rows], self.names
        )

    def input(self, name: str) -> Float32:
        """Return one input, float32[n].

        Raises:
            InputError: If there is none of that name.
        """
        if name not in self.names:
            raise InputError(f"input {name!r}; {nearest(name, self.names)}")
        return self.inputs[:, self.names.index(name)]

    def base(self) -> Ranked:
        """Return the order of relevance, as the only child."""
        return ranked(self.listings, self.scores[:, None])


@dataclass(frozen=True, slots=True)
class Displacement:
    """Tell how far rows are carried from the rank they came in at.

    Attributes:
        largest: Ranks.
        mean: Ranks a row.
        far: The share of rows that move by more than `limit` ranks.
        limit: Ranks.
    """

    largest: int
    mean: float
    far: float
    limit: int


def random_policies(shape: Shape, sample: Sample, count: int, seed: Sequence[int]) -> Float64:
    """Return weights drawn at random, float64[count, d].

    The first weight, which scales what is added to the score, is normal with the standard
    deviation that scores have within listings: as much is added as scores differ by. The others
    are those of a start.

    Args:
        shape: Of the policies.
        sample: Whose scores they are added to.
        count: How many.
        seed: Of the draws, whole numbers from 0.
    """
    generator = np.random.default_rng(seed)
    starts = generator.integers(2**63, size=count).tolist()
    weights = np.stack([shape.start(start) for start in starts])
    weights[:, 0] = _inner_deviation(sample) * generator.standard_normal(count)
    return weights


def policy_scores(shape: Shape, weights: Float64, sample: Sample, preferences: Float64) -> Float32:
    """Return what one policy makes of each row under each of k preferences, float32[n, k].

    Args:
        shape: Of the policy.
        weights: float64[d].
        sample: The rows.
        preferences: float64[k, p], each held by every request.
    """
    found = np.empty((len(sample.scores), len(preferences)), dtype=np.float32)
    for number, preference in enumerate(preferences.astype(np.float32)):
        asked = np.broadcast_to(preference, (len(sample.scores), len(preference)))
        found[:, number] = shape.utilities(weights[None, :], sample.scores, sample.inputs, asked)[
            :, 0
        ]
    return found


def measured(sample: Sample, scores: Float32, measures: Sequence[str]) -> Mapping[str, Float64]:
    """Return each market measure of each of k orders, float64[k] by the measure as written.

    Args:
        sample: The rows.
        scores: float32[n, k], of a policy, a baseline or anything else.
        measures: As they are written.
    """
    orders = ranked(sample.listings, scores)
    return {text: parse_market_measure(text).of(orders) for text in measures}


def undefined(sample: Sample, measures: Sequence[str]) -> Mapping[str, int]:
    """Return how many requests have no value of a market measure and are left out of it.

    Args:
        sample: The rows, in the order of relevance.
        measures: As they are written.
    """
    base = sample.base()
    return {text: int(parse_market_measure(text).undefined(base)[0]) for text in measures}


def per_request(sample: Sample, scores: Float32, measures: Sequence[str]) -> Float64:
    """Return m page measures of each request in each of k orders, float64[q, k, m].

    Args:
        sample: The rows.
        scores: float32[n, k].
        measures: As they are written.
    """
    orders = ranked(sample.listings, scores)
    return np.stack([parse_page_measure(text).per_request(orders) for text in measures], axis=2)


def displaced(sample: Sample, scores: Float32, limit: int = 10) -> Displacement:
    """Return how far one order, float32[n], carries the rows of a sample."""
    ranks = ranked(sample.listings, scores[:, None]).ranks(np.arange(len(scores)))[:, 0]
    before = np.arange(len(scores)) - sample.listings.offsets[sample.listings.request] + 1
    moved = np.abs(ranks - before)
    return Displacement(
        int(moved.max(initial=0)),
        float(moved.mean()) if len(moved) else 0.0,
        float((moved > limit).mean()) if len(moved) else 0.0,
        limit,
    )


def _inner_deviation(sample: Sample) -> float:
    """Return the standard deviation of scores within listings, 1 where they are all equal."""
    listings = sample.listings
    sums = np.bincount(listings.request, weights=sample.scores, minlength=listings.requests)
    inner = sample.scores - (sums / np.maximum(listings.lengths, 1))[listings.request]
    return float(inner.std()) or 1.0
