"""One trial: every stage fitted on training rows, the cascade measured on validation queries."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64, Int64
from cascade.config import Config, features_of, measures_of, schema_of
from cascade.config.stage_settings import StageSettings
from cascade.config.wire import stage_features
from cascade.errors import InputError
from cascade.features import Features, stage_column
from cascade.measures import GradedMeasure
from cascade.registry.bundles import digest_of
from cascade.schema import Schema
from cascade.training.dataset import Dataset
from cascade.training.staged import Predict, blanked, handed
from cascade.workflows.train import NO_SCHEMA, column_features, fit_stage
from cascade.workflows.trial_rows import TuningRows

# One in so many training queries says when a fit stops, so that those it is measured by do not.
STOP_ONE_IN = 8
CHUNK_ROWS = 1 << 16


@dataclass(frozen=True)
class Outcome:
    """Hold what a trial came to.

    Attributes:
        values: float64[q] of each measure, the leading one first; NaN where undefined.
        stages: What the fit of each stage says of itself.
    """

    values: Mapping[str, Float64]
    stages: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Scored:
    """Hold what a fitted stage makes of the rows.

    Attributes:
        train: float32[n], each row scored by a model that did not see its query; NaN for rows
            that do not reach the stage.
        held: float32[m], the same of the validation rows.
        summary: What the fit says of itself.
    """

    train: Float32
    held: Float32
    summary: Mapping[str, Any]


def run_trial(config: Config, rows: TuningRows) -> Outcome:
    """Fit every stage of a configuration and measure the cascade on the validation queries.

    Raises:
        InputError: If nothing can be learned from the rows, or a measure needs more than grades.
    """
    settings = config.settings
    measures = graded_measures(config)
    features, schema = _features(config, rows)
    before: dict[str, Scored] = {}
    train_reached = np.ones(len(rows.train), dtype=np.bool_)
    stands = _stands_for(rows)
    ranks = retrieval_ranks(rows.held.offsets)
    used: list[dict[str, Any]] = []
    for number, stage in enumerate(settings.stages):
        if number:
            previous = before[settings.stages[number - 1].name].train
            train_reached &= _reach(rows.train, previous, stands, train_reached, stage.window)
        used.append(stage.model_dump(mode="json", exclude={"budget_ms", "model"}))
        if number == 0:
            # Its model does not depend on how many rows it is given, nor do its scores.
            used[0].pop("window")
        reached = Reached(train_reached, ranks < (stage.window if number else np.inf))
        fitting = Fitting(config, stage, stage_features(config, stage, features, schema), rows)
        last = number + 1 == len(settings.stages)
        key = digest_of({"stages": used, "training": settings.training.model_dump(), "last": last})
        scored = _kept(
            rows.folder / "stages" / f"{key[:24]}.npz",
            lambda fitting=fitting, reached=reached, last=last: fitting.scored(  # type: ignore[misc]
                before, reached, last
            ),
        )
        before[stage.name] = scored
        ranks = reranked(ranks, rows.held.offsets, scored.held, stage.window)
        used[number]["window"] = stage.window
    graded = rows.held.graded(ranks + 1)
    return Outcome(
        {str(measure): measure.of(graded) for measure in measures},
        {name: scored.summary for name, scored in before.items()},
    )


def graded_measures(config: Config) -> list[GradedMeasure]:
    """Return the measures of a configuration that follow from grades, the leading one first.

    Raises:
        InputError: If the leading one does not.
    """
    measures = measures_of(config)
    found = [m for m in measures if isinstance(m, GradedMeasure)]
    if not found or found[0] is not measures[0]:
        raise InputError(f"{measures[0]} cannot lead: trials are measured by grades, as nDCG@10 is")
    return found


def retrieval_ranks(offsets: Int64) -> Int64:
    """Return the 0-based rank of each row as it was retrieved, int64[n]."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def reranked(ranks: Int64, offsets: Int64, scores: Float32, window: int) -> Int64:
    """Return the ranks after a stage: it sorts the first `window` rows, and leaves the others.

    Args:
        ranks: int64[n], 0-based.
        offsets: int64[q + 1] of the listings.
        scores: float32[n]; read in the window only.
        window: How many rows of each listing are sorted.
    """
    head = np.flatnonzero(ranks < window)
    listing = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[head]
    order = np.lexsort((ranks[head], -scores[head], listing))
    sizes = np.minimum(np.diff(offsets), window)
    found = ranks.copy()
    found[head[order]] = retrieval_ranks(np.concatenate([[0], np.cumsum(sizes)]))
    return found


@dataclass(frozen=True)
class Reached:
    """Say which rows a stage is given: bool[n] of the training rows, bool[m] of validation."""

    train: NDArray[np.bool_]
    held: NDArray[np.bool_]


@dataclass(frozen=True)
class Fitting:
    """Fit one stage on prepared rows and score them.

    Attributes:
        config: The settings of the trial.
        stage: Those of the stage.
        features: What it reads; scores of earlier stages among them.
        rows: The rows.
    """

    config: Config
    stage: StageSettings
    features: Features
    rows: TuningRows

    def scored(self, before: Mapping[str, Scored], reached: Reached, last: bool) -> Scored:
        """Return the scores of the rows that reach the stage.

        Args:
            before: What the stages before made of them.
            reached: Which rows do.
            last: Whether no stage follows, so that nobody asks for the scores of training rows.
        """
        rows, names = self.rows, self.features.names
        read = _reader(rows.train.names, rows.train.matrix, names)
        extra = {stage_column(name): scored.train for name, scored in before.items()}
        at = np.flatnonzero(reached.train)
        dataset = _only(rows.train, reached.train, names, read(at, extra))
        stop = np.array([_stops(q) for q in dataset.query_ids], dtype=np.bool_)
        fitted, held_out = dataset.select(~stop), dataset.select(stop)
        seed = self.config.settings.training.seed
        fit = fit_stage(self.config, self.stage, blanked(fitted, seed), held_out)
        train = np.full(len(rows.train), np.nan, dtype=np.float32)
        if not last:

            def again(part: Dataset) -> Predict:
                return fit_stage(self.config, self.stage, blanked(part, seed), held_out).predict

            stage = self.stage
            model = handed(stage.name, stage.window, self.features, fitted, fit.predict, again)
            lengths = np.diff(dataset.offsets)
            train[at] = model.scores(dataset.matrix, dataset.query_ids, lengths)
        held = np.full(len(rows.held.grades), np.nan, dtype=np.float32)
        extra = {stage_column(name): scored.held for name, scored in before.items()}
        read = _reader(rows.train.names, rows.held.matrix, names)
        to_score = np.flatnonzero(reached.held)
        for start in range(0, len(to_score), CHUNK_ROWS):
            part = to_score[start : start + CHUNK_ROWS]
            held[part] = fit.predict(read(part, extra))
        return Scored(train, held, {**fit.summary})


def _features(config: Config, rows: TuningRows) -> tuple[Features, Schema]:
    if config.settings.judgments.format == "svmlight":
        return column_features(rows.train.names), NO_SCHEMA
    schema = schema_of(config)
    return features_of(config, schema), schema


def _stands_for(rows: TuningRows) -> Float32:
    """Return how many retrieved rows each training row stands for, float32[n].

    A judged row stands for itself, an unjudged one that was drawn for its part of all of them.
    Which is which is not kept: rows of grade 0 share what their listing has beyond its rows.
    """
    train = rows.train
    lengths = np.diff(train.offsets)
    listing = np.repeat(np.arange(len(lengths)), lengths)
    zero = train.grades == 0
    zeros = np.bincount(listing[zero], minlength=len(lengths))
    missing = rows.retrieved - lengths
    each = 1.0 + missing / np.maximum(zeros, 1)
    return np.where(zero, each[listing], 1.0).astype(np.float32)


def _reach(
    train: Dataset, scores: Float32, stands: Float32, reached: NDArray[np.bool_], window: int
) -> NDArray[np.bool_]:
    """Return which training rows a stage leaves in the next one's window, bool[n].

    A row's rank in the whole listing is what the rows above it stand for.
    """
    lengths = np.diff(train.offsets)
    listing = np.repeat(np.arange(len(lengths)), lengths)
    at = np.flatnonzero(reached)
    order = at[np.lexsort((-scores[at], listing[at]))]
    above = np.cumsum(stands[order], dtype=np.float64) - stands[order]
    first = np.searchsorted(listing[order], listing[order], side="left")
    found = np.zeros(len(train), dtype=np.bool_)
    found[order] = above - above[first] < window
    return found


def _only(
    train: Dataset, mask: NDArray[np.bool_], names: Sequence[str], matrix: Float32
) -> Dataset:
    """Return the training rows of a mask with these columns."""
    lengths = np.diff(train.offsets)
    listing = np.repeat(np.arange(len(lengths)), lengths)
    kept = np.bincount(listing[mask], minlength=len(lengths))
    return Dataset(
        names=tuple(names),
        matrix=matrix,
        grades=train.grades[mask],
        offsets=np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
        query_ids=train.query_ids,
        counts={},
    )


def _reader(
    known: Sequence[str], matrix: Float32, names: Sequence[str]
) -> Callable[[Int64, Mapping[str, Float32]], Float32]:
    """Return what gives the columns of some rows, float32[m, f], scores of earlier stages too."""

    def read(at: Int64, extra: Mapping[str, Float32]) -> Float32:
        found = np.empty((len(at), len(names)), dtype=np.float32)
        columns = [(i, known.index(n)) for i, n in enumerate(names) if n not in extra]
        rows = matrix[at]
        found[:, [i for i, _ in columns]] = rows[:, [j for _, j in columns]]
        for i, name in enumerate(names):
            if name in extra:
                found[:, i] = extra[name][at]
        return found

    return read


def _stops(query_id: str) -> bool:
    digest = xxhash.xxh64_intdigest(f"stop:{query_id}".encode("utf-8", "replace"))
    return digest % STOP_ONE_IN == 0


def _kept(path: Path, make: Callable[[], Scored]) -> Scored:
    """Return the scores of a stage from disk, made first where they are not there."""
    try:
        with np.load(path) as file:
            summary = file["summary"].item()
            return Scored(file["train"], file["held"], json.loads(summary))
    except (OSError, ValueError, KeyError):
        made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.stem}-{os.getpid()}.npz")
    np.savez(staged, train=made.train, held=made.held, summary=json.dumps(made.summary))
    staged.replace(path)
    return made
