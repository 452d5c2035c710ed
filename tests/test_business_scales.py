"""Scales against their formulas, over groups and missing values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.business.scales import SCALES, minmax, percentile

NAN = math.nan


def scaled(scale, *groups):
    starts = np.cumsum([0, *map(len, groups)])[:-1].astype(np.int64)
    values = np.array([v for group in groups for v in group], dtype=np.float64)
    return scale(values, starts).tolist()


def test_minmax_by_hand():
    found = scaled(minmax, [10, 20, 14], [3, 3], [NAN, 7], [NAN])
    assert found == pytest.approx([0, 1, 0.4, 0.5, 0.5, NAN, 0.5, NAN], nan_ok=True)


def test_percentile_by_hand():
    # 4 values: 5 lies above one and ties with one other: (1 + .5) / 3.
    found = scaled(percentile, [5, 9, 5, 1], [2, NAN, 8], [4], [NAN, NAN])
    assert found == pytest.approx([0.5, 1, 0.5, 0, 0, NAN, 1, 0.5, NAN, NAN], nan_ok=True)


def test_an_outlier_moves_minmax_and_not_percentile():
    assert scaled(minmax, [1, 2, 10_001])[1] == pytest.approx(1e-4)
    assert scaled(percentile, [1, 2, 10_001])[1] == 0.5


def test_the_whole_range_of_floats_is_scaled():
    assert scaled(minmax, [-1.7e308, 0.0, 1.7e308]) == [0, 0.5, 1]


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_nothing_gives_nothing(scale):
    assert scaled(scale) == []


values = st.lists(st.one_of(st.just(NAN), st.integers(-3, 3)), min_size=1, max_size=8)


@given(st.lists(values, min_size=1, max_size=5))
def test_percentile_counts_the_others_below(groups):
    expected = []
    for group in groups:
        present = [v for v in group if not math.isnan(v)]
        for v in group:
            others = len(present) - 1
            below = sum(o < v for o in present) + (sum(o == v for o in present) - 1) / 2
            expected.append(NAN if math.isnan(v) else below / others if others else 0.5)
    assert scaled(percentile, *groups) == pytest.approx(expected, nan_ok=True)


@given(st.lists(values, min_size=1, max_size=5), st.sampled_from(sorted(SCALES)))
def test_groups_do_not_touch(groups, name):
    together = scaled(SCALES[name], *groups)
    alone = [v for group in groups for v in scaled(SCALES[name], group)]
    assert together == pytest.approx(alone, nan_ok=True)
