"""Judgments as tools export them: Quepid, and the Search Relevance Workbench of OpenSearch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from cascade.errors import JudgmentsError
from cascade.judgments.judged import Judgments
from cascade.judgments.table import JudgmentColumns, number_of, read_table

_Graded = tuple[str, str, object]


def read_quepid(stream: IO[str], path: Path) -> Judgments:
    """Read what Quepid exports: ratings as CSV or JSON, a case, a book, or the form of RRE.

    A CSV has the columns `query,docid,rating` of the basic export, or those with blanks and
    capitals of others. In a book every rating of a pair is one judge's, and their mean is the
    grade; a rating that is missing or unrateable is skipped and counted.

    Raises:
        JudgmentsError: If it has none of these forms.
    """
    if ".json" in path.suffixes:
        return _judgments(_quepid(_loaded(stream, path), path), path)
    first = stream.readline()
    stream.seek(0)
    names = {"".join(c for c in n if c.isalnum()).lower(): n.strip() for n in first.split(",")}
    wanted = (("query", "querytext"), ("docid",), ("rating",))
    found = [next((names[k] for k in keys if k in names), None) for keys in wanted]
    query, doc_id, rating = found
    if query is None or doc_id is None or rating is None:
        raise JudgmentsError(
            f"{path} has the columns {first.strip()!r}; accepted is query,docid,rating"
        )
    return read_table(stream, path, JudgmentColumns(query, doc_id, rating))


def read_workbench(stream: IO[str], path: Path) -> Judgments:
    """Read the judgments of the Search Relevance Workbench, as put in or as got back.

    `judgmentRatings` is a list of `{query, ratings: [{docId, rating}]}`, or by query text.

    Raises:
        JudgmentsError: If it does not have this form.
    """
    return _judgments(_workbench(_loaded(stream, path), path), path)


def write_workbench(path: Path, judgments: Judgments, name: str) -> None:
    """Write judgments as the body that the workbench's import takes."""
    ratings = [
        {
            "query": judgments.texts[query_id],
            "ratings": [{"docId": d, "rating": f"{grade:g}"} for d, grade in grades.items()],
        }
        for query_id, grades in judgments.grades.items()
    ]
    body = {
        "name": name,
        "description": f"{len(judgments):,} grades of {len(ratings):,} queries",
        "type": "IMPORT_JUDGMENT",
        "judgmentRatings": ratings,
    }
    path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))


def _loaded(stream: IO[str], path: Path) -> Any:  # noqa: ANN401  (whatever JSON holds)
    try:
        return orjson.loads(stream.read())
    except orjson.JSONDecodeError as error:
        raise JudgmentsError(f"{path} is not valid JSON: {error}") from None


def _quepid(content: Any, path: Path) -> Iterator[_Graded]:  # noqa: ANN401
    if isinstance(content, Mapping) and "query_doc_pairs" in content:
        yield from _book(content["query_doc_pairs"])
        return
    queries = content.get("queries") if isinstance(content, Mapping) else content
    if not isinstance(queries, list):
        raise JudgmentsError(
            f"{path} has neither 'queries' nor 'query_doc_pairs', as Quepid writes"
        )
    for query in queries:
        text = query.get("query", query.get("query_text"))
        placeholders = query.get("placeholders")
        if text is None and isinstance(placeholders, Mapping):
            text = placeholders.get("$query")
        if text is None:
            raise JudgmentsError(f"{path}: a query without a text: {str(query)[:80]}")
        for doc_id, rating in (query.get("ratings") or {}).items():
            yield text, doc_id, rating
        for rating, doc_ids in (query.get("relevant_documents") or {}).items():
            yield from ((text, doc_id, rating) for doc_id in doc_ids)


def _book(pairs: list[Any]) -> Iterator[_Graded]:
    for pair in pairs:
        given = [
            judged["rating"]
            for judged in pair.get("judgements") or pair.get("judgments") or ()
            if judged.get("rating") is not None and not judged.get("unrateable")
        ]
        mean = sum(given) / len(given) if given else None
        yield pair["query_text"], pair["doc_id"], mean


def _workbench(content: Any, path: Path) -> Iterator[_Graded]:  # noqa: ANN401
    hits = content.get("hits") if isinstance(content, Mapping) else None
    if isinstance(hits, Mapping):
        for hit in hits.get("hits", ()):
            yield from _workbench(hit["_source"], path)
        return
    if isinstance(content, Mapping):
        content = content.get("judgmentRatings", content.get("judgmentScores"))
    if isinstance(content, Mapping):
        content = [{"query": text, "ratings": found} for text, found in content.items()]
    if not isinstance(content, list):
        raise JudgmentsError(f"{path} has no 'judgmentRatings', as the workbench writes them")
    for query in content:
        for found in query["ratings"]:
            yield query["query"], found["docId"], found.get("rating", found.get("score"))


def _judgments(graded: Iterator[_Graded], path: Path) -> Judgments:
    grades: dict[str, dict[str, float]] = {}
    skipped = conflicts = 0
    try:
        for text, doc_id, rating in graded:
            if rating is None or rating == "":
                skipped += 1
                continue
            grade = number_of(str(rating))
            if grade is None:
                raise JudgmentsError(
                    f"{path}: the rating {rating!r} of {doc_id!r} for {text!r} is not a number of "
                    "0 or more"
                )
            judged = grades.setdefault(text, {})
            conflicts += judged.get(str(doc_id), grade) != grade
            judged[str(doc_id)] = grade
    except (AttributeError, KeyError, TypeError) as error:
        raise JudgmentsError(f"{path} is not of the form: {type(error).__name__} {error}") from None
    if not grades:
        raise JudgmentsError(f"{path} has no rating")
    return Judgments({text: text for text in grades}, grades, skipped, conflicts)
