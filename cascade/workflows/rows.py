"""Evaluating models on rows whose features a file gives: SVMlight, without an engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import (
    Candidates,
    Float32,
    Float64,
    Int32,
    Query,
    Ragged,
    TextStatistics,
)
from cascade.config import Config, measures_of, registry_of
from cascade.config.wire import model_references
from cascade.errors import InputError, QueryError
from cascade.evaluation import About, Bootstrap, Report, Settings, evaluate, random_run
from cascade.judgments import Judgments
from cascade.pipeline import Stage, run_stages
from cascade.protocols import NEVER, Run
from cascade.registry import Models
from cascade.schema import Schema
from cascade.training.dataset import Dataset, svmlight_dataset
from cascade.workflows.train import NO_SCHEMA, sha256_of

RANDOM, FINAL = "random", "final"


def evaluate_rows(
    config: Config, path: Path, *, seen_too: bool = False, models: Models = "candidate"
) -> Report:
    """Evaluate every stage of a configuration on an SVMlight file, beside a random order.

    Args:
        config: The settings.
        path: The file.
        seen_too: Whether a file that a model was trained on is taken.
        models: With "candidate", a stage that has a candidate model ranks by it.

    Raises:
        InputError: If a model was trained on this very file, unless `seen_too`.
    """
    start = time.perf_counter()
    settings = config.settings
    dataset = svmlight_dataset(path)
    registry = registry_of(config)
    stages, needed = [], set()
    for stage, reference in zip(settings.stages, model_references(config, models), strict=True):
        bundle = registry.load(reference)
        if not seen_too and bundle.manifest.data.get("sha256") == sha256_of(path):
            raise InputError(
                f"{bundle.label} was trained on {path}; give rows that training left out, or "
                "--all-queries to measure it on these all the same"
            )
        ranker = bundle.ranker(NO_SCHEMA)
        needed |= set(ranker.features.names)
        stages.append(Stage(stage.name, ranker, stage.window, model=bundle.label))
    listings = listings_of(dataset, sorted(needed))
    runs = {RANDOM: random_run(_run(listings), settings.evaluation.seed)}

    def seen(name: str, candidates: Candidates, _: object) -> None:
        runs[f"stage:{name}"] = _run(candidates)

    final, _ = run_stages(tuple(stages), listings, NEVER, seen)
    runs[FINAL] = _run(final)
    about = About(
        protocol="pool",
        data={"judgments": path.name, "models": {s.name: s.model for s in stages}},
        config={"name": settings.name, "stages": [s.name for s in stages]},
        notes=["Rows of an SVMlight file, without an engine: differences are to a random order."],
    )
    report = evaluate(
        runs,
        judgments_of(dataset),
        measures_of(config),
        Settings(
            baseline=RANDOM,
            recall_at=tuple(settings.evaluation.recall),
            windows={stage.name: stage.window for stage in stages},
            bootstrap=Bootstrap(settings.evaluation.resamples, seed=settings.evaluation.seed),
        ),
        about,
    )
    return replace(report, about=replace(about, seconds=time.perf_counter() - start))


def listings_of(dataset: Dataset, names: Sequence[str]) -> Candidates:
    """Return the rows of a dataset as candidates; a feature that the file lacks is 0."""
    count = len(dataset)
    columns = {
        name: np.ascontiguousarray(dataset.matrix[:, dataset.names.index(name)])
        if name in dataset.names
        else np.zeros(count, dtype=np.float32)
        for name in names
    }
    return Candidates(
        queries=tuple(Query(q, "") for q in dataset.query_ids),
        offsets=dataset.offsets,
        rows=np.arange(count, dtype=np.int32),
        scores=np.zeros(count, dtype=np.float32),
        documents=RowDocuments(count),
        columns=columns,
    )


def judgments_of(dataset: Dataset) -> Judgments:
    """Return the grades of a dataset, its rows named by number."""
    grades = {
        query_id: {str(row): float(dataset.grades[row]) for row in range(first, last)}
        for query_id, first, last in zip(
            dataset.query_ids,
            dataset.offsets[:-1].tolist(),
            dataset.offsets[1:].tolist(),
            strict=True,
        )
    }
    return Judgments({query_id: "" for query_id in grades}, grades)


def _run(candidates: Candidates) -> Run:
    ids = candidates.ids()
    bounds = zip(candidates.offsets[:-1].tolist(), candidates.offsets[1:].tolist(), strict=True)
    return Run(tuple(q.id for q in candidates.queries), tuple(tuple(ids[a:b]) for a, b in bounds))


class RowDocuments:
    """Name rows by their numbers; they have no fields.

    Args:
        count: How many there are.
    """

    schema: Schema = NO_SCHEMA
    generation: str = "rows"
    stale: tuple[str, ...] = ()
    behaviour: None = None
    vocabulary_size: int = 0

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def ids(self, rows: Int32) -> list[str]:
        """Return the rows' numbers as text."""
        return [str(row) for row in rows.tolist()]

    def rows(self, ids: Sequence[str]) -> Int32:
        """Return the rows that these numbers name, -1 for any other text."""
        return np.array(
            [int(i) if i.isdigit() and int(i) < self._count else -1 for i in ids], dtype=np.int32
        )

    def deleted(self, rows: Int32) -> NDArray[np.bool_]:
        """Return bool[n] of False: nothing is taken away."""
        return np.zeros(len(rows), dtype=np.bool_)

    def numbers(self, names: Sequence[str], rows: Int32) -> Float64:
        """Refuse: there are no fields."""
        raise _no_field(names)

    def keywords(self, name: str, rows: Int32) -> Ragged:
        """Refuse: there are no fields."""
        raise _no_field([name])

    def keyword_codes(self, name: str, values: Sequence[str]) -> Int32:
        """Refuse: there are no fields."""
        raise _no_field([name])

    def keyword_values(self, name: str, codes: Int32) -> list[str]:
        """Refuse: there are no fields."""
        raise _no_field([name])

    def keyword_terms(self, name: str, codes: Int32) -> Ragged:
        """Refuse: there are no fields."""
        raise _no_field([name])

    def tokens(self, name: str, rows: Int32) -> Ragged:
        """Refuse: there are no fields."""
        raise _no_field([name])

    def vectors(self, name: str, rows: Int32) -> Float32:
        """Refuse: there are no fields."""
        raise _no_field([name])

    def analyse(self, name: str, text: str) -> Int32:
        """Refuse: there are no fields."""
        raise _no_field([name])

    def statistics(self, name: str) -> TextStatistics:
        """Refuse: there are no fields."""
        raise _no_field([name])


def _no_field(names: Sequence[str]) -> QueryError:
    return QueryError(f"rows of an SVMlight file have no field {', '.join(names)}")
