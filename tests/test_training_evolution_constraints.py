"""Bounds: as they are written, what they ask for, and what breaking one costs."""

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.training.evolution.constraints import (
    Bound,
    Multipliers,
    broken,
    parse_bound,
    penalty_cost,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">= 0.99 of base", Bound("nDCG@10", True, 0.99, True)),
        ("<= 1.2 of base", Bound("nDCG@10", False, 1.2, True)),
        (">=0.31", Bound("nDCG@10", True, 0.31)),
        (" <= -2e-1 ", Bound("nDCG@10", False, -0.2)),
    ],
)
def test_a_bound_is_read_as_it_is_written_and_printed_back(text, expected):
    found = parse_bound("nDCG@10", text)
    assert found == expected
    assert parse_bound("nDCG@10", str(found).removeprefix("nDCG@10")) == found


@pytest.mark.parametrize(
    "text", ["0.99", "> 0.9", ">= of base", ">= nan", ">= 1e999", "", 0.9, None]
)
def test_anything_else_is_refused_with_what_is_accepted(text):
    with pytest.raises(InputError, match="accepted is '>=' or '<='"):
        parse_bound("nDCG@10", text)


def test_a_margin_keeps_back_a_share_of_the_room():
    # The base is 0.8: a promise of 0.98 of it is 0.784, with a room of 0.016.
    bound = parse_bound("nDCG@10", ">= 0.98 of base")
    assert bound.required(0.8) == pytest.approx(0.784)
    assert bound.required(0.8, margin=0.5) == pytest.approx(0.792)
    # At most 0.5 where the base is 0.3: the room is 0.2.
    assert parse_bound("gini(seller)@10", "<= 0.5").required(0.3, 0.5) == pytest.approx(0.4)
    # A bound that the base does not keep is aimed beyond: 0.4 is asked, 0.1 further is aimed at.
    assert parse_bound("share(new)@10", ">= 0.4").required(0.2, 0.5) == pytest.approx(0.5)


def test_an_excess_is_counted_in_rooms():
    bound = parse_bound("nDCG@10", ">= 0.98 of base")
    found = bound.excess(np.array([0.8, 0.792, 0.784, 0.768]), 0.8, margin=0.5)
    np.testing.assert_allclose(found, [-0.5, 0.0, 0.5, 1.5], atol=1e-12)
    at_most = parse_bound("gini(seller)@10", "<= 0.5").excess(np.array([0.3, 0.5, 0.6]), 0.3)
    np.testing.assert_allclose(at_most, [-1.0, 0.0, 0.5], atol=1e-12)
    # No room: a hundredth of the base is the unit.
    none = parse_bound("nDCG@10", ">= 1 of base").excess(np.array([0.8, 0.792]), 0.8, 0.5)
    np.testing.assert_allclose(none, [0.0, 1.0], atol=1e-12)


def test_a_penalty_takes_nothing_for_a_bound_that_holds():
    excesses = np.array([[-3.0, 0.5, 0.25], [0.0, -1.0, 0.5]])
    np.testing.assert_allclose(penalty_cost(excesses, 10.0), [0.0, 5.0, 7.5])


def test_the_augmented_lagrangian_by_hand():
    start = Multipliers.none(1, penalty=4.0)
    # max(0, 0 + 4 g)^2 / 8 = 2 g^2 for g > 0.
    np.testing.assert_allclose(start.cost(np.array([[-1.0, 0.5, 1.0]])), [0.0, 0.5, 2.0])
    learned = start.after(np.array([0.5]))
    np.testing.assert_allclose(learned.values, [0.1 * 4.0 * 0.5])
    # ((0.2 + 4 g)^2 - 0.04) / 8 at g = 0.5, and -0.04 / 8 far inside.
    np.testing.assert_allclose(learned.cost(np.array([[0.5, -1.0]])), [0.6, -0.005])
    np.testing.assert_allclose(learned.after(np.array([-9.0])).values, [0.0])


def test_the_lagrangian_finds_the_constrained_optimum_of_a_planted_problem():
    """Raise x subject to x <= 1: the multiplier comes to the slope of the goal, which is 1."""
    multipliers, x = Multipliers.none(1, penalty=4.0), 0.0
    grid = np.linspace(0, 3, 30_001)
    for _ in range(200):
        x = grid[np.argmax(grid - multipliers.cost((grid - 1.0)[None, :]))]
        multipliers = multipliers.after(np.array([x - 1.0]))
    assert x == pytest.approx(1.0, abs=1e-3)
    assert multipliers.values[0] == pytest.approx(1.0, abs=1e-2)


def test_broken_promises_are_named():
    bounds = [parse_bound("a", ">= 0.9 of base"), parse_bound("b", "<= 2")]
    assert broken(bounds, [0.45, 2.0], [0.5, 1.0]) == []
    assert [str(b) for b in broken(bounds, [0.449, 2.1], [0.5, 1.0])] == [
        "a >= 0.9 of base",
        "b <= 2",
    ]
