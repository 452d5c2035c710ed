"""Evaluating a configuration on judgments: every stage beside BM25 and a random order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from cascade.config import (
    Config,
    judgments_columns,
    measures_of,
    open_cascade,
    registry_of,
)
from cascade.config.wire import model_references
from cascade.errors import InputError
from cascade.evaluation import (
    About,
    Bootstrap,
    Loss,
    Report,
    Settings,
    by_frequency,
    by_length,
    evaluate,
    losses,
    random_run,
)
from cascade.judgments import Judgments, read_judgments
from cascade.pipeline import Cascade
from cascade.protocols import Measure, Run
from cascade.registry import Models, text_digest
from cascade.workflows.clock import clock_of
from cascade.workflows.document_columns import business_measures
from cascade.workflows.parts import Parts, Without, features_of_parts, without
from cascade.workflows.progress import Progress, silent
from cascade.workflows.rows import evaluate_rows
from cascade.workflows.runs import BM25, FINAL, Rankings, full_rankings, pool_rankings

RANDOM, LIVE = "random", "live"
WITHOUT = "without "


class Protocol(StrEnum):
    """Say what is ranked: all that retrieval brings, or the judged documents alone."""

    FULL = "full"
    POOL = "pool"


@dataclass(frozen=True)
class Rival:
    """Name another cascade whose final order the report compares with.

    Attributes:
        name: The name of its system in the report.
        config: Its settings; it may have another index, stages, features or rules.
        models: Which of its models rank.
    """

    name: str
    config: Config
    models: Models = "live"


@dataclass(frozen=True)
class Compared:
    """Say which models are evaluated, and against what.

    Attributes:
        models: With "candidate", a stage that has a candidate model ranks by it, else by the live
            one.
        against: The cascade that takes the place of BM25 as the baseline; None keeps BM25.
        ablate: The kinds of parts that are left out, one part at a time.
    """

    models: Models = "candidate"
    against: Rival | None = None
    ablate: tuple[Parts, ...] = ()


@dataclass(frozen=True)
class _Ranked:
    """Hold what ranking the queries gave."""

    cascade: Cascade
    runs: Mapping[str, Run]
    parts: Mapping[str, Without]
    measures: Sequence[Measure]
    data: Mapping[str, Any]
    timings: dict[str, float] = field(default_factory=dict)


def evaluate_config(
    config: Config,
    judgments: Path,
    *,
    protocol: Protocol = Protocol.FULL,
    seen_too: bool = False,
    compared: Compared | None = None,
    progress: Progress = silent,
) -> Report:
    """Evaluate every stage of a configuration on a judgments file.

    Args:
        config: The settings.
        judgments: The file; its columns are named in the settings.
        protocol: What is ranked.
        seen_too: Whether queries that a model was trained on take part as well.
        compared: Which models, against what, and which parts are left out; default: the candidate
            models against BM25.
        progress: Told how far it is.

    Raises:
        InputError: If the judgments cannot be used, or hold no query that training left out.
    """
    start = time.perf_counter()
    compared = compared or Compared()
    if config.settings.judgments.format == "svmlight":
        if compared.against or compared.ablate:
            raise InputError(
                "SVMlight rows are ranked by the stages alone: --against and --ablate need a "
                "judgments file of queries and documents"
            )
        return evaluate_rows(config, judgments, seen_too=seen_too, models=compared.models)
    read = read_judgments(judgments, judgments_columns(config))
    held = read if seen_too else _held_out(config, compared, read, judgments)
    with ExitStack() as opened:
        ranked = _ranked(config, held, protocol, compared, progress, opened)
        about = About(
            protocol=str(protocol),
            timings=ranked.timings,
            data={
                "judgments": judgments.name,
                "judged_queries": len(read.texts),
                "evaluated_queries": len(held.texts),
                **ranked.data,
            },
            config=_shown(config),
            notes=_notes(protocol, seen_too, read, held),
        )
        settings = _settings(config, held, compared)
        systems = {n: run for n, run in ranked.runs.items() if not n.startswith(WITHOUT)}
        report = evaluate(systems, held, ranked.measures, settings, about)
        if ranked.parts:
            report = replace(report, losses=_losses(ranked, held, settings.bootstrap))
    return replace(report, about=replace(about, seconds=time.perf_counter() - start))


def _ranked(
    config: Config,
    held: Judgments,
    protocol: Protocol,
    compared: Compared,
    progress: Progress,
    opened: ExitStack,
) -> _Ranked:
    ranker = full_rankings if protocol is Protocol.FULL else pool_rankings
    start = time.perf_counter()
    cascade = open_cascade(config, compared.models)
    opened.enter_context(closing(cascade.engine))
    measures = [*measures_of(config), *business_measures(config, cascade.documents)]
    parts = {
        name: part for kind in compared.ablate for name, part in without(cascade, kind).items()
    }
    variants = {WITHOUT + name: part.cascade for name, part in parts.items()}
    rankings = ranker(cascade, held, clock_of(config, cascade.documents), progress, variants)
    timings = {"rank": time.perf_counter() - start}
    data: dict[str, Any] = {
        "generation": cascade.documents.generation,
        "documents": len(cascade.documents),
        "models": cascade.models,
    }
    rivals: dict[str, Run] = {}
    if compared.against is not None:
        start = time.perf_counter()
        rival = compared.against
        other = open_cascade(rival.config, rival.models)
        opened.enter_context(closing(other.engine))
        theirs = ranker(other, held, clock_of(rival.config, other.documents), progress)
        rivals[rival.name] = theirs.runs()[FINAL]
        timings[rival.name] = time.perf_counter() - start
        data |= {f"models of {rival.name}": other.models}
    runs = _systems(rankings, rivals, config)
    return _Ranked(cascade, runs, parts, measures, data, timings)


def _held_out(config: Config, compared: Compared, read: Judgments, path: Path) -> Judgments:
    """Return the judgments of queries that no stage's model was trained on, on either side."""
    sides = [(config, compared.models)]
    if compared.against is not None:
        sides.append((compared.against.config, compared.against.models))
    trained: set[str] = set()
    for side, models in sides:
        registry = registry_of(side)
        for reference in model_references(side, models):
            trained |= set(registry.load(reference).manifest.trained_queries)
    kept = [q for q, text in read.texts.items() if text_digest(text) not in trained]
    if not kept:
        raise InputError(
            f"every one of the {len(read.texts)} queries of {path} was trained on; "
            "--all-queries evaluates them all the same"
        )
    return read.only(kept)


def _systems(rankings: Rankings, rivals: Mapping[str, Run], config: Config) -> dict[str, Run]:
    """Return the runs in the order of the report, the final order last."""
    runs = rankings.runs()
    final = runs.pop(FINAL)
    shuffled = random_run(runs[BM25], config.settings.evaluation.seed)
    return {RANDOM: shuffled, BM25: runs[BM25], **runs, **rivals, FINAL: final}


def _losses(ranked: _Ranked, judgments: Judgments, bootstrap: Bootstrap) -> tuple[Loss, ...]:
    found = {name: ranked.runs[WITHOUT + name] for name in ranked.parts}
    return losses(
        ranked.runs[FINAL],
        found,
        judgments,
        ranked.measures,
        bootstrap,
        features_of_parts(ranked.parts),
    )


def _settings(config: Config, judgments: Judgments, compared: Compared) -> Settings:
    wanted, frequency = config.settings.evaluation, judgments.frequency
    return Settings(
        baseline=BM25 if compared.against is None else compared.against.name,
        recall_at=tuple(wanted.recall),
        windows={stage.name: stage.window for stage in config.settings.stages},
        split=by_frequency(frequency) if frequency else by_length(judgments.texts),
        bootstrap=Bootstrap(resamples=wanted.resamples, seed=wanted.seed),
        listed=wanted.listed,
    )


def _notes(protocol: Protocol, seen_too: bool, read: Judgments, held: Judgments) -> list[str]:
    notes = [
        "Over full retrieval; a document without a grade counts as grade 0."
        if protocol is Protocol.FULL
        else "Over the judged documents alone; what the index does not have takes no part."
    ]
    left_out = len(read.texts) - len(held.texts)
    if seen_too:
        notes.append("Queries that the models were trained on take part.")
    elif left_out:
        notes.append(f"{left_out:,} queries that the models were trained on are left out.")
    return notes


def _shown(config: Config) -> dict[str, Any]:
    settings = config.settings
    return {
        "name": settings.name,
        "engine": settings.engine.kind,
        "size": settings.retrieval.size,
        "stages": [
            {"name": s.name, "ranker": s.ranker, "window": s.window} for s in settings.stages
        ],
    }
