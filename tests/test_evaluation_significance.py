"""Paired tests: hand calculations, scipy as reference, and how often they cry wolf."""

import numpy as np
import pytest
from scipy import stats

from cascade.errors import InputError
from cascade.evaluation import Randomisation, benjamini_hochberg, holm


def test_all_sign_patterns_of_three_differences_by_hand():
    # Sums: ±1 ±2 ±3. Two of the eight patterns reach |6|, four reach |4| or more.
    found = Randomisation().p_values(np.array([[1.0, 1.0], [2.0, -1.0], [3.0, 0.0]]))
    assert found.tolist() == [2 / 8, 1.0]


def test_equals_the_exact_test_of_scipy():
    draws = np.random.default_rng(0)
    values = draws.normal(0.4, 1.0, size=(10, 3))
    expected = [
        stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        for column in values.T
    ]
    assert Randomisation().p_values(values) == pytest.approx(expected)


def test_drawn_patterns_come_close_to_the_t_test():
    values = np.random.default_rng(1).normal(size=(200, 1))
    values += 0.15 - values.mean()
    expected = stats.ttest_1samp(values[:, 0], 0.0).pvalue
    assert 0.001 < expected < 0.1
    assert Randomisation(20_000).p_values(values)[0] == pytest.approx(expected, abs=0.01)


def test_a_query_without_a_value_changes_nothing():
    values = np.random.default_rng(2).normal(0.5, 1.0, size=(8, 1))
    more = np.concatenate([values, [[np.nan]], [[0.0]]])
    test = Randomisation()
    assert test.p_values(more).tolist() == test.p_values(values).tolist()
    assert np.isnan(test.p_values(np.full((3, 1), np.nan)))[0]
    assert test.p_values(np.zeros((5, 1))).tolist() == [1.0]


def test_two_alike_systems_are_told_apart_as_often_as_alpha():
    draws = np.random.default_rng(3)
    # Skewed differences, as measures give; the sign of each is a coin.
    values = draws.exponential(size=(40, 1000)) * draws.choice([-1.0, 1.0], size=(40, 1000))
    p = Randomisation(1000, seed=5).p_values(values)
    # 1,000 tests: 0.05 ± 3 standard errors.
    assert 0.029 < np.mean(p <= 0.05) < 0.071


def test_a_draw_is_the_same_with_the_same_seed():
    values = np.random.default_rng(4).normal(0.1, 1.0, size=(300, 2))
    assert (
        Randomisation(500, 1).p_values(values).tolist()
        == Randomisation(500, 1).p_values(values).tolist()
    )


def test_holm_by_hand():
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    # In order: .005·4, .01·3, .03·2, .04·1, none below the one before it.
    assert holm(p)[[4, 0, 2, 1]] == pytest.approx([0.02, 0.03, 0.06, 0.06])
    assert np.isnan(holm(p)[3])
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


def test_benjamini_hochberg_equals_that_of_scipy():
    p = np.random.default_rng(6).uniform(size=30) ** 2
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


def test_no_resample_is_refused():
    with pytest.raises(InputError, match="0 resamples"):
        Randomisation(0)
