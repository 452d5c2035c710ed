"""A prior from features: rates that are planted come back, and own clicks outweigh it in time."""

import numpy as np
import pytest

from cascade.workflows.click_prior import HELD_OUT, foreseen, posterior, prior_shape


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(3)
    rows = 6_000
    matrix = rng.random((rows, 3)).astype(np.float32)
    mean = 0.01 + 0.12 * (matrix[:, 0] > 0.5)
    rates = mean * rng.gamma(4.0, 1 / 4.0, rows)
    looks = rng.gamma(1.0, 20.0, rows) + 0.1
    clicks = rng.poisson(rates * looks).astype(np.float64)
    return matrix, mean, rates, looks, clicks, np.arange(rows) // 20 % 5


def test_features_foresee_rates_of_queries_that_were_not_learned_from(planted):
    matrix, mean, _, looks, clicks, folds = planted
    found = foreseen(matrix, clicks, looks, folds, 0)
    assert np.corrcoef(found, mean)[0, 1] > 0.9
    assert found[mean > 0.1].mean() > 3 * found[mean < 0.1].mean()
    assert (found * looks).sum() == pytest.approx(clicks.sum(), rel=0.05)
    # A fold is foreseen by the others: which of its rows were clicked does not matter.
    mixed = clicks.copy()
    mixed[folds == 2] = np.random.default_rng(4).permutation(clicks[folds == 2])
    again = foreseen(matrix, mixed, looks, folds, 0)
    assert again[folds == 2] == pytest.approx(found[folds == 2], rel=1e-6)
    assert np.abs(again - found)[folds != 2].max() > 1e-3


def test_what_only_held_out_rows_tell_is_not_learned(planted):
    matrix, mean, _, looks, clicks, folds = planted
    # In the held-out rows the third feature brings clicks, and in those to train on nothing.
    held, liked = folds == 2, matrix[:, 2] > 0.5
    given = np.where(held, HELD_OUT, folds)
    fooled = np.where(held, np.round(10 * looks * liked), clicks)
    found = foreseen(matrix, fooled, looks, given, 0)
    assert found[held & liked].mean() == pytest.approx(found[held & ~liked].mean(), rel=0.1)
    assert np.corrcoef(found[held], mean[held])[0, 1] > 0.9
    assert found.tolist() == foreseen(matrix, clicks, looks, given, 0).tolist()
    # Held-out rows are foreseen by all the others, as fold 2 is where it is a fold like them.
    as_fold = foreseen(matrix, clicks, looks, folds, 0)
    assert found[held] == pytest.approx(as_fold[held], rel=0.1)


def test_without_a_click_to_learn_from_held_out_rows_tell_nothing(planted):
    matrix, _, _, looks, clicks, folds = planted
    fooled = np.where(folds == 2, clicks, 0.0)
    given = np.where(folds == 2, HELD_OUT, folds)
    assert not foreseen(matrix, fooled, looks, given, 0).any()


def test_the_spread_of_rates_about_their_mean_is_found(planted):
    _, mean, _, looks, clicks, _ = planted
    assert prior_shape(clicks, mean * looks) == pytest.approx(4.0, rel=0.25)


def test_posterior_by_hand_and_nearer_than_either_source(planted):
    _, mean, rates, looks, clicks, _ = planted
    k = prior_shape(clicks, mean * looks)
    found = posterior(clicks, looks, mean, k)
    # A gamma prior of shape k and mean m, and a Poisson count: (k + clicks) / (k / m + looks).
    assert found == pytest.approx(np.minimum((k + clicks) / (k / mean + looks), 1.0))
    error = np.square(found - rates).mean()
    assert error < np.square(mean - rates).mean()
    assert error < np.square(clicks / looks - rates).mean()


def test_without_a_click_the_rate_is_the_common_one():
    found = foreseen(np.zeros((4, 1), np.float32), np.zeros(4), np.ones(4), np.arange(4), 0)
    assert found.tolist() == [0.0] * 4


class Counted(np.ndarray):
    """Count how often rows are selected by a list of them."""

    selections = 0

    def __getitem__(self, index):
        Counted.selections += isinstance(index, np.ndarray)
        return np.asarray(super().__getitem__(index))


def test_the_rows_of_a_fold_are_selected_once_to_learn_and_once_to_foresee(planted):
    matrix, _, _, looks, clicks, folds = planted
    foreseen(matrix.view(Counted), clicks, looks, folds, 0)
    assert Counted.selections == 2 * len(np.unique(folds))
