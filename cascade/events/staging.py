"""Blocks of a log on their way into Parquet: times, pseudonyms, types; the bad goes aside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from cascade.errors import OptionalDependencyError
from cascade.events.lines import Block
from cascade.events.parsed import Events, Id, LeftOut, Parsed, Refused, Searches
from cascade.events.pseudonyms import Pseudonyms
from cascade.events.tables import EVENTS, SEARCHES
from cascade.events.times import seconds

NO_TIME = "no time that can be read, or one to come"
NO_CHANCES = "propensities that are no chances of its results"
# Clocks differ, and a time without a zone may be of any.
AHEAD_S = 86_400.0
RAW_BYTES = 2_000
_Read = TypeVar("_Read", Searches, Events)
# Beside the log's own columns, staged rows say what the rules decide by.
_RULED = {"consent": "BOOLEAN", "robot": "BOOLEAN"}
STAGED = {
    "searches": {**SEARCHES, **_RULED},
    "events": {**EVENTS, **_RULED, "text": "VARCHAR"},
    "left_out": {name: SEARCHES[name] for name in ("query_id", "time", "session", "visitor")}
    | _RULED,
}
QUARANTINE = {
    "source": "VARCHAR",
    "line": "BIGINT",
    "reason": "VARCHAR",
    "detail": "VARCHAR",
    "raw": "VARCHAR",
    "imported": "DOUBLE",
}


@dataclass
class Tally:
    """Count what was read.

    Attributes:
        lines: How many lines were not empty.
        searches: How many of them are searches.
        events: How many events there are of each of our actions.
        others: How many lines there are of each other action or kind, which are left out.
        refused: How many lines are in quarantine, by reason.
        gaps: How many searches lack a time, session or visitor that an event may know.
        worded: How many events carry the text of their query.
        refusing: How many searches and events of ours came without consent.
        refusing_others: How many events of other actions did.
    """

    lines: int = 0
    searches: int = 0
    events: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    gaps: int = 0
    worded: int = 0
    refusing: int = 0
    refusing_others: int = 0


@dataclass
class Staging:
    """Write blocks into a folder: one Parquet file for each table of `STAGED`, and quarantine.

    Attributes:
        folder: An empty folder.
        pseudonyms: Name sessions and visitors.
        robots: Patterns of user agents, and of names of visitors, that are robots.
        time: Of the import, in seconds since 1970.
        tally: What was written so far.
        example: The first line that was refused.
    """

    folder: Path
    pseudonyms: Pseudonyms
    robots: Sequence[str]
    time: float
    tally: Tally = field(default_factory=Tally)
    example: str = ""
    _writers: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        # Reading times needs it too, and would tell less.
        arrow()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, block: Block, parsed: Parsed) -> None:
        """Write what was read from one block."""
        tally = self.tally
        tally.lines += parsed.lines
        tally.others.update(parsed.others)
        if parsed.searches.line:
            self._add_searches(parsed.searches, parsed.refused)
        if parsed.events.line:
            self._add_events(parsed.events, parsed.refused)
        if parsed.left_out.query_id:
            self._add_left_out(parsed.left_out)
        if parsed.refused:
            self._refuse(block, parsed.refused)

    def _add_searches(self, read: Searches, refused: list[Refused]) -> None:
        bad = [
            at for at, row in enumerate(read.propensities) if not _chances(row, read.results[at])
        ]
        if bad:
            refused += [
                Refused(read.line[at], NO_CHANCES, str(read.propensities[at])) for at in bad
            ]
            read = _without(read, bad)
        times = self._seconds(read)
        columns: dict[str, Any] = {
            "query_id": _texts(read.query_id),
            "text": read.text,
            "time": _nullable(times),
            **self._visits(read, times),
            "surface": read.surface,
            "results": read.results,
            "propensities": read.propensities,
        }
        self.tally.searches += len(read.line)
        self.tally.refusing += read.consent.count(False)
        known = zip(columns["time"], columns["session"], columns["visitor"], strict=True)
        self.tally.gaps += sum(None in row for row in known)
        self._write("searches", columns)

    def _add_events(self, read: Events, refused: list[Refused]) -> None:
        times = self._seconds(read)
        bad = np.nonzero(np.isnan(times))[0].tolist()
        if bad:
            refused += [Refused(read.line[at], NO_TIME, repr(read.time[at])) for at in bad]
            read, times = _without(read, bad), times[~np.isnan(times)]
        self.tally.events.update(read.action)
        self.tally.worded += len(read.text) - read.text.count(None)
        columns = {
            "query_id": _texts(read.query_id),
            "action": read.action,
            "doc_id": _texts(read.doc_id),
            "rank": read.rank,
            "time": times,
            **self._visits(read, times),
            "surface": read.surface,
            "value": read.value,
            "text": read.text,
        }
        self.tally.refusing += read.consent.count(False)
        self._write("events", columns)

    def _add_left_out(self, read: LeftOut) -> None:
        times = self._seconds(read)
        columns = {
            "query_id": _texts(read.query_id),
            "time": _nullable(times),
            **self._visits(read, times),
        }
        self.tally.refusing_others += read.consent.count(False)
        self._write("left_out", columns)

    def _seconds(self, read: Searches | Events | LeftOut) -> NDArray[np.float64]:
        """Return times as float64[n] seconds, NaN for what is none, or is yet to come."""
        times = seconds(read.time)
        times[times > self.time + AHEAD_S] = np.nan
        return times

    def _visits(
        self, read: Searches | Events | LeftOut, times: NDArray[np.float64]
    ) -> dict[str, list[Any]]:
        """Return who it was, by pseudonyms; whoever gave no consent, or has no time, is nobody."""
        timeless = np.isnan(times)
        nobody: list[bool] = []
        if False in read.consent or timeless.any():
            told = zip(read.consent, timeless.tolist(), strict=True)
            nobody = [consent is False or no for consent, no in told]
        named = {}
        for name in ("session", "visitor"):
            ids = _texts(getattr(read, name))
            if nobody:
                ids = [None if no else x for no, x in zip(nobody, ids, strict=True)]
            named[name] = self.pseudonyms.column(ids, np.nan_to_num(times))
        agents = [agent or who for agent, who in zip(read.agent, read.visitor, strict=True)]
        robots = {agent: self._is_robot(agent) for agent in set(agents)}
        robot = [robots[agent] for agent in agents]
        return {**named, "consent": read.consent, "robot": robot}

    def _is_robot(self, agent: Id) -> bool:
        if agent is None or not self.robots:
            return False
        text = str(agent)
        return any(re.search(pattern, text, re.IGNORECASE) for pattern in self.robots)

    def _refuse(self, block: Block, refused: list[Refused]) -> None:
        lines = block.lines()
        raw = [lines[r.line][:RAW_BYTES].decode(errors="replace") for r in refused]
        if not self.example:
            first = refused[0]
            detail = f", {first.detail}" if first.detail else ""
            self.example = f"line {block.first + first.line}: {first.reason}{detail}"
        self.tally.refused.update(r.reason for r in refused)
        columns = {
            "source": [block.source] * len(refused),
            "line": [block.first + r.line for r in refused],
            "reason": [r.reason for r in refused],
            "detail": [r.detail for r in refused],
            "raw": raw,
            "imported": [self.time] * len(refused),
        }
        self._write("quarantine", columns)

    def _write(self, table: str, columns: dict[str, Any]) -> None:
        pa, parquet = arrow()
        kinds = QUARANTINE if table == "quarantine" else STAGED[table]
        schema = arrow_schema(kinds)
        arrays = [pa.array(columns[name], type=schema.field(name).type) for name in kinds]
        if table not in self._writers:
            path = self.folder / f"{table}.parquet"
            self._writers[table] = parquet.ParquetWriter(path, schema, compression="zstd")
        self._writers[table].write_table(pa.Table.from_arrays(arrays, schema=schema))


def arrow() -> tuple[Any, Any]:
    """Return `pyarrow` and `pyarrow.parquet`.

    Raises:
        OptionalDependencyError: If pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise OptionalDependencyError("pyarrow", "logs") from None
    return pyarrow, pyarrow.parquet


def arrow_schema(kinds: dict[str, str]) -> Any:  # noqa: ANN401  (pyarrow has no types)
    """Return the Arrow schema of columns whose types are told in DuckDB's words."""
    pa, _ = arrow()
    types = {
        "VARCHAR": pa.string(),
        "VARCHAR[]": pa.list_(pa.string()),
        "DOUBLE": pa.float64(),
        "DOUBLE[]": pa.list_(pa.float64()),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(),
    }
    return pa.schema([(name, types[kind]) for name, kind in kinds.items()])


def _without(read: _Read, bad: Sequence[int]) -> _Read:
    gone = set(bad)
    columns = {
        name: [value for at, value in enumerate(values) if at not in gone]
        for name, values in vars(read).items()
    }
    return type(read)(**columns)


def _chances(given: list[float] | None, results: list[str] | None) -> bool:
    """Return whether each result has a chance, where chances are given at all."""
    if given is None:
        return True
    return results is not None and len(given) == len(results) and all(0 < x <= 1 for x in given)


def _texts(ids: Sequence[Id]) -> list[str | None]:
    if set(map(type, ids)) <= {str, type(None)} and "" not in ids:
        return cast(list[str | None], ids)
    return [_text(x) for x in ids]


def _text(given: Id) -> str | None:
    if given is None or isinstance(given, str):
        return given or None
    # A number of a log is an id: 7.0 is the same one as 7.
    return str(int(given)) if given == int(given) else repr(given)


def _nullable(times: NDArray[np.float64]) -> list[float | None]:
    found: list[float | None] = times.tolist()
    for at in np.nonzero(np.isnan(times))[0].tolist():
        found[at] = None
    return found
