"""User Behavior Insights 1.3, written from a log: queries and events, one object a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson

from cascade.errors import InputError
from cascade.events.tables import EventLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BLOCK_ROWS = 20_000
OBJECT_ID_FIELD = "id"
_NAMES = {"cart": "add_to_cart"}


def write_ubi(log: EventLog, folder: Path, application: str) -> Mapping[str, int]:
    """Write `queries.ndjson` and `events.ndjson`, in order of time, and return their lines.

    Sessions and visitors are the pseudonyms of the log.

    Raises:
        InputError: If a file of that name is there.
        NotFoundError: If there is no log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"queries": ("searches", _query), "events": ("events", _event)}
    counts = {}
    with closing(log.database()) as database:
        for name, (table, line_of) in tables.items():
            path = folder / f"{name}.ndjson"
            if path.exists():
                raise InputError(f"{path} is there already; give another folder")
            staged = path.with_name(f".{path.name}.staged")
            with staged.open("wb") as stream:
                counts[name] = _write(_rows(database, table), line_of, application, stream)
            staged.replace(path)
    return counts


def _rows(database: DuckDBPyConnection, table: str) -> Iterator[list[dict[str, Any]]]:
    cursor = database.execute(f"select * from {table} order by time, query_id")
    names = [column[0] for column in cursor.description or ()]
    while rows := cursor.fetchmany(BLOCK_ROWS):
        yield [dict(zip(names, row, strict=True)) for row in rows]


def _write(
    rows: Iterator[list[dict[str, Any]]],
    line_of: Any,  # noqa: ANN401
    application: str,
    stream: IO[bytes],
) -> int:
    count = 0
    for block in rows:
        times = _iso([row["time"] for row in block])
        lines = [
            orjson.dumps(
                {"application": application, **_known(line_of(row)), "timestamp": time},
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for row, time in zip(block, times, strict=True)
        ]
        stream.write(b"".join(lines))
        count += len(lines)
    return count


def _query(row: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {
        "session_id": row["session"],
        "surface": row["surface"],
        "propensities": row["propensities"],
    }
    return {
        "query_id": row["query_id"],
        "client_id": row["visitor"],
        "user_query": row["text"] or "",
        "query_attributes": _known(attributes) or None,
        "object_id_field": OBJECT_ID_FIELD,
        "query_response_hit_ids": row["results"],
    }


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {
        "object": {"object_id": row["doc_id"], "object_id_field": OBJECT_ID_FIELD},
        "position": {} if row["rank"] is None else {"ordinal": row["rank"]},
        "surface": row["surface"],
        "value": row["value"],
    }
    return {
        "action_name": _NAMES.get(row["action"], row["action"]),
        "query_id": row["query_id"],
        "session_id": row["session"],
        "client_id": row["visitor"],
        "event_attributes": _known(attributes),
    }


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _iso(times: list[float]) -> list[str]:
    milliseconds = np.rint(np.array(times, np.float64) * 1e3).astype("datetime64[ms]")
    return [f"{text}Z" for text in np.datetime_as_string(milliseconds, unit="ms").tolist()]
