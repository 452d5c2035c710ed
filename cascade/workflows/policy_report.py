"""A policy beside what costs no search, at equal budget, on held-out requests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cascade.business.learned import PolicyBundle
from cascade.config import Config
from cascade.registry import Models
from cascade.training.evolution.baselines import (
    Baseline,
    fixed_blend,
    grid_blend,
    identity,
    lambdamart,
    preferred_blend,
    random_search,
)
from cascade.training.evolution.fitness import FitnessSettings
from cascade.training.evolution.goals import Preferred
from cascade.training.evolution.market_problem import MarketProblem
from cascade.training.evolution.samples import Sample, displaced, measured, undefined
from cascade.training.policy_onnx import TrainedPolicy
from cascade.workflows.evolve import (
    blended_inputs,
    opened_policy,
    orders_measured,
    told_measures,
    tried_on,
)
from cascade.workflows.market import Market, market_of
from cascade.workflows.market_columns import GAIN
from cascade.workflows.policy_search import fitness_of, problem_of
from cascade.workflows.policy_served import FAR, Served
from cascade.workflows.progress import Progress, silent


@dataclass(frozen=True)
class Compared:
    """Tell what one way to order comes to on held-out requests, its bounds not applied.

    Attributes:
        name: The way.
        goal: What the search raises; minus infinity where a bound is broken.
        measures: By market measure.
        moved: The share of rows that move by more than 10 ranks.
        orders: How many orders of requests were measured to find it.
        gradients: How many orders of requests gradients were taken of to fit it.
        chosen: What was chosen, in words.
    """

    name: str
    goal: float
    measures: Mapping[str, float]
    moved: float
    orders: int
    gradients: int
    chosen: str


@dataclass(frozen=True)
class PolicyReport:
    """Set a policy beside what costs no search, on held-out requests.

    Attributes:
        model: The bundle, as name/version.
        systems: The ways to order, the policy last.
        winner: The way with the best goal.
        points: The operating points as they are served.
        requests: How many held-out requests there are.
        undefined: How many of them each measure leaves out, having no value there.
        seconds: How long it took.
    """

    model: str
    systems: tuple[Compared, ...]
    winner: str
    points: tuple[Served, ...]
    requests: int
    undefined: Mapping[str, int]
    seconds: float


def report_policy(
    config: Config, judgments: Path, alias: Models, progress: Progress = silent
) -> PolicyReport:
    """Set a policy beside baselines of equal budget, on held-out requests.

    Args:
        config: The settings.
        judgments: The requests and their grades.
        alias: Which version: "candidate" or "live".
        progress: Told how far it is.

    Raises:
        NotFoundError: If there is no policy.
        InputError: If its manifest does not say how many orders its search measured.
    """
    begun = time.perf_counter()
    market = market_of(config, judgments, progress=progress)
    found = opened_policy(config, market, alias)
    wanted = config.settings.evolution
    fitness = fitness_of(wanted, market.objectives)
    problem = problem_of(wanted, market, fitness, wanted.seeds[0])
    test, texts = market.parts["test"], told_measures(config, market, fitness)
    policy = _evolved(found, problem, orders_measured(config, found.label))
    ways = [*_baselines(problem, blended_inputs(market), policy.orders, progress), policy]
    systems = tuple(_compared(way, problem, test, texts) for way in ways)
    return PolicyReport(
        model=found.label,
        systems=systems,
        winner=max(systems, key=lambda system: system.goal).name,
        points=_served(config, market, found, fitness),
        requests=test.requests,
        undefined=undefined(test, texts),
        seconds=time.perf_counter() - begun,
    )


def _baselines(
    problem: MarketProblem, columns: Sequence[str], budget: int, progress: Progress
) -> list[Baseline]:
    """Return what a policy is compared with; what is searched measures at most `budget` orders."""
    seed = problem.settings.seed
    ways = [identity(), fixed_blend(columns)]
    if isinstance(problem.fitness.goal, Preferred):
        ways.append(preferred_blend(problem, {name: name for name in columns}))
    progress("baselines", 1, 4)
    ways.append(grid_blend(problem, columns, budget))
    progress("baselines", 2, 4)
    ways.append(random_search(problem, budget, seed))
    progress("baselines", 3, 4)
    ways.append(lambdamart(problem, GAIN, columns, seed=seed))
    progress("baselines", 4, 4)
    return ways


def _evolved(found: PolicyBundle, problem: MarketProblem, orders: int) -> Baseline:
    """Return a policy as one of the ways to order."""
    weights = np.array(found.card.weights)[None, :]
    return Baseline(
        "evolution",
        lambda sample: problem.utilities(weights, sample)[:, 0],
        orders=orders,
        chosen=found.label,
    )


def _compared(
    way: Baseline, problem: MarketProblem, test: Sample, texts: Sequence[str]
) -> Compared:
    """Return what one way comes to on held-out requests."""
    scores = way.scores(test)
    values = measured(test, scores[:, None], texts)
    return Compared(
        name=way.name,
        goal=float(problem.promised(scores[:, None], test)[0]),
        measures={text: float(value[0]) for text, value in values.items()},
        moved=displaced(test, scores, FAR).far,
        orders=way.orders,
        gradients=way.gradients,
        chosen=way.chosen,
    )


def _served(
    config: Config, market: Market, found: PolicyBundle, fitness: FitnessSettings
) -> tuple[Served, ...]:
    """Return the operating points of a policy as they are served."""
    card = found.card
    draft = TrainedPolicy(
        shape=market.shape,
        weights=np.array(card.weights),
        inputs=market.inputs,
        objectives=market.objectives,
        bounds=card.bounds,
        gain=card.gain,
        points=card.points,
    )
    policy = found.policy(market.objectives, market.windows["test"].documents.schema)
    tried = tried_on(config, market, policy, draft, fitness)
    return tuple(tried.at(name, shares) for name, shares in card.points.items())
