"""What of an import is kept: each row once, rules against robots, a share of sessions; counted.

Everything here is SQL over the staged columns: it goes through once, and spills to disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.errors import InputError
from cascade.events.repeats import drop_repeated
from cascade.events.staging import STAGED, Tally
from cascade.events.tables import EVENTS, SEARCHES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

AGENT, MINUTE, HOUR, SECOND = (
    "user agent",
    "searches per minute",
    "searches per hour",
    "actions per second",
)
SAMPLE, NO_TIME = "not in the sample", "searches without a time"
REPEATED = "logged before"
WHO = ("session", "visitor")
# A session without a name is the visitor's, one of nobody is each search by itself.
_KEY = "coalesce(session, visitor, query_id)"


@dataclass(frozen=True)
class Rules:
    """Say what of an import is left out.

    A count of 0 means no such rule. Minutes, hours and seconds are those of the clock.

    Attributes:
        sample: The share of sessions that is kept, by a stable hash of their pseudonym.
        seed: Another seed, another share.
        searches_per_minute: A session with more searches in one minute is a robot's.
        searches_per_hour: A session with more searches in one hour is a robot's.
        actions_per_second: A session with more actions, impressions aside, in one second is a
            robot's.
        agents: Patterns of user agents of robots; case does not matter.
    """

    sample: float = 1.0
    seed: int = 0
    searches_per_minute: int = 30
    searches_per_hour: int = 500
    actions_per_second: int = 10
    agents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:
            raise InputError(f"sample is {self.sample:g}; accepted is more than 0, to 1")
        if min(self.searches_per_minute, self.searches_per_hour, self.actions_per_second) < 0:
            raise InputError("a rule against robots is below 0; accepted is 0 or more")


@dataclass(frozen=True)
class Kept:
    """Say what the rules left.

    Attributes:
        searches: How many searches were kept.
        events: How many events were kept.
        dropped: How many rows each rule left out; a session that breaks two counts for the first.
        robots: How many sessions the rules against robots found.
    """

    searches: int
    events: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    robots: int = 0


def apply_rules(
    connection: DuckDBPyConnection,
    staged: Path,
    kept: Path,
    rules: Rules,
    tally: Tally,
    log: Path | None = None,
) -> Kept:
    """Write what is kept of `staged` into `kept`, under the same names of files.

    A search without a time, session or visitor gets those of the first event of its query id.
    Where a search or event says that there is no consent, its query id has no session at all.

    Args:
        connection: A database without tables.
        staged: Holds what was read.
        kept: An empty folder.
        rules: What is left out.
        tally: Of what was read.
        log: The log whose rows are not kept again; None looks at what was read alone.
    """
    counts: dict[str, int] = {}
    _view(connection, "left_out", [staged / "left_out.parquet"], "staged")
    for table in ("searches", "events"):
        _view(connection, table, [staged / f"{table}.parquet"], "read")
        _view(connection, table, sorted((log / table).glob("*.parquet")) if log else [], "logged")
        repeated = drop_repeated(connection, table)
        if repeated:
            counts[REPEATED] = counts.get(REPEATED, 0) + repeated
    _join(connection, tally)
    _find_robots(connection, rules)
    rows: dict[str, int] = {}
    for table, columns in (("searches", SEARCHES), ("events", EVENTS)):
        connection.execute(_judged(table, rules))
        found = connection.execute(
            f"select dropped, count(*) from judged_{table} group by dropped"
        ).fetchall()
        counted = {why or "": number for why, number in found}
        rows[table] = counted.pop("", 0)
        for why, number in counted.items():
            counts[why] = counts.get(why, 0) + number
        if rows[table]:
            target = str(kept / f"{table}.parquet").replace("'", "''")
            connection.execute(
                f"copy (select {', '.join(columns)} from judged_{table} where dropped is null) "
                f"to '{target}' (format parquet, compression zstd)"
            )
    robots = connection.execute("select count(*) from robots").fetchone()
    return Kept(
        rows["searches"],
        rows["events"],
        dict(sorted(counts.items())),
        robots[0] if robots else 0,
    )


def _view(connection: DuckDBPyConnection, table: str, paths: Sequence[Path], prefix: str) -> None:
    """Make the view `<prefix>_<table>` of files, of no rows where there are none."""
    files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths if path.exists())
    if files:
        source = f"from read_parquet([{files}], union_by_name = true, file_row_number = true)"
    else:
        typed = ", ".join(f"null::{kind} as {name}" for name, kind in STAGED[table].items())
        source = f"select {typed}, null::bigint as file_row_number where false"
    connection.execute(f"create view {prefix}_{table} as {source}")


def _join(connection: DuckDBPyConnection, tally: Tally) -> None:
    """Make `joined_searches` and `joined_events`: gaps filled, no consent carried over."""
    refusing = bool(tally.refusing or tally.refusing_others)
    _find_silent(connection, refusing)
    _find_told(connection, tally)
    who = ", ".join(
        f"case when silent.query_id is null then coalesce(s.{name}, told.{name}) end as {name}"
        for name in WHO
    )
    connection.execute(
        f"""
        create view joined_searches as
        select s.query_id, s.text, coalesce(s.time, told.time) as time, {who}, s.surface,
               s.results, s.propensities, s.robot
        from staged_searches s left join told using (query_id) left join silent using (query_id)
        union all by name select * from worded
        """
        if tally.gaps or refusing or tally.worded
        else "create view joined_searches as select * exclude (consent) from staged_searches"
    )


def _find_silent(connection: DuckDBPyConnection, refusing: bool) -> None:
    """Make `silent`, the query ids without consent, and `joined_events` without their names."""
    connection.execute(
        """
        create table silent as
        select distinct query_id from (
            select query_id, consent from read_searches
            union all select query_id, consent from read_events
            union all select query_id, consent from staged_left_out
        ) where consent = false and query_id is not null
        """
        if refusing
        else "create table silent (query_id varchar)"
    )
    hidden = ", ".join(f"case when silent.query_id is null then {n} end as {n}" for n in WHO)
    connection.execute(
        f"create view joined_events as select e.* replace ({hidden}) "
        "from staged_events e left join silent using (query_id)"
        if refusing
        else "create view joined_events as from staged_events"
    )


def _find_told(connection: DuckDBPyConnection, tally: Tally) -> None:
    """Make `told`, what events know of their searches, and `worded`, searches of their texts."""
    # Events that were logged before can tell of a search that was not.
    connection.execute(
        """
        create table told as
        select query_id, min(time) as time, arg_min(session, time) as session,
               arg_min(visitor, time) as visitor
        from (
            select query_id, time, session, visitor from read_events
            union all select query_id, time, session, visitor from staged_left_out
        )
        where query_id in (
            select query_id from staged_searches
            where time is null or session is null or visitor is null
        )
        group by query_id
        """
        if tally.gaps
        else "create table told (query_id varchar, time double, session varchar, visitor varchar)"
    )
    connection.execute(
        """
        create table worded as
        select query_id, arg_min(text, time) as text, min(time) as time,
               arg_min(session, time) as session, arg_min(visitor, time) as visitor,
               arg_min(surface, time) as surface, bool_or(robot) as robot
        from joined_events
        where text is not null and query_id is not null
          and query_id not in (select query_id from staged_searches where query_id is not null)
          and query_id not in (select query_id from logged_searches where query_id is not null)
        group by query_id
        """
        if tally.worded
        else "create table worded as select query_id, text, time, session, visitor, surface, robot "
        "from staged_searches where false"
    )


def _find_robots(connection: DuckDBPyConnection, rules: Rules) -> None:
    """Make the table `robots`: each session that a rule found, and the first rule that did."""
    found = [
        f"select {_KEY} as key, 0 as number from {table} where robot"
        for table in ("joined_searches", "joined_events", "staged_left_out")
    ]
    limits = (
        (1, rules.searches_per_minute, 60, "joined_searches", "true"),
        (2, rules.searches_per_hour, 3_600, "joined_searches", "true"),
        (3, rules.actions_per_second, 1, "joined_events", "action <> 'impression'"),
    )
    found += [
        f"select coalesce(session, visitor) as key, {number} as number from {source} "
        f"where {where} and coalesce(session, visitor) is not null "
        f"group by key, floor(time / {span}) having count(*) > {limit}"
        for number, limit, span, source, where in limits
        if limit
    ]
    connection.execute(
        f"create table robots as select key, min(number) as number "
        f"from ({' union all '.join(found)}) where key is not null group by key"
    )


def _judged(table: str, rules: Rules) -> str:
    """Return the view of a table whose column `dropped` names why a row is left out."""
    names = ", ".join(f"'{name}'" for name in (AGENT, MINUTE, HOUR, SECOND))
    # The low 32 bits of MD5: the same on every machine and in every version of DuckDB.
    share = f"(md5_number_lower('{rules.seed}:' || {_KEY}) & 4294967295) / 4294967296.0"
    outside = f"when {share} >= {rules.sample!r} then '{SAMPLE}'" if rules.sample < 1 else ""
    timeless = f"when time is null then '{NO_TIME}'" if table == "searches" else ""
    return f"""
        create view judged_{table} as
        select j.*, case
            when robots.key is not null then [{names}][robots.number + 1]
            {timeless} {outside}
        end as dropped
        from joined_{table} j left join robots on robots.key = {_KEY}
    """
