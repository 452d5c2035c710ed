"""Evaluating a configuration on judgments: every stage beside BM25 and a random order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from cascade.config import (
    Config,
    judgments_columns,
    measures_of,
    open_cascade,
    registry_of,
    store_of,
)
from cascade.errors import InputError
from cascade.evaluation import (
    About,
    Bootstrap,
    Report,
    Settings,
    by_frequency,
    by_length,
    evaluate,
    random_run,
)
from cascade.judgments import Judgments, read_judgments
from cascade.protocols import Run
from cascade.registry import Registry, text_digest
from cascade.workflows.progress import Progress, silent
from cascade.workflows.rows import evaluate_rows
from cascade.workflows.runs import BM25, Rankings, full_rankings, pool_rankings

RANDOM = "random"


class Protocol(StrEnum):
    """Say what is ranked: all that retrieval brings, or the judged documents alone."""

    FULL = "full"
    POOL = "pool"


def evaluate_config(
    config: Config,
    judgments: Path,
    *,
    protocol: Protocol = Protocol.FULL,
    seen_too: bool = False,
    progress: Progress = silent,
) -> Report:
    """Evaluate every stage of a configuration on a judgments file.

    Args:
        config: The settings.
        judgments: The file; its columns are named in the settings.
        protocol: What is ranked.
        seen_too: Whether queries that a model was trained on take part as well.
        progress: Told how far it is.

    Raises:
        InputError: If the judgments cannot be used, or hold no query that training left out.
    """
    start = time.perf_counter()
    if config.settings.judgments.format == "svmlight":
        return evaluate_rows(config, judgments, seen_too=seen_too)
    read = read_judgments(judgments, judgments_columns(config))
    registry = registry_of(config)
    held = read if seen_too else _held_out(config, registry, read, judgments)
    cascade = open_cascade(config)
    try:
        ranker = full_rankings if protocol is Protocol.FULL else pool_rankings
        time_ = store_of(config).get(cascade.documents.generation).created
        rankings = ranker(cascade, held, time_, progress)
        data: dict[str, Any] = {
            "judgments": judgments.name,
            "judged_queries": len(read.texts),
            "evaluated_queries": len(held.texts),
            "generation": cascade.documents.generation,
            "documents": len(cascade.documents),
            "models": cascade.models,
        }
    finally:
        cascade.engine.close()
    ranked_at = time.perf_counter()
    about = About(
        protocol=str(protocol),
        timings={"rank": ranked_at - start},
        data=data,
        config=_shown(config),
        notes=_notes(protocol, seen_too, read, held),
    )
    report = evaluate(
        _systems(rankings, config), held, measures_of(config), _settings(config, held), about
    )
    return replace(report, about=replace(about, seconds=time.perf_counter() - start))


def _held_out(config: Config, registry: Registry, read: Judgments, path: Path) -> Judgments:
    """Return the judgments of queries that no stage's model was trained on."""
    trained: set[str] = set()
    for stage in config.settings.stages:
        trained |= set(registry.load(config.settings.model_name(stage)).manifest.trained_queries)
    kept = [q for q, text in read.texts.items() if text_digest(text) not in trained]
    if not kept:
        raise InputError(
            f"every one of the {len(read.texts)} queries of {path} was trained on; "
            "--all-queries evaluates them all the same"
        )
    return read.only(kept)


def _systems(rankings: Rankings, config: Config) -> Mapping[str, Run]:
    runs = rankings.runs()
    shuffled = random_run(runs[BM25], config.settings.evaluation.seed)
    return {RANDOM: shuffled, BM25: runs[BM25], **runs}


def _settings(config: Config, judgments: Judgments) -> Settings:
    wanted, frequency = config.settings.evaluation, judgments.frequency
    return Settings(
        baseline=BM25,
        recall_at=tuple(wanted.recall),
        windows={stage.name: stage.window for stage in config.settings.stages},
        split=by_frequency(frequency) if frequency else by_length(judgments.texts),
        bootstrap=Bootstrap(resamples=wanted.resamples, seed=wanted.seed),
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
