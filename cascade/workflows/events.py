"""Event logs by configuration: import, status, export, expiry and erasure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cascade.config import Config
from cascade.errors import InputError, nearest
from cascade.events.actions import Actions
from cascade.events.erasing import Erased, erase, expire
from cascade.events.importing import Import, ImportTask, import_files, imports
from cascade.events.metarank import MetarankReader
from cascade.events.parsed import Reader
from cascade.events.pseudonyms import Pseudonyms
from cascade.events.request_import import import_requests
from cascade.events.rules import Rules
from cascade.events.table_rows import TableReader
from cascade.events.tables import EventLog
from cascade.events.trec import write_trec
from cascade.events.ubi import UbiReader
from cascade.events.ubi_writing import write_ubi
from cascade.workflows.progress import Progress, silent

REQUESTS = "requests"
FORMATS = ("ubi", "metarank", "csv", REQUESTS)
EXPORTS = ("ubi", "trec")


@dataclass(frozen=True)
class LogStatus:
    """Say what a log holds.

    Attributes:
        root: Its folder.
        searches: How many searches it has.
        events: How many events of each action.
        sessions: How many sessions, by their pseudonyms.
        texts: How many different query texts.
        first: The time of the oldest search or event, in seconds since 1970, None if there is none.
        last: That of the newest.
        quarantined: How many lines lie in quarantine, by reason.
        imports: What was imported, the oldest first.
    """

    root: Path
    searches: int
    events: Mapping[str, int]
    sessions: int
    texts: int
    first: float | None
    last: float | None
    quarantined: Mapping[str, int]
    imports: Sequence[Import]


def log_of(config: Config) -> EventLog:
    """Return the event log of a configuration."""
    settings = config.settings.events
    return EventLog(config.resolve(settings.path), memory_mb=settings.memory_mb)


def pseudonyms_of(config: Config) -> Pseudonyms:
    """Return the pseudonyms that the event log and the request log share."""
    settings = config.settings.log
    return Pseudonyms(config.resolve(settings.salts), settings.rotate_days)


def import_events(
    config: Config, files: Sequence[Path], format_: str = "ubi", progress: Progress = silent
) -> Import:
    """Import log files into the log of a configuration.

    Raises:
        InputError: If the format is not known, or a file cannot be used.
        RefusedError: If another process changes the log.
    """
    settings = config.settings.events
    robots = settings.robots
    rules = Rules(
        sample=settings.sample,
        seed=settings.seed,
        searches_per_minute=robots.searches_per_minute,
        searches_per_hour=robots.searches_per_hour,
        actions_per_second=robots.actions_per_second,
        agents=tuple(robots.agents),
    )
    if format_ == REQUESTS:
        return import_requests(config.resolve(settings.path), files, rules, settings.memory_mb)
    task = ImportTask(
        reader=_reader(config, format_),
        pseudonyms=pseudonyms_of(config),
        rules=rules,
        memory_mb=settings.memory_mb,
        progress=lambda name, lines: progress(f"read {name}", lines, None),
    )
    return import_files(config.resolve(settings.path), files, task)


def log_status(config: Config) -> LogStatus:
    """Return what the log holds.

    Raises:
        NotFoundError: If there is no log.
    """
    log = log_of(config)
    with closing(log.database()) as database:

        def one(query: str) -> tuple[Any, ...]:
            return database.execute(query).fetchone() or ()

        events = database.execute(
            "select action, count(*) from events group by action order by action"
        ).fetchall()
        searches, texts = one("select count(*), count(distinct text) from searches")
        both = "(select time, session from searches union all select time, session from events)"
        first, last, sessions = one(
            f"select min(time), max(time), count(distinct session) from {both}"
        )
        bad = sorted((log.root / "quarantine").glob("*.parquet"))
        reasons: list[Any] = []
        if bad:
            reasons = database.execute(
                "select reason, count(*) from read_parquet($files) group by reason order by reason",
                {"files": [str(path) for path in bad]},
            ).fetchall()
    return LogStatus(
        root=log.root,
        searches=searches,
        events=dict(events),
        sessions=sessions,
        texts=texts,
        first=first,
        last=last,
        quarantined=dict(reasons),
        imports=imports(log.root),
    )


def export_events(config: Config, folder: Path, format_: str = "ubi") -> Mapping[str, int]:
    """Write the log into a folder; return how many lines each file has.

    Args:
        config: The settings.
        folder: Holds none of the files that are written.
        format_: "ubi" writes UBI 1.3, "trec" what each search showed as a run, and its text.

    Raises:
        InputError: If the format is not known, or a file is there already.
        NotFoundError: If there is no log.
    """
    writers = {"ubi": write_ubi, "trec": write_trec}
    if format_ not in writers:
        raise InputError(f"format {format_!r}; {nearest(format_, writers)}")
    return writers[format_](log_of(config), folder, config.settings.name)


def expire_events(config: Config, keep_days: float | None = None) -> Erased:
    """Take out what is older than the settings, or `keep_days`, say.

    Raises:
        InputError: If neither says it.
    """
    days = keep_days or config.settings.events.keep_days
    if days is None:
        raise InputError(
            "neither --keep-days nor events.keep_days says how long the log is kept; give one"
        )
    return expire(_root(config), pseudonyms_of(config), days, time.time())


def erase_events(config: Config, name: str, column: str = "session") -> Erased:
    """Take out what a session or visitor left, from the event log and the request log."""
    requests = config.settings.log.path
    others = [] if requests is None else [config.resolve(requests)]
    return erase(_root(config), pseudonyms_of(config), name, column=column, others=others)


def _root(config: Config) -> Path:
    return config.resolve(config.settings.events.path)


def _reader(config: Config, format_: str) -> Callable[[], Reader]:
    settings = config.settings.events
    actions = Actions(settings.actions)
    readers: dict[str, Callable[[], Reader]] = {
        "ubi": partial(UbiReader, actions, settings.first_rank),
        "metarank": partial(MetarankReader, actions),
        "csv": partial(
            TableReader,
            settings.columns,
            actions,
            settings.first_rank,
            settings.delimiter,
            settings.divider,
        ),
    }
    if format_ not in readers:
        raise InputError(f"format {format_!r}; {nearest(format_, readers)}")
    return readers[format_]
