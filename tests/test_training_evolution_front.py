"""Fronts: preferences, what they make of objectives, what is dominated, what points are called."""

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.training.evolution.front import (
    draw_preferences,
    linear,
    non_dominated,
    point_names,
    simplex,
    tchebycheff,
)


def test_preferences_lie_on_the_simplex_and_follow_from_seed_and_generation():
    drawn = draw_preferences(3, 7, 4_000, 3)
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0)
    assert (drawn >= 0).all()
    np.testing.assert_array_equal(drawn, draw_preferences(3, 7, 4_000, 3))
    assert not np.array_equal(drawn, draw_preferences(3, 8, 4_000, 3))
    assert not np.array_equal(drawn, draw_preferences(4, 7, 4_000, 3))
    # A Dirichlet of ones: each share has mean 1/3 and variance (1/3)(2/3)/4 = 1/18.
    np.testing.assert_allclose(drawn.mean(axis=0), 1 / 3, atol=0.015)
    np.testing.assert_allclose(drawn.var(axis=0), 1 / 18, atol=0.004)
    corners = draw_preferences(3, 7, 4_000, 3, concentration=0.1)
    assert (corners.max(axis=1) > 0.9).mean() > (drawn.max(axis=1) > 0.9).mean() + 0.3


def test_a_simplex_has_every_multiple_once():
    np.testing.assert_allclose(simplex(2, 2), [[1, 0], [0.5, 0.5], [0, 1]])
    three = simplex(3, 10)
    assert three.shape == (66, 3)
    assert len({tuple(row) for row in three.tolist()}) == 66
    np.testing.assert_allclose(three.sum(axis=1), 1.0)
    assert simplex(4, 5).shape == (56, 4)
    assert simplex(1, 5).tolist() == [[1.0]]


def test_linear_by_hand():
    # Two objectives, two requests, two children.
    gains = np.array([[[1.0, 2.0], [3.0, np.nan]], [[10.0, 20.0], [30.0, np.nan]]])
    preferences = np.array([[0.5, 0.5], [1.0, 0.0]])
    found = linear(gains, preferences)
    np.testing.assert_allclose(found, [[5.5, 11.0], [3.0, np.nan]])


def test_tchebycheff_by_hand():
    gains = np.array([[[0.0, 0.6]], [[1.0, 0.4]]])
    # Short of the ideal (1, 1) by (1, 0) and (.4, .6), half of which is weighed.
    found = tchebycheff(gains, np.array([[0.5, 0.5]]), np.ones(2), augmentation=0.1)
    np.testing.assert_allclose(found, [[-(0.5 + 0.05), -(0.3 + 0.05)]])
    missing = np.array([[[np.nan, np.nan]], [[1.0, np.nan]]])
    partly = tchebycheff(missing, np.array([[0.5, 0.5]]), np.full(2, 2.0), augmentation=0.1)
    np.testing.assert_allclose(partly, [[-(0.5 + 0.05), np.nan]])


def test_tchebycheff_reaches_the_hollow_of_a_front_and_a_weighted_sum_does_not():
    corners_and_hollow = np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4]])
    gains = corners_and_hollow.T[:, None, :]
    preferences = np.linspace(0, 1, 21)
    by_sum, by_worst = set(), set()
    for share in preferences:
        preference = np.array([[share, 1 - share]])
        by_sum.add(int(np.argmax(linear(gains, preference))))
        by_worst.add(int(np.argmax(tchebycheff(gains, preference, np.full(2, 1.1)))))
    assert by_sum == {0, 1}
    assert by_worst == {0, 1, 2}


def test_dominated_points_are_left_out_and_equal_ones_stay():
    points = np.array([[1, 3], [2, 2], [2, 2], [3, 1], [2, 1], [1, 1], [0, 3]], dtype=float)
    assert non_dominated(points).tolist() == [True, True, True, True, False, False, False]


def test_the_filter_agrees_with_the_definition():
    points = np.random.default_rng(0).integers(0, 5, (60, 3)).astype(float)
    expected = [
        not any((other >= one).all() and (other > one).any() for other in points) for one in points
    ]
    assert non_dominated(points).tolist() == expected


def test_a_front_of_nan_is_refused():
    with pytest.raises(InputError, match="not finite"):
        non_dominated(np.array([[1.0, np.nan]]))


def test_points_are_named_by_the_objective_that_is_highest():
    points = np.array([[1.0, 0.0, 0.0], [0.6, 0.6, 0.5], [0.1, 1.0, 0.2], [0.2, 0.1, 1.0]])
    found = point_names(points, ["nDCG@10", "new_seller", "margin"])
    assert found == {"balanced": 1, "relevance": 0, "growth": 2, "most margin": 3}
    twice = point_names(points, ["price", "revenue", "margin"], {"price": "money", "rev": "money"})
    assert twice == {"balanced": 1, "money": 0, "most revenue": 2, "most margin": 3}
    assert point_names(np.empty((0, 2)), ["a", "b"]) == {}


def test_an_objective_names_no_point_that_has_no_share_of_it():
    points = np.array([[3.0, 0.0], [2.0, 1.0], [0.0, 2.0]])
    shares = np.array([[0.0, 1.0], [0.5, 0.5], [0.2, 0.8]])
    found = point_names(points, ["relevance", "revenue"], shares=shares)
    # The first is highest for relevance, and was not asked for it.
    assert (found["relevance"], found["revenue"]) == (1, 2)
    none = point_names(points, ["relevance", "revenue"], shares=shares * [0.0, 1.0])
    assert set(none) == {"balanced", "revenue"}


def test_of_points_with_the_same_highest_value_the_better_elsewhere_is_named():
    points = np.array([[1.0, 0.1], [1.0, 0.4], [0.0, 1.0]])
    assert point_names(points, ["relevance", "growth"])["relevance"] == 1
