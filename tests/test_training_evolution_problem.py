"""The market problem: what the children of a generation share, and what a search finds in it."""

import numpy as np
import pytest

from cascade.business.shape import Shape
from cascade.errors import InputError
from cascade.market.ranked import ranked
from cascade.training.evolution.checkpoint import Checkpoint
from cascade.training.evolution.fitness import FitnessSettings, make_fitness
from cascade.training.evolution.front import simplex
from cascade.training.evolution.market_problem import (
    MarketProblem,
    MarketSettings,
    requests_drawn,
)
from cascade.training.evolution.optimisers import OptimiserSettings, make_optimiser
from cascade.training.evolution.samples import displaced, measured, policy_scores
from cascade.training.evolution.search import SearchSettings, search
from tests.small_market import small_market

SHAPE = Shape(("score", "price_z", "new_seller"), ("revenue", "growth"))
TRAINING, VALIDATION, HELD_OUT = (small_market(seed=seed) for seed in range(3))
BOUNDED = {"raised": "mean(price)@5", "bounds": {"nDCG@10": ">= 0.95 of base"}}
OBJECTIVES = {
    "objectives": {
        "relevance": "nDCG@10",
        "revenue": "mean(price)@5",
        "growth": "share(new)@5",
    },
    "scalarising": "linear",
}


def problem(fitness=None, **settings):
    made = make_fitness(FitnessSettings(**(fitness or BOUNDED)))
    return MarketProblem(TRAINING, VALIDATION, SHAPE, made, MarketSettings(**settings))


def evolved(market, generations=40, **settings):
    chosen = OptimiserSettings("openai_es", sigma=0.2, children=32, **settings)
    optimiser = make_optimiser(chosen, market.start(), market.settings.seed)
    return search(market, optimiser, SearchSettings(generations))


def children(count=4, seed=0):
    return np.random.default_rng(seed).standard_normal((count, SHAPE.size)) * 0.5


@pytest.mark.parametrize("fitness", [BOUNDED, OBJECTIVES])
def test_the_start_is_the_order_of_relevance_and_is_worth_what_that_is(fitness):
    market = problem(fitness, requests=32)
    start = market.start()[None, :]
    utilities = market.utilities(start, VALIDATION)
    assert utilities.tobytes() == VALIDATION.scores.tobytes()
    identity = market.judged(VALIDATION.scores[:, None], VALIDATION)
    np.testing.assert_array_equal(market.validate(start), identity)
    if fitness is BOUNDED:
        assert market.evaluate(start, 1)[0] == identity[0] == 0.0


@pytest.mark.parametrize("fitness", [BOUNDED, OBJECTIVES])
def test_the_children_of_a_generation_meet_the_same_requests(fitness):
    market = problem(fitness, requests=16)
    together = market.evaluate(children(), 5)
    market.evaluate(children(seed=1), 6)
    alone = [problem(fitness, requests=16).evaluate(child[None, :], 5)[0] for child in children()]
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)
    assert not np.allclose(together, market.evaluate(children(), 6))
    assert not np.allclose(together, problem(fitness, requests=16, seed=1).evaluate(children(), 5))


def test_a_generation_draws_each_request_at_most_once():
    market = problem(requests=30)
    market.evaluate(children(), 1)
    drawn = market._drawn(1).sample
    first_scores = drawn.scores[drawn.listings.offsets[:-1]]
    assert len(np.unique(first_scores)) == 30


def test_a_search_raises_the_price_within_the_bound_on_requests_it_has_not_seen():
    market = problem(requests=0)
    found = evolved(market)
    scores = policy_scores(SHAPE, found.weights, HELD_OUT, np.array([[0.5, 0.5]]))
    both = np.concatenate([HELD_OUT.scores[:, None], scores], axis=1)
    told = measured(HELD_OUT, both, ["mean(price)@5", "nDCG@10"])
    assert told["mean(price)@5"][1] > 1.03 * told["mean(price)@5"][0]
    assert told["nDCG@10"][1] > 0.9 * told["nDCG@10"][0]
    kept = market.utilities(found.weights[None, :], VALIDATION)
    base = np.concatenate([VALIDATION.scores[:, None], kept], axis=1)
    on_validation = measured(VALIDATION, base, ["nDCG@10"])["nDCG@10"]
    # A choice keeps back half of the margin: 0.95 + 0.05 x 0.25.
    assert on_validation[1] >= 0.9625 * on_validation[0]
    assert displaced(HELD_OUT, scores[:, 0]).largest > 0


def test_the_lagrangian_form_learns_a_price_and_keeps_the_bound():
    market = problem({**BOUNDED, "form": "lagrangian"}, requests=0)
    found = evolved(market, generations=60)
    assert found.validation > 0.1
    assert market.multipliers.values[0] > 0
    orders = ranked(TRAINING.listings, market.utilities(found.weights[None, :], TRAINING))
    assert market.fitness.excesses(orders, TRAINING.base())[0, 0] < 0.5


def test_one_policy_answers_every_preference():
    market = problem(OBJECTIVES, requests=0, concentration=0.7)
    found = evolved(market, generations=80)
    points = simplex(3, 4)
    scores = policy_scores(SHAPE, found.weights, HELD_OUT, points[:, 1:])
    told = measured(HELD_OUT, scores, list(OBJECTIVES["objectives"].values()))
    values = np.stack(list(told.values()), axis=1)
    corners = [int(np.flatnonzero(points[:, i] == 1.0)[0]) for i in range(3)]
    for objective, corner in enumerate(corners):
        others = [c for c in corners if c != corner]
        assert values[corner, objective] > values[others, objective].max()


def test_objectives_of_the_policy_are_found_by_name_whatever_their_order():
    turned = {"objectives": dict(reversed(OBJECTIVES["objectives"].items()))}
    market = problem(turned, requests=8)
    asked = market._drawn(1)
    # Named growth, revenue, relevance in the goal; the policy sees revenue, then growth.
    rows = asked.preferences[asked.sample.listings.request]
    np.testing.assert_array_equal(asked.by_row, rows[:, [1, 0]].astype(np.float32))


def test_a_search_in_a_market_goes_on_bit_for_bit(tmp_path):
    fitness = {**OBJECTIVES, "bounds": {"nDCG@10": ">= 0.8 of base"}, "form": "lagrangian"}

    def run(generations, checkpoint=None):
        market = problem(fitness, requests=24, seed=3)
        chosen = OptimiserSettings("canonical", sigma=0.2, children=8)
        optimiser = make_optimiser(chosen, market.start(), 3)
        settings = SearchSettings(generations, validate_every=2)
        return search(market, optimiser, settings, 3, checkpoint)

    whole = run(10)
    saved = Checkpoint(tmp_path)
    # Ends between two looks at validation, where an ended search looks once more.
    run(5, saved)
    found = run(10, saved)
    assert found.weights.tobytes() == whole.weights.tobytes()
    assert repr(found.steps) == repr(whole.steps)
    with pytest.raises(InputError, match="another fitness"):
        other = problem(BOUNDED, requests=24, seed=3)
        chosen = OptimiserSettings("canonical", sigma=0.2, children=8)
        search(other, make_optimiser(chosen, other.start(), 3), SearchSettings(12), 3, saved)


@pytest.mark.parametrize("fitness", [BOUNDED, OBJECTIVES])
def test_threads_make_no_difference(fitness):
    one, two = (problem(fitness, requests=50, threads=threads) for threads in (1, 2))
    assert repr(one.fitness) == repr(two.fitness)
    assert one.evaluate(children(9), 1).tobytes() == two.evaluate(children(9), 1).tobytes()
    assert one.validate(children(9)).tobytes() == two.validate(children(9)).tobytes()


@pytest.mark.parametrize(("asked", "drawn"), [(0, 300), (12, 12), (300, 300), (301, 300)])
def test_how_many_requests_a_generation_draws(asked, drawn):
    assert requests_drawn(asked, TRAINING) == drawn
    assert problem(requests=asked)._drawn(1).sample.requests == drawn


def test_where_there_are_bounds_a_policy_is_offered_with_less_of_its_effect():
    market, (child,) = problem(), children(1)
    offered = market.offers(child)
    np.testing.assert_array_equal(offered[0], child)
    assert (np.abs(np.diff(offered[:, 0])) > 0).all()
    assert (offered[:, 1:] == child[1:]).all()
    # Less effect is less change.
    moved = [displaced(VALIDATION, one).mean for one in market.utilities(offered, VALIDATION).T]
    assert moved == sorted(moved, reverse=True)
    np.testing.assert_array_equal(problem(OBJECTIVES).offers(child), child[None, :])


def test_a_weight_that_is_no_number_names_the_child():
    weights = children()
    weights[2, 1] = np.nan
    with pytest.raises(InputError, match="child 2 of generation 7 has a weight"):
        problem().evaluate(weights, 7)


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"the preference 'revenu'.*did you mean 'revenue'"):
        problem(preference={"revenu": 1.0})
    missing = {"objectives": {"relevance": "nDCG@10", "revenue": "mean(price)@5"}}
    with pytest.raises(InputError, match="objective 'growth'"):
        problem(missing)
    with pytest.raises(InputError, match="accepted are the policy's inputs"):
        other = Shape(("score", "price_z"), ("revenue", "growth"))
        MarketProblem(TRAINING, VALIDATION, other, make_fitness(FitnessSettings(raised="MRR")))


def test_searches_of_several_seeds_are_validated_alike_and_meet_other_requests():
    one, two = (problem(OBJECTIVES, requests=32, seed=seed) for seed in (0, 1))
    tried = children()
    np.testing.assert_array_equal(one.validate(tried), two.validate(tried))
    assert (one.evaluate(tried, 1) != two.evaluate(tried, 1)).any()
    other = problem(OBJECTIVES, requests=32, common=1)
    assert (one.validate(tried) != other.validate(tried)).any()
