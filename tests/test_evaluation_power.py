"""Power: textbook values, and how often the sizes that it names find what they should."""

import math

import numpy as np
import pytest
from scipy import stats

from cascade.errors import InputError
from cascade.evaluation import power_of, queries_needed


def test_a_difference_of_half_a_standard_deviation_takes_32_queries():
    # (1.95996 + 0.84162)² / 0.5² = 31.4: Cohen 1988 has 33 with the t correction.
    assert queries_needed(1.0, 0.5) == 32
    assert queries_needed(0.3, -0.01) == math.ceil((2.801585 * 30) ** 2)


def test_as_many_queries_find_the_difference_in_four_of_five_cases():
    draws = np.random.default_rng(0)
    count = queries_needed(0.25, 0.04)
    trials = draws.normal(0.04, 0.25, size=(2000, count))
    found = stats.ttest_1samp(trials, 0.0, axis=1).pvalue < 0.05
    # 2,000 trials: 0.8 ± 3 standard errors.
    assert 0.77 < found.mean() < 0.83


def test_what_the_queries_show():
    delta = np.array([0.1, -0.1, 0.3, np.nan, 0.1])
    baseline = np.array([0.5, 0.5, 0.7, 0.9, 0.3])
    power = power_of(delta, baseline)
    sd = np.std([0.1, -0.1, 0.3, 0.1], ddof=1)
    assert (power.queries, power.sd) == (4, pytest.approx(sd))
    assert power.detectable == pytest.approx(2.801585 * sd / 2, rel=1e-5)
    assert power.needed == queries_needed(sd, 0.005)


def test_where_nothing_differs_nothing_is_said():
    power = power_of(np.zeros(5), np.ones(5))
    assert (power.detectable, power.needed) == (0.0, None)
    assert power_of(np.array([0.1]), np.ones(1)).needed is None
    with pytest.raises(InputError, match="any number but 0"):
        queries_needed(1.0, 0.0)


def test_what_cannot_be_counted_is_not_told():
    with pytest.raises(InputError, match="too small"):
        queries_needed(1.0, 1e-300)
    with pytest.raises(InputError, match="standard deviation"):
        queries_needed(math.nan, 0.1)
    spread = np.array([1.0, -1.0] * 10)
    assert power_of(spread, np.full(20, 1e-200)).needed is None
    assert power_of(np.zeros(20), np.ones(20)).needed is None
