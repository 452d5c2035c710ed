"""The displacement bound holds for any utilities, and the order is the best within it."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.business.bounds import bounded_order

anything = st.floats(width=32, allow_nan=True, allow_infinity=True)


def f32(values):
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("utilities", "bound", "expected"),
    [
        ([], 3, []),
        ([1, 9], 0, [0, 1]),
        ([1, 9], 1, [1, 0]),
        # The best row may rise two ranks; the first may fall two and is then due.
        ([0, 1, 2, 9], 2, [2, 3, 0, 1]),
        ([0, 5, 10], 1, [1, 0, 2]),
        ([1, 2, 3], 99, [2, 1, 0]),
        ([7, 7, 7], 2, [0, 1, 2]),
        ([np.nan, 1, np.inf, -np.inf], 3, [2, 1, 0, 3]),
    ],
)
def test_by_hand(utilities, bound, expected):
    assert bounded_order(f32(utilities), bound).tolist() == expected


@given(st.lists(anything, max_size=120), st.integers(0, 130))
def test_no_row_leaves_the_bound(utilities, bound):
    order = bounded_order(f32(utilities), bound)
    ranks = np.arange(len(utilities))
    assert sorted(order.tolist()) == ranks.tolist()
    assert np.all(np.abs(order - ranks) <= bound)


@given(st.lists(st.integers(0, 4), max_size=6), st.integers(0, 6))
def test_it_is_the_best_of_all_orders_within_the_bound(utilities, bound):
    count = len(utilities)
    within = [
        order
        for order in permutations(range(count))
        if all(abs(row - rank) <= bound for rank, row in enumerate(order))
    ]
    # Largest utilities from the top; among equal sequences, rows in their present order.
    best = min(within, key=lambda order: ([-utilities[row] for row in order], order))
    assert bounded_order(f32(utilities), bound).tolist() == list(best)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 60))
def test_equal_utilities_keep_their_order(utilities, bound):
    order = bounded_order(f32(utilities), bound).tolist()
    for value in set(utilities):
        same = [row for row in order if utilities[row] == value]
        assert same == sorted(same)


def test_utilities_are_only_read():
    utilities = f32([1, 3, 2])
    utilities.flags.writeable = False
    bounded_order(utilities, 1)
