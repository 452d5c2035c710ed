"""Training every stage of a configuration: rows, fits, export, parity gate, bundles."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.business import Business
from cascade.candidates import Query
from cascade.config import (
    Config,
    business_of,
    features_of,
    judgments_columns,
    open_engine,
    registry_of,
    schema_of,
    store_of,
)
from cascade.config.stage_settings import StageSettings
from cascade.config.wire import stage_features
from cascade.errors import ConfigError, InputError
from cascade.features import Features, build_features
from cascade.filters import both
from cascade.judgments import read_judgments
from cascade.rankers import OnnxRanker
from cascade.registry import CANDIDATE, LIVE, Bundle, Manifest, text_digest
from cascade.schema import Schema
from cascade.training.dataset import Dataset, Sampling, retrieved_dataset, svmlight_dataset
from cascade.training.fit import Fit, LinearOptions, TreeOptions, fit_linear, fit_trees
from cascade.training.library_trees import fit_lightgbm, fit_sklearn
from cascade.training.parity import ParityReport, check_parity, parity_rows
from cascade.workflows.drift import reference_files
from cascade.workflows.progress import Progress, silent, step
from cascade.workflows.split import divide

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
    """Hold what every stage is trained from."""

    schema: Schema
    features: Features
    train: Dataset
    validation: Dataset
    queries: Mapping[str, int]
    trained: Sequence[str]
    source: Mapping[str, Any]
    asked: Sequence[Query] = ()


def train_config(
    config: Config, judgments: Path, *, promote: bool = True, progress: Progress = silent
) -> TrainReport:
    """Train every stage of a configuration on a judgments file and write the bundles.

    The queries whose text falls into the test part take no part in it, and the bundle keeps the
    digests of those that do.

    Args:
        config: The settings.
        judgments: The file; its columns are named in the settings.
        promote: Whether a new bundle becomes the live one where there is none yet. Every new
            bundle is the candidate; one that is live stays until `cascade models promote`.
        progress: Told how far it is.

    Raises:
        InputError: If the judgments cannot be used.
        ParityError: If a model's scores differ between training and serving; it is not written.
    """
    start = time.perf_counter()
    _refuse_no_stage(config)
    svmlight = config.settings.judgments.format == "svmlight"
    prepared = (_from_svmlight if svmlight else _from_engine)(config, judgments, progress)
    report = train_prepared(config, prepared, promote=promote, progress=progress)
    return replace(report, seconds=time.perf_counter() - start)


def train_prepared(
    config: Config, prepared: Prepared, *, promote: bool = True, progress: Progress = silent
) -> TrainReport:
    """Train every stage of a configuration on rows that are there, and write the bundles.

    Args:
        config: The settings.
        prepared: The rows, wherever they come from.
        promote: As for `train_config`.
        progress: Told how far it is.

    Raises:
        ParityError: If a model's scores differ between training and serving; it is not written.
    """
    start = time.perf_counter()
    _refuse_no_stage(config)
    reports = []
    for number, stage in enumerate(config.settings.stages):
        progress(f"train {stage.name}", number, len(config.settings.stages))
        reports.append(_train_stage(config, stage, prepared, promote))
    progress("train", len(reports), len(reports))
    return TrainReport(
        queries=prepared.queries,
        rows={**prepared.train.counts, "train": len(prepared.train)},
        stages=tuple(reports),
        seconds=time.perf_counter() - start,
    )


def _refuse_no_stage(config: Config) -> None:
    if not config.settings.stages:
        raise ConfigError(str(config.path), ["stages: there is none, so there is nothing to train"])


def asked_at(time_: float, business: Business | None) -> Callable[[str, str], Query]:
    """Return what makes the query of a judgment as serving would retrieve it.

    Args:
        time_: The clock that features read, in seconds since 1970. Judgments have no time of
            their own, so it is the one at which the generation was built.
        business: What the rules of this layer ask of every document joins the query's filters.
    """

    def ask(query_id: str, text: str) -> Query:
        query = Query(query_id, text, time=time_)
        if business is None:
            return query
        return replace(query, filters=both(query.filters, business.retrieval_filter(query)))

    return ask


def column_features(names: Sequence[str]) -> Features:
    """Return features that read the columns of these names."""
    definitions = [{"kind": "column", "name": name, "column": name} for name in names]
    return build_features(definitions, NO_SCHEMA)


def _from_engine(config: Config, path: Path, progress: Progress) -> Prepared:
    settings = config.settings
    judgments = read_judgments(path, judgments_columns(config))
    parts = divide(judgments.texts, settings.split)
    _refuse_few(len(parts["train"]), path)
    schema = schema_of(config)
    engine, catalogue = open_engine(config, schema)
    try:
        features = features_of(config, catalogue.schema)
        for stage in settings.stages:
            stage_features(config, stage, features, catalogue.schema)
        sampling = Sampling(
            size=settings.retrieval.size,
            negatives=settings.training.negatives,
            minimum_match=settings.retrieval.minimum_match,
            seed=settings.training.seed,
        )
        used = [*parts["train"], *parts["validation"]]
        told = step(progress, "retrieve and compute features")
        time_ = store_of(config).live().created
        ask = asked_at(time_, business_of(config, catalogue.schema))
        judged = judgments.only(used)
        dataset = retrieved_dataset(engine, features, judged, sampling, ask, told)
    finally:
        engine.close()
    is_train = np.arange(len(used)) < len(parts["train"])
    return Prepared(
        schema=catalogue.schema,
        features=features,
        train=dataset.select(is_train),
        validation=dataset.select(~is_train),
        queries={name: len(ids) for name, ids in parts.items()},
        trained=sorted({text_digest(judgments.texts[q]) for q in used}),
        asked=[Query(q, judgments.texts[q], time=time_) for q in used],
        source={
            "judgments": path.name,
            "sha256": sha256_of(path),
            "engine": engine.kind,
            "generation": catalogue.generation,
            "time": time_,
            "skipped": judgments.skipped,
            "conflicts": judgments.conflicts,
        },
    )


def _from_svmlight(config: Config, path: Path, progress: Progress) -> Prepared:
    progress("read", 0, None)
    dataset = svmlight_dataset(path)
    split = config.settings.split
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
) -> StageReport:
    start = time.perf_counter()
    features = stage_features(config, stage, prepared.features, prepared.schema)
    train = prepared.train.columns(features.names)
    fit = _fit(config, stage, train, prepared.validation.columns(features.names))
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
    return StageReport(stage.name, bundle.label, len(features.names), parity, fit.summary, seconds)


def _fit(config: Config, stage: StageSettings, train: Dataset, validation: Dataset) -> Fit:
    training = config.settings.training
    if stage.ranker == "linear":
        options = stage.linear
        return fit_linear(train, LinearOptions(options.l2, options.iterations, training.seed))
    wanted = stage.trees.model_dump(exclude={"library"})
    trees = TreeOptions(**wanted, gain=training.gain, seed=training.seed)
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
