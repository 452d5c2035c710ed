"""Judgments: the grade that people gave a document for a query, and the files they come in."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cascade.errors import JudgmentsError, nearest


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
    """

    query: str = "query"
    doc_id: str = "doc_id"
    grade: str = "grade"
    query_id: str | None = None
    grades: Mapping[str, float] = field(default_factory=dict)
    frequency: str | None = None


@dataclass(frozen=True, slots=True)
class Judgments:
    """Hold grades by query id and document id.

    Attributes:
        texts: The query text of each query id, in the order of the file.
        grades: For each query id, the grade (0 or more) of each judged document.
        skipped: How many lines of the file had no grade.
        conflicts: How many lines gave a pair another grade than a line above; the last one holds.
        frequency: How often each query id is asked, 0 or more; empty where no column says so.
    """

    texts: Mapping[str, str]
    grades: Mapping[str, Mapping[str, float]]
    skipped: int = 0
    conflicts: int = 0
    frequency: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(grades) for grades in self.grades.values())

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The query ids, in the order of the file."""
        return tuple(self.texts)

    def only(self, query_ids: Iterable[str]) -> Judgments:
        """Return the judgments of these queries."""
        kept = tuple(query_ids)
        return Judgments(
            {q: self.texts[q] for q in kept},
            {q: self.grades[q] for q in kept},
            self.skipped,
            self.conflicts,
            {q: self.frequency[q] for q in kept if q in self.frequency},
        )


def read_judgments(path: Path, columns: JudgmentColumns) -> Judgments:
    """Read a CSV or TSV file with a header line; `.gz` is unpacked.

    A line without a grade is skipped and counted; of a pair that is judged more than once the
    last grade holds, as in trec_eval.

    Raises:
        JudgmentsError: Naming the line, for a missing column, a grade that is neither a number
            of 0 or more nor a known label, a frequency that is no number of 0 or more, or a query
            id with two texts or two frequencies.
    """
    with _opened(path) as stream:
        try:
            return _read(stream, path, columns)
        except (UnicodeDecodeError, csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = f"{path} cannot be read as UTF-8 text in columns: {error}"
            raise JudgmentsError(message) from None


def _opened(path: Path) -> IO[str]:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise JudgmentsError(f"cannot open {path}: {error.strerror}") from None


def _read(stream: IO[str], path: Path, columns: JudgmentColumns) -> Judgments:
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
    grade = _number(written)
    if grade is None:
        raise JudgmentsError(
            f"{where}: grade {written!r} is not a number of 0 or more; "
            "[judgments.grades] maps labels to numbers"
        )
    return grade


def _frequency(written: str, where: str) -> float:
    found = _number(written)
    if found is None:
        raise JudgmentsError(f"{where}: frequency {written!r} is not a number of 0 or more")
    return found


def _number(written: str) -> float | None:
    """Return a finite number of 0 or more, or None for anything else."""
    try:
        number = float(written)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
