"""Imports: log files into the columns of a log, each content once, whole or not at all.

An import writes `searches/<name>.parquet`, `events/<name>.parquet` and, for lines that cannot be
used, `quarantine/<name>.parquet`; `imports/<name>.json`, written last, says that it is whole.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from cascade.errors import InputError, RefusedError
from cascade.events.lines import blocks, digest
from cascade.events.parsed import Reader
from cascade.events.pseudonyms import DAY_S, Pseudonyms
from cascade.events.rules import Kept, Rules, apply_rules
from cascade.events.staging import Staging, Tally
from cascade.events.tables import JOIN_PREFIX, SPILL, connect

TABLES = ("searches", "events", "quarantine")
IMPORTS = "imports"
_PREFIX = "import-"


@dataclass(frozen=True)
class Source:
    """Name one file of an import.

    Attributes:
        name: The file's name, without its folder.
        sha256: Of its content, unpacked.
        lines: How many lines it has that are not empty.
    """

    name: str
    sha256: str
    lines: int


@dataclass(frozen=True)
class Import:
    """Say what one import read, left out and kept.

    Attributes:
        name: Names its files.
        time: When it was made, in seconds since 1970.
        sources: The files.
        known: The names of files that an earlier import has read, which are left out.
        lines: How many lines were read.
        read: How many searches, and how many events of each action, were read.
        others: How many lines of other actions or kinds were left out.
        quarantined: How many lines cannot be used, by reason.
        dropped: How many rows each rule left out.
        robots: How many sessions the rules against robots found.
        kept: How many searches and events are in the log.
        refusing: How many rows came without consent, and are kept without session and visitor.
        rules: The rules.
        seconds: How long it took.
    """

    name: str
    time: float
    sources: tuple[Source, ...] = ()
    known: tuple[str, ...] = ()
    lines: int = 0
    read: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    robots: int = 0
    kept: Mapping[str, int] = field(default_factory=dict)
    refusing: int = 0
    rules: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class ImportTask:
    """Say how files become a log.

    Attributes:
        reader: Makes the reader of each file.
        pseudonyms: Name sessions and visitors.
        rules: What is left out.
        memory_mb: What the rules may keep in memory before they spill to disk.
        progress: Told how many lines of a file are read.
    """

    reader: Callable[[], Reader]
    pseudonyms: Pseudonyms
    rules: Rules = field(default_factory=Rules)
    memory_mb: int = 1_024
    progress: Callable[[str, int], None] | None = None


def import_files(root: Path, files: Sequence[Path], task: ImportTask) -> Import:
    """Import files together into the log at `root`; what was imported before is left out.

    Robots are looked for in all files together, so give a shop's searches and events at once.

    Raises:
        InputError: If a file cannot be read, or no line of one can be used; nothing is imported.
        RefusedError: If another process changes the log.
        OptionalDependencyError: If DuckDB or pyarrow is not installed.
    """
    start, now = time.perf_counter(), time.time()
    with changing(root):
        sweep(root)
        found = {digest(path): path for path in files}
        before = {source.sha256 for done in imports(root) for source in done.sources}
        fresh = {sha: path for sha, path in found.items() if sha not in before}
        known = tuple(path.name for sha, path in found.items() if sha in before)
        name = _PREFIX + sha256("".join(sorted(fresh)).encode()).hexdigest()[:16]
        if not fresh:
            return Import(name, now, known=known, seconds=time.perf_counter() - start)
        staged = root / f".staged-{os.getpid()}"
        try:
            sources, tally = _stage(staged, fresh, task, now)
            kept = _decide(root, staged, task, tally)
            done = Import(
                name=name,
                time=now,
                sources=sources,
                known=known,
                lines=tally.lines,
                read={"search": tally.searches, **tally.events},
                others=dict(tally.others.most_common()),
                quarantined=dict(tally.refused.most_common()),
                dropped=kept.dropped,
                robots=kept.robots,
                kept={"searches": kept.searches, "events": kept.events},
                refusing=tally.refusing,
                rules=asdict(task.rules),
                seconds=time.perf_counter() - start,
            )
            _publish(root, staged, done)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return done


def imports(root: Path) -> list[Import]:
    """Return what was imported, the oldest first."""
    found = []
    for path in (root / IMPORTS).glob("*.json"):
        content = orjson.loads(path.read_bytes())
        content["sources"] = tuple(Source(**source) for source in content["sources"])
        content["known"] = tuple(content["known"])
        found.append(Import(**content))
    return sorted(found, key=lambda done: (done.time, done.name))


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """Hold the log, so that one process at a time changes it.

    Raises:
        RefusedError: If another one does.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"another process changes the log {root}; try again when it is done"
            ) from None
        yield


def sweep(root: Path) -> None:
    """Remove what changes left that were cut off, and what readers left a day ago."""
    whole = {path.stem for path in (root / IMPORTS).glob("*.json")}
    for table in TABLES:
        for path in (root / table).glob(f"{_PREFIX}*.parquet"):
            if path.stem not in whole:
                path.unlink()
        for path in (root / table).glob(".*.parquet.staged"):
            path.unlink()
    for folder in root.glob(".staged-*"):
        shutil.rmtree(folder, ignore_errors=True)
    # Who reads the log does not hold it, so what they spilled goes when nobody can need it.
    for prefix in (SPILL, JOIN_PREFIX):
        for folder in root.glob(f"{prefix}*"):
            if time.time() - folder.stat().st_mtime > DAY_S:
                shutil.rmtree(folder, ignore_errors=True)


def _stage(
    folder: Path, files: Mapping[str, Path], task: ImportTask, now: float
) -> tuple[tuple[Source, ...], Tally]:
    read = folder / "read"
    read.mkdir(parents=True)
    (folder / "kept").mkdir()
    sources = []
    with Staging(read, task.pseudonyms, task.rules.agents, now) as staging:
        for sha, path in files.items():
            before, refused = staging.tally.lines, staging.tally.refused.total()
            reader = task.reader()
            staging.example = ""
            for block in blocks(path):
                staging.add(block, reader(block))
                if task.progress is not None:
                    task.progress(path.name, staging.tally.lines - before)
            lines = staging.tally.lines - before
            if not lines:
                raise InputError(f"{path} has no lines")
            if staging.tally.refused.total() - refused == lines:
                raise InputError(
                    f"{path}: none of {lines:,} lines can be used: {staging.example}. "
                    "Accepted is one search or event a line, of the form that --format names"
                )
            sources.append(Source(path.name, sha, lines))
    return tuple(sources), staging.tally


def _decide(root: Path, staged: Path, task: ImportTask, tally: Tally) -> Kept:
    with closing(connect(0, task.memory_mb, staged)) as connection:
        read, kept = staged / "read", staged / "kept"
        return apply_rules(connection, read, kept, task.rules, tally, root)


def _publish(root: Path, staged: Path, done: Import) -> None:
    made = {
        "searches": staged / "kept" / "searches.parquet",
        "events": staged / "kept" / "events.parquet",
        "quarantine": staged / "read" / "quarantine.parquet",
    }
    for table, path in made.items():
        (root / table).mkdir(exist_ok=True)
        if path.exists():
            path.replace(root / table / f"{done.name}.parquet")
    folder = root / IMPORTS
    folder.mkdir(exist_ok=True)
    record = staged / "import.json"
    record.write_bytes(orjson.dumps(asdict(done), option=orjson.OPT_INDENT_2))
    record.replace(folder / f"{done.name}.json")
