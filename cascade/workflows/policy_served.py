"""A policy as serving applies it: with its bounds, listing by listing, measured by grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cascade.business import Business, Policy, RuleSet
from cascade.business.guard import Guard, SurrogateGain
from cascade.business.learned import Bounds
from cascade.candidates import Candidates, Float32, Float64
from cascade.training.evolution.constraints import Bound, broken, parse_bound
from cascade.training.evolution.samples import Sample, displaced, measured

FAR = 10
RELEVANCE_MEASURE = "nDCG@10"


@dataclass(frozen=True)
class Orders:
    """Hold the orders that serving gives.

    Attributes:
        scores: float32[n], higher first: minus the rank of each row in its listing.
        losses: float64[q], the share of surrogate gain that each listing loses.
        strengths: float64[q], how much of the policy the guard let through.
    """

    scores: Float32
    losses: Float64
    strengths: Float64


@dataclass(frozen=True)
class Served:
    """Hold what one preference comes to when it is served.

    Attributes:
        name: Of the operating point.
        preference: The share of each objective.
        measures: Market measures of the served order.
        base: The same of the order of relevance.
        surrogate_loss: The mean share of surrogate gain that a listing loses.
        graded_loss: The share of the mean nDCG@10 that is lost.
        held_back: The share of listings in which the guard let less than all through.
        moved: The share of rows that move by more than 10 ranks.
        broken: What acceptance does not accept, as it is written.
    """

    name: str
    preference: Mapping[str, float]
    measures: Mapping[str, float]
    base: Mapping[str, float]
    surrogate_loss: float
    graded_loss: float
    held_back: float
    moved: float
    broken: tuple[str, ...]


def serving(business: Business, policy: Policy, bounds: Bounds, gain: SurrogateGain) -> Business:
    """Return a business layer that applies a policy within its bounds, and no rules."""
    guard = None
    if bounds.max_loss is not None:
        guard = Guard(bounds.max_loss, bounds.guard_top, gain)
    return replace(
        business,
        policy=policy,
        window=bounds.window,
        max_displacement=bounds.max_displacement,
        rules=RuleSet(),
        guard=guard,
    )


def orders_of(business: Business, window: Candidates, preference: Mapping[str, float]) -> Orders:
    """Return the orders of one preference.

    Args:
        business: As `serving` returns it.
        window: The rows of many requests.
        preference: The share of each objective.
    """
    asked = replace(business, default_preference=dict(preference))
    count = len(window.queries)
    scores = np.empty(len(window), dtype=np.float32)
    losses, strengths = np.zeros(count), np.ones(count)
    for number in range(count):
        start, stop = (int(at) for at in window.offsets[number : number + 2])
        _, trace = asked.rerank(window.listings(number, number + 1))
        ranks = np.empty(stop - start, dtype=np.float32)
        ranks[trace.blended] = np.arange(stop - start)
        scores[start:stop] = -ranks
        losses[number], strengths[number] = trace.loss or 0.0, trace.strength
    return Orders(scores, losses, strengths)


@dataclass(frozen=True, eq=False)
class Tried:
    """Say on which rows operating points are tried, and what is accepted of them.

    Attributes:
        business: As `serving` returns it.
        window: The rows as serving holds them.
        sample: The same rows with their grades.
        texts: The market measures that are told.
        acceptance: What is accepted, by measure.
        moved: The share of rows that may move by more than 10 ranks.
    """

    business: Business
    window: Candidates
    sample: Sample
    texts: Sequence[str]
    acceptance: Mapping[str, str]
    moved: float = 1.0

    def at(self, name: str, preference: Mapping[str, float]) -> Served:
        """Return what the operating point of a preference comes to."""
        orders = orders_of(self.business, self.window, preference)
        bounds: list[Bound] = [parse_bound(m, text) for m, text in self.acceptance.items()]
        wanted = list(dict.fromkeys([RELEVANCE_MEASURE, *self.texts, *self.acceptance]))
        both = np.stack([orders.scores, self.sample.scores], axis=1)
        found = measured(self.sample, both, wanted)
        now, base = ({t: float(v[i]) for t, v in found.items()} for i in (0, 1))
        refused = broken(
            bounds, [now[b.measure] for b in bounds], [base[b.measure] for b in bounds]
        )
        lines = [f"{b}: {now[b.measure]:.4f}, base {base[b.measure]:.4f}" for b in refused]
        far = displaced(self.sample, orders.scores, FAR).far
        if far > self.moved:
            lines.append(
                f"share of rows moved by more than {FAR} ranks <= {self.moved:g}: {far:.3f}"
            )
        relevance = base[RELEVANCE_MEASURE]
        return Served(
            name=name,
            preference=dict(preference),
            measures=now,
            base=base,
            surrogate_loss=float(orders.losses.mean()),
            graded_loss=1.0 - now[RELEVANCE_MEASURE] / relevance if relevance else 0.0,
            held_back=float((orders.strengths < 1.0).mean()),
            moved=far,
            broken=tuple(lines),
        )
