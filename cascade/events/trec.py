"""What a log's searches showed, as a TREC run with its texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.errors import InputError
from cascade.events.tables import EventLog
from cascade.judgments import write_run

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BLOCK_ROWS = 20_000


def write_trec(log: EventLog, folder: Path, name: str) -> Mapping[str, int]:
    """Write `run.txt` and `texts.tsv` of searches that showed something, in order of time.

    Raises:
        InputError: If a file of that name is there, or an id has a blank in it.
        NotFoundError: If there is no log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "run.txt", folder / "texts.tsv"
    for path in paths:
        if path.exists():
            raise InputError(f"{path} is there already; give another folder")
    staged = [path.with_name(f".{path.name}.staged") for path in paths]
    counts = {"run": 0, "texts": 0}
    with closing(log.database()) as database, staged[1].open("w", encoding="utf-8") as texts:

        def rankings() -> Iterator[tuple[str, list[str]]]:
            for query_id, text, results in _searches(database):
                texts.write(f"{query_id}\t{' '.join((text or '').split())}\n")
                counts["texts"] += 1
                counts["run"] += len(results)
                yield query_id, results

        write_run(staged[0], rankings(), name)
    for path, whole in zip(paths, staged, strict=True):
        whole.replace(path)
    return counts


def _searches(database: DuckDBPyConnection) -> Iterator[tuple[str, str | None, list[str]]]:
    cursor = database.execute(
        "select query_id, text, results from searches where len(results) > 0 "
        "order by time, query_id"
    )
    while rows := cursor.fetchmany(BLOCK_ROWS):
        yield from rows
