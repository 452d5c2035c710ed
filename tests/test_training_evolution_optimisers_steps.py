"""Steps: each follows its published recipe, written out here number by number."""

import math

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.training.evolution.optimisers.steps import STEPS, Adam, Momentum, Plain, RMSProp

RATE = 0.03


def gradients(count: int) -> np.ndarray:
    """Return gradients of scales from 1e-6 to 1e3, one weight always 0."""
    rng = np.random.default_rng(3)
    scales = np.array([1e-6, 1e-2, 1.0, 1e3, 0.0])
    return rng.normal(0.3, 1.0, (count, scales.size)) * scales


def by_the_paper(path: np.ndarray) -> list[float]:
    """Return one weight's way under Adam, line by line of algorithm 1, for ascent."""
    theta = m = v = 0.0
    way = []
    for t, g in enumerate(path, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        m_hat = m / (1 - math.pow(0.9, t))
        v_hat = v / (1 - math.pow(0.999, t))
        theta += RATE * m_hat / (math.sqrt(v_hat) + 1e-8)
        way.append(theta)
    return way


def test_adam_equals_the_paper_over_100_steps():
    path = gradients(100)
    step, centre, way = Adam(5, RATE), np.zeros(5), []
    for gradient in path:
        centre = centre + step.change(gradient)
        way.append(centre)
    want = np.array([by_the_paper(path[:, i].tolist()) for i in range(5)]).T
    np.testing.assert_allclose(np.array(way), want, rtol=1e-7, atol=1e-12)
    assert np.abs(want[-1, :4]).min() > 0.1, "the reference moved"


def test_adam_begins_with_the_learning_rate_whatever_the_scale():
    change = Adam(3, RATE).change(np.array([1e-3, -5.0, 1e6]))
    np.testing.assert_allclose(change, [RATE, -RATE, RATE], rtol=1e-4)


def test_plain_follows_the_gradient():
    np.testing.assert_array_equal(Plain(2, 0.5).change(np.array([2.0, -4.0])), [1.0, -2.0])


def test_momentum_is_a_moving_average():
    step = Momentum(1, 2.0)
    changes = [step.change(np.array([g]))[0] for g in (1.0, 1.0, 0.0)]
    # Averages .1, .9 * .1 + .1 = .19, .9 * .19 = .171; twice each.
    np.testing.assert_allclose(changes, [0.2, 0.38, 0.342])


def test_rmsprop_divides_by_the_root_of_the_mean_square():
    step = RMSProp(1, 1.0)
    changes = [step.change(np.array([g]))[0] for g in (3.0, 4.0)]
    # Mean squares .1 * 9 = .9, then .9 * .9 + .1 * 16 = 2.41.
    np.testing.assert_allclose(changes, [3 / math.sqrt(0.9), 4 / math.sqrt(2.41)], rtol=1e-7)


@pytest.mark.parametrize("kind", STEPS.values(), ids=STEPS)
def test_a_state_continues_bit_for_bit(kind):
    path = gradients(20)
    whole, first, second = kind(5, RATE), kind(5, RATE), kind(5, RATE)
    for gradient in path[:10]:
        whole.change(gradient)
        first.change(gradient)
    state = first.state()
    first.change(path[0])
    second.restore(state)
    for gradient in path[10:]:
        assert whole.change(gradient).tobytes() == second.change(gradient).tobytes()


def test_a_state_of_another_step_or_size_is_refused():
    with pytest.raises(InputError, match=r"'step_gradient' is missing; it holds steps_taken"):
        Adam(5, RATE).restore(Plain(5, RATE).state())
    with pytest.raises(InputError, match=r"float64\[4\]; it must be finite float64\[5\]"):
        Adam(5, RATE).restore(Adam(4, RATE).state())
