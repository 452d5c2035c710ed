"""The event log in columns: what every reader writes, and every join and click model reads.

A log is a folder with `searches/*.parquet` and `events/*.parquet`. Times are seconds since 1970;
what is not known is NULL. A visitor who gave no consent has neither session nor visitor.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.errors import InputError, NotFoundError, OptionalDependencyError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

IMPRESSION, CLICK, FAVOURITE, CART, PURCHASE = (
    "impression",
    "click",
    "favourite",
    "cart",
    "purchase",
)
ACTIONS = (IMPRESSION, CLICK, FAVOURITE, CART, PURCHASE)

# `results` are the document ids as they were shown, best first; `propensities` the chance that
# each of them stood where it stood, where the order was drawn.
SEARCHES = {
    "query_id": "VARCHAR",
    "text": "VARCHAR",
    "time": "DOUBLE",
    "session": "VARCHAR",
    "visitor": "VARCHAR",
    "surface": "VARCHAR",
    "results": "VARCHAR[]",
    "propensities": "DOUBLE[]",
}
# `rank` is 1-based; `value` is what a purchase brought, in the shop's currency.
EVENTS = {
    "query_id": "VARCHAR",
    "action": "VARCHAR",
    "doc_id": "VARCHAR",
    "rank": "INTEGER",
    "time": "DOUBLE",
    "session": "VARCHAR",
    "visitor": "VARCHAR",
    "surface": "VARCHAR",
    "value": "DOUBLE",
}
_TABLES = {"searches": SEARCHES, "events": EVENTS}
SPILL, JOIN_PREFIX = ".spill", ".join-"
# A search whose page was not logged row by row was seen as far as its results tell.
_IMPRESSIONS = """
create view impressions as
select query_id, doc_id, rank, time, session, visitor, surface
from events where action = 'impression'
union all
select query_id, unnest(results), unnest(range(1, len(results) + 1))::integer,
       time, session, visitor, surface
from searches
where query_id not in (
    select query_id from events where action = 'impression' and query_id is not null
)
"""


@dataclass(frozen=True)
class EventLog:
    """Read a log's columns through DuckDB.

    Attributes:
        root: The log's folder.
        threads: How many threads a query may use; 0 means one a core.
        memory_mb: What a query may keep in memory before it spills to disk.
    """

    root: Path
    threads: int = 0
    memory_mb: int = 1_024

    def database(self) -> DuckDBPyConnection:
        """Return a connection with the views `searches`, `events` and `impressions`.

        A log of which every row was taken out has views without rows.

        Raises:
            NotFoundError: If there is no log in the folder.
            OptionalDependencyError: If DuckDB is not installed.
        """
        if not any((self.root / table).is_dir() for table in _TABLES):
            raise NotFoundError(
                f"{self.root} holds no event log; `cascade events import` writes one"
            )
        connection = connect(self.threads, self.memory_mb, self.root)
        for table, columns in _TABLES.items():
            files = sorted((self.root / table).glob("*.parquet"))
            if files:
                paths = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
                source = f"read_parquet([{paths}], union_by_name = true)"
                connection.execute(
                    f"create view {table} as select {', '.join(columns)} from {source}"
                )
            else:
                typed = ", ".join(f"null::{kind} as {name}" for name, kind in columns.items())
                connection.execute(f"create view {table} as select {typed} where false")
        connection.execute(_IMPRESSIONS)
        return connection


def connect(
    threads: int = 0, memory_mb: int = 1_024, spill: Path | None = None
) -> DuckDBPyConnection:
    """Return an in-memory DuckDB that spills to `spill` beyond its memory.

    Raises:
        InputError: If the limits are not positive.
        OptionalDependencyError: If DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise OptionalDependencyError("duckdb", "logs") from None
    if threads < 0 or memory_mb < 1:
        raise InputError(
            f"threads {threads}, memory_mb {memory_mb}: accepted are 0 or more, 1 or more"
        )
    connection = duckdb.connect()
    connection.execute(f"set memory_limit = '{memory_mb}MB'")
    if threads:
        connection.execute(f"set threads = {threads}")
    if spill is not None:
        connection.execute("set temp_directory = ?", [str(spill / SPILL)])
    return connection
