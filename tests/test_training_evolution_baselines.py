"""Baselines: what they are, that each is chosen by the same goal, and what they may spend."""

import numpy as np
import pytest

from cascade.business.shape import Shape
from cascade.errors import InputError
from cascade.training.evolution.baselines import (
    blend_grid,
    blend_scores,
    blended_label,
    fixed_blend,
    grid_blend,
    identity,
    lambdamart,
    preferred_blend,
    random_search,
)
from cascade.training.evolution.fitness import FitnessSettings, make_fitness
from cascade.training.evolution.market_problem import MarketProblem, MarketSettings
from cascade.training.evolution.samples import measured, random_policies
from tests.small_market import small_market
from tests.test_training_evolution_samples import tiny

SHAPE = Shape(("score", "price_z", "new_seller"), ("revenue", "growth"))
TRAINING, VALIDATION, HELD_OUT = (small_market(seed=seed) for seed in range(3))
COLUMNS = ("price_z", "new_seller")
BUDGET = 8 * 10 * 300  # children x generations x requests


@pytest.fixture(scope="module")
def problem():
    fitness = make_fitness(
        FitnessSettings(
            measures={"mean(price)@5": 1.0, "share(new)@5": 0.5},
            bounds={"nDCG@10": ">= 0.9 of base"},
        )
    )
    return MarketProblem(TRAINING, VALIDATION, SHAPE, fitness, MarketSettings(requests=0))


def test_a_grid_has_every_combination_that_the_budget_holds():
    found = blend_grid(2, 10, highest=1.0)
    axis = [0.0, 0.25, 1.0]
    assert found.tolist() == [[a, b] for a in axis for b in axis]
    assert blend_grid(1, 5, 2.0).ravel().tolist() == [0.0, 0.125, 0.5, 1.125, 2.0]
    assert blend_grid(3, 7).tolist() == [[0.0, 0.0, 0.0]]
    assert len(blend_grid(3, 8)) == 8


def test_a_blend_by_hand():
    # Scores 3, 2, 1 become 1, .5, 0 and prices 1, 2, 3 become 0, .5, 1; a lone row has .5.
    found = blend_scores(tiny(), ["price"], np.array([[0.0], [2.0]]))
    np.testing.assert_allclose(found, [[1, 1], [0.5, 1.5], [0, 2], [0.5, 1.5]])


def test_the_label_by_hand():
    found = blended_label(tiny(), "gain", ["price"], 0.5)
    np.testing.assert_allclose(found, [1.0, 0.25, 0.5, 1.25])
    np.testing.assert_allclose(blended_label(tiny(), "gain", [], 0.5), [1, 0, 0, 1])
    with pytest.raises(InputError, match="a label needs one"):
        nothing = tiny()
        nothing.listings.columns["gain"][:] = 0
        blended_label(nothing, "gain", ["price"], 0.5)


def test_identity_is_the_order_of_relevance():
    assert identity().scores(HELD_OUT) is HELD_OUT.scores
    assert identity().orders == 0


def test_nothing_is_chosen_for_a_fixed_blend():
    found = fixed_blend(COLUMNS, 0.3)
    expected = blend_scores(HELD_OUT, COLUMNS, np.array([[0.3, 0.3]]))[:, 0]
    np.testing.assert_array_equal(found.scores(HELD_OUT), expected)
    assert (found.orders, found.chosen) == (0, "0.3 x price_z, 0.3 x new_seller")


def test_the_grid_gives_the_best_blend_within_the_bound(problem):
    found = grid_blend(problem, COLUMNS, BUDGET)
    shares = blend_grid(2, 80)
    # 64 fit into the budget of 80 passes over the training requests.
    assert found.orders == 64 * 300 <= BUDGET
    every = problem.judged(blend_scores(VALIDATION, COLUMNS, shares), VALIDATION)
    on_training = problem.judged(blend_scores(TRAINING, COLUMNS, shares), TRAINING)
    mine = problem.judged(found.scores(VALIDATION)[:, None], VALIDATION)[0]
    finalists = np.argsort(-on_training, kind="stable")[:8]
    assert mine == pytest.approx(every[finalists].max())
    assert mine > 0.1


def test_random_search_keeps_its_budget_and_is_no_worse_than_the_start(problem):
    found = random_search(problem, BUDGET, seed=4)
    assert found.orders == 80 * 300 == BUDGET
    mine = problem.judged(found.scores(VALIDATION)[:, None], VALIDATION)[0]
    assert mine >= problem.validate(problem.start()[None, :])[0]
    again = random_search(problem, BUDGET, seed=4)
    np.testing.assert_array_equal(found.scores(HELD_OUT), again.scores(HELD_OUT))


def test_random_search_tries_what_the_units_of_a_fitness_are_drawn_from(problem):
    found = random_search(problem, BUDGET, seed=4)
    number, tries = (int(word) for word in found.chosen.split() if word.isdigit())
    assert (tries, number > 0) == (80, True)
    drawn = random_policies(SHAPE, TRAINING, 80, [4, 0x5EA])
    expected = problem.utilities(drawn[number][None, :], HELD_OUT)[:, 0]
    np.testing.assert_array_equal(found.scores(HELD_OUT), expected)


def test_the_trees_learn_the_label_that_validation_likes(problem):
    pytest.importorskip("xgboost")
    found = lambdamart(problem, "gain", COLUMNS, rounds=15)
    # 6 labels x 15 trees x 300 requests, of which no order was measured to fit them.
    assert (found.orders, found.gradients) == (0, 6 * 15 * 300)
    scores = np.stack([HELD_OUT.scores, found.scores(HELD_OUT)], axis=1)
    assert scores.shape == (len(HELD_OUT.scores), 2)
    dear = lambdamart(problem, "gain", ["price_z"], shares=[2.0], rounds=15)
    told = measured(
        HELD_OUT,
        np.stack([HELD_OUT.scores, dear.scores(HELD_OUT)], axis=1),
        ["mean(price)@5", "nDCG@10"],
    )
    assert told["mean(price)@5"][1] > 1.3 * told["mean(price)@5"][0]
    # Trained on gain alone, on a score that carries it, they come near the order of relevance.
    plain = lambdamart(problem, "gain", COLUMNS, shares=[0.0], rounds=15)
    both = np.stack([HELD_OUT.scores, plain.scores(HELD_OUT)], axis=1)
    relevance = measured(HELD_OUT, both, ["nDCG@10"])["nDCG@10"]
    assert relevance[1] > 0.8 * relevance[0]


def test_every_baseline_is_measured_by_the_same_report(problem):
    every = [identity(), fixed_blend(COLUMNS), random_search(problem, BUDGET)]
    scores = np.stack([one.scores(HELD_OUT) for one in every], axis=1)
    told = measured(HELD_OUT, scores, ["nDCG@10", "gini(seller)@10"])
    assert all(np.isfinite(values).all() and len(values) == 3 for values in told.values())


def test_a_blend_by_preference_takes_the_shares_of_each_request():
    fitness = make_fitness(
        FitnessSettings(objectives={"revenue": "mean(price)@2", "growth": "share(new)@2"})
    )
    problem = MarketProblem(TRAINING, VALIDATION, SHAPE, fitness, MarketSettings(requests=0))
    blend = preferred_blend(problem, {"growth": "new_seller"})
    preferences = problem.preferences(HELD_OUT)
    found = blend.scores(HELD_OUT)
    offsets = HELD_OUT.listings.offsets
    for request in (0, 7):
        rows = slice(offsets[request], offsets[request + 1])
        scores = HELD_OUT.scores[rows].astype(float)
        new = HELD_OUT.input("new_seller")[rows].astype(float)
        first, second = (
            (x - x.min()) / (x.max() - x.min()) if x.max() > x.min() else 0.5 + 0 * x
            for x in (scores, new)
        )
        expected = preferences[request, 0] * first + preferences[request, 1] * second
        assert found[rows] == pytest.approx(expected, rel=1e-6)
