"""The check of a joined table: does a row know anything that came after it?

Every sampled count is made anew from the log, plainly: all that its key has there, one by one.
It shares no step with the join but the words of a query.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.behaviour import Counter
from cascade.errors import InputError, nearest
from cascade.events.counting import DAY_S, check_counters, happened, name_texts
from cascade.events.point_in_time import Joining
from cascade.events.tables import EventLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A sum over everything reads the whole log for each row that it is checked on.
_TOTAL_ROWS = 16
# Joined counts are float32.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6
_NAMED = {
    "document": ("h.doc_id",),
    "query": ("h.text",),
    "pair": ("h.doc_id", "h.text"),
    "group": ("h.name",),
}
_KEYED = {
    by: " and ".join(f"{each} = s{each[1:]}" for each in named) for by, named in _NAMED.items()
}


@dataclass(frozen=True, slots=True)
class Leak:
    """Name a value that is not what the log says of the time before.

    Attributes:
        query_id: Of the row.
        doc_id: Of the row.
        column: The counter's name, or that of its total.
        value: What the table has.
        truth: What happened strictly before the search.
    """

    query_id: str
    doc_id: str
    column: str
    value: float
    truth: float


def leaks(
    path: Path, log: EventLog, joining: Joining, sample: int = 1_000, seed: int = 0
) -> list[Leak]:
    """Return the values of a joined Parquet file that differ from what the log says.

    Args:
        path: The file, with columns `query_id`, `doc_id` and those of the counters.
        log: The log that it was joined from.
        joining: What was joined.
        sample: How many rows to check, drawn by a hash of their ids; sums over everything are
            checked on the first 16 of them.
        seed: Another seed, another sample.

    Raises:
        InputError: If the file lacks a column, or has a search that the log does not.
        NotFoundError: If there is no log.
        OptionalDependencyError: If DuckDB is not installed.
    """
    check_counters(joining.counters, joining.groups)
    if sample < 1:
        raise InputError(f"a sample of {sample} rows checks nothing; accepted are 1 or more")
    found: list[Leak] = []
    with closing(log.database()) as database:
        given = _draw(database, path, joining, sample, seed)
        name_texts(database)
        for counter in dict.fromkeys(joining.counters):
            named = _name(database, counter, joining)
            database.execute(
                f"create or replace temp table happened as select h.*, t.text{named[0]} from "
                f"({happened([counter.action])}) h left join texts t using (query_id){named[1]}"
            )
            columns = [c for c in (counter.name, counter.total_name) if c in given]
            listed = "".join(f', d."{column}"' for column in columns)
            database.execute(
                f"create or replace temp table asked as select row, query_id, doc_id{listed}, "
                f"t.text, f.time as moment{named[0]} from drawn d left join (select query_id, "
                "min(time) as time from searches group by query_id) f using (query_id) "
                f"left join texts t using (query_id){named[1]}"
            )
            _refuse_unknown(database)
            for column in columns:
                found += _differing(database, counter, column)
    return found


def _draw(
    database: DuckDBPyConnection, path: Path, joining: Joining, sample: int, seed: int
) -> Sequence[str]:
    """Keep a sample of the file's rows, and return the file's columns."""
    file = "'" + str(path).replace("'", "''") + "'"
    database.execute(f"create view joined as select * from read_parquet({file})")
    given = [str(row[0]) for row in database.sql("describe joined").fetchall()]
    for wanted in ("query_id", "doc_id", *(counter.name for counter in joining.counters)):
        if wanted not in given:
            raise InputError(f"{path} has no column {wanted!r}; {nearest(wanted, given)}")
    database.execute(
        "create temp table drawn as select row_number() over () as row, * from (select * from "
        f"joined order by hash(query_id, doc_id, {int(seed)}), query_id, doc_id limit {sample})"
    )
    return given


def _name(database: DuckDBPyConnection, counter: Counter, joining: Joining) -> tuple[str, str]:
    """Return what to select and to join for a counter by a field."""
    if not counter.field:
        return "", ""
    database.register("named", joining.groups[counter.field])
    values = "(select doc_id, value::varchar as name from named) n"
    return ", n.name", f" left join {values} using (doc_id)"


def _refuse_unknown(database: DuckDBPyConnection) -> None:
    query = "select query_id from asked where moment is null order by row limit 1"
    if unknown := database.sql(query).fetchall():
        raise InputError(
            f"the log has no search {unknown[0][0]!r} with a time; give the log that the table "
            "was joined from"
        )


def _differing(database: DuckDBPyConnection, counter: Counter, column: str) -> list[Leak]:
    """Return the rows in which a counter, or its sum over everything, differs from the log."""
    at, rows, keyed = "s.moment", "asked", _KEYED[counter.by]
    if column == counter.total_name:
        at, rows = "floor(s.moment / 60) * 60", f"asked where row <= {_TOTAL_ROWS}"
        keyed = " and ".join(f"{each} is not null" for each in _NAMED[counter.by])
    window, half_life = counter.window_days * DAY_S, counter.half_life_days * DAY_S
    oldest = f" and h.time >= {at} - {window!r}::double" if math.isfinite(window) else ""
    # A row of which nothing happened is joined to NULLs, and counts 0.
    worth = "h.time is not null"
    if math.isfinite(half_life):
        worth = f"pow(0.5, ({at} - h.time) / {half_life!r}::double)"
    query = (
        f'select s.query_id, s.doc_id, s."{column}"::double, '
        f"coalesce(sum(({worth})::double), 0.0) from (select * from {rows}) s "
        f"left join happened h on {keyed} and h.time < {at}{oldest} "
        f'group by s.row, s.query_id, s.doc_id, s."{column}" order by s.row'
    )
    found = []
    for query_id, doc_id, value, truth in database.sql(query).fetchall():
        known = math.nan if value is None else float(value)
        # Written so that a value that is no number differs too.
        if not abs(known - truth) <= _ABSOLUTE + _RELATIVE * abs(truth):
            found.append(Leak(query_id, doc_id, column, known, truth))
    return found
