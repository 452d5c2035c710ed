"""Measures of where the relevant documents stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError, nearest
from cascade.measures.base import GradedMeasure, defined, ratio
from cascade.measures.graded import GradedRun, Ranked

# The highest exponent of 2 that sums of gains are safe with.
HIGHEST = 500.0
Dcg = Literal["log2", "exp-log2"]
Gains = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class _Gained(GradedMeasure):
    """Hold what DCG and nDCG have in common."""

    cutoff: int | None = None
    dcg: Dcg = "log2"
    gains: Gains = ()
    judged_only: bool = False

    def __post_init__(self) -> None:
        GradedMeasure.__post_init__(self)
        if self.dcg not in get_args(Dcg):
            known = nearest(str(self.dcg), get_args(Dcg))
            raise InputError(f"{self.NAME}: dcg is {self.dcg!r}; {known}")
        most = math.inf if self.dcg == "log2" else HIGHEST
        for grade, gain in self.gains:
            if not (0 <= gain < math.inf and gain <= most):
                raise InputError(
                    f"{self.NAME}(gains={{{grade:g}: {gain:g}}}): a gain is 0 or more"
                    + (f", and at most {most:g} as a power of 2" if gain > most else "")
                )

    def _gained(self, run: GradedRun, documents: Ranked) -> Float64:
        head = documents.head(self.cutoff)
        return head.sums(self._gain(head.grade) / np.log2(head.rank + 1.0), run.queries)

    def _ideal(self, run: GradedRun) -> Float64:
        if not self.gains:
            return self._gained(run, run.ideal)
        # Other gains may order the documents otherwise.
        gain = self._gain(run.ideal.grade)
        order = np.lexsort((-gain, run.ideal.query))
        best = Ranked(run.ideal.query, run.ideal.rank, gain[order]).head(self.cutoff)
        return best.sums(best.grade / np.log2(best.rank + 1.0), run.queries)

    def _gain(self, grade: Float64) -> Float64:
        mapped = grade.copy()
        for given, gain in self.gains:
            mapped[grade == given] = gain
        return mapped if self.dcg == "log2" else np.exp2(mapped) - 1.0


@dataclass(frozen=True, slots=True)
class DCG(_Gained):
    """Measure discounted cumulative gain: the sum of gain / log2(rank + 1)."""

    NAME: ClassVar[str] = "DCG"

    def _of(self, run: GradedRun) -> Float64:
        return defined(self._gained(run, run.found), run.relevant(None))


@dataclass(frozen=True, slots=True)
class NDCG(_Gained):
    """Measure normalised discounted cumulative gain.

    The gain of a document is its grade (Järvelin and Kekäläinen 2002, as in trec_eval), or with
    `dcg="exp-log2"` 2^grade - 1 (Burges et al. 2005); rank r is discounted by 1 / log2(r + 1), and
    the sum divided by that of all judged documents in their best order, cut at the same rank.

    Attributes:
        cutoff: The last rank that counts; None counts every rank.
        dcg: The form of the gain.
        gains: Pairs of a grade and what it counts as; other grades count as themselves.
        judged_only: Whether documents that nobody judged are passed over.
    """

    NAME: ClassVar[str] = "nDCG"

    def _of(self, run: GradedRun) -> Float64:
        return ratio(self._gained(run, run.found), self._ideal(run))


@dataclass(frozen=True, slots=True)
class ReciprocalRank(GradedMeasure):
    """Measure 1 / rank of the first relevant document, 0 where none is found (its mean is MRR)."""

    NAME: ClassVar[str] = "RR"

    cutoff: int | None = None
    rel: float | None = None
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        hits = run.found.head(self.cutoff).relevant(self.rel)
        first = np.full(run.queries, np.inf)
        np.minimum.at(first, hits.query, hits.rank)
        return defined(1.0 / first, run.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class AveragePrecision(GradedMeasure):
    """Measure the mean precision at the ranks of the relevant documents, 0 for those not found."""

    NAME: ClassVar[str] = "AP"

    cutoff: int | None = None
    rel: float | None = None
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        hits = run.found.head(self.cutoff).relevant(self.rel)
        return ratio(hits.sums(hits.places() / hits.rank, run.queries), run.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class Recall(GradedMeasure):
    """Measure the share of a query's relevant documents that stand at the cutoff or above."""

    NAME: ClassVar[str] = "R"

    cutoff: int
    rel: float | None = None
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        found = run.count(run.found.head(self.cutoff).relevant(self.rel))
        return ratio(found, run.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class Precision(GradedMeasure):
    """Measure the share of the first `cutoff` ranks that hold a relevant document.

    A rank that the run leaves empty counts as not relevant.
    """

    NAME: ClassVar[str] = "P"

    cutoff: int
    rel: float | None = None
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        found = run.count(run.found.head(self.cutoff).relevant(self.rel))
        return defined(found / self.cutoff, run.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class Success(GradedMeasure):
    """Say 1 where a relevant document stands at the cutoff or above, else 0."""

    NAME: ClassVar[str] = "Success"

    cutoff: int
    rel: float | None = None
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        found = run.count(run.found.head(self.cutoff).relevant(self.rel)) > 0
        return defined(found.astype(np.float64), run.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class RPrecision(GradedMeasure):
    """Measure precision at rank R, where R is how many relevant documents the query has."""

    NAME: ClassVar[str] = "Rprec"

    rel: float | None = None
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        relevant = run.relevant(self.rel)
        hits = run.found.relevant(self.rel)
        return ratio(run.count(hits.only(hits.rank <= relevant[hits.query])), relevant)


@dataclass(frozen=True, slots=True)
class InterpolatedPrecision(GradedMeasure):
    """Measure the best precision at any rank where at least this recall is reached.

    How many documents a recall asks for is rounded as in trec_eval: recall · R + 0.9, cut.
    """

    NAME: ClassVar[str] = "IPrec"
    AT: ClassVar[str] = "recall"

    recall: float
    rel: float | None = None
    judged_only: bool = False

    def __post_init__(self) -> None:
        GradedMeasure.__post_init__(self)
        if not 0 <= self.recall <= 1:
            raise InputError(f"IPrec@{self.recall:g}: a recall is from 0 to 1, as IPrec@0.1")

    def _of(self, run: GradedRun) -> Float64:
        relevant = run.relevant(self.rel)
        hits = run.found.relevant(self.rel)
        places = hits.places()
        reached = places >= np.floor(self.recall * relevant + 0.9)[hits.query]
        best = np.zeros(run.queries)
        np.maximum.at(best, hits.query[reached], (places / hits.rank)[reached])
        return defined(best, relevant)


@dataclass(frozen=True, slots=True)
class RankBiasedPrecision(GradedMeasure):
    """Measure (1 - p) times the sum of p^(rank - 1) over the relevant documents.

    Moffat and Zobel 2008, equation 3; `p` is how likely a reader is to go on to the next rank.
    """

    NAME: ClassVar[str] = "RBP"

    cutoff: int | None = None
    p: float = 0.8
    rel: float | None = None

    def __post_init__(self) -> None:
        GradedMeasure.__post_init__(self)
        _check_persistence(self.NAME, self.p)

    def _of(self, run: GradedRun) -> Float64:
        hits = run.found.head(self.cutoff).relevant(self.rel)
        met = hits.sums(np.power(self.p, hits.rank - 1.0), run.queries)
        return defined((1.0 - self.p) * met, run.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class ExpectedReciprocalRank(GradedMeasure):
    """Measure the expected 1 / rank at which a reader who goes down the ranking is satisfied.

    A document of grade g satisfies with the probability (2^g - 1) / 2^max_rel (Chapelle et al.
    2009, equations 4 and 5).

    Attributes:
        cutoff: The last rank that counts; None counts every rank.
        max_rel: The highest grade of the scale; gdeval has 4.
    """

    NAME: ClassVar[str] = "ERR"

    cutoff: int | None = None
    max_rel: float = 4.0

    def __post_init__(self) -> None:
        GradedMeasure.__post_init__(self)
        if not 0 < self.max_rel <= HIGHEST:
            raise InputError(
                f"ERR(max_rel={self.max_rel:g}): the highest grade of the scale is above 0 and at "
                f"most {HIGHEST:g}, as ERR(max_rel=4)"
            )

    def _of(self, run: GradedRun) -> Float64:
        best = float(run.ideal.grade.max(initial=0.0))
        if best > self.max_rel:
            raise InputError(
                f"{self}: there is the grade {best:g}; max_rel is the highest grade of the scale, "
                f"as ERR(max_rel={best:g})"
            )
        head = run.found.head(self.cutoff)
        satisfied = (np.exp2(head.grade) - 1.0) / np.exp2(self.max_rel)
        left = np.concatenate([[0.0], np.cumsum(np.log1p(-satisfied))])
        starts = np.searchsorted(head.query, head.query, side="left")
        arrived = np.exp(left[:-1] - left[starts])
        values = head.sums(arrived * satisfied / head.rank, run.queries)
        return defined(values, run.relevant(None))


@dataclass(frozen=True, slots=True)
class Compatibility(GradedMeasure):
    """Measure the rank-biased overlap with an ideal ranking of the relevant documents.

    Clarke, Vtyurina and Smucker 2021; documents of one grade may stand in any order.

    Attributes:
        p: How likely a reader is to go on to the next rank.
        normalize: Whether the overlap is divided by that of the ideal ranking with itself.
    """

    NAME: ClassVar[str] = "Compat"

    p: float = 0.95
    normalize: bool = True

    def __post_init__(self) -> None:
        GradedMeasure.__post_init__(self)
        _check_persistence(self.NAME, self.p)

    def _of(self, run: GradedRun) -> Float64:
        relevant = run.relevant(None)
        depth = np.maximum(run.retrieved, relevant).astype(np.int64)
        steps = np.arange(int(depth.max(initial=0)))
        weights = np.concatenate([[0.0], np.cumsum(self.p**steps)])
        # overlap[d]: what a document that both rankings have by rank r adds down to rank d is
        # overlap[d] - overlap[r - 1].
        overlap = np.concatenate([[0.0], np.cumsum(self.p**steps / (steps + 1.0))])
        hits = run.found.relevant(None)
        both = np.maximum(hits.rank, _ideal_ranks(hits, run.ideal.relevant(None)))
        met = hits.sums(overlap[depth[hits.query]] - overlap[both - 1], run.queries)
        best = run.ideal.relevant(None)
        whole = best.sums(overlap[depth[best.query]] - overlap[best.rank - 1], run.queries)
        return ratio(met, whole if self.normalize else np.where(relevant > 0, weights[depth], 0.0))


def _ideal_ranks(hits: Ranked, ideal: Ranked) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the rank of each hit in the ideal ranking in which hits come first in their grade."""
    order = np.lexsort((hits.rank, -hits.grade, hits.query))
    # A query's grades from high to low ascend in one key, so that one search serves all queries.
    grades, code = np.unique(np.concatenate([hits.grade, ideal.grade]), return_inverse=True)
    key = np.concatenate([hits.query, ideal.query]) * len(grades) + (len(grades) - 1 - code)
    mine, all_keys = key[: len(hits.query)][order], np.sort(key[len(hits.query) :])
    above = np.searchsorted(all_keys, mine) - np.searchsorted(ideal.query, hits.query[order])
    place = np.arange(len(mine)) - np.searchsorted(mine, mine)
    ranks = np.empty(len(mine), np.int64)
    ranks[order] = above + place + 1
    return ranks


def _check_persistence(name: str, p: float) -> None:
    if not 0 < p < 1:
        raise InputError(f"{name}(p={p:g}): p is above 0 and below 1, as {name}(p=0.8)")
