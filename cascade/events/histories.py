"""What a session had acted on before each of its searches, for features of the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cascade.errors import InputError, OptionalDependencyError
from cascade.events.tables import ACTIONS, IMPRESSION, EventLog
from cascade.events.windows import ordered_pairs

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_PART_SEARCHES = 100_000
# Of a session that comes back to the same documents, so many times as many events are looked at.
_LOOK_BACK = 8


def histories(log: EventLog, most: int = 20) -> Iterator[pa.RecordBatch]:
    """Yield `query_id` and `history` of each search that has a session and a time.

    A history holds the ids of the documents that the session clicked, kept or bought strictly
    before the search, each once where it was last, the latest last. Of very long sessions the
    last 160 events are looked at, or eight times `most`.

    Args:
        log: The event log.
        most: How many documents a history has at most.

    Raises:
        InputError: If `most` is not positive.
        NotFoundError: If there is no log.
        OptionalDependencyError: If DuckDB is not installed.
    """
    if most < 1:
        raise InputError(f"histories of {most} documents; accepted are 1 or more")
    with closing(log.database()) as database:
        query = "select count(*) from searches where session is not null"
        parts = 1 + int(database.sql(query).fetchall()[0][0]) // _PART_SEARCHES
        for part in range(parts):
            yield _part(database, f"hash(session) % {parts} = {part}", most)


def write_histories(log: EventLog, path: Path, most: int = 20) -> None:
    """Write the rows of `histories` to a Parquet file, whole or not at all.

    Raises:
        InputError: If `most` is not positive.
        NotFoundError: If there is no log.
        OptionalDependencyError: If DuckDB or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise OptionalDependencyError("pyarrow", "logs") from None
    schema = pa.schema({"query_id": pa.string(), "history": pa.list_(pa.string())})
    part = path.with_name(f".{path.name}.part")
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for batch in histories(log, most):
                writer.write_batch(batch.cast(schema))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _part(database: DuckDBPyConnection, where: str, most: int) -> pa.RecordBatch:
    import pyarrow as pa

    done = ", ".join(f"'{action}'" for action in ACTIONS if action != IMPRESSION)
    searches = database.sql(
        "select query_id, min(time) as time, arg_min(session, time) as session from searches "
        f"where query_id is not null and time is not null and session is not null and {where} "
        "group by query_id order by 2, 1"
    ).to_arrow_table()
    acted = database.sql(
        "select session, doc_id, time from events "
        f"where action in ({done}) and doc_id is not null and time is not null "
        f"and session is not null and {where} "
        "order by session, time, doc_id"
    ).to_arrow_table()
    names = pa.concat_arrays(
        [*acted.column("session").chunks, *searches.column("session").chunks]
        or [pa.array([], pa.string())]
    )
    codes = _codes(names)
    mine, theirs = codes[: len(acted)], codes[len(acted) :]
    times, docs = acted.column("time").to_numpy(), acted.column("doc_id").combine_chunks()
    # DuckDB has sorted within a session; codes only bring the sessions into their own order.
    order = np.argsort(mine, kind="stable")
    mine, times, documents = mine[order], times[order], _codes(docs)[order]
    asked = ordered_pairs(theirs, searches.column("time").to_numpy())
    end = np.searchsorted(ordered_pairs(mine, times), asked)
    begin = np.maximum(np.searchsorted(mine, theirs), end - _LOOK_BACK * most)
    rows, offsets = _last_distinct(mine, documents, begin, end, most)
    history = pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), docs.take(pa.array(order[rows]))
    )
    query_ids = searches.column("query_id").combine_chunks()
    return pa.RecordBatch.from_arrays([query_ids, history], names=["query_id", "history"])


def _codes(names: pa.Array) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = names.dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes


def _last_distinct(
    sessions: NDArray[np.int64],
    documents: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    most: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of ranges that no later row of the range repeats, the last ones of each."""
    n = len(documents)
    again = np.full(n, n)
    order = np.lexsort((np.arange(n), documents, sessions))
    same = (np.diff(sessions[order]) == 0) & (np.diff(documents[order]) == 0)
    again[order[:-1][same]] = order[1:][same]
    lengths = end - begin
    owner = np.repeat(np.arange(len(begin)), lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(starts[-1]) - np.repeat(starts[:-1] - begin, lengths)
    kept = again[rows] >= end[owner]
    rows, owner = rows[kept], owner[kept]
    counts = np.bincount(owner, minlength=len(begin))
    ends = np.cumsum(counts)
    last = ends[owner] - np.arange(len(rows)) <= most
    offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, most))])
    return rows[last], offsets
