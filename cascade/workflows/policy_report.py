"""A policy beside what costs no search, at equal budget, on held-out requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
from cascade.training.evolution.samples import displaced, measured
from cascade.training.policy_onnx import TrainedPolicy
from cascade.workflows.evolve import (
    blended_inputs,
    budget_of_search,
    opened_policy,
    told_measures,
    tried_on,
)
from cascade.workflows.market import GAIN, market_of
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
        chosen: What was chosen, in words.
    """

    name: str
    goal: float
    measures: Mapping[str, float]
    moved: float
    orders: int
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
        seconds: How long it took.
    """

    model: str
    systems: tuple[Compared, ...]
    winner: str
    points: tuple[Served, ...]
    requests: int
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
    """
    begun = time.perf_counter()
    market = market_of(config, judgments, progress=progress)
    found = opened_policy(config, market, alias)
    wanted = config.settings.evolution
    fitness = fitness_of(wanted, market.objectives)
    problem = problem_of(wanted, market, fitness, wanted.seeds[0])
    test = market.parts["test"]
    budget = budget_of_search(config, market)
    columns, texts = blended_inputs(market), told_measures(config, market, fitness)
    weights = np.array(found.card.weights)[None, :]
    ways: list[Baseline] = [identity(), fixed_blend(columns)]
    if fitness.objectives:
        ways.append(preferred_blend(problem, {name: name for name in columns}))
    progress("baselines", 1, 4)
    ways.append(grid_blend(problem, columns, budget))
    progress("baselines", 2, 4)
    ways.append(random_search(problem, budget, wanted.seeds[0]))
    progress("baselines", 3, 4)
    ways.append(lambdamart(problem, GAIN, columns, seed=wanted.seeds[0]))
    progress("baselines", 4, 4)
    ways.append(
        Baseline(
            "evolution",
            lambda sample: problem.utilities(weights, sample)[:, 0],
            budget,
            found.label,
        )
    )
    systems = []
    for way in ways:
        scores = way.scores(test)
        values = measured(test, scores[:, None], texts)
        systems.append(
            Compared(
                way.name,
                float(problem.promised(scores[:, None], test)[0]),
                {text: float(value[0]) for text, value in values.items()},
                displaced(test, scores, FAR).far,
                way.orders,
                way.chosen,
            )
        )
    policy = found.policy(market.objectives, market.windows["test"].documents.schema)
    draft = TrainedPolicy(
        shape=market.shape,
        weights=weights[0],
        inputs=market.inputs,
        objectives=market.objectives,
        bounds=found.card.bounds,
        gain=found.card.gain,
        points=found.card.points,
    )
    tried = tried_on(config, market, policy, draft, fitness)
    return PolicyReport(
        model=found.label,
        systems=tuple(systems),
        winner=max(systems, key=lambda system: system.goal).name,
        points=tuple(tried.at(name, shares) for name, shares in draft.points.items()),
        requests=test.requests,
        seconds=time.perf_counter() - begun,
    )
