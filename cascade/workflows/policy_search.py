"""The search for a business policy's weights, by the settings of `[evolution]`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cascade.business.learned import RELEVANCE
from cascade.business.objectives import BaseObjective
from cascade.config import Config
from cascade.config.evolution_settings import EvolutionSettings
from cascade.errors import InputError
from cascade.features.formula import parse_formula
from cascade.training.evolution.constraints import parse_bound
from cascade.training.evolution.findings import Finding, refuse, refused_first
from cascade.training.evolution.fitness import FitnessSettings, make_fitness
from cascade.training.evolution.lint import lint, lint_bounds, lint_inputs
from cascade.training.evolution.market_problem import (
    MarketProblem,
    MarketSettings,
    requests_drawn,
)
from cascade.training.evolution.optimisers import Optimiser, OptimiserSettings, make_optimiser
from cascade.training.evolution.search import (
    Problem,
    Searches,
    SearchSettings,
    SearchStep,
    search_seeds,
)
from cascade.workflows.alone import alone
from cascade.workflows.market import Market, market_of
from cascade.workflows.market_columns import GAIN
from cascade.workflows.policy_served import RELEVANCE_MEASURE
from cascade.workflows.progress import Progress, silent

# Settings that no search depends on: what is done with what it found, which seeds there are, how
# long each goes on, and on how many threads.
_BESIDE = (
    *("root", "points", "acceptance", "moved", "max_loss", "allow", "seeds"),
    *("generations", "threads"),
)


@dataclass(frozen=True)
class Searched:
    """Hold a market and the policies that were found in it.

    Attributes:
        market: The requests.
        fitness: What was raised.
        spread: What each seed found.
        orders: How many orders of requests all seeds measured, the budget of baselines.
        findings: What lint said.
    """

    market: Market
    fitness: FitnessSettings
    spread: Searches
    orders: int
    findings: tuple[Finding, ...]


def objective_measures(objectives: Sequence[BaseObjective]) -> dict[str, str]:
    """Return the page measure of each share of a preference where the settings name none."""
    means = {o.name: f"mean({o.name})@10" for o in objectives if o.name != RELEVANCE}
    return {RELEVANCE: RELEVANCE_MEASURE, **means}


def fitness_of(wanted: EvolutionSettings, objectives: Sequence[BaseObjective]) -> FitnessSettings:
    """Return the fitness that settings describe.

    Raises:
        InputError: If its `objectives` lack one that a preference has a share of.
    """
    usual = objective_measures(objectives)
    given: dict[str, Any] = wanted.fitness or {"objectives": usual}
    lacking = [name for name in usual if name not in given.get("objectives", usual)]
    if lacking:
        raise InputError(
            f"evolution.fitness.objectives: no measure for {', '.join(lacking)}, of which a "
            f"preference has a share; give one for each of {', '.join(usual)}"
        )
    return FitnessSettings(
        **given,
        bounds=wanted.bounds,
        scalarising=wanted.scalarising,
        form=wanted.form,
        margin=wanted.margin,
    )


def findings_of(
    wanted: EvolutionSettings, market: Market, fitness: FitnessSettings
) -> tuple[Finding, ...]:
    """Return what lint says of a fitness in a market, the refused first."""
    relevance = relevance_columns(wanted)
    promised = (*wanted.bounds.items(), *wanted.acceptance.items())
    bounds = [parse_bound(name, text) for name, text in dict.fromkeys(promised)]
    found = lint(fitness, market.parts["train"].listings, relevance)
    found += lint_bounds(market.parts, bounds, relevance)
    found += lint_inputs(market.parts["train"])
    return refused_first(found)


def relevance_columns(wanted: EvolutionSettings) -> frozenset[str]:
    """Return the columns that say what shoppers want: those that follow from the gain alone."""
    found = {GAIN}
    for name, text in wanted.columns.items():
        try:
            read = set(parse_formula(text).names)
        except ValueError as error:
            raise InputError(f"evolution.columns.{name}: {error}") from None
        if read <= found:
            found.add(name)
    return frozenset(found)


def search_policy(config: Config, judgments: Path, progress: Progress = silent) -> Searched:
    """Search the weights of a policy with every seed; a killed search goes on where it was.

    Args:
        config: The settings.
        judgments: The requests and their grades.
        progress: Told how far it is.

    Raises:
        RefusedError: If lint refuses the fitness.
        InputError: If a measure or what is accepted cannot be read, or a fitness is not finite.
    """
    wanted = config.settings.evolution
    market = market_of(config, judgments, progress=progress)
    fitness = fitness_of(wanted, market.objectives)
    findings = findings_of(wanted, market, fitness)
    refuse(findings, wanted.allow)

    def make(seed: int) -> tuple[Problem, Optimiser]:
        problem = problem_of(wanted, market, fitness, seed)
        return problem, make_optimiser(optimiser_settings(wanted), problem.start(), seed)

    def watch(seed: int, step: SearchStep) -> None:
        done = wanted.seeds.index(seed) * wanted.generations + step.generation
        progress(f"evolve, seed {seed}", done, len(wanted.seeds) * wanted.generations)

    settings = SearchSettings(wanted.generations, wanted.validate_every, wanted.patience)
    folder = config.resolve(wanted.root) / f"{config.settings.name}-search"
    setup = _setup(wanted, market, judgments)
    with alone(folder / setup[:16]):
        spread = search_seeds(make, wanted.seeds, settings, folder / setup[:16], setup, watch)
    orders = spread.children * requests_drawn(wanted.requests, market.parts["train"])
    return Searched(market, fitness, spread, orders, findings)


def problem_of(
    wanted: EvolutionSettings, market: Market, fitness: FitnessSettings, seed: int
) -> MarketProblem:
    """Return what a search with one seed raises."""
    return MarketProblem(
        market.parts["train"],
        market.parts["validation"],
        market.shape,
        make_fitness(fitness),
        MarketSettings(
            requests=wanted.requests,
            concentration=wanted.concentration,
            preference=wanted.preference,
            seed=seed,
            threads=wanted.threads or None,
        ),
    )


def optimiser_settings(wanted: EvolutionSettings) -> OptimiserSettings:
    """Return the optimiser that the settings ask for.

    Raises:
        InputError: If it does not read one of them.
    """
    return OptimiserSettings(
        name=wanted.optimiser,
        sigma=wanted.sigma,
        children=wanted.children,
        learning_rate=wanted.learning_rate,
    )


def _setup(wanted: EvolutionSettings, market: Market, judgments: Path) -> str:
    """Return a digest over all that a search depends on, 64 hexadecimal digits."""
    hashed = hashlib.sha256()
    plain: Mapping[str, Any] = {
        "settings": wanted.model_dump(mode="json", exclude=set(_BESIDE)),
        "inputs": market.inputs.fingerprint,
        "shape": [market.shape.inputs, market.shape.objectives, market.shape.hidden],
        "models": dict(market.models),
        "generation": market.generation,
    }
    hashed.update(json.dumps(plain, sort_keys=True).encode())
    hashed.update(judgments.read_bytes())
    for sample in market.parts.values():
        listings = sample.listings
        columns = (*listings.columns.values(), *listings.groups.values())
        for array in (listings.offsets, sample.scores, sample.inputs, *columns):
            hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()
