"""Off-policy estimates: by hand, against planted truth, and when they refuse."""

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.evaluation import Bootstrap
from cascade.evaluation.offpolicy import Actions, estimate

QUICK = Bootstrap(400)


def test_by_hand():
    # Weights 2, 0, 0.5, 1.
    actions = Actions(
        rewards=np.array([1.0, 1.0, 0.0, 1.0]),
        propensities=np.array([0.5, 0.25, 0.5, 0.5]),
        target=np.array([1.0, 0.0, 0.25, 0.5]),
        predicted=np.array([0.5, 0.5, 0.5, 0.0]),
        expected=np.array([0.6, 0.2, 0.4, 0.8]),
    )
    found = estimate(actions, QUICK)
    assert found.logged.mean == pytest.approx(3 / 4)
    assert found.ips.mean == pytest.approx((2 + 1) / 4)
    assert found.snips.mean == pytest.approx((2 + 1) / 3.5)
    corrections = [2 * 0.5, 0.0, 0.5 * -0.5, 1 * 1.0]
    assert found.dr.mean == pytest.approx((0.6 + 0.2 + 0.4 + 0.8 + sum(corrections)) / 4)
    assert found.effective == pytest.approx(3.5**2 / (4 + 0.25 + 1))
    assert (found.actions, found.matched, found.largest) == (4, 3, 2.0)
    assert found.coverage == pytest.approx(3.5 / 4)
    cut = estimate(actions, QUICK, clip=1.0)
    assert (cut.ips.mean, cut.largest, cut.clipped) == (pytest.approx(2 / 4), 1.0, 1)


def logged(seed, count, model):
    """A log of 10 actions with known clicks; the other policy prefers the better ones."""
    draws = np.random.default_rng(seed)
    clicks = np.linspace(0.02, 0.4, 10)
    logging = np.linspace(3.0, 1.0, 10) / np.linspace(3.0, 1.0, 10).sum()
    target = np.linspace(0.2, 2.0, 10) / np.linspace(0.2, 2.0, 10).sum()
    taken = draws.choice(10, size=count, p=logging)
    rewards = (draws.uniform(size=count) < clicks[taken]).astype(float)
    return clicks @ target, Actions(
        rewards, logging[taken], target[taken], model[taken], np.full(count, model @ target)
    )


@pytest.mark.parametrize(
    "model", [np.linspace(0.02, 0.4, 10), np.full(10, 0.9)], ids=["right", "wrong"]
)
def test_the_intervals_hold_the_planted_truth(model):
    held = {"ips": 0, "snips": 0, "dr": 0}
    for seed in range(60):
        truth, actions = logged(seed, 1500, model)
        found = estimate(actions, QUICK)
        assert not found.logged.low <= truth <= found.logged.high
        for name in held:
            interval = getattr(found, name)
            held[name] += interval.low <= truth <= interval.high
    # 60 intervals of 95 %: 57 expected, fewer than 52 once in a hundred.
    assert all(count >= 52 for count in held.values()), held


def test_a_good_reward_model_narrows_the_interval():
    _, actions = logged(0, 4000, np.linspace(0.02, 0.4, 10))
    found = estimate(actions, QUICK)
    assert found.dr.high - found.dr.low < found.ips.high - found.ips.low


def test_a_policy_is_worth_what_it_earned():
    _, actions = logged(1, 500, np.zeros(10))
    own = Actions(actions.rewards, actions.propensities, actions.propensities)
    found = estimate(own, QUICK)
    assert found.ips == found.snips == found.logged
    assert found.effective == pytest.approx(500)
    assert found.dr is None


def test_units_are_drawn_together():
    rewards = np.repeat([0.0, 1.0], [50, 50])
    alone = Actions(rewards, np.full(100, 0.5), np.full(100, 0.5))
    units = np.repeat(np.arange(4), 25)
    together = Actions(rewards, np.full(100, 0.5), np.full(100, 0.5), units=units)
    narrow, wide = estimate(alone, QUICK).ips, estimate(together, QUICK).ips
    assert narrow.mean == wide.mean
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    ("propensities", "message"),
    [
        ([], "no action"),
        ([1.0, 1.0], r"every propensity is 1: .* \[exploration\] swap_share"),
        ([0.5, 0.0], "1 of 2 propensities are missing or no probability, such as 0"),
        ([0.5, np.nan], "1 of 2 propensities"),
        ([0.5, 1.5], "such as 1.5"),
    ],
)
def test_without_true_propensities_it_refuses(propensities, message):
    ones = np.ones(len(propensities))
    with pytest.raises(InputError, match=message):
        estimate(Actions(ones, np.array(propensities), ones), QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": [-1.0, 2.0]}, "accepted are probabilities"),
        ({"target": [np.nan, 1.0]}, "target holds what is no number"),
        ({"rewards": [np.inf, 1.0]}, "rewards holds what is no number"),
        ({"rewards": [1.0]}, "1 rewards of 2 propensities"),
        ({"propensities": [1e-320, 0.5]}, "cut weights by a clip"),
        ({"propensities": [1e-200, 0.5]}, "cut weights by a clip"),
    ],
)
def test_actions_that_give_no_number_are_refused(change, message):
    given = {"rewards": [1.0, 0.0], "propensities": [0.5, 0.5], "target": [1.0, 1.0], **change}
    actions = Actions(**{name: np.array(column) for name, column in given.items()})
    with pytest.raises(InputError, match=message):
        estimate(actions)


def test_weights_of_any_size_can_be_cut():
    actions = Actions(np.array([1.0, 0.0]), np.array([1e-320, 0.5]), np.array([1.0, 1.0]))
    assert estimate(actions, clip=10.0).ips.mean == (10 * 1 + 2 * 0) / 2
    with pytest.raises(InputError, match="a bound above 0"):
        estimate(actions, clip=0.0)
