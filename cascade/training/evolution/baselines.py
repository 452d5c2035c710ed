"""Baselines at equal budget: what a search has to beat before it is worth its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cascade.business.scales import minmax
from cascade.candidates import Float32, Float64, Int64
from cascade.errors import InputError, OptionalDependencyError
from cascade.training.evolution.market_problem import MarketProblem
from cascade.training.evolution.samples import Sample, random_policies

HIGHEST_SHARE = 2.0
FIXED_SHARE = 0.2
LABEL_SHARES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
FINALISTS = 8
CHUNK = 64
_TREES = {
    "objective": "rank:ndcg",
    # Labels are no whole numbers.
    "ndcg_exp_gain": False,
    "max_depth": 4,
    "eta": 0.1,
    "nthread": 1,
    "verbosity": 0,
}


@dataclass(frozen=True)
class Baseline:
    """Hold one order to compare with.

    Attributes:
        name: As reports print it.
        scores: What it makes of a sample, float32[n], higher first.
        orders: How many orders of requests were measured to choose it: children x requests.
        gradients: How many orders of requests gradients were taken of to fit it, which is another
            budget: a gradient tells each weight where to go, a measured order is one number.
        chosen: What was chosen, in words.
    """

    name: str
    scores: Callable[[Sample], Float32]
    orders: int = 0
    gradients: int = 0
    chosen: str = ""


def identity() -> Baseline:
    """Return the order of relevance."""
    return Baseline("identity", lambda sample: sample.scores)


def fixed_blend(columns: Sequence[str], share: float = FIXED_SHARE) -> Baseline:
    """Return relevance plus the same share of each input, nothing chosen.

    Args:
        columns: The inputs that stand for the objectives.
        share: 1 makes the best value worth the way from the last to the first row.
    """
    weights = np.full((1, len(columns)), share)

    def scores(sample: Sample) -> Float32:
        return blend_scores(sample, columns, weights)[:, 0]

    return Baseline("fixed blend", scores, chosen=_said(columns, weights[0]))


def preferred_blend(problem: MarketProblem, columns: Mapping[str, str]) -> Baseline:
    """Return the blend whose shares are each request's preference, nothing chosen.

    Args:
        problem: Gives the preferences.
        columns: The input that stands for an objective, by the objective's name; one that has
            none stands for relevance.
    """

    def scores(sample: Sample) -> Float32:
        shares = problem.preferences(sample)[sample.listings.request]
        total = np.zeros(len(sample.scores))
        for number, name in enumerate(problem.objectives):
            column = sample.input(columns[name]) if name in columns else sample.scores
            total += shares[:, number] * _scaled(sample, column)
        return total.astype(np.float32)

    return Baseline("blend by preference", scores, chosen="the shares of each request")


def blend_grid(columns: int, most: int, highest: float = HIGHEST_SHARE) -> Float64:
    """Return every combination of some shares, float64[k, columns], k <= most.

    The shares of one input are the squares of an even grid, so they are dense near 0, where the
    bounds on relevance hold.

    Args:
        columns: How many inputs.
        most: How many combinations may be tried.
        highest: The largest share; the smallest is 0.
    """
    steps = 1
    while (steps + 1) ** columns <= most:
        steps += 1
    axis = highest * np.linspace(0.0, 1.0, steps) ** 2 if steps > 1 else np.zeros(1)
    return np.stack(np.meshgrid(*[axis] * columns, indexing="ij"), axis=-1).reshape(-1, columns)


def blend_scores(sample: Sample, columns: Sequence[str], shares: Float64) -> Float32:
    """Return `relevance + sum of share x input`, float32[n, k], each scaled 0..1 in its listing.

    Args:
        sample: The rows.
        columns: The inputs that are added.
        shares: float64[k, columns].
    """
    relevance = _scaled(sample, sample.scores)
    added = [_scaled(sample, sample.input(name)) for name in columns]
    blended = relevance[:, None] + np.stack(added, axis=1) @ shares.T
    return np.asarray(blended, dtype=np.float32)


def grid_blend(
    problem: MarketProblem,
    columns: Sequence[str],
    budget: int,
    highest: float = HIGHEST_SHARE,
) -> Baseline:
    """Return the best blend of a grid, chosen by the goal and the bounds of a problem.

    Args:
        problem: Gives requests and fitness; its preference is that of the settings.
        columns: The inputs that stand for the objectives.
        budget: How many orders may be measured, children x requests.
        highest: The largest share.
    """
    shares = blend_grid(len(columns), _tries(problem, budget), highest)

    def scores(sample: Sample, some: Int64) -> Float32:
        return blend_scores(sample, columns, shares[some])

    best = _best(problem, scores, len(shares))
    return Baseline(
        "grid of blends",
        lambda sample: scores(sample, np.array([best]))[:, 0],
        orders=len(shares) * problem.training.requests,
        chosen=_said(columns, shares[best]),
    )


def random_search(problem: MarketProblem, budget: int, seed: int = 0) -> Baseline:
    """Return the best of random policies of the same shape, the start among them.

    They are drawn as those are that a fitness has its units from, see `random_policies`.

    Args:
        problem: Gives requests, fitness and shape.
        budget: How many orders may be measured, children x requests.
        seed: Of the draws.
    """
    tries = _tries(problem, budget)
    weights = random_policies(problem.shape, problem.training, tries, [seed, 0x5EA])
    weights[0] = problem.start()

    def scores(sample: Sample, some: Int64) -> Float32:
        return problem.utilities(weights[some], sample)

    best = _best(problem, scores, tries)
    return Baseline(
        "random search",
        lambda sample: scores(sample, np.array([best]))[:, 0],
        orders=tries * problem.training.requests,
        chosen=f"policy {best} of {tries}",
    )


def lambdamart(
    problem: MarketProblem,
    gain: str,
    columns: Sequence[str],
    shares: Sequence[float] = LABEL_SHARES,
    rounds: int = 100,
    seed: int = 0,
) -> Baseline:
    """Return boosted trees by `rank:ndcg` on a label that blends gain and objectives.

    The label is `gain / highest gain + share x mean of the columns scaled 0..1`; a model is fitted
    for each share, and validation chooses. Trees see the inputs of the policy and its score. They
    are fitted by gradients, so their budget compares with that of no search.

    Args:
        problem: Gives requests and fitness.
        gain: The column that says what shoppers want.
        columns: The inputs that stand for the objectives.
        shares: Which labels are tried.
        rounds: How many trees each model has.
        seed: Of the fits.

    Raises:
        OptionalDependencyError: If the extra `train` is not installed.
        InputError: If no row has a gain.
    """
    training, held_out = problem.training, problem.validation
    labels = [blended_label(training, gain, columns, share) for share in shares]
    scores = _boosted(training, labels, rounds, seed)
    best = int(np.argmax(problem.judged(scores(held_out, np.arange(len(labels))), held_out)))
    return Baseline(
        "LambdaMART on a blended label",
        lambda asked: scores(asked, np.array([best]))[:, 0],
        gradients=len(labels) * rounds * training.requests,
        chosen=f"label with {shares[best]:g} x the mean of {', '.join(columns)}",
    )


def blended_label(sample: Sample, gain: str, columns: Sequence[str], share: float) -> Float32:
    """Return `gain / highest gain + share x mean of the scaled columns`, float32[n]."""
    gains = np.nan_to_num(sample.listings.column(gain)).astype(np.float64)
    highest = gains.max(initial=0.0)
    if not highest > 0:
        raise InputError(f"no row has a {gain!r} above 0; a label needs one")
    scaled = [_scaled(sample, sample.input(name)) for name in columns]
    added = np.mean(scaled, axis=0) if scaled else 0.0
    return np.asarray(gains / highest + share * added, dtype=np.float32)


def _scaled(sample: Sample, column: Float32) -> Float64:
    """Return a column from 0 to 1 within each listing, float64[n]."""
    offsets = sample.listings.offsets
    return minmax(column.astype(np.float64), offsets[:-1][sample.listings.lengths > 0])


def _tries(problem: MarketProblem, budget: int) -> int:
    return max(1, budget // problem.training.requests)


def _best(problem: MarketProblem, scores: Callable[[Sample, Int64], Float32], count: int) -> int:
    """Return which of several orders is best: the finalists of training, by validation."""
    on_training = np.concatenate(
        [
            problem.judged(scores(problem.training, some), problem.training)
            for some in np.split(np.arange(count), range(CHUNK, count, CHUNK))
        ]
    )
    finalists = np.argsort(-on_training, kind="stable")[:FINALISTS]
    held_out = problem.judged(scores(problem.validation, finalists), problem.validation)
    return int(finalists[np.argmax(held_out)])


def _boosted(
    training: Sample, labels: Sequence[Float32], rounds: int, seed: int
) -> Callable[[Sample, Int64], Float32]:
    """Return what gives the scores of trees, float32[n, k], fitted to the k labels asked for."""
    try:
        import xgboost
    except ImportError:
        raise OptionalDependencyError("xgboost", "train") from None
    matrix = xgboost.DMatrix(_with_score(training))
    matrix.set_group(training.listings.lengths)
    models = []
    for label in labels:
        matrix.set_label(label)
        models.append(xgboost.train({**_TREES, "seed": seed}, matrix, rounds))

    def scores(sample: Sample, some: Int64) -> Float32:
        rows = xgboost.DMatrix(_with_score(sample))
        return np.stack([models[i].predict(rows) for i in some], axis=1).astype(np.float32)

    return scores


def _with_score(sample: Sample) -> Float32:
    return np.concatenate([sample.inputs, sample.scores[:, None]], axis=1)


def _said(columns: Sequence[str], shares: Float64) -> str:
    return ", ".join(f"{share:.3g} x {name}" for name, share in zip(columns, shares, strict=True))
