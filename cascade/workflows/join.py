"""From the event log to rows that know only what was known: written, and checked."""

from __future__ import annotations

from pathlib import Path

from cascade.config import Config
from cascade.errors import NotFoundError, RefusedError
from cascade.events.histories import write_histories
from cascade.events.joins import Joining, Written, write_joined
from cascade.events.leaks import leaks
from cascade.workflows.behaviour import groups_of, needed_counters
from cascade.workflows.events import log_of

_NAMED_LEAKS = 10


def join_events(config: Config, path: Path, histories: Path | None = None) -> Written:
    """Write what was shown, what came of it, and every count that the cascade's features read.

    Args:
        config: Says where the log is, and which counts are read.
        path: The Parquet file to write.
        histories: A Parquet file for what each search's session had acted on, if it is wanted.

    Raises:
        ConfigError: If the definitions of features are not sound.
        NotFoundError: If there is no log, or no index to take the values of a field from.
        OptionalDependencyError: If what reads logs is not installed.
    """
    log = log_of(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write_joined(log, _joining(config), path)
    if histories is not None:
        histories.parent.mkdir(parents=True, exist_ok=True)
        write_histories(log, histories)
    return written


def check_joined(config: Config, path: Path, sample: int) -> None:
    """Refuse a joined file in which a row knows what came after its search.

    Raises:
        RefusedError: If a sampled count is not what the log says of the time before; names rows.
        InputError: If the file is not one of this log and these features.
        NotFoundError: If there is no file or no log.
        OptionalDependencyError: If what reads logs is not installed.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no {path}; `cascade events join {path}` writes it")
    found = leaks(path, log_of(config), _joining(config), sample)
    if found:
        named = [
            f"query {leak.query_id}, document {leak.doc_id}: {leak.column} is {leak.value:g}, "
            f"the log says {leak.truth:g}"
            for leak in found[:_NAMED_LEAKS]
        ]
        more = f"\n  and {len(found) - len(named):,} more" if len(found) > len(named) else ""
        raise RefusedError(
            f"{path}: {len(found):,} values are not those strictly before their search; "
            "write the file anew\n  " + "\n  ".join(named) + more
        )


def _joining(config: Config) -> Joining:
    counters = needed_counters([config])
    return Joining(counters, groups_of(config, counters))
