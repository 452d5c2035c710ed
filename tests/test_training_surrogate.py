"""The surrogate gain: isotonic, right where the truth is known."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from cascade.errors import InputError
from cascade.training.surrogate import fit_surrogate


def f32(*values):
    return np.array(values, dtype=np.float32)


def test_what_falls_is_pooled():
    # One row a bin: 0, 3, 1, 4 becomes 0, 2, 2, 4.
    found = fit_surrogate(f32(0, 1, 2, 3), f32(0, 3, 1, 4))
    assert found.scores == (0, 1, 2, 3)
    assert found.gains == (0, 2, 2, 4)


def test_equal_to_a_reference():
    rng = np.random.default_rng(0)
    scores = np.sort(rng.standard_normal(60)).astype(np.float32)
    gains = np.maximum(scores + rng.standard_normal(60), 0).astype(np.float32)
    found = fit_surrogate(scores, gains, knots=60)
    wanted = IsotonicRegression().fit_transform(scores, gains)
    assert found.gains == pytest.approx(wanted.tolist(), abs=1e-6)


def test_a_planted_map_is_found():
    rng = np.random.default_rng(1)
    scores = rng.standard_normal(40_000).astype(np.float32)
    chance = 1 / (1 + np.exp(-2 * scores))
    found = fit_surrogate(scores, (rng.random(40_000) < chance).astype(np.float32))
    asked = np.linspace(-2, 2, 41)
    error = np.interp(asked, found.scores, found.gains) - 1 / (1 + np.exp(-2 * asked))
    assert np.abs(error).max() < 0.06


def test_equal_scores_make_one_knot():
    found = fit_surrogate(np.zeros(10, dtype=np.float32), np.arange(10, dtype=np.float32))
    assert (found.scores, found.gains) == ((0.0,), (4.5,))


@pytest.mark.parametrize("gains", [[], [0.0, -1.0], [np.nan]])
def test_rows_without_a_gain(gains):
    with pytest.raises(InputError, match="has a gain above 0"):
        fit_surrogate(np.zeros(len(gains), dtype=np.float32), f32(*gains))
