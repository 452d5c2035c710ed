"""Measures: how good a run is, as values that print as people write them (`nDCG@10`)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import compress, count
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float64, Int64
from cascade.errors import InputError, nearest
from cascade.judgments import Judgments
from cascade.protocols import Run

Dcg = Literal["log2", "exp-log2"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Hold judged documents at their ranks, by query and then by rank.

    Attributes:
        query: int64[n], the position of the query in the run.
        rank: int64[n], 1-based.
        grade: float64[n].
    """

    query: Int64
    rank: Int64
    grade: Float64

    def head(self, cutoff: int | None) -> Ranked:
        """Return what stands at rank `cutoff` or above; None means everything."""
        return self if cutoff is None else self.only(self.rank <= cutoff)

    def only(self, mask: NDArray[np.bool_]) -> Ranked:
        """Return the entries that a bool[n] selects."""
        return Ranked(self.query[mask], self.rank[mask], self.grade[mask])


@dataclass(frozen=True, slots=True)
class GradedRun:
    """Hold where the judged documents of a run stand; every measure here is a function of it.

    Attributes:
        queries: How many queries the run has.
        found: The judged documents that the run ranks, at the ranks it gives them.
        ideal: All judged documents, at the ranks of an ideal run: by grade, the best first.
    """

    queries: int
    found: Ranked
    ideal: Ranked


def graded(run: Run, judgments: Judgments, depth: int | None = None) -> GradedRun:
    """Look up the grade of each of the first `depth` documents of each query.

    Raises:
        InputError: If the run holds a query twice, or ranks a judged document twice.
    """
    if len(set(run.query_ids)) < len(run.query_ids):
        raise InputError("the run holds a query more than once; give each query one ranking")
    queries: list[int] = []
    ranks: list[int] = []
    grades: list[float] = []
    judged_queries: list[int] = []
    judged_grades: list[float] = []
    for query, (query_id, ranking) in enumerate(zip(run.query_ids, run.rankings, strict=True)):
        judged = judgments.grades.get(query_id, {})
        judged_queries += [query] * len(judged)
        judged_grades += judged.values()
        ids = ranking if depth is None else ranking[:depth]
        # No Python code runs per document: a run may have a million of them.
        found = list(compress(count(), map(judged.__contains__, ids)))
        names = [ids[rank] for rank in found]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            message = f"query {query_id!r} ranks document {twice!r} more than once; keep the first"
            raise InputError(message)
        queries += [query] * len(found)
        ranks += [rank + 1 for rank in found]
        grades += [judged[name] for name in names]
    return GradedRun(
        queries=len(run.query_ids),
        found=Ranked(np.array(queries, np.int64), np.array(ranks, np.int64), np.array(grades)),
        ideal=_ideal(np.array(judged_queries, np.int64), np.array(judged_grades, np.float64)),
    )


@dataclass(frozen=True, slots=True)
class NDCG:
    """Measure normalised discounted cumulative gain.

    The gain of a document is its grade (Järvelin and Kekäläinen 2002, as in trec_eval), or with
    `dcg="exp-log2"` 2^grade - 1 (Burges et al. 2005); rank r is discounted by 1 / log2(r + 1), and
    the sum divided by that of all judged documents in their best order, cut at the same rank.

    Attributes:
        cutoff: The last rank that counts; None counts every rank.
        dcg: The form of the gain.
    """

    cutoff: int | None = None
    dcg: Dcg = "log2"

    def __post_init__(self) -> None:
        _check_cutoff("nDCG", self.cutoff)
        if self.dcg not in get_args(Dcg):
            raise InputError(f"nDCG: dcg is {self.dcg!r}; {nearest(str(self.dcg), get_args(Dcg))}")

    def __str__(self) -> str:
        return _written("nDCG", "" if self.dcg == "log2" else f"dcg={self.dcg!r}", self.cutoff)

    def per_query(self, run: Run, judgments: Judgments) -> Float64:
        """Return float64[q]; NaN for a query without a grade above 0."""
        return self.of(graded(run, judgments, self.cutoff))

    def of(self, run: GradedRun) -> Float64:
        """Return float64[q] from a run that was graded at least to the cutoff."""
        return _ratio(self._gained(run, run.found), self._gained(run, run.ideal))

    def _gained(self, run: GradedRun, documents: Ranked) -> Float64:
        head = documents.head(self.cutoff)
        gain = head.grade if self.dcg == "log2" else np.exp2(head.grade) - 1.0
        discounted = gain / np.log2(head.rank + 1.0)
        return np.asarray(
            np.bincount(head.query, weights=discounted, minlength=run.queries), np.float64
        )


@dataclass(frozen=True, slots=True)
class ReciprocalRank:
    """Measure 1 / rank of the first relevant document, 0 where none is found (its mean is MRR).

    Attributes:
        cutoff: The last rank that counts; None counts every rank.
        rel: The lowest grade that is relevant; None means every grade above 0.
    """

    cutoff: int | None = None
    rel: float | None = None

    def __post_init__(self) -> None:
        _check_cutoff("RR", self.cutoff)
        _check_rel("RR", self.rel)

    def __str__(self) -> str:
        return _written("RR", _rel_written(self.rel), self.cutoff)

    def per_query(self, run: Run, judgments: Judgments) -> Float64:
        """Return float64[q]; NaN for a query without a relevant document."""
        return self.of(graded(run, judgments, self.cutoff))

    def of(self, run: GradedRun) -> Float64:
        """Return float64[q] from a run that was graded at least to the cutoff."""
        hits = _relevant(run.found.head(self.cutoff), self.rel)
        first = np.full(run.queries, np.inf)
        np.minimum.at(first, hits.query, hits.rank)
        return np.where(_count(run, run.ideal, self.rel) > 0, 1.0 / first, np.nan)


@dataclass(frozen=True, slots=True)
class Recall:
    """Measure the share of a query's relevant documents that stand at the cutoff or above.

    Attributes:
        cutoff: The last rank that counts.
        rel: The lowest grade that is relevant; None means every grade above 0.
    """

    cutoff: int
    rel: float | None = None

    def __post_init__(self) -> None:
        _check_cutoff("R", self.cutoff)
        _check_rel("R", self.rel)

    def __str__(self) -> str:
        return _written("R", _rel_written(self.rel), self.cutoff)

    def per_query(self, run: Run, judgments: Judgments) -> Float64:
        """Return float64[q]; NaN for a query without a relevant document."""
        return self.of(graded(run, judgments, self.cutoff))

    def of(self, run: GradedRun) -> Float64:
        """Return float64[q] from a run that was graded at least to the cutoff."""
        found = _count(run, run.found.head(self.cutoff), self.rel)
        return _ratio(found, _count(run, run.ideal, self.rel))


@dataclass(frozen=True, slots=True)
class Precision:
    """Measure the share of the first `cutoff` ranks that hold a relevant document.

    A rank that the run leaves empty counts as not relevant.

    Attributes:
        cutoff: The last rank that counts.
        rel: The lowest grade that is relevant; None means every grade above 0.
    """

    cutoff: int
    rel: float | None = None

    def __post_init__(self) -> None:
        _check_cutoff("P", self.cutoff)
        _check_rel("P", self.rel)

    def __str__(self) -> str:
        return _written("P", _rel_written(self.rel), self.cutoff)

    def per_query(self, run: Run, judgments: Judgments) -> Float64:
        """Return float64[q]; NaN for a query without a relevant document."""
        return self.of(graded(run, judgments, self.cutoff))

    def of(self, run: GradedRun) -> Float64:
        """Return float64[q] from a run that was graded at least to the cutoff."""
        found = _count(run, run.found.head(self.cutoff), self.rel)
        return np.where(_count(run, run.ideal, self.rel) > 0, found / self.cutoff, np.nan)


GradedMeasure = NDCG | ReciprocalRank | Recall | Precision

_CLASSES: Mapping[str, Callable[..., GradedMeasure]] = {
    "nDCG": NDCG,
    "RR": ReciprocalRank,
    "MRR": ReciprocalRank,
    "R": Recall,
    "Recall": Recall,
    "P": Precision,
    "Precision": Precision,
}
_NEEDS_CUTOFF = (Recall, Precision)
_WRITTEN = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<settings>[^()]*)\))?\s*(?:@(?P<cutoff>.*))?")
_EXAMPLES = "write it as nDCG@10, nDCG(dcg='exp-log2')@10, RR@10, R@100 or P(rel=2)@10"


def parse_measure(written: str) -> GradedMeasure:
    """Return the measure that prints as `written`; capitals do not matter.

    `MRR`, `Recall` and `Precision` are read as `RR`, `R` and `P`.

    Raises:
        InputError: Naming the part that is not understood, and what is accepted.
    """
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise InputError(f"measure {written!r} is not understood; {_EXAMPLES}")
    folded = {name.casefold(): measure for name, measure in _CLASSES.items()}
    measure = folded.get(match["name"].casefold())
    if measure is None:
        known = nearest(match["name"], _CLASSES)
        raise InputError(f"measure {written!r}: no measure {match['name']!r}; {known}")
    settings = _settings(written, match["settings"] or "", measure)
    if match["cutoff"] is not None:
        settings["cutoff"] = _cutoff(written, match["cutoff"].strip())
    elif measure in _NEEDS_CUTOFF:
        message = f"measure {written!r} needs a cutoff, such as {match['name']}@10"
        raise InputError(message)
    return measure(**settings)


def _settings(written: str, listed: str, measure: Callable[..., GradedMeasure]) -> dict[str, Any]:
    accepted = [field.name for field in fields(measure) if field.name != "cutoff"]  # type: ignore[arg-type]
    settings: dict[str, Any] = {}
    for setting in filter(None, (part.strip() for part in listed.split(","))):
        name, _, value = (part.strip() for part in setting.partition("="))
        if name not in accepted:
            known = nearest(name, accepted)
            raise InputError(f"measure {written!r}: no setting {name!r}; {known}. {_EXAMPLES}")
        settings[name] = _number(written, value) if name == "rel" else value.strip("'\"")
    return settings


def _number(written: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        message = f"measure {written!r}: rel is {value!r}, not a number; {_EXAMPLES}"
        raise InputError(message) from None


def _cutoff(written: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        message = f"measure {written!r}: cutoff {value!r} is not a whole number of 1 or more"
        raise InputError(message)
    return int(value)


def _check_cutoff(name: str, cutoff: int | None) -> None:
    if cutoff is not None and cutoff < 1:
        raise InputError(f"{name}@{cutoff}: a cutoff is 1 or more")


def _check_rel(name: str, rel: float | None) -> None:
    if rel is not None and not (math.isfinite(rel) and rel > 0):
        raise InputError(f"{name}(rel={rel:g}): the lowest relevant grade is above 0")


def _written(name: str, settings: str, cutoff: int | None) -> str:
    return name + (f"({settings})" if settings else "") + ("" if cutoff is None else f"@{cutoff}")


def _rel_written(rel: float | None) -> str:
    # repr gives back the same number when it is read; a whole grade is written without its ".0".
    return "" if rel is None else f"rel={repr(float(rel)).removesuffix('.0')}"


def _ideal(query: Int64, grade: Float64) -> Ranked:
    order = np.lexsort((-grade, query))
    query, grade = query[order], grade[order]
    starts = np.searchsorted(query, query, side="left")
    return Ranked(query, np.arange(1, len(query) + 1) - starts, grade)


def _relevant(documents: Ranked, rel: float | None) -> Ranked:
    return documents.only(documents.grade > 0 if rel is None else documents.grade >= rel)


def _count(run: GradedRun, documents: Ranked, rel: float | None) -> Float64:
    hits = _relevant(documents, rel)
    return np.bincount(hits.query, minlength=run.queries).astype(np.float64)


def _ratio(part: Float64, whole: Float64) -> Float64:
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
