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
        inside = np.diff(self.owners) == 0
        if (np.diff(self.scores)[inside] > 0).any():
            raise InputError(
                "a sample's scores rise within a listing; rows stand in their order of relevance"
            )

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return self.listings.requests

    @property
    def owners(self) -> Int64:
        """The request of each row, int64[n]."""
        return np.repeat(np.arange(self.requests), np.diff(self.listings.offsets))

    def take(self, requests: Int64) -> Sample:
        """Return some of the requests, int64[m], in the order given."""
        rows = rows_of(self.listings.offsets, requests)
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


def rows_of(offsets: Int64, requests: Int64) -> Int64:
    """Return the rows of some requests, int64[m], request by request."""
    lengths = np.diff(offsets)[requests]
    ends = np.cumsum(lengths)
    return np.repeat(offsets[:-1][requests] - (ends - lengths), lengths) + np.arange(lengths.sum())


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
    before = np.arange(len(scores)) - sample.listings.offsets[sample.owners] + 1
    moved = np.abs(ranks - before)
    return Displacement(
        int(moved.max(initial=0)),
        float(moved.mean()) if len(moved) else 0.0,
        float((moved > limit).mean()) if len(moved) else 0.0,
        limit,
    )
