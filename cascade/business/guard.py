"""The guard rail: how much relevance a policy may cost each listing, checked and enforced.

When a request is served nobody has graded its rows. What stands for a grade is a *surrogate gain*:
a calibrated head, else a monotone map of the last ranker's score.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cascade.business.bounds import bounded_order
from cascade.business.inputs import relevance_scores
from cascade.candidates import Candidates, Float32, Float64, Int64

TOP = 10
STEPS = 256  # strengths that are tried are multiples of 1 / STEPS


@dataclass(frozen=True)
class SurrogateGain:
    """Say what showing a row is worth, 0 or more, without a grade.

    A head counts as it is, and a row without one, or with one below 0, has no gain. Where no head
    is named, or no row of the listing has it, the gain follows from the last ranker's score,
    standardised in the listing: by linear interpolation between knots that were fitted on
    validation, or, without knots, as softplus, log(1 + exp(score)). Both never fall with the
    score, so that the order of relevance has the largest gain there is.

    Attributes:
        head: The column of a calibrated head such as `p_buy`; None uses the score.
        scores: The scores of the knots, ascending.
        gains: The gain at each knot, never falling, 0 or more.

    Raises:
        ValueError: If the knots are not such.
    """

    head: str | None = None
    scores: tuple[float, ...] = ()
    gains: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        x, y = np.array(self.scores), np.array(self.gains)
        sound = len(x) == len(y) and bool(np.isfinite(x).all() and np.isfinite(y).all())
        if not sound or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any() or (y < 0).any():
            raise ValueError(
                f"the knots of a surrogate gain are {self.scores} and {self.gains}; accepted are "
                "as many ascending scores as gains that never fall and are 0 or more, all finite"
            )

    def of(self, candidates: Candidates) -> Float64:
        """Return the gain of each row of the window of one or many listings, float64[n]."""
        column = None if self.head is None else candidates.columns.get(self.head)
        mapped = self._mapped(relevance_scores(candidates).astype(np.float64))
        if column is None:
            return mapped
        known = np.isfinite(column)
        headed = np.bincount(candidates.listing, known, len(candidates.queries)) > 0
        gains = np.where(known, np.maximum(column, 0.0), 0.0).astype(np.float64)
        return np.where(headed[candidates.listing], gains, mapped)

    def missing(self, window: Candidates) -> str:
        """Return the head that is named and that no row of a listing has, else ""."""
        if self.head is None:
            return ""
        column = window.columns.get(self.head)
        return self.head if column is None or not np.isfinite(column).any() else ""

    def _mapped(self, scores: Float64) -> Float64:
        if self.scores:
            return np.interp(scores, self.scores, self.gains)
        return np.logaddexp(0.0, scores)

    def definition(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return {"head": self.head, "scores": list(self.scores), "gains": list(self.gains)}


@dataclass(frozen=True, slots=True)
class Guarded:
    """Hold the order that a guard lets through.

    Attributes:
        order: int64[n], the present position of the row at each rank.
        utilities: float32[n], what the order was made from.
        strength: How much of the policy is in them: 1 all of it, 0 none.
        loss: The share of the surrogate DCG that the order costs, below 0 if it gains.
    """

    order: Int64
    utilities: Float32
    strength: float
    loss: float


@dataclass(frozen=True)
class Guard:
    """Bound the loss of each listing's surrogate DCG over its first ranks.

    DCG@k is the sum of gain / log2(1 + rank) over the first k ranks, and the loss is the share of
    it that an order costs, measured on the order of relevance. A listing without any gain loses
    nothing.

    Attributes:
        max_loss: The share that each listing may lose, 0 to 1.
        top: How many ranks k count.
        gain: What a row is worth.
    """

    max_loss: float
    top: int = TOP
    gain: SurrogateGain = field(default_factory=SurrogateGain)

    def enforced(
        self, window: Candidates, relevance: Float32, utilities: Float32, max_displacement: int
    ) -> Guarded:
        """Return the policy's order, or as much of it as the bound lets through.

        Utilities `s + t (u - s)` lie between relevance s and the policy's utilities u. If the
        policy's own order, t = 1, breaks the bound, a bisection over multiples of 1 / 256 looks
        for the largest t whose order keeps it. The order that came in, t = 0, always does.

        Args:
            window: The window of one listing, in the order of relevance.
            relevance: float32[n], the utilities of relevance alone.
            utilities: float32[n], the policy's, on the same scale.
            max_displacement: How many ranks a row may move.
        """
        gains = self.gain.of(window)
        allowed = (1.0 - self.max_loss) * self._dcg(gains)
        order = bounded_order(utilities, max_displacement)
        if self._dcg(gains[order]) >= allowed:
            return Guarded(order, utilities, 1.0, self.loss(gains, order))
        # Sorting by it must keep the order, whatever the policy calls relevance.
        base = np.minimum.accumulate(relevance).astype(np.float64)
        step = utilities.astype(np.float64) - base
        low, high = 0, STEPS
        best = Guarded(np.arange(len(gains)), base.astype(np.float32), 0.0, 0.0)
        while high - low > 1:
            middle = (low + high) // 2
            blended = (base + middle / STEPS * step).astype(np.float32)
            order = bounded_order(blended, max_displacement)
            if self._dcg(gains[order]) >= allowed:
                low = middle
                best = Guarded(order, blended, middle / STEPS, self.loss(gains, order))
            else:
                high = middle
        return best

    def loss(self, gains: Float64, order: Int64) -> float:
        """Return the share of the surrogate DCG that an order of one listing costs.

        Args:
            gains: float64[n], in the order of relevance.
            order: int64[n], the position of the row at each rank.
        """
        before = self._dcg(gains)
        return 1.0 - self._dcg(gains[order]) / before if before > 0 else 0.0

    def _dcg(self, gains: Float64) -> float:
        top = gains[: self.top]
        return float(top @ (1.0 / np.log2(np.arange(2, 2 + len(top)))))
