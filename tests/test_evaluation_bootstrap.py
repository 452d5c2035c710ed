"""The bootstrap: exact cases, agreement with scipy, and coverage of planted differences."""

import math

import numpy as np
import pytest
from scipy import stats

from cascade.errors import InputError
from cascade.evaluation import Bootstrap, Interval
from cascade.evaluation.bootstrap import CHUNK_CELLS


def test_the_mean_is_exact_and_inside_its_interval():
    values = np.array([[0.0, 1.0], [0.5, 0.0], [1.0, 0.5], [0.5, 0.1]])
    first, second = Bootstrap(resamples=500).intervals(values)
    assert first.mean == pytest.approx(0.5)
    assert second.mean == pytest.approx(0.4)
    for interval in (first, second):
        assert interval.low < interval.mean < interval.high


def test_every_resample_of_one_value_is_that_value():
    assert Bootstrap(resamples=10).intervals(np.full((7, 1), 0.25)) == [Interval(0.25, 0.25, 0.25)]


def test_equal_systems_differ_by_exactly_nothing():
    values = np.random.default_rng(0).random(50)
    assert Bootstrap(resamples=100).difference(values, values) == Interval(0.0, 0.0, 0.0)


def test_two_queries_have_the_interval_of_their_four_draws():
    # Of the draws (0,0) (0,1) (1,0) (1,1) a quarter has the mean 0 and a quarter the mean 1.
    half = Bootstrap(resamples=4000, level=0.4).intervals(np.array([[0.0], [1.0]]))[0]
    assert (half.low, half.high) == (0.5, 0.5)
    most = Bootstrap(resamples=4000, level=0.6).intervals(np.array([[0.0], [1.0]]))[0]
    assert (most.low, most.high) == (0.0, 1.0)


def test_agrees_with_scipy():
    values = np.random.default_rng(1).beta(0.6, 0.4, size=400)
    peer = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    interval = Bootstrap().intervals(values[:, None])[0]
    width = peer.high - peer.low
    assert interval.low == pytest.approx(peer.low, abs=0.05 * width)
    assert interval.high == pytest.approx(peer.high, abs=0.05 * width)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(3).random((60, 2))
    assert Bootstrap(200).intervals(values) == Bootstrap(200).intervals(values)
    assert Bootstrap(200).intervals(values) != Bootstrap(200, seed=1).intervals(values)


def test_an_interval_does_not_depend_on_the_columns_beside_it():
    values = np.random.default_rng(4).random((60, 3))
    together = Bootstrap(200).intervals(values)
    for column, expected in zip(values.T, together, strict=True):
        alone = Bootstrap(200).intervals(column[:, None])[0]
        assert (alone.low, alone.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_several_chunks_give_the_interval_that_theory_expects():
    queries, resamples = 700, 9000
    chunks = resamples * queries / CHUNK_CELLS
    assert chunks > 3
    assert not chunks.is_integer()
    values = np.random.default_rng(5).normal(size=(queries, 1))
    interval = Bootstrap(resamples).intervals(values)[0]
    error = values.std() / math.sqrt(queries)
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_a_missing_value_leaves_its_query_out_of_its_column_alone():
    values = np.random.default_rng(6).random((40, 2))
    holes = values.copy()
    holes[[3, 7], 1] = np.nan
    first, second = Bootstrap(300).intervals(holes)
    assert first == Bootstrap(300).intervals(values[:, :1])[0]
    kept = np.delete(values[:, 1:], [3, 7], axis=0)
    assert second == Bootstrap(300).intervals(kept)[0]


def test_a_difference_leaves_out_queries_that_either_lacks():
    system, baseline = np.array([0.5, np.nan, 0.75]), np.array([0.25, 0.5, np.nan])
    assert Bootstrap(10).difference(system, baseline) == Interval(0.25, 0.25, 0.25)


def test_no_query_has_no_interval():
    for values in (np.empty((0, 1)), np.full((3, 1), np.nan)):
        interval = Bootstrap(10).intervals(values)[0]
        assert [math.isnan(v) for v in (interval.mean, interval.low, interval.high)] == [True] * 3
        assert interval.sign == 0
    assert Bootstrap(10).intervals(np.empty((5, 0))) == []


@pytest.mark.parametrize("planted", [0.0, 0.03])
def test_a_planted_difference_is_covered_as_often_as_promised(planted):
    """Pairs share their query's difficulty; 95 % of the intervals must hold the difference."""
    draws = np.random.default_rng(7)
    covered = 0
    for trial in range(400):
        difficulty = draws.normal(0.5, 0.25, size=150)
        baseline = difficulty + draws.normal(0.0, 0.05, size=150)
        system = difficulty + planted + draws.normal(0.0, 0.05, size=150)
        interval = Bootstrap(400, seed=trial).difference(system, baseline)
        covered += interval.low <= planted <= interval.high
    # Three standard errors of a binomial share at 400 trials are 0.033.
    assert covered / 400 == pytest.approx(0.94, abs=0.035)


def test_pairing_finds_what_two_separate_intervals_hide():
    draws = np.random.default_rng(8)
    difficulty = draws.normal(0.5, 0.25, size=200)
    baseline = difficulty + draws.normal(0.0, 0.02, size=200)
    system = difficulty + 0.02 + draws.normal(0.0, 0.02, size=200)
    alone = Bootstrap(1000).intervals(np.stack([baseline, system], axis=1))
    assert alone[0].high > alone[1].low
    assert Bootstrap(1000).difference(system, baseline).sign == 1
    assert Bootstrap(1000).difference(baseline, system).sign == -1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"resamples": 0}, "0 resamples"), ({"level": 1.0}, "level 1"), ({"level": 0.0}, "level 0")],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Bootstrap(**settings)
