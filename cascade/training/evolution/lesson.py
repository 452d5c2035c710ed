"""The lesson of rank 10: what a search does with a relevance term that is flat inside the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cascade.business.shape import Shape
from cascade.candidates import Float32
from cascade.market import Listings
from cascade.training.evolution.fitness import FitnessSettings, make_fitness
from cascade.training.evolution.market_problem import MarketProblem, MarketSettings
from cascade.training.evolution.optimisers import OptimiserSettings, make_optimiser
from cascade.training.evolution.samples import Sample, measured
from cascade.training.evolution.search import SearchSettings, search

ROWS = 40
PAGE = 10
REQUESTS = 300
GENERATIONS = 60
# A page of close matches lies this far above the rest.
GAP = 3.0
MEASURES = ("nDCG@10", "recall@10", "mean(price)@3")
FLAT = FitnessSettings(measures={"recall@10": 1.0, "mean(price)@3": 1.0})
BOUNDED = FitnessSettings(raised="mean(price)@3", bounds={"nDCG@10": ">= 0.95 of base"})


@dataclass(frozen=True)
class Lesson:
    """Hold held-out measures of three orders, by the measure as it is written.

    Attributes:
        base: Of the order of relevance.
        flat: Of a policy that was trained on recall@10 and price.
        bounded: Of one that was trained on price with nDCG@10 bounded.
    """

    base: Mapping[str, float]
    flat: Mapping[str, float]
    bounded: Mapping[str, float]


def planted(requests: int, seed: int) -> Sample:
    """Return planted requests: a good order, one purchase each, and prices that say nothing.

    The first ten rows of each are close matches, far above the thirty others. The purchase is
    among the ten in 97 of 100 requests, mostly at the top. Prices are drawn without regard to it.

    Args:
        requests: How many.
        seed: Of the draws.
    """
    generator = np.random.default_rng([seed, 0x1E550])
    near = generator.random((requests, ROWS))
    near[:, :PAGE] += GAP
    scores = -np.sort(-near, axis=1).astype(np.float32)
    chances = 0.5 ** np.arange(PAGE)
    at = generator.choice(PAGE, size=requests, p=chances / chances.sum())
    missed = generator.random(requests) < 0.03
    at[missed] = generator.integers(PAGE, ROWS, size=int(missed.sum()))
    gain = np.zeros((requests, ROWS), dtype=np.float32)
    gain[np.arange(requests), at] = 1.0
    price = generator.lognormal(3.0, 0.6, (requests, ROWS)).astype(np.float32)
    listings = Listings(
        np.arange(requests + 1, dtype=np.int64) * ROWS,
        {"gain": gain.ravel(), "purchase": gain.ravel(), "price": price.ravel()},
    )
    inputs = np.stack([_standard(scores).ravel(), _standard(np.log(price)).ravel()], axis=1)
    return Sample(listings, scores.ravel(), inputs, ("score", "price_z"))


def learn(
    settings: FitnessSettings,
    seed: int = 0,
    requests: int = REQUESTS,
    generations: int = GENERATIONS,
) -> Mapping[str, float]:
    """Return held-out measures of a policy trained on planted requests.

    Args:
        settings: The fitness it is trained on.
        seed: Of the requests and of the search.
        requests: How many are trained on, validated on, and held out for the report.
        generations: How long it is trained.
    """
    training, validation, held_out = (planted(requests, 3 * seed + part) for part in range(3))
    shape = Shape(inputs=training.names, objectives=("revenue",), hidden=2)
    problem = MarketProblem(
        training,
        validation,
        shape,
        make_fitness(settings),
        MarketSettings(requests=0, preference={"revenue": 1.0}, seed=seed),
    )
    optimiser = make_optimiser(
        OptimiserSettings("openai_es", sigma=0.2, children=32), problem.start(), seed
    )
    found = search(problem, optimiser, SearchSettings(generations, validate_every=5), seed)
    preference = np.ones((len(held_out.scores), 1), dtype=np.float32)
    scores = shape.utilities(found.weights[None, :], held_out.scores, held_out.inputs, preference)
    return _only(held_out, scores)


def lesson(seed: int = 0, requests: int = REQUESTS, generations: int = GENERATIONS) -> Lesson:
    """Return what becomes of relevance with a flat term, and with a bound instead.

    Args:
        seed: Of the requests and of the searches.
        requests: How many in each of the three parts.
        generations: How long each policy is trained.
    """
    held_out = planted(requests, 3 * seed + 2)
    return Lesson(
        base=_only(held_out, held_out.scores[:, None]),
        flat=learn(FLAT, seed, requests, generations),
        bounded=learn(BOUNDED, seed, requests, generations),
    )


def _only(sample: Sample, scores: Float32) -> Mapping[str, float]:
    return {name: float(of[0]) for name, of in measured(sample, scores, MEASURES).items()}


def _standard(values: Float32) -> Float32:
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray(centred / values.std(axis=1, keepdims=True), dtype=np.float32)
