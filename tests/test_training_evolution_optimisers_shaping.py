"""Shaping: the published utilities, ties, and what a shaping must not depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.training.evolution.optimisers.shaping import (
    SHAPE,
    centred,
    recombination,
    standard,
    utilities,
)

# Some far apart, some equal: few distinct values make ties likely.
FITNESS = st.lists(st.sampled_from([-1e9, -3.0, 0.0, -0.0, 0.1, 0.3, 1e300]), min_size=2).map(
    np.array
)


def half(fitness: np.ndarray) -> np.ndarray:
    return recombination(fitness, max(1, fitness.size // 2))


RANKED = {"utilities": utilities, "centred": centred, "recombination": half}
ALL = {**RANKED, "standard": standard}


def test_utilities_of_five_children():
    # ln 3.5 less ln k is 1.25276, .55962, .15415 and then below 0; over 1.96653, less 1/5.
    got = utilities(np.array([0, 0.1, 0.05, 0.7, 0.2]))
    np.testing.assert_allclose(got, [-0.2, -0.12161, -0.2, 0.43704, 0.08457], atol=5e-6)


def test_a_tie_takes_the_mean_of_its_ranks():
    # The best two share (.43704 + .08457) / 2, the next two (-.12161 - .2) / 2.
    got = utilities(np.array([3.0, 1.0, 3.0, 1.0, 0.0]))
    want = [0.260805, -0.160805, 0.260805, -0.160805, -0.2]
    np.testing.assert_allclose(got, want, atol=5e-6)


def test_centred_ranks():
    got = centred(np.array([5.0, 7.0, 6.0]))
    np.testing.assert_allclose(got, np.array([-0.5, 0.5, 0.0]) / 3)
    got = centred(np.array([7.0, 7.0, 6.0]))
    np.testing.assert_allclose(got, np.array([0.25, 0.25, -0.5]) / 3)


def test_standard_scores():
    # Mean 2, deviations -1, -1, 2, standard deviation sqrt 2.
    got = standard(np.array([1.0, 1.0, 4.0]))
    np.testing.assert_allclose(got, np.array([-1, -1, 2]) / np.sqrt(2) / 3)


def test_recombination_of_the_two_best_of_four():
    # ln 2.5 = .916291 and ln 1.25 = .223144 over 1.139434, less 1/4.
    got = recombination(np.array([0.0, 9.0, 1.0, 3.0]), 2)
    np.testing.assert_allclose(got, [-0.25, 0.554163, -0.25, -0.054163], atol=1e-6)


@pytest.mark.parametrize("shape", ALL.values(), ids=ALL)
@pytest.mark.parametrize("value", [0.0, 0.1, -7e300, 5e-324])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_equal_fitness_weighs_exactly_nothing(shape, value, count):
    assert not shape(np.full(count, value)).any()


@pytest.mark.parametrize("shape", ALL.values(), ids=ALL)
@given(fitness=FITNESS)
def test_weights_sum_to_nothing_and_never_fall_with_fitness(shape, fitness):
    weights = shape(fitness)
    assert np.isfinite(weights).all()
    assert abs(weights.sum()) < 1e-12
    order = np.argsort(fitness, kind="stable")
    rises = np.diff(fitness[order]) > 0
    assert (np.diff(weights[order])[~rises] == 0).all()
    assert (np.diff(weights[order])[rises] >= 0).all()


@pytest.mark.parametrize("shape", RANKED.values(), ids=RANKED)
@given(fitness=FITNESS)
def test_ranked_weights_know_the_order_alone(shape, fitness):
    ranks = np.searchsorted(np.unique(fitness), fitness).astype(np.float64)
    np.testing.assert_array_equal(shape(fitness), shape(ranks))


@pytest.mark.parametrize("shape", ALL.values(), ids=ALL)
def test_who_comes_first_does_not_matter(shape):
    fitness = np.array([0.3, 0.1, 0.3, -2.0, 0.5, 0.1])
    turned = np.array([4, 2, 0, 5, 3, 1])
    np.testing.assert_allclose(shape(fitness)[turned], shape(fitness[turned]), rtol=1e-12)


def test_every_shaping_that_settings_name_is_there():
    assert {"utilities": utilities, "centred": centred, "standard": standard} == SHAPE
