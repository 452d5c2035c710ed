"""What every measure is a function of: where the judged documents of a run stand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress, count

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float64, Int64
from cascade.errors import InputError
from cascade.judgments import Judgments
from cascade.protocols import Run


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

    def relevant(self, rel: float | None) -> Ranked:
        """Return the entries of grade `rel` or more; None means every grade above 0."""
        return self.only(self.grade > 0 if rel is None else self.grade >= rel)

    def places(self) -> Int64:
        """Return the 1-based place of each entry among those of its query, int64[n]."""
        starts = np.searchsorted(self.query, self.query, side="left")
        return np.arange(1, len(self.query) + 1, dtype=np.int64) - starts

    def sums(self, values: Float64, queries: int) -> Float64:
        """Return the sum of a float64[n] over each of so many queries."""
        return np.bincount(self.query, weights=values, minlength=queries).astype(np.float64)


@dataclass(frozen=True, slots=True)
class GradedRun:
    """Hold where the judged documents of a run stand; every measure here is a function of it.

    Attributes:
        queries: How many queries the run has.
        found: The judged documents that the run ranks, at the ranks it gives them.
        ideal: All judged documents, at the ranks of an ideal run: by grade, the best first.
        retrieved: int64[q], how many documents the run ranks, judged or not.
    """

    queries: int
    found: Ranked
    ideal: Ranked
    retrieved: Int64

    def condensed(self) -> GradedRun:
        """Return the run without the documents that nobody judged; the others move up."""
        ranks = Ranked(self.found.query, self.found.places(), self.found.grade)
        return GradedRun(self.queries, ranks, self.ideal, self.count(self.found).astype(np.int64))

    def count(self, documents: Ranked) -> Float64:
        """Return how many of some documents each query has, float64[q]."""
        return np.bincount(documents.query, minlength=self.queries).astype(np.float64)

    def relevant(self, rel: float | None) -> Float64:
        """Return how many relevant documents each query has, found or not, float64[q]."""
        return self.count(self.ideal.relevant(rel))


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
        retrieved=np.array([len(ranking) for ranking in run.rankings], np.int64),
    )


def _ideal(query: Int64, grade: Float64) -> Ranked:
    order = np.lexsort((-grade, query))
    by_grade = Ranked(query[order], order, grade[order])
    return Ranked(by_grade.query, by_grade.places(), by_grade.grade)
