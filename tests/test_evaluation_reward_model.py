"""The reward model: by hand, and that no reward predicts itself."""

import numpy as np
import pytest

from cascade.evaluation.reward_model import cross_fitted, fit_rewards


def test_rank_and_document_by_hand():
    ranks = np.array([1, 1, 2, 2])
    documents = np.array([0, 1, 0, 1])
    model = fit_rewards(ranks, documents, np.array([1.0, 0.0, 1.0, 0.0]), 2)
    assert model.by_rank.tolist() == [0.5, 0.5, 0.5]
    # Document 0 earned 2 where 1 was expected; 2 rewards are believed beside.
    assert model.by_document.tolist() == [4 / 3, 2 / 3]
    expected = model.expects(np.array([1, 2, 9]), np.array([0, -1, 1]))
    assert expected == pytest.approx([2 / 3, 0.5, 1 / 3])


def test_no_reward_predicts_itself():
    ranks, documents = np.ones(4, np.int64), np.arange(4)
    units = np.array([0, 1, 2, 3])
    rewards = np.array([1.0, 0.0, 1.0, 0.0])
    predicted, expected = cross_fitted(ranks, documents, rewards, documents[::-1], units)
    # Even searches are predicted by the odd ones, which earned nothing, and the other way round.
    assert predicted.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert expected[[0, 2]].tolist() == [0.0, 0.0]


def test_one_half_without_impressions_expects_nothing():
    one = np.array([1])
    predicted, _ = cross_fitted(one, np.array([0]), np.array([1.0]), np.array([-1]), np.array([0]))
    assert predicted.tolist() == [0.0]
