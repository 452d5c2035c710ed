"""Hypervolume: hand values, a Monte Carlo estimate, and intervals over requests."""

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.training.evolution.hypervolume import covered, covered_more, hypervolume

pytest.importorskip("moocore")


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[1, 3], [2, 2], [3, 1]], 3 + 2 + 1),  # stairs: 3 x 1, then 2 x 1, then 1 x 1
        ([[1, 3], [2, 2], [3, 1], [1, 1], [2, 2]], 6),  # dominated and equal points add nothing
        ([[3, -1]], 0),
        ([[3, 0]], 0),
        ([[2, 1, 1], [1, 2, 1], [1, 1, 2]], 4),  # a unit cube and one more cube on each axis
        ([[1, 2, 3]], 6),
        ([[1, 1, 1, 2], [2, 1, 1, 1]], 3),
        ([[4]], 4),
    ],
)
def test_by_hand(points, expected):
    points = np.array(points, dtype=np.float64)
    assert hypervolume(points, np.zeros(points.shape[1])) == pytest.approx(expected, rel=1e-12)


def test_it_does_not_depend_on_the_origin_or_the_order():
    generator = np.random.default_rng(0)
    points = generator.random((20, 3))
    moved = hypervolume(points[::-1] + 5.0, np.full(3, 5.0))
    assert moved == pytest.approx(hypervolume(points, np.zeros(3)))


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_against_a_count_of_random_points(objectives):
    generator = np.random.default_rng(objectives)
    points = generator.random((15, objectives)) ** 0.5
    drawn = generator.random((100_000, objectives))
    inside = np.zeros(len(drawn), dtype=bool)
    for point in points:
        inside |= (drawn < point).all(axis=1)
    # Four standard errors of the estimate.
    error = 4 * np.sqrt(inside.mean() * (1 - inside.mean()) / len(drawn))
    assert hypervolume(points, np.zeros(objectives)) == pytest.approx(inside.mean(), abs=error)


def test_no_point_covers_nothing():
    assert hypervolume(np.empty((0, 2)), np.zeros(2)) == 0.0


def test_an_interval_of_one_point_is_that_of_a_product_of_means():
    generator = np.random.default_rng(1)
    values = 1.0 + generator.standard_normal((400, 1, 2)) * [[0.2, 0.1]]
    found = covered(values, np.zeros(2), resamples=800)
    first, second = values[:, 0, 0].mean(), values[:, 0, 1].mean()
    assert found.value == pytest.approx(first * second)
    # The delta method: the variance of the product over 400 requests.
    deviation = np.std(values[:, 0, 0] * second + values[:, 0, 1] * first) / np.sqrt(400)
    assert found.low == pytest.approx(found.value - 1.96 * deviation, abs=deviation / 3)
    assert found.high == pytest.approx(found.value + 1.96 * deviation, abs=deviation / 3)


def test_requests_that_do_not_define_an_objective_are_left_out_of_its_mean():
    values = np.array([[[1.0, 2.0]], [[3.0, np.nan]], [[np.nan, 4.0]]])
    assert covered(values, np.zeros(2), resamples=50).value == pytest.approx(2.0 * 3.0)
    with pytest.raises(InputError, match="undefined for every request"):
        covered(np.full((3, 1, 2), np.nan), np.zeros(2), resamples=5)


def test_the_difference_of_fronts_is_paired():
    """What both share, however noisy, does not widen the interval of the difference."""
    generator = np.random.default_rng(2)
    noise = generator.exponential(1.0, (100, 1, 1))
    front = np.concatenate([noise + 1.0, np.ones((100, 1, 1))], axis=2)
    other = np.concatenate([noise, np.ones((100, 1, 1))], axis=2)
    found = covered_more(front, other, np.zeros(2), resamples=200)
    assert [found.value, found.low, found.high] == pytest.approx([1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="the same requests"):
        covered_more(front, other[:50], np.zeros(2))


def test_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(3).random((30, 4, 3))
    once = covered(values, np.zeros(3), resamples=60, seed=5)
    assert once == covered(values, np.zeros(3), resamples=60, seed=5)
    assert once != covered(values, np.zeros(3), resamples=60, seed=6)


def test_what_is_not_finite_is_refused():
    with pytest.raises(InputError, match="not finite"):
        hypervolume(np.array([[np.inf, 1.0]]), np.zeros(2))
    with pytest.raises(InputError, match="accepted are"):
        hypervolume(np.ones((2, 3)), np.zeros(2))
