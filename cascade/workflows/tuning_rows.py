"""The rows that trials learn from and are measured by: made once, kept on disk, memory-mapped."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Int64
from cascade.config import Config, judgments_columns, open_engine, schema_of, store_of
from cascade.config.wire import business_of, features_of
from cascade.errors import InputError
from cascade.features import Features
from cascade.judgments import Judgments, read_judgments
from cascade.protocols import Asked, Engine
from cascade.registry import text_digest
from cascade.registry.bundles import digest_of
from cascade.training.dataset import (
    BATCH_QUERIES,
    Ask,
    Sampling,
    grades_of,
    retrieved_dataset,
    svmlight_dataset,
)
from cascade.workflows.clock import clock_of
from cascade.workflows.draws import asked_at
from cascade.workflows.parallel import side_by_side
from cascade.workflows.progress import Progress
from cascade.workflows.split import divide_judgments
from cascade.workflows.train import sha256_of
from cascade.workflows.trial_rows import ABOUT, ARRAYS, IDEAL, TuningRows, ideal_of, read_rows

FEW_QUERIES = 400
LEAST_QUERIES = 5
# Grows when what the files hold changes, so that older ones are made anew.
FORM = 1

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Job:
    """Say which queries one process prepares, and where."""

    config: Config
    judgments: Path
    folder: Path
    part: str
    queries: tuple[str, ...]
    time: float


def tuning_rows(config: Config, path: Path, progress: Progress) -> TuningRows:
    """Return the rows of a configuration's trials, from disk where they are there already.

    Queries of the test part take no part in it.

    Args:
        config: The settings.
        path: The judgments.
        progress: Told how far it is.

    Raises:
        InputError: If the judgments leave too few queries.
    """
    svmlight = config.settings.judgments.format == "svmlight"
    plan = _plan_of_rows(config, path) if svmlight else _plan(config, path)
    key = digest_of(plan.depends)
    folder = config.resolve(config.settings.tuning.root) / "rows" / key[:16]
    if not (folder / ABOUT).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".rows-", dir=folder.parent))
        try:
            (_write_svmlight if svmlight else _retrieve)(config, path, plan, staged, progress)
            try:
                staged.replace(folder)
            except OSError:
                # Another run was quicker; its rows are the same.
                if not (folder / ABOUT).exists():
                    raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return read_rows(folder)


@dataclass(frozen=True)
class _Plan:
    """Say what is prepared.

    Attributes:
        train: The training queries.
        held: The validation queries.
        judgments: All judgments; None for rows of a file.
        depends: All that the rows depend on.
        time: The clock of the features.
    """

    train: tuple[str, ...]
    held: tuple[str, ...]
    judgments: Judgments | None
    depends: Mapping[str, Any]
    time: float = 0.0


def _plan(config: Config, path: Path) -> _Plan:
    settings, tuning = config.settings, config.settings.tuning
    judgments = read_judgments(path, judgments_columns(config))
    parts, _ = divide_judgments(judgments, settings.split)
    # By digest: a sample that depends on neither the file's order nor chance.
    order = {q: text_digest(text) for q, text in judgments.texts.items()}
    train, held = (
        tuple(sorted(queries, key=lambda q: (order[q], q))[:most])
        for queries, most in (
            (parts["train"], tuning.train_queries),
            (parts["validation"], tuning.queries),
        )
    )
    _refuse_few(len(train), len(held), path)
    schema = schema_of(config)
    generation = store_of(config).live()
    engine, catalogue = open_engine(config, schema, generation)
    engine.close()
    at = clock_of(config, catalogue)
    depends = {
        "form": FORM,
        "judgments": sha256_of(path),
        "columns": settings.judgments.model_dump(mode="json"),
        "engine": settings.engine.model_dump(mode="json"),
        "generation": generation.path.name,
        "created": generation.created,
        "time": at,
        "features": features_of(config, schema).fingerprint,
        "retrieval": settings.retrieval.model_dump(mode="json"),
        "business": settings.business,
        "split": settings.split.model_dump(mode="json"),
        "negatives": settings.training.negatives,
        "seed": settings.training.seed,
        "train": len(train),
        "held": len(held),
    }
    return _Plan(train, held, judgments, depends, at)


def _retrieve(config: Config, path: Path, plan: _Plan, folder: Path, progress: Progress) -> None:
    """Retrieve every query once and write its rows, in several processes where it is worth it."""
    shares = []
    for part, queries in (("train", plan.train), ("held", plan.held)):
        size = FEW_QUERIES if len(queries) > FEW_QUERIES else len(queries)
        for start in range(0, len(queries), size):
            name = f"{part}-{start:09d}"
            job = _Job(config, path, folder, name, queries[start : start + size], plan.time)
            shares.append(job)
    workers = min(config.settings.tuning.workers or 64, len(shares)) if len(shares) > 2 else 1
    for done, _ in enumerate(side_by_side(_prepare_share, shares, workers), 1):
        progress("prepare rows", done, len(shares))
    for part, queries in (("train", plan.train), ("held", plan.held)):
        _merge(folder, part, queries)
    assert plan.judgments is not None
    ideal = ideal_of([list(plan.judgments.grades[q].values()) for q in plan.held])
    np.save(folder / IDEAL, np.array([ideal.query, ideal.grade], dtype=np.float64))
    schema, data = schema_of(config), _data_of(plan)
    _write_about(folder, plan, features_of(config, schema).names, data)


def _prepare_share(job: _Job) -> int:
    """Write the rows of some queries; returns how many rows there are."""
    config = job.config
    judgments = read_judgments(job.judgments, judgments_columns(config)).only(job.queries)
    engine, catalogue = open_engine(config, schema_of(config))
    try:
        features = features_of(config, catalogue.schema)
        ask = asked_at(job.time, business_of(config, catalogue.schema))
        retrieving = _train_rows if job.part.startswith("train") else _held_rows
        arrays = retrieving(config, engine, features, judgments, ask)
    finally:
        engine.close()
    for name, values in arrays.items():
        np.save(job.folder / f"{job.part}.{name}.npy", values)
    return len(arrays["grades"])


def _train_rows(
    config: Config, engine: Engine, features: Features, judgments: Judgments, ask: Ask
) -> Arrays:
    """Return judged rows and a draw of the others, and how many there are in all."""
    settings = config.settings
    counts: list[Int64] = []

    def counted(found: Candidates) -> Candidates:
        counts.append(found.lengths)
        return found

    sampling = Sampling(
        size=settings.retrieval.size,
        negatives=settings.training.negatives,
        minimum_match=settings.retrieval.minimum_match,
        seed=settings.training.seed,
        pass_on=counted,
    )
    rows = retrieved_dataset(engine, features, judgments, sampling, ask)
    return {
        "matrix": rows.matrix,
        "grades": rows.grades,
        "lengths": np.diff(rows.offsets),
        "retrieved": np.concatenate(counts),
    }


def _held_rows(
    config: Config, engine: Engine, features: Features, judgments: Judgments, ask: Ask
) -> Arrays:
    """Return every retrieved row, in the order of retrieval."""
    retrieval = config.settings.retrieval
    asked = Asked(minimum_match=retrieval.minimum_match)
    matrices, grades, lengths = [], [], []
    for start in range(0, len(judgments.query_ids), BATCH_QUERIES):
        batch = judgments.query_ids[start : start + BATCH_QUERIES]
        queries = [ask(q, judgments.texts[q]) for q in batch]
        retrieved = engine.retrieve(queries, retrieval.size, asked).candidates
        found = features.prepared(retrieved)
        matrices.append(features.matrix(found))
        grades.append(grades_of(found, judgments))
        lengths.append(found.lengths)
    counted = np.concatenate(lengths)
    return {
        "matrix": np.concatenate(matrices),
        "grades": np.concatenate(grades),
        "lengths": counted,
        "retrieved": counted,
    }


def _merge(folder: Path, part: str, queries: Sequence[str]) -> None:
    """Make one file of each array of a part, in the order of the queries."""
    for name in ARRAYS:
        files = sorted(folder.glob(f"{part}-*.{name}.npy"))
        shares = [np.load(file, mmap_mode="r") for file in files]
        shape = (sum(len(share) for share in shares), *shares[0].shape[1:])
        whole = np.lib.format.open_memmap(
            folder / f"{part}.{name}.npy", mode="w+", dtype=shares[0].dtype, shape=shape
        )
        start = 0
        for share in shares:
            whole[start : start + len(share)] = share
            start += len(share)
        whole.flush()
        del whole, shares
        for file in files:
            file.unlink()


def _write_about(folder: Path, plan: _Plan, names: Sequence[str], data: Mapping[str, Any]) -> None:
    about = {
        "key": digest_of(plan.depends),
        "names": list(names),
        "train": list(plan.train),
        "held": list(plan.held),
        "data": data,
        "depends": plan.depends,
    }
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _data_of(plan: _Plan) -> dict[str, Any]:
    kept = ("judgments", "generation", "features")
    return {
        **{name: plan.depends[name] for name in kept if name in plan.depends},
        "train_queries": len(plan.train),
        "validation_queries": len(plan.held),
    }


def _plan_of_rows(config: Config, path: Path) -> _Plan:
    split, tuning = config.settings.split, config.settings.tuning
    depends = {
        "form": FORM,
        "judgments": sha256_of(path),
        "split": split.model_dump(mode="json"),
        "train": tuning.train_queries,
        "held": tuning.queries,
    }
    return _Plan((), (), None, depends)


def _write_svmlight(
    config: Config, path: Path, plan: _Plan, folder: Path, progress: Progress
) -> None:
    """Write the rows of an SVMlight file; the order of the file is that of retrieval."""
    progress("read", 0, None)
    split, tuning = config.settings.split, config.settings.tuning
    dataset = svmlight_dataset(path)
    count = len(dataset.query_ids)
    # The same division as for training.
    chosen = np.random.default_rng(split.seed).permutation(count)
    held_count = int(count * (split.validation / (1 - split.test)))
    masks = {}
    for part, at in (
        ("train", chosen[held_count:][: tuning.train_queries]),
        ("held", chosen[:held_count][: tuning.queries]),
    ):
        masks[part] = np.zeros(count, dtype=np.bool_)
        masks[part][at] = True
    parts = {part: dataset.select(mask) for part, mask in masks.items()}
    _refuse_few(len(parts["train"].query_ids), len(parts["held"].query_ids), path)
    for part, rows in parts.items():
        lengths = np.diff(rows.offsets)
        arrays = {"matrix": rows.matrix, "grades": rows.grades, "lengths": lengths}
        for name, values in {**arrays, "retrieved": lengths}.items():
            np.save(folder / f"{part}.{name}.npy", values)
    held = parts["held"]
    owner = np.repeat(np.arange(len(held.query_ids)), np.diff(held.offsets))
    np.save(folder / IDEAL, np.array([owner, held.grades], dtype=np.float64))
    whole = _Plan(parts["train"].query_ids, held.query_ids, None, plan.depends)
    _write_about(folder, whole, dataset.names, _data_of(whole))


def _refuse_few(train: int, held: int, path: Path) -> None:
    if train < LEAST_QUERIES or held < LEAST_QUERIES:
        raise InputError(
            f"{path} leaves {train} queries to fit on and {held} to measure by; at least "
            f"{LEAST_QUERIES} of each are needed. [split] says how they are divided"
        )
