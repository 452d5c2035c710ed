"""Tables of events with a header line, whose columns are named by settings.

A row whose action is "search" is a search; any other is an event. Where events carry the text of
their query, a query id that no search row has becomes a search.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cascade.errors import InputError, nearest
from cascade.events.actions import Actions
from cascade.events.lines import Block
from cascade.events.parsed import (
    Events,
    LeftOut,
    Parsed,
    Refused,
    Searches,
    number_of,
    rank_of,
)
from cascade.events.ubi import NO_DOC_ID, NO_QUERY_ID

COLUMNS = (
    "query_id",
    "action",
    "doc_id",
    "rank",
    "time",
    "session",
    "visitor",
    "surface",
    "value",
    "text",
    "results",
    "consent",
    "agent",
)
SEARCH = "search"
NOT_A_ROW = "another number of columns than the header"
NOT_TEXT = "not UTF-8 text"
_NO = {"0", "false", "no", "f", "n"}


@dataclass
class TableReader:
    """Read blocks of one table; what is quoted does not go over the end of a line.

    Attributes:
        columns: What the table calls each of `COLUMNS`; one that is left out has our name, and is
            unknown where the table has no such column.
        actions: What names of actions mean.
        first_rank: The rank of the first result.
        delimiter: What divides the columns.
        divider: What divides the document ids of `results`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    actions: Actions = field(default_factory=Actions)
    first_rank: int = 1
    delimiter: str = ","
    divider: str = ";"
    _at: dict[str, int] = field(default_factory=dict, init=False)
    _width: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown:
            raise InputError(f"events.columns: {unknown[0]!r}; {nearest(unknown[0], COLUMNS)}")

    def __call__(self, block: Block) -> Parsed:
        """Return what the rows of a block say; the first block begins with the header.

        Raises:
            InputError: If the header lacks a column that is named, or the action.
        """
        parsed = Parsed()
        for number, cells in _rows(block, self.delimiter, parsed):
            if block.first == 1 and number == 0:
                self._read_header(cells, block.source)
                continue
            if not cells:
                continue
            parsed.lines += 1
            if len(cells) != self._width:
                detail = f"{len(cells)} columns; the header has {self._width}"
                parsed.refused.append(Refused(number, NOT_A_ROW, detail))
                continue
            self._add(number, {k: cells[at] or None for k, at in self._at.items()}, parsed)
        return parsed

    def _read_header(self, header: list[str], source: str) -> None:
        header = [name.removeprefix("\ufeff") for name in header]
        self._width = len(header)
        self._at = {}
        for name in COLUMNS:
            called = self.columns.get(name, name)
            if called in header:
                self._at[name] = header.index(called)
            elif name in self.columns or name == "action":
                raise InputError(
                    f"{source} has no column {called!r}; {nearest(called, header)}. "
                    "[events.columns] in the configuration names the columns"
                )

    def _add(self, number: int, row: dict[str, str | None], parsed: Parsed) -> None:
        name = row["action"] or ""
        if name.casefold() == SEARCH:
            if row.get("query_id") is None:
                parsed.refused.append(Refused(number, NO_QUERY_ID))
                return
            found = row.get("results")
            parsed.searches.results.append(found.split(self.divider) if found else None)
            parsed.searches.propensities.append(None)
            _add_shared(parsed.searches, number, row)
            return
        action = self.actions.of(name)
        if action is None:
            parsed.others[name or "rows without an action"] += 1
            if row.get("query_id") is not None:
                _add_who(parsed.left_out, row)
        elif row.get("doc_id") is None:
            parsed.refused.append(Refused(number, NO_DOC_ID, f"of the action {name!r}"))
        else:
            events, rank = parsed.events, row.get("rank")
            events.action.append(action)
            events.doc_id.append(row["doc_id"])
            events.rank.append(None if rank is None else rank_of(rank, self.first_rank))
            events.value.append(number_of(row.get("value")) if action == "purchase" else None)
            _add_shared(events, number, row)


def _add_shared(to: Searches | Events, number: int, row: dict[str, str | None]) -> None:
    """Add what searches and events both have."""
    to.line.append(number)
    for name in ("text", "surface"):
        getattr(to, name).append(row.get(name))
    _add_who(to, row)


def _add_who(to: Searches | Events | LeftOut, row: dict[str, str | None]) -> None:
    """Add who it was, when, and in which search."""
    consent = row.get("consent")
    to.consent.append(None if consent is None else consent.casefold() not in _NO)
    for name in ("query_id", "time", "session", "visitor", "agent"):
        getattr(to, name).append(row.get(name))


def _rows(block: Block, delimiter: str, parsed: Parsed) -> Iterator[tuple[int, list[str]]]:
    """Yield each line's place and cells; one bad line costs no other."""
    try:
        text = block.data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        text = '"'
    if '"' not in text and "\r" not in text:
        for number, line in enumerate(text.split("\n")):
            yield number, line.split(delimiter) if line else []
        return
    for number, raw in enumerate(block.lines()):
        try:
            cells = next(csv.reader([raw.decode()], delimiter=delimiter), [])
        except (UnicodeDecodeError, csv.Error) as error:
            parsed.lines += 1
            parsed.refused.append(Refused(number, NOT_TEXT, str(error)))
        else:
            yield number, cells
