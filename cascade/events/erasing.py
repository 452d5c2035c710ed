"""Taking rows out of logs: a session or visitor that asks for it, and what is too old.

Files are rewritten whole, beside the old ones, and renamed over them: a reader sees either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.events.importing import changing, sweep
from cascade.events.pseudonyms import DAY_S, Pseudonyms
from cascade.events.tables import connect

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WHO = ("session", "visitor")


@dataclass(frozen=True)
class Erased:
    """Say what went.

    Attributes:
        rows: How many rows of each folder, by its name.
        files: How many files were rewritten or removed.
        salts: How many salts were forgotten.
    """

    rows: Mapping[str, int]
    files: int
    salts: int = 0

    @property
    def total(self) -> int:
        """How many rows went."""
        return sum(self.rows.values())


def erase_rows(folder: Path, column: str, names: Sequence[str]) -> tuple[int, int]:
    """Take the rows out of a folder's Parquet files whose column has one of these values.

    Files in folders below it take part; files without the column stay as they are.

    Returns:
        How many rows went, and how many files changed.
    """
    if not names:
        return 0, 0
    return _rewrite(folder, column, f"{column} in ({', '.join(_quoted(n) for n in names)})")


def erase(
    root: Path,
    pseudonyms: Pseudonyms,
    name: str,
    *,
    column: str = "session",
    others: Sequence[Path] = (),
) -> Erased:
    """Take out everything that a session or visitor left.

    The id is looked for under every salt that is kept, and as it is in the text of quarantined
    lines.

    Args:
        root: The log.
        pseudonyms: Those that the log was written with.
        name: The id as the shop knows it.
        column: "session" or "visitor".
        others: Folders of other Parquet files with this column, such as the request log.

    Raises:
        RefusedError: If another process changes the log.
    """
    names = pseudonyms.every(name)
    rows, files = {}, 0
    with changing(root):
        sweep(root)
        for folder in (root / "searches", root / "events", *others):
            rows[folder.name], changed = erase_rows(folder, column, names)
            files += changed
        # JSON may write what is beyond ASCII, and quotes, as escapes.
        written = {name, *(json.dumps(name, ensure_ascii=e)[1:-1] for e in (True, False))}
        told = " or ".join(f"contains(raw, {_quoted(text)})" for text in sorted(written))
        rows["quarantine"], changed = _rewrite(root / "quarantine", "raw", told)
    return Erased(rows, files + changed)


def expire(
    root: Path, pseudonyms: Pseudonyms, keep_days: float, now: float, others: Sequence[Path] = ()
) -> Erased:
    """Take out what is older than `keep_days`, and forget salts that named only such rows.

    Quarantined lines have no time that is sure, so theirs is that of the import.

    Args:
        root: The log.
        pseudonyms: Those that the log was written with.
        keep_days: How many days stay.
        now: In seconds since 1970.
        others: Folders of other Parquet files with a column `time`, such as the request log.

    Raises:
        RefusedError: If another process changes the log.
    """
    before = now - keep_days * DAY_S
    rows, files = {}, 0
    with changing(root):
        sweep(root)
        for folder in (root / "searches", root / "events", *others):
            rows[folder.name], changed = _rewrite(folder, "time", f"time < {before!r}")
            files += changed
        rows["quarantine"], changed = _rewrite(
            root / "quarantine", "imported", f"imported < {before!r}"
        )
    return Erased(rows, files + changed, pseudonyms.forget(before))


def _rewrite(folder: Path, column: str, gone: str) -> tuple[int, int]:
    """Take rows out of the Parquet files below a folder; return the rows and files that changed."""
    rows = files = 0
    paths = sorted(folder.rglob("*.parquet")) if folder.exists() else []
    if not paths:
        return 0, 0
    with closing(connect(spill=folder)) as connection:
        for path in paths:
            source = f"read_parquet({_quoted(str(path))})"
            names = [row[0] for row in _all(connection, f"describe select * from {source}")]
            if column not in names:
                continue
            number, left = _counts(connection, source, gone)
            if not number:
                continue
            rows, files = rows + number, files + 1
            if not left:
                path.unlink()
                continue
            staged = path.with_name(f".{path.name}.staged")
            connection.execute(
                f"copy (from {source} where ({gone}) is not true) to {_quoted(str(staged))} "
                "(format parquet, compression zstd)"
            )
            staged.replace(path)
    return rows, files


def _all(connection: DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()


def _counts(connection: DuckDBPyConnection, source: str, gone: str) -> tuple[int, int]:
    found = connection.execute(
        f"select count(*) filter ({gone}), count(*) filter (({gone}) is not true) from {source}"
    ).fetchone()
    return found if found is not None else (0, 0)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
