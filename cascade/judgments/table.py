"""Judgments in a table with a header line, whose columns are named."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cascade.errors import JudgmentsError, nearest
from cascade.judgments.judged import Judgments


@dataclass(frozen=True, slots=True)
class JudgmentColumns:
    """Name the columns of a judgments file.

    Attributes:
        query: The column of the query text.
        doc_id: The column of the document id.
        grade: The column of the grade.
        query_id: The column of the query id; without one, the text is the id.
        grades: Maps labels (E, S, C, I) to numbers; empty where grades are numbers.
        frequency: The column that says how often the query is asked, if there is one.
        format: One of `FORMATS`; the names of columns are those of the format "columns".
        texts: A file of query texts, for formats that have none of their own.
    """

    query: str = "query"
    doc_id: str = "doc_id"
    grade: str = "grade"
    query_id: str | None = None
    grades: Mapping[str, float] = field(default_factory=dict)
    frequency: str | None = None
    format: str = "columns"
    texts: Path | None = None


def read_table(stream: IO[str], path: Path, columns: JudgmentColumns) -> Judgments:
    """Read a table with a header line.

    A line without a grade is skipped and counted; of a pair that is judged more than once the
    last grade holds, as in trec_eval.
    """
    if ".tsv" in path.suffixes:
        reader = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(stream)
    header = next(reader, [])
    if header:
        header[0] = header[0].removeprefix("\ufeff")
    at = {name: _position(name, header, path) for name in _named(columns)}
    texts: dict[str, str] = {}
    grades: dict[str, dict[str, float]] = {}
    frequency: dict[str, float] = {}
    skipped = conflicts = 0
    for cells in reader:
        if not cells:
            continue
        where = f"{path}, line {reader.line_num}"
        if len(cells) <= max(at.values()):
            raise JudgmentsError(f"{where}: has {len(cells)} columns; the header has {len(header)}")
        written = cells[at[columns.grade]].strip()
        if not written:
            skipped += 1
            continue
        text, doc_id = cells[at[columns.query]], cells[at[columns.doc_id]]
        query_id = cells[at[columns.query_id]] if columns.query_id else text
        grade = _grade(written, columns.grades, where)
        if texts.setdefault(query_id, text) != text:
            message = f"{where}: query {query_id!r} has the text {text!r} and, above, another one"
            raise JudgmentsError(message)
        if columns.frequency:
            asked = _frequency(cells[at[columns.frequency]], where)
            if frequency.setdefault(query_id, asked) != asked:
                message = f"{where}: query {query_id!r} has the frequency {asked:g} and, above, "
                raise JudgmentsError(message + f"{frequency[query_id]:g}")
        judged = grades.setdefault(query_id, {})
        conflicts += judged.get(doc_id, grade) != grade
        judged[doc_id] = grade
    if not texts:
        raise JudgmentsError(f"{path} has no line with a grade")
    return Judgments(texts, grades, skipped, conflicts, frequency)


def _named(columns: JudgmentColumns) -> list[str]:
    optional = (columns.query_id, columns.frequency)
    return [columns.query, columns.doc_id, columns.grade, *(name for name in optional if name)]


def _position(name: str, header: list[str], path: Path) -> int:
    if name not in header:
        raise JudgmentsError(
            f"{path} has no column {name!r}; {nearest(name, header)}. "
            "[judgments] in the configuration names the columns"
        )
    return header.index(name)


def _grade(written: str, labels: Mapping[str, float], where: str) -> float:
    if labels:
        if written not in labels:
            raise JudgmentsError(f"{where}: grade {written!r}; {nearest(written, labels)}")
        return labels[written]
    grade = number_of(written)
    if grade is None:
        raise JudgmentsError(
            f"{where}: grade {written!r} is not a number of 0 or more; "
            "[judgments.grades] maps labels to numbers"
        )
    return grade


def _frequency(written: str, where: str) -> float:
    found = number_of(written)
    if found is None:
        raise JudgmentsError(f"{where}: frequency {written!r} is not a number of 0 or more")
    return found


def number_of(written: str) -> float | None:
    """Return a finite number of 0 or more, or None for anything else."""
    try:
        number = float(written)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
