"""Evolving a business policy: the search, its front, acceptance, and the bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cascade.business.guard import TOP
from cascade.business.learned import Bounds, LearnedPolicy, PolicyBundle, policy_graph
from cascade.business.shape import Shape
from cascade.candidates import Float64
from cascade.config import Config, registry_of
from cascade.errors import FingerprintError, InputError, RefusedError
from cascade.registry import Models, reference_of, text_digest
from cascade.training.evolution.findings import Finding
from cascade.training.evolution.fitness import FitnessSettings
from cascade.training.evolution.front import BALANCED
from cascade.training.evolution.lint import terms_of
from cascade.training.policy_onnx import (
    TrainedPolicy,
    policy_to_onnx,
    save_policy,
)
from cascade.training.surrogate import fit_surrogate
from cascade.workflows.market import Market, market_of
from cascade.workflows.market_columns import GAIN
from cascade.workflows.policy_base import PartBase, bases_of
from cascade.workflows.policy_front import Front, FrontAsked, Promises, front_of
from cascade.workflows.policy_lint import check_search
from cascade.workflows.policy_search import (
    Searched,
    fitness_of,
    objective_measures,
    search_policy,
)
from cascade.workflows.policy_served import Served, Tried, serving
from cascade.workflows.progress import Progress, silent
from cascade.workflows.split import Part


@dataclass(frozen=True)
class SeedReport:
    """Tell what one seed found: its validation at the start and at its best, and when."""

    seed: int
    start: float
    best: float
    generation: int


@dataclass(frozen=True)
class EvolveReport:
    """Tell what a search found and what became of it.

    Attributes:
        model: The bundle, as name/version.
        requests: How many requests each part has.
        base: What the order of relevance comes to on each part.
        seeds: What each seed found.
        deviation: The standard deviation of the seeds' best validations.
        front: On validation requests.
        points: The operating points as they are served on held-out requests.
        findings: What lint said.
        seconds: How long it took.
    """

    model: str
    requests: Mapping[Part, int]
    base: Mapping[Part, PartBase]
    seeds: tuple[SeedReport, ...]
    deviation: float
    front: Front
    points: tuple[Served, ...]
    findings: tuple[Finding, ...]
    seconds: float


def evolve(config: Config, judgments: Path, progress: Progress = silent) -> EvolveReport:
    """Search a policy, name its operating points, and write those that are accepted.

    The new bundle is the candidate of its name, and live where there is none yet. A point that
    breaks a bound of acceptance on held-out requests is not written.

    Args:
        config: The settings.
        judgments: The requests and their grades.
        progress: Told how far it is.

    Raises:
        ConfigError: If a setting cannot be used.
        RefusedError: If lint refuses the fitness, nothing better than the order of relevance is
            found, or no point is accepted; nothing is written.
    """
    begun = time.perf_counter()
    check_search(config)
    searched = search_policy(config, judgments, progress)
    market, best = searched.market, searched.spread.best
    if best.generation == 0:
        raise RefusedError(
            f"no seed of {len(searched.spread.found)} found weights that validation likes better "
            "than the order of relevance, so nothing is written; search longer "
            "(evolution.generations) or wider (evolution.sigma), ask for less in evolution.bounds, "
            "or give the policy inputs that tell rows apart (business.policy.inputs)"
        )
    front = front_on(config, market, best.weights, searched.fitness, searched.orders)
    draft = _draft(config, searched, front)
    served = _served(config, searched, draft)
    base = bases_of(config, market, told_measures(config, market, searched.fitness))
    label = _saved(config, searched, draft, served, base)
    return EvolveReport(
        model=label,
        requests={part: sample.requests for part, sample in market.parts.items()},
        base=base,
        seeds=tuple(
            SeedReport(f.seed, f.start, f.validation, f.generation) for f in searched.spread.found
        ),
        deviation=searched.spread.deviation,
        front=front,
        points=served,
        findings=searched.findings,
        seconds=time.perf_counter() - begun,
    )


def _draft(config: Config, searched: Searched, front: Front) -> TrainedPolicy:
    """Return the policy with every point that has a name.

    Raises:
        RefusedError: If none has.
    """
    market = searched.market
    points = points_of(config, front)
    if not points:
        raise RefusedError(
            f"none of {len(front.points)} preferences keeps evolution.acceptance on validation "
            f"requests, the margin of {config.settings.evolution.margin:g} included, so nothing "
            "is written; search longer, or accept more"
        )
    validation = market.parts["validation"]
    return TrainedPolicy(
        shape=market.shape,
        weights=searched.spread.best.weights,
        inputs=market.inputs,
        objectives=market.objectives,
        bounds=bounds_of(config, market),
        gain=fit_surrogate(validation.scores, validation.listings.column(GAIN)),
        points=points,
    )


def _served(config: Config, searched: Searched, draft: TrainedPolicy) -> tuple[Served, ...]:
    """Return what each point comes to on held-out requests as it would be served.

    Raises:
        RefusedError: If none is accepted.
    """
    tried = tried_on(config, searched.market, learned(draft), draft, searched.fitness)
    served = tuple(tried.at(name, shares) for name, shares in draft.points.items())
    if all(point.broken for point in served):
        told = "\n  ".join(f"{p.name}: {'; '.join(p.broken)}" for p in served)
        raise RefusedError(
            f"no operating point is accepted on {tried.sample.requests} held-out requests, so "
            f"nothing is written (see evolution.acceptance):\n  {told}"
        )
    return served


def policy_name(config: Config) -> str:
    """Return the name of the policy's bundle."""
    raw = config.settings.business or {}
    named = str(raw.get("model", f"{config.settings.name}-policy"))
    return named.partition("@")[0]


def opened_policy(config: Config, market: Market, alias: Models) -> PolicyBundle:
    """Return the bundle of a policy, checked against the configuration.

    With "candidate", the live one where there is no candidate.

    Raises:
        NotFoundError: If there is none.
        FingerprintError: If it was trained on other inputs or objectives.
    """
    registry = registry_of(config)
    (reference,) = registry.resolved([policy_name(config)], alias)
    bundle = registry.load(reference)
    found = PolicyBundle.of(bundle.label, bundle.model, bundle.files)
    policy = found.policy(market.objectives, market.windows["test"].documents.schema)
    trained = Shape(policy.inputs.names, policy.names, found.card.hidden)
    if trained != market.shape:
        raise FingerprintError(
            f"{found.label} is a policy of {trained}, the configuration asks for one of "
            f"{market.shape}; configure it as it was, or evolve it again"
        )
    return found


def front_of_policy(
    config: Config, judgments: Path, alias: Models, progress: Progress = silent
) -> tuple[str, Front]:
    """Return a policy's label and its front on validation requests."""
    market = market_of(config, judgments, progress=progress)
    found = opened_policy(config, market, alias)
    fitness = fitness_of(config.settings.evolution, market.objectives)
    orders = orders_measured(config, found.label)
    return found.label, front_on(config, market, np.array(found.card.weights), fitness, orders)


def orders_measured(config: Config, label: str) -> int:
    """Return how many orders of requests the search of a policy measured, by its manifest.

    Args:
        config: The settings.
        label: The bundle, as name/version.

    Raises:
        InputError: If the manifest does not say so.
    """
    training = registry_of(config).load(reference_of(label)).manifest.training
    if "orders" not in training:
        raise InputError(
            f"{label}: its manifest does not say how many orders its search measured, so nothing "
            "can have its budget; evolve it again"
        )
    return int(training["orders"])


def front_on(
    config: Config, market: Market, weights: Float64, fitness: FitnessSettings, orders: int
) -> Front:
    """Return the front of weights float64[d] on validation requests.

    Args:
        config: The settings.
        market: The requests.
        weights: Of the policy.
        fitness: What it raises.
        orders: How many orders of requests its search measured; the grid beside it has as many.
    """
    measures = dict(fitness.objectives) or objective_measures(market.objectives)
    wanted = config.settings.evolution
    asked = FrontAsked(
        sample=market.parts["validation"],
        measures={name: measures[name] for name in market.shape.objectives},
        steps=wanted.points,
        columns=blended_inputs(market),
        blends=max(2, orders // market.parts["train"].requests),
        promises=Promises(wanted.acceptance, wanted.margin),
    )
    return front_of(market.shape, weights, asked)


def blended_inputs(market: Market) -> list[str]:
    """Return the inputs that are objectives, for blends; else all that are no relevance."""
    names = {o.name for o in market.objectives}
    every = list(market.inputs.names)
    found = [name for name in every if name in names]
    return found or [n for n in every if n not in ("score", "rank_percentile")] or every


def points_of(config: Config, front: Front) -> dict[str, Mapping[str, float]]:
    """Return the operating points: those of the front, or the one preference of the settings."""
    wanted = config.settings.evolution
    if wanted.fitness is None or "objectives" in wanted.fitness:
        return front.named()
    even = dict.fromkeys(front.measures, 1.0 / len(front.measures))
    return {BALANCED: wanted.preference or even}


def bounds_of(config: Config, market: Market) -> Bounds:
    """Return the bounds within which a policy is served."""
    raw = config.settings.business or {}
    return Bounds(
        window=market.business.window,
        max_displacement=market.business.max_displacement,
        max_loss=raw.get("max_loss", config.settings.evolution.max_loss),
        guard_top=raw.get("guard_top", TOP),
    )


def learned(draft: TrainedPolicy) -> LearnedPolicy:
    """Return a policy as serving runs it."""
    model = policy_to_onnx(draft.shape, draft.weights)
    graph = policy_graph(model, draft.inputs)
    return LearnedPolicy("draft", draft.inputs, draft.shape.objectives, graph)


def tried_on(
    config: Config,
    market: Market,
    policy: LearnedPolicy,
    draft: TrainedPolicy,
    fitness: FitnessSettings,
) -> Tried:
    """Return what tries operating points on held-out requests."""
    wanted = config.settings.evolution
    head = (config.settings.business or {}).get("guard_gain")
    gain = draft.gain if head is None else replace(draft.gain, head=head)
    return Tried(
        serving(market.business, policy, draft.bounds, gain),
        market.windows["test"],
        market.parts["test"],
        told_measures(config, market, fitness),
        wanted.acceptance,
        wanted.moved,
    )


def told_measures(config: Config, market: Market, fitness: FitnessSettings) -> list[str]:
    """Return the market measures of reports: of fitness, bounds, acceptance and objectives."""
    wanted = config.settings.evolution
    every = [
        *("nDCG@10", "MRR", "nDCG@3"),
        *terms_of(fitness),
        *objective_measures(market.objectives).values(),
        *wanted.bounds,
        *wanted.acceptance,
    ]
    return list(dict.fromkeys(every))


def _saved(
    config: Config,
    searched: Searched,
    draft: TrainedPolicy,
    points: Sequence[Served],
    base: Mapping[Part, PartBase],
) -> str:
    """Write the policy with the points that are accepted, and return its label."""
    market, best = searched.market, searched.spread.best
    train = market.parts["train"]
    seen = [*market.texts["train"], *market.texts["validation"]]
    policy = replace(
        draft,
        points={p.name: p.preference for p in points if not p.broken},
        data={
            "requests": {part: sample.requests for part, sample in market.parts.items()},
            "rows": {part: len(sample.listings) for part, sample in market.parts.items()},
            "base": {part: asdict(at) for part, at in base.items()},
            "models": dict(market.models),
            "generation": market.generation,
        },
        training={
            "settings": config.settings.evolution.model_dump(mode="json"),
            "seed": best.seed,
            "generation": best.generation,
            "validation": best.validation,
            "start": best.start,
            "children": best.children,
            "orders": searched.orders,
        },
        measures={p.name: {"served": dict(p.measures), "base": dict(p.base)} for p in points},
        trained_queries=tuple(sorted({text_digest(text) for text in seen})),
    )
    bundle = save_policy(
        registry_of(config), policy_name(config), policy, train.scores, train.inputs
    )
    return bundle.label
