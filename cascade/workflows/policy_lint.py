"""What is wrong with the settings of a search, all at once, before anything is spent on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from cascade.business import build_business
from cascade.business.build import build_shape
from cascade.config import Config, schema_of
from cascade.config.evolution_settings import EvolutionSettings
from cascade.errors import ConfigError, InputError, nearest
from cascade.market import parse_page_measure
from cascade.market.counting import compiled
from cascade.training.evolution.anatomy import Names, anatomy
from cascade.training.evolution.constraints import parse_bound
from cascade.training.evolution.findings import Finding, refuse
from cascade.training.evolution.fitness import make_fitness
from cascade.training.evolution.hypervolume import hypervolume
from cascade.training.evolution.lint import lint, unknown
from cascade.training.evolution.optimisers import make_optimiser
from cascade.training.policy_onnx import policy_to_onnx
from cascade.workflows.market import market_of, objectives_of, without_policy
from cascade.workflows.market_columns import MarketColumns, readable, written
from cascade.workflows.policy_search import (
    findings_of,
    fitness_of,
    optimiser_settings,
    relevance_columns,
)
from cascade.workflows.progress import Progress, silent

Made = TypeVar("Made")


@dataclass(frozen=True)
class Linted:
    """Tell what is wrong with the settings of a search.

    Attributes:
        problems: What cannot be used at all, a line each.
        findings: What a search would make of the rest.
    """

    problems: tuple[str, ...]
    findings: tuple[Finding, ...]


def lint_config(config: Config, judgments: Path | None, progress: Progress = silent) -> Linted:
    """Return what is wrong with a configuration's search.

    Args:
        config: The settings.
        judgments: Requests to look at as well, where all settings can be used; None reads no data.
        progress: Told how far it is.
    """
    found = lint_settings(config)
    if judgments is None or found.problems:
        return found
    market = market_of(config, judgments, progress=progress)
    wanted = config.settings.evolution
    return Linted((), findings_of(wanted, market, fitness_of(wanted, market.objectives)))


def check_search(config: Config) -> None:
    """Refuse a search before its requests are ranked.

    Raises:
        ConfigError: With a line for everything that cannot be used.
        RefusedError: If lint refuses the fitness.
        OptionalDependencyError: If a package is missing that the search or what follows it needs.
        InputError: If what is compiled for the search can be kept nowhere.
    """
    found = lint_settings(config)
    if found.problems:
        raise ConfigError(str(config.path), found.problems)
    refuse(found.findings, config.settings.evolution.allow)
    compiled()
    hypervolume(np.ones((1, 2)), np.zeros(2))
    _, raw = without_policy(config)
    _, shape = build_shape(raw, schema_of(config))
    policy_to_onnx(shape, shape.start(0))


def lint_settings(config: Config) -> Linted:
    """Return what is wrong with a search, as far as no data is needed to see it.

    Raises:
        ConfigError: If there is no business layer.
        OptionalDependencyError: If the optimiser's package is missing.
    """
    wanted, source = config.settings.evolution, str(config.path)
    _, raw = without_policy(config)
    schema = schema_of(config)
    problems: list[str] = []
    shape = _tried(lambda: build_shape(raw, schema, source)[1], problems)
    business = _tried(lambda: build_business(raw, schema, source), problems)
    if shape is None or business is None:
        return Linted(tuple(dict.fromkeys(problems)), ())
    objectives = objectives_of(business)
    columns = _tried(lambda: MarketColumns.of(wanted, schema, objectives, source), problems)
    names = None if columns is None else columns.names
    _tried(
        lambda: make_optimiser(optimiser_settings(wanted), shape.start(0), wanted.seeds[0]),
        problems,
        "evolution",
    )
    problems += [
        f"evolution.preference.{name}: no objective; {nearest(name, shape.objectives)}"
        for name in wanted.preference
        if name not in shape.objectives
    ]
    problems += _bounds("evolution.acceptance", wanted.acceptance)
    fitness = _tried(lambda: fitness_of(wanted, objectives), problems)
    unread = _terms(wanted) + _bounds("evolution.bounds", wanted.bounds)
    if fitness is not None and not unread:
        _tried(lambda: make_fitness(fitness), problems, "evolution.fitness")
    problems += unread
    if names is not None:
        problems += _absent(wanted, names)
    if fitness is None or unread or names is None:
        return Linted(tuple(problems), ())
    return Linted(tuple(problems), lint(fitness, None, relevance_columns(wanted)))


def _terms(wanted: EvolutionSettings) -> list[str]:
    """Return a line for each measure of the fitness that cannot be read."""
    here = "evolution.fitness"
    paged = "objectives" in (wanted.fitness or {})
    problems: list[str] = []
    for text in written(wanted)[here]:
        _tried(partial(parse_page_measure if paged else anatomy, text), problems, here)
    return problems


def _bounds(here: str, bounds: Mapping[str, str]) -> list[str]:
    """Return a line for each bound, and for each measure of one, that cannot be read."""
    problems: list[str] = []
    for name, text in bounds.items():
        _tried(partial(parse_bound, name, text), problems, here)
        _tried(partial(anatomy, name), problems, here)
    return problems


def _absent(wanted: EvolutionSettings, names: Names) -> list[str]:
    """Return a line for each column and each grouping that is read and is not there."""
    return [
        f"{here}: {line}"
        for here, texts in written(wanted).items()
        for line in unknown(readable(texts), names)
    ]


def _tried(make: Callable[[], Made], problems: list[str], here: str = "") -> Made | None:
    """Return what is made, or None and a line for each reason why it cannot be."""
    try:
        return make()
    except ConfigError as error:
        problems += error.problems
    except InputError as error:
        problems.append(f"{here}: {error}" if here else str(error))
    return None
