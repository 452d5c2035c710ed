"""Files of judgments in every form that is known."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

from cascade.errors import JudgmentsError, nearest
from cascade.judgments.exports import read_quepid, read_workbench
from cascade.judgments.judged import Judgments
from cascade.judgments.opening import opened
from cascade.judgments.table import JudgmentColumns, read_table
from cascade.judgments.trec import read_qrels

_Reader: TypeAlias = Callable[[IO[str], Path, JudgmentColumns], Judgments]

_READERS: dict[str, _Reader] = {
    "columns": read_table,
    "trec": lambda stream, path, columns: read_qrels(stream, path, columns.texts),
    "quepid": lambda stream, path, _: read_quepid(stream, path),
    "workbench": lambda stream, path, _: read_workbench(stream, path),
}
FORMATS = tuple(_READERS)


def read_judgments(path: Path, columns: JudgmentColumns) -> Judgments:
    """Read a file of the form that `columns` names; `.gz` is unpacked.

    A grade that is missing is skipped and counted; of a pair that is judged more than once the
    last grade holds, as in trec_eval.

    Raises:
        JudgmentsError: Naming the line, for a missing column, a grade that is neither a number
            of 0 or more nor a known label, a frequency that is no number of 0 or more, or a query
            id with two texts or two frequencies; or if the form is not known.
    """
    if columns.format not in _READERS:
        raise JudgmentsError(
            f"judgments.format {columns.format!r}; {nearest(columns.format, FORMATS)}"
        )
    with opened(path) as stream:
        try:
            return _READERS[columns.format](stream, path, columns)
        except (UnicodeDecodeError, csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = f"{path} cannot be read as UTF-8 text in columns: {error}"
            raise JudgmentsError(message) from None
