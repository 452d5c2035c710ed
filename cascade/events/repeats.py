"""Rows that were logged before: in the files of one import, or in an export that overlaps one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# What makes two rows of one query id the same; who it was may be filled in later.
IDENTITY = {
    "searches": ("query_id", "text", "time", "results"),
    "events": ("query_id", "action", "doc_id", "rank", "time", "value"),
}


def drop_repeated(connection: DuckDBPyConnection, table: str) -> int:
    """Make the view `staged_<table>` of `read_<table>` without rows that were logged before.

    Of equal rows the one that knows its session stays, else the first. A row without a query id
    is never equal to another. The views `logged_<table>`, of what the log has, and `read_<table>`
    have a column `file_row_number`.

    Returns:
        How many rows were left out.
    """
    names = ", ".join(IDENTITY[table])
    connection.execute(
        f"create table repeated_{table} as select file_row_number as row from read_{table} "
        "where false"
    )
    # Few hashes come twice, so few rows are compared whole.
    hashed = f"select hash({names}) as hashed, 'read' as whence from read_{table}"
    known = (
        f"select hash({names}), 'logged' from logged_{table} "
        f"where query_id in (select query_id from read_{table})"
    )
    connection.execute(
        f"""
        insert into repeated_{table}
        with suspects as (
            select hashed from ({hashed} where query_id is not null union all {known})
            group by hashed having count(*) > 1 and bool_or(whence = 'read')
        ), compared as (
            select {names}, session, file_row_number, false as logged from read_{table}
            where query_id is not null and hash({names}) in (from suspects)
            union all
            select {names}, session, file_row_number, true from logged_{table}
            where query_id is not null and hash({names}) in (from suspects)
        ), numbered as (
            select file_row_number, logged, row_number() over (
                partition by {names} order by not logged, session is null, file_row_number
            ) as number from compared
        )
        select file_row_number from numbered where number > 1 and not logged
        """
    )
    row = connection.execute(f"select count(*) from repeated_{table}").fetchone()
    repeated = int(row[0]) if row else 0
    among = f"where file_row_number not in (from repeated_{table})" if repeated else ""
    connection.execute(
        f"create view staged_{table} as "
        f"select * exclude (file_row_number) from read_{table} {among}"
    )
    return repeated
