"""A reward model for doubly robust estimates: what a rank draws, times how a document does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.candidates import Float64, Int64

# Rewards that a document is believed to have had beside its own: an unknown one does as expected.
PRIOR_REWARDS = 2.0


@dataclass(frozen=True, slots=True)
class RewardModel:
    """Expect of a document at a rank the mean reward of the rank times the document's factor.

    Attributes:
        by_rank: float64[r + 1], the mean reward at each rank; entry 0 is the mean of all.
        by_document: float64[d], rewards against what the ranks of its impressions draw, smoothed.
    """

    by_rank: Float64
    by_document: Float64

    def expects(self, ranks: Int64, documents: Int64) -> Float64:
        """Return float64[n]; a document below 0 is unknown and does as expected."""
        deep = np.where(ranks < len(self.by_rank), ranks, 0)
        known = np.where(documents >= 0, self.by_document[np.maximum(documents, 0)], 1.0)
        return np.asarray(self.by_rank[deep] * known, np.float64)


def fit_rewards(ranks: Int64, documents: Int64, rewards: Float64, count: int) -> RewardModel:
    """Return the model of n impressions.

    Args:
        ranks: int64[n], 1-based.
        documents: int64[n], from 0 to `count - 1`.
        rewards: float64[n].
        count: How many documents there are.
    """
    if not len(ranks):
        return RewardModel(np.zeros(1), np.ones(max(1, count)))
    shown = np.bincount(ranks)
    by_rank = np.bincount(ranks, weights=rewards) / np.maximum(shown, 1)
    by_rank[0] = rewards.mean()
    expected = np.bincount(documents, weights=by_rank[ranks], minlength=max(1, count))
    earned = np.bincount(documents, weights=rewards, minlength=max(1, count))
    return RewardModel(by_rank, (earned + PRIOR_REWARDS) / (expected + PRIOR_REWARDS))


def cross_fitted(
    ranks: Int64, documents: Int64, rewards: Float64, targets: Int64, units: Int64
) -> tuple[Float64, Float64]:
    """Return what is expected of n impressions and of n others at the same ranks.

    Each half of the units is predicted by a model of the other half, so that no reward predicts
    itself (Chernozhukov et al. 2018).

    Args:
        ranks: int64[n], 1-based.
        documents: int64[n], from 0.
        rewards: float64[n].
        targets: int64[n], what the other policy shows at these ranks, below 0 if nothing is known.
        units: int64[n], such as the search of each impression.
    """
    count = int(max(documents.max(initial=-1), targets.max(initial=-1))) + 1
    predicted, expected = np.empty(len(ranks)), np.empty(len(ranks))
    half = units % 2 == 0
    for fold in (half, ~half):
        model = fit_rewards(ranks[~fold], documents[~fold], rewards[~fold], count)
        predicted[fold] = model.expects(ranks[fold], documents[fold])
        expected[fold] = model.expects(ranks[fold], targets[fold])
    return predicted, expected
