"""TREC: judgments as qrels, listings as runs, query texts as topics.

The forms: https://trec.nist.gov/data/qrels_eng/ ; trec_eval reads the same.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from cascade.errors import JudgmentsError
from cascade.judgments.judged import Judgments
from cascade.judgments.opening import opened
from cascade.judgments.table import number_of

_TOP = re.compile(r"<num>\s*(?:Number:)?\s*(.*?)\s*(?:</num>\s*)?<title>\s*(.*?)\s*(?=<|$)", re.S)


def read_qrels(stream: IO[str], path: Path, texts: Path | None) -> Judgments:
    """Read lines `query_id iteration doc_id grade`; the iteration says nothing.

    A grade below 0, which collections give to spam, is 0, as measures take it. Without a file of
    texts the query id is the text.

    Raises:
        JudgmentsError: Naming the line that is not of the form, or a query without a text.
    """
    known = None if texts is None else read_texts(texts)
    grades: dict[str, dict[str, float]] = {}
    conflicts = 0
    for number, line in enumerate(stream, 1):
        cells = line.split()
        if not cells:
            continue
        where = f"{path}, line {number}"
        if len(cells) != 4:
            raise JudgmentsError(f"{where}: not 'query_id iteration doc_id grade'")
        query_id, _, doc_id, written = cells
        grade = number_of(written.removeprefix("-"))
        if grade is not None and written.startswith("-"):
            grade = 0.0
        if grade is None:
            raise JudgmentsError(f"{where}: grade {written!r} is not a number")
        if known is not None and query_id not in known:
            raise JudgmentsError(f"{where}: query {query_id!r} has no text in {texts}")
        judged = grades.setdefault(query_id, {})
        conflicts += judged.get(doc_id, grade) != grade
        judged[doc_id] = grade
    if not grades:
        raise JudgmentsError(f"{path} has no line with a grade")
    named = {query_id: known[query_id] if known else query_id for query_id in grades}
    return Judgments(named, grades, 0, conflicts)


def read_texts(path: Path) -> dict[str, str]:
    r"""Read query texts by id: topics (`<top>`), or lines `id<TAB>text`.

    Raises:
        JudgmentsError: If a line is of neither form, or an id has two texts.
    """
    content = _content(path)
    found: dict[str, str] = {}
    for query_id, text in _texts(content, path):
        if found.setdefault(query_id, text) != text:
            raise JudgmentsError(f"{path}: query {query_id!r} has two texts")
    return found


def _content(path: Path) -> str:
    with opened(path) as stream:
        try:
            return stream.read()
        except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
            raise JudgmentsError(f"{path} cannot be read as UTF-8 text: {error}") from None


def _texts(content: str, path: Path) -> Iterator[tuple[str, str]]:
    if "<num>" in content:
        for top in content.split("<top>")[1:]:
            told = _TOP.search(top)
            if told is None:
                raise JudgmentsError(f"{path}: a topic without <num> or <title>: {top[:60]!r}")
            yield told[1], " ".join(told[2].split())
        return
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        query_id, tab, text = line.partition("\t")
        if not tab:
            raise JudgmentsError(f"{path}, line {number}: not 'query_id<TAB>text'")
        yield query_id.strip(), text.strip()


def write_qrels(path: Path, judgments: Judgments) -> None:
    """Write judgments as qrels; ids with blanks in them are refused.

    Raises:
        JudgmentsError: If an id has a blank, or a grade is no whole number, as the form asks.
    """
    with path.open("w", encoding="utf-8") as stream:
        for query_id, grades in judgments.grades.items():
            for doc_id, grade in grades.items():
                if grade != int(grade):
                    raise JudgmentsError(
                        f"the grade {grade:g} of {doc_id!r} is no whole number, which qrels ask "
                        "for; multiply the grades first"
                    )
                stream.write(f"{_word(query_id)} 0 {_word(doc_id)} {int(grade)}\n")


def write_texts(path: Path, judgments: Judgments) -> None:
    """Write the texts of queries as lines `id<TAB>text`."""
    lines = [f"{_word(q)}\t{' '.join(text.split())}\n" for q, text in judgments.texts.items()]
    path.write_text("".join(lines), encoding="utf-8")


def read_run(path: Path) -> dict[str, tuple[str, ...]]:
    """Read lines `query_id Q0 doc_id rank score name` into document ids by query, best first.

    The order is that of the scores, as in trec_eval, which does not look at the rank; documents of
    one score are in the order of their ranks.

    Raises:
        JudgmentsError: Naming the line that is not of the form.
    """
    rows: dict[str, list[tuple[float, float, str]]] = {}
    for number, line in enumerate(_content(path).split("\n"), 1):
        cells = line.split()
        if not cells:
            continue
        where = f"{path}, line {number}"
        if len(cells) < 5:
            raise JudgmentsError(f"{where}: not 'query_id Q0 doc_id rank score name'")
        try:
            rank, score = float(cells[3]), float(cells[4])
        except ValueError:
            rank = score = math.nan
        if math.isnan(rank) or math.isnan(score):
            raise JudgmentsError(f"{where}: the rank or the score is no number")
        rows.setdefault(cells[0], []).append((-score, rank, cells[2]))
    return {
        query_id: tuple(doc_id for *_, doc_id in sorted(ranked))
        for query_id, ranked in rows.items()
    }


def write_run(
    path: Path,
    rankings: Mapping[str, Sequence[str]] | Iterable[tuple[str, Sequence[str]]],
    name: str = "cascade",
) -> None:
    """Write document ids by query, best first; the score falls by 1 a rank.

    Raises:
        JudgmentsError: If an id has a blank.
    """
    pairs = rankings.items() if isinstance(rankings, Mapping) else rankings
    with path.open("w", encoding="utf-8") as stream:
        for query_id, ranked in pairs:
            stream.writelines(
                f"{_word(query_id)} Q0 {_word(doc_id)} {rank} {len(ranked) - rank + 1} {name}\n"
                for rank, doc_id in enumerate(ranked, 1)
            )


def _word(name: str) -> str:
    if not name or name.split() != [name]:
        raise JudgmentsError(f"the id {name!r} is no single word, which the form asks for")
    return name
