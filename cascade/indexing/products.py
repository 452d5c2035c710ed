"""Reading product files line by line: JSON objects, and tables with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator, Mapping
from typing import IO, Any

import orjson

from cascade.errors import DocumentError
from cascade.indexing.dead_letters import Quarantine

MAX_CELL_CHARACTERS = 16_000_000
Products = Generator[tuple[str, Mapping[str, Any]], None, None]


def read_lines(name: str, stream: IO[bytes], quarantine: Quarantine) -> Products:
    """Yield the place ("file, line 7") and content of each JSON object, one a line.

    Raises:
        DocumentError: For a bad line that is refused, naming file, line and column.
    """
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            raw = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            reason = f"not valid JSON: {error.msg}"
            quarantine.put(f"{place}, column {error.colno}", reason, line)
            continue
        yield place, raw


def read_table(name: str, stream: IO[bytes], quarantine: Quarantine, delimiter: str) -> Products:
    """Yield the place and content of each row of a table whose first row names the columns.

    Values are strings, which the schema reads as its fields say; an empty cell is no value.

    Raises:
        DocumentError: If there is no header, or a name stands in it twice; for a bad row that is
            refused.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    # Bytes that are no UTF-8 must not end the whole file: they show as lone surrogates.
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _rows(name, text, quarantine, delimiter)
    finally:
        text.detach()  # the stream is its owner's to close


def _rows(name: str, text: IO[str], quarantine: Quarantine, delimiter: str) -> Products:
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    header = _header(name, rows)
    while True:
        place = f"{name}, line {rows.line_num + 1}"
        try:
            row = next(rows, None)
        except csv.Error as error:
            quarantine.put(place, f"not a row of a table: {error}")
            continue
        if row is None:
            return
        if not row:
            continue
        if len(row) != len(header):
            quarantine.put(place, f"has {len(row)} cells; the header names {len(header)}", row)
        elif any(map(_is_broken, row)):
            quarantine.put(place, "is not UTF-8; save the file as UTF-8", row)
        else:
            yield place, {key: cell for key, cell in zip(header, row, strict=True) if cell}


def _header(name: str, rows: Iterator[list[str]]) -> list[str]:
    try:
        header = next(rows, None)
    except csv.Error as error:
        raise DocumentError(f"{name}, line 1: not a header: {error}") from None
    if not header:
        raise DocumentError(f"{name} has no header: its first row names the columns")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DocumentError(f"{name}, line 1: columns stand twice: {', '.join(twice)}")
    if any(map(_is_broken, header)):
        raise DocumentError(f"{name}, line 1: is not UTF-8; save the file as UTF-8")
    return header


def _is_broken(cell: str) -> bool:
    return not cell.isascii() and any("\udc80" <= c <= "\udcff" for c in cell)
