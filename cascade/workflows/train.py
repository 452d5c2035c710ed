"""Training every stage of a configuration: rows, fits, export, parity gate, bundles."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.candidates import Query
from cascade.config import (
    Config,
    judgments_columns,
    registry_of,
)
from cascade.config.stage_settings import StageSettings
from cascade.config.wire import stage_features
from cascade.errors import ConfigError, InputError
from cascade.features import Features, build_features
from cascade.judgments import read_judgments
from cascade.rankers import OnnxRanker
from cascade.registry import CANDIDATE, LIVE, Bundle, Manifest, text_digest
from cascade.schema import Schema
from cascade.training.dataset import Dataset, svmlight_dataset
from cascade.training.fit import Fit, LinearOptions, TreeOptions, fit_linear, fit_trees
from cascade.training.library_trees import fit_lightgbm, fit_sklearn
from cascade.training.parity import ParityReport, check_parity, parity_rows
from cascade.training.staged import Handed, Predict, blanked, handed, with_scores
from cascade.workflows.distil import Teacher
from cascade.workflows.draws import Draw, drawing_of
from cascade.workflows.drift import reference_files
from cascade.workflows.progress import Progress, silent
from cascade.workflows.split import divide_judgments

NO_SCHEMA = Schema(id="id", fields=())
LEAST_QUERIES = 5


@dataclass(frozen=True)
class StageReport:
    """Tell how one stage was trained."""

    stage: str
    model: str
    features: int
    parity: ParityReport
    summary: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class TrainReport:
    """Tell how a configuration was trained.

    Attributes:
        queries: How many queries each part has.
        rows: How the rows came about.
        stages: The stages, in order.
        seconds: How long it took.
    """

    queries: Mapping[str, int]
    rows: Mapping[str, int]
    stages: tuple[StageReport, ...]
    seconds: float


@dataclass(frozen=True)
class Prepared:
    """Hold what every stage is trained from.

    Attributes:
        schema: Of the documents.
        features: All of them.
        train: The rows that the first stage is fitted on.
        validation: Those that say when to stop.
        queries: How many queries each part has.
        trained: Digests of the query texts.
        source: Where the rows come from, for manifests.
        asked: The training queries.
        drawn: Draws rows anew from what fitted stages pass on to the next window; None where
            rows cannot be retrieved again.
    """

    schema: Schema
    features: Features
    train: Dataset
    validation: Dataset
    queries: Mapping[str, int]
    trained: Sequence[str]
    source: Mapping[str, Any]
    asked: Sequence[Query] = ()
    drawn: Draw | None = None


def train_config(
    config: Config,
    judgments: Path,
    *,
    promote: bool = True,
    distil_from: str | None = None,
    progress: Progress = silent,
) -> TrainReport:
    """Train every stage of a configuration on a judgments file and write the bundles.

    The queries whose text falls into the test part take no part in it, and the bundle keeps the
    digests of those that do.

    Args:
        config: The settings.
        judgments: The file; its columns are named in the settings.
        promote: Whether a new bundle becomes the live one where there is none yet. Every new
            bundle is the candidate; one that is live stays until `cascade models promote`.
        distil_from: The stage or bundle whose scores teach the stages before it.
        progress: Told how far it is.

    Raises:
        InputError: If the judgments cannot be used.
        ParityError: If a model's scores differ between training and serving; it is not written.
    """
    start = time.perf_counter()
    _refuse_no_stage(config)
    svmlight = config.settings.judgments.format == "svmlight"
    prepared = (_from_svmlight if svmlight else _from_engine)(config, judgments, progress)
    report = train_prepared(
        config, prepared, promote=promote, distil_from=distil_from, progress=progress
    )
    return replace(report, seconds=time.perf_counter() - start)


def train_prepared(
    config: Config,
    prepared: Prepared,
    *,
    promote: bool = True,
    distil_from: str | None = None,
    progress: Progress = silent,
) -> TrainReport:
    """Train every stage of a configuration on rows that are there, and write the bundles.

    Args:
        config: The settings.
        prepared: The rows, wherever they come from.
        promote: As for `train_config`.
        distil_from: As for `train_config`.
        progress: Told how far it is.

    Raises:
        ParityError: If a model's scores differ between training and serving; it is not written.
    """
    start = time.perf_counter()
    _refuse_no_stage(config)
    stages, reports = config.settings.stages, []
    before: list[Handed] = []
    rows = prepared
    teacher = None if distil_from is None else Teacher(config, distil_from)
    if teacher is not None:
        # What it learnt reaches its pupils, and by their scores the stages after them.
        seen = {*rows.trained, *teacher.bundle.manifest.trained_queries}
        rows = replace(rows, trained=sorted(seen))
    for number, stage in enumerate(stages):
        progress(f"train {stage.name}", number, len(stages))
        if teacher is not None and stage.name in teacher.pupils:
            pupil = _pupil(rows, teacher)
        else:
            pupil = rows
        report, fit = _train_stage(config, stage, pupil, promote)
        reports.append(report)
        if number + 1 < len(stages):
            before.append(_handed(config, stage, pupil, fit))
            rows = _passed_on(config, rows, before, stages[number + 1].window, progress)
    progress("train", len(reports), len(reports))
    return TrainReport(
        queries=prepared.queries,
        rows={**prepared.train.counts, "train": len(prepared.train)},
        stages=tuple(reports),
        seconds=time.perf_counter() - start,
    )


def _pupil(rows: Prepared, teacher: Teacher) -> Prepared:
    """Return the rows that a stage is fitted on whose grades a teacher has a say in."""
    graded = teacher.taught(rows.train, rows.features, rows.schema)
    source = {**rows.source, "distilled_from": teacher.bundle.label}
    return replace(rows, train=graded, source=source)


def _handed(config: Config, stage: StageSettings, rows: Prepared, fit: Fit) -> Handed:
    """Return a fitted stage as later stages meet it, its scores of training rows out of fold."""
    features = stage_features(config, stage, rows.features, rows.schema)
    train, validation = (d.columns(features.names) for d in (rows.train, rows.validation))
    train = blanked(train, config.settings.training.seed)

    def again(part: Dataset) -> Predict:
        return fit_stage(config, stage, part, validation).predict

    return handed(stage.name, stage.window, features, train, fit.predict, again)


def _passed_on(
    config: Config, rows: Prepared, before: Sequence[Handed], window: int, progress: Progress
) -> Prepared:
    """Return the rows that the next stage learns from."""
    if rows.drawn is not None and config.settings.training.heads == "listing":
        train, validation = rows.drawn(before, window, progress)
    else:
        train, validation = (
            with_scores(d, before[-1], window) for d in (rows.train, rows.validation)
        )
    return replace(rows, train=train, validation=validation)


def _refuse_no_stage(config: Config) -> None:
    if not config.settings.stages:
        raise ConfigError(str(config.path), ["stages: there is none, so there is nothing to train"])


def column_features(names: Sequence[str]) -> Features:
    """Return features that read the columns of these names."""
    definitions = [{"kind": "column", "name": name, "column": name} for name in names]
    return build_features(definitions, NO_SCHEMA)


def _from_engine(config: Config, path: Path, progress: Progress) -> Prepared:
    settings = config.settings
    judgments = read_judgments(path, judgments_columns(config))
    parts, dropped = divide_judgments(judgments, settings.split)
    _refuse_few(len(parts["train"]), path)
    used = [*parts["train"], *parts["validation"]]
    drawing = drawing_of(config, judgments.only(used), len(parts["train"]))
    train, validation = drawing.rows((), settings.stages[0].window, progress)
    left_out = {"dropped": len(dropped)} if dropped else {}
    return Prepared(
        schema=drawing.schema,
        features=drawing.features,
        train=train,
        validation=validation,
        queries={**{name: len(ids) for name, ids in parts.items()}, **left_out},
        # What was dropped is neither trained nor tested on.
        trained=sorted({text_digest(judgments.texts[q]) for q in [*used, *dropped]}),
        asked=[Query(q, judgments.texts[q], time=drawing.time) for q in used],
        source={
            "judgments": path.name,
            "sha256": sha256_of(path),
            "engine": settings.engine.kind,
            "generation": drawing.generation.name,
            "time": drawing.time,
            "skipped": judgments.skipped,
            "conflicts": judgments.conflicts,
            "split": settings.split.model_dump(),
        },
        drawn=drawing.rows,
    )


def _from_svmlight(config: Config, path: Path, progress: Progress) -> Prepared:
    progress("read", 0, None)
    dataset = svmlight_dataset(path)
    split = config.settings.split
    if split.by != "query":
        raise InputError(
            f'split.by = "{split.by}": SVMlight rows name neither documents nor times; give "query"'
        )
    held = split.validation / (1 - split.test)
    count = len(dataset.query_ids)
    rng = np.random.default_rng(split.seed)
    is_train = np.ones(count, dtype=bool)
    is_train[rng.permutation(count)[: int(count * held)]] = False
    _refuse_few(int(is_train.sum()), path)
    return Prepared(
        schema=NO_SCHEMA,
        features=column_features(dataset.names),
        train=dataset.select(is_train),
        validation=dataset.select(~is_train),
        queries={"train": int(is_train.sum()), "validation": int((~is_train).sum()), "test": 0},
        trained=(),
        source={"judgments": path.name, "sha256": sha256_of(path)},
    )


def _refuse_few(queries: int, path: Path) -> None:
    if queries < LEAST_QUERIES:
        raise InputError(
            f"{path} leaves {queries} queries to train on; at least {LEAST_QUERIES} are needed. "
            "[split] says how many are held out"
        )


def _train_stage(
    config: Config, stage: StageSettings, prepared: Prepared, promote: bool
) -> tuple[StageReport, Fit]:
    start = time.perf_counter()
    features = stage_features(config, stage, prepared.features, prepared.schema)
    seed = config.settings.training.seed
    train = blanked(prepared.train.columns(features.names), seed)
    fit = fit_stage(config, stage, train, prepared.validation.columns(features.names))
    parity = _parity(config, stage.name, fit, features, train)
    reference = config.settings.model_name(stage)
    name = reference.partition("@")[0]
    bound = [str(d["name"]) for d in features.definitions() if d["name"] in features.engine_bound]

    def describe(version: int, sha256: str) -> Manifest:
        return Manifest(
            name=name,
            version=version,
            kind=stage.ranker,
            features=features.definitions(),
            fingerprint=features.fingerprint,
            model_sha256=sha256,
            data={**prepared.source, "queries": dict(prepared.queries), "rows": len(train)},
            training={
                "settings": getattr(stage, stage.ranker).model_dump(),
                "sampling": config.settings.training.model_dump(),
                **fit.summary,
            },
            parity=asdict(parity),
            trained_queries=list(prepared.trained),
            engine_bound=bound,
            created=time.time(),
        )

    registry = registry_of(config)
    files = reference_files(config, stage, OnnxRanker(fit.onnx, features), train, prepared.asked)
    bundle: Bundle = registry.save(fit.onnx, describe, name, files)
    registry.point(name, CANDIDATE, bundle.manifest.version)
    if promote and LIVE not in registry.aliases(name):
        registry.point(name, LIVE, bundle.manifest.version)
    seconds = time.perf_counter() - start
    count = len(features.names)
    return StageReport(stage.name, bundle.label, count, parity, fit.summary, seconds), fit


def fit_stage(config: Config, stage: StageSettings, train: Dataset, validation: Dataset) -> Fit:
    """Return a stage fitted as its settings say; some rankers stop early on validation rows."""
    training = config.settings.training
    if stage.ranker == "linear":
        options = stage.linear
        return fit_linear(
            train,
            LinearOptions(**options.model_dump(), seed=training.seed, memory_mb=training.memory_mb),
        )
    wanted = stage.trees.model_dump(exclude={"library"})
    trees = TreeOptions(
        **wanted, gain=training.gain, seed=training.seed, memory_mb=training.memory_mb
    )
    if stage.trees.library == "lightgbm":
        return fit_lightgbm(train, validation, trees)
    if stage.trees.library == "scikit-learn":
        return fit_sklearn(train.followed_by(validation), trees)
    return fit_trees(train, validation, trees)


def _parity(
    config: Config, name: str, fit: Fit, features: Features, train: Dataset
) -> ParityReport:
    """Compare training's scores with those of the graph and of the ranker that would serve it."""
    probe = parity_rows(train.matrix, seed=config.settings.training.seed, splits=fit.splits)
    ranker = OnnxRanker(fit.onnx, features)
    # The graph is scored in one batch, the served ranker listing by listing as requests come.
    offsets = probe.offsets
    served = [
        ranker.score_matrix(probe.matrix[offsets[i] : offsets[i + 1]]).order
        for i in range(len(offsets) - 1)
    ]
    return check_parity(
        probe,
        native=fit.predict(probe.matrix),
        onnx=ranker.score_matrix(probe.matrix).order,
        served=np.concatenate(served),
        name=name,
    )


def sha256_of(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
