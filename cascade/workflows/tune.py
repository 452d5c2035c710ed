"""Tuning: trials of other settings, each an immutable record, and the table that ranks them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cascade import __version__
from cascade.candidates import Float64
from cascade.config import Config
from cascade.errors import CascadeError, ChecksumError, InputError
from cascade.evaluation import Bootstrap, Interval
from cascade.registry.bundles import digest_of
from cascade.workflows.parallel import side_by_side
from cascade.workflows.progress import Progress, silent
from cascade.workflows.space import Overrides, Sampler, Space, overridden, space_of
from cascade.workflows.trial_rows import read_rows
from cascade.workflows.tuning_rows import tuning_rows
from cascade.workflows.tuning_trial import graded_measures, run_trial

# What decides neither what a trial does nor what it is measured by.
BESIDE = ("trials", "workers", "root", "keep", "space")
MOST_WORKERS = 64
PARTS = ("stages", "training", "features", "retrieval", "split", "judgments", "evaluation")


@dataclass(frozen=True)
class Ranked:
    """Hold a trial as the table shows it.

    Attributes:
        number: The trial's; 0 is the configuration as it is.
        overrides: What was changed, by key.
        measure: The leading measure with its interval; NaN for a trial that failed.
        delta: The paired difference to trial 0.
        seconds: How long it took on the clock.
        error: Why it failed, "" if it did not.
    """

    number: int
    overrides: Overrides
    measure: Interval
    delta: Interval
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class TuneReport:
    """Tell what a study came to.

    Attributes:
        study: Its name, a digest of what it depends on.
        folder: Where the records are.
        measure: The leading measure.
        queries: How many validation queries it was measured by.
        trials: The trials, the best first.
        made: How many were made in this run.
        mixed: Whether the records come from more than one state of the code.
        seconds: How long this run took.
        rows_seconds: How much of that the rows took.
    """

    study: str
    folder: Path
    measure: str
    queries: int
    trials: tuple[Ranked, ...]
    made: int
    mixed: bool
    seconds: float
    rows_seconds: float

    @property
    def best(self) -> Ranked:
        """The trial of the highest mean."""
        return self.trials[0]


@dataclass(frozen=True)
class _Job:
    """Describe a trial to the process that makes it."""

    config: Config
    rows: Path
    folder: Path
    number: int
    overrides: Overrides
    space: Space


def tune(config: Config, judgments: Path, *, progress: Progress = silent) -> TuneReport:
    """Try other settings on training queries and rank them by the validation queries.

    A trial that has a record is not made again, so a run that was killed goes on where it was.
    Queries of the test part take no part in it.

    Args:
        config: The settings; `[tuning]` says what is tried.
        judgments: The file; its columns are named in the settings.
        progress: Told how far it is.

    Raises:
        ConfigError: If the space holds what cannot be tuned.
        InputError: If the judgments cannot be used.
        ChecksumError: If a record was changed.
    """
    start = time.perf_counter()
    settings = config.settings
    if not settings.stages:
        raise InputError(f"{config.path} has no stages, so there is nothing to tune")
    measure = str(graded_measures(config)[0])
    space = space_of(config)
    rows = tuning_rows(config, judgments, progress)
    rows_seconds = time.perf_counter() - start
    study = _study(config, space, rows.key)
    folder = config.resolve(settings.tuning.root) / study
    folder.mkdir(parents=True, exist_ok=True)
    wanted = Sampler(space, settings.tuning.seed).overrides(settings.tuning.trials)
    missing = [
        _Job(config, rows.folder, folder, number, overrides, space)
        for number, overrides in enumerate(wanted)
        if not record_path(folder, number).exists()
    ]
    kept = len(wanted) - len(missing)
    progress("trials", kept, len(wanted))
    made = side_by_side(_make_trial, missing, settings.tuning.workers or MOST_WORKERS)
    for done, _ in enumerate(made, kept + 1):
        progress("trials", done, len(wanted))
    records = [read_record(record_path(folder, number)) for number in range(len(wanted))]
    return TuneReport(
        study=study,
        folder=folder,
        measure=measure,
        queries=len(rows.held.query_ids),
        trials=ranked(records, _bootstrap(config)),
        made=len(missing),
        mixed=len({record["code"]["sha256"] for record in records}) > 1,
        seconds=time.perf_counter() - start,
        rows_seconds=rows_seconds,
    )


def ranked(records: Sequence[Mapping[str, Any]], bootstrap: Bootstrap) -> tuple[Ranked, ...]:
    """Return trials by their mean, the best first; those that failed come last.

    Args:
        records: Of one study, that of trial 0 first.
        bootstrap: Gives the intervals.
    """
    per_query = [_values(record) for record in records]
    defined = [i for i, values in enumerate(per_query) if values is not None]
    width = max((len(v) for v in per_query if v is not None), default=0)
    matrix = np.full((width, len(records)), np.nan)
    for i in defined:
        matrix[:, i] = per_query[i]
    # The same draws of queries for every column: differences are paired.
    both = np.concatenate([matrix, matrix - matrix[:, :1]], axis=1)
    nothing = Interval(np.nan, np.nan, np.nan)
    intervals = bootstrap.intervals(both) if width else [nothing] * (2 * len(records))
    found = [
        Ranked(
            number=record["number"],
            overrides=record["overrides"],
            measure=intervals[i],
            delta=intervals[len(records) + i],
            seconds=record["seconds"],
            error=record["error"],
        )
        for i, record in enumerate(records)
    ]
    return tuple(sorted(found, key=lambda t: (-np.nan_to_num(t.measure.mean, nan=-1), t.number)))


def record_path(folder: Path, number: int) -> Path:
    """Return the file of a trial's record."""
    return folder / f"{number:04d}.json"


def read_record(path: Path) -> dict[str, Any]:
    """Return a record.

    Raises:
        ChecksumError: If it is not as it was written.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        promised = record.pop("sha256")
    except (ValueError, KeyError):
        promised, record = "", {}
    if digest_of(record) != promised:
        raise ChecksumError(
            f"{path} was changed since its trial wrote it; remove it, and the trial is made again"
        )
    return record


def write_record(path: Path, record: Mapping[str, Any]) -> bool:
    """Write a record that nothing overwrites; return whether it is this one that stands there."""
    whole = {**record, "sha256": digest_of(record)}
    handle, staged = tempfile.mkstemp(prefix=".record-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(whole, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(staged, 0o444)
        try:
            os.link(staged, path)
        except FileExistsError:
            return False
        return True
    finally:
        os.unlink(staged)


def _make_trial(job: _Job) -> int:
    """Make a trial and write its record."""
    start, cpu = time.perf_counter(), time.process_time()
    rows = read_rows(job.rows)
    config = overridden(job.config, job.overrides)
    values: dict[str, Float64] = {}
    stages: Mapping[str, Any] = {}
    error = ""
    try:
        outcome = run_trial(config, rows)
        values, stages = dict(outcome.values), outcome.stages
    except CascadeError as failure:
        error = str(failure)
    taken = {
        "seconds": round(time.perf_counter() - start, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
    }
    record = {
        "number": job.number,
        "study": job.folder.name,
        "overrides": dict(job.overrides),
        "space": dict(job.space),
        "settings": config.settings.model_dump(mode="json", by_alias=True),
        "code": code_version(),
        "data": {**rows.data, "rows": rows.key},
        "seed": config.settings.training.seed,
        "measures": _intervals(values, _bootstrap(config)),
        "stages": stages,
        "error": error,
        **taken,
        "finished": time.time(),
        "query_ids": list(rows.held.query_ids),
        "per_query": _rounded(next(iter(values.values()), None)),
    }
    write_record(record_path(job.folder, job.number), record)
    return job.number


def _study(config: Config, space: Space, rows: str) -> str:
    """Return the name of the study that a configuration's trials belong to."""
    settings = config.settings.model_dump(mode="json", by_alias=True)
    tuning = {key: value for key, value in settings["tuning"].items() if key not in BESIDE}
    base = {part: settings[part] for part in PARTS}
    digest = digest_of({"space": space, "rows": rows, "base": base, "tuning": tuning})
    return f"{config.settings.name}-{digest[:12]}"


def _bootstrap(config: Config) -> Bootstrap:
    return Bootstrap(config.settings.evaluation.resamples, seed=config.settings.evaluation.seed)


def _intervals(values: Mapping[str, Float64], bootstrap: Bootstrap) -> dict[str, Any]:
    if not values:
        return {}
    found = bootstrap.intervals(np.column_stack(list(values.values())))
    return {
        name: {"mean": _number(i.mean), "low": _number(i.low), "high": _number(i.high)}
        for name, i in zip(values, found, strict=True)
    }


def _number(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


def _rounded(values: Float64 | None) -> list[float | None]:
    return [] if values is None else [_number(v) for v in values.tolist()]


def _values(record: Mapping[str, Any]) -> Float64 | None:
    if record["error"]:
        return None
    return np.array([np.nan if v is None else v for v in record["per_query"]], dtype=np.float64)


@lru_cache(maxsize=1)
def code_version() -> dict[str, str]:
    """Return the release, and a digest of the source of this package."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return {"version": __version__, "sha256": digest.hexdigest()}
