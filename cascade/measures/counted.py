"""Measures of what the whole ranking holds, and of pairs in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.measures.base import GradedMeasure, defined, ratio
from cascade.measures.graded import GradedRun


@dataclass(frozen=True, slots=True)
class SetPrecision(GradedMeasure):
    """Measure the share of the ranked documents that are relevant.

    Attributes:
        rel: The lowest grade that is relevant; None means every grade above 0.
        relative: Whether it is divided by the best that a ranking of this length could have.
        judged_only: Whether documents that nobody judged are passed over.
    """

    NAME: ClassVar[str] = "SetP"

    rel: float | None = None
    relative: bool = False
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        relevant = run.relevant(self.rel)
        whole = run.retrieved.astype(np.float64)
        if self.relative:
            whole = np.minimum(whole, relevant)
        found = run.count(run.found.relevant(self.rel))
        return defined(np.nan_to_num(ratio(found, whole)), relevant)


@dataclass(frozen=True, slots=True)
class SetRecall(GradedMeasure):
    """Measure the share of the relevant documents that are ranked at all."""

    NAME: ClassVar[str] = "SetR"

    rel: float | None = None

    def _of(self, run: GradedRun) -> Float64:
        return ratio(run.count(run.found.relevant(self.rel)), run.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class SetF(GradedMeasure):
    """Measure (beta + 1) · P · R / (R + beta · P) of set precision P and set recall R.

    As in trec_eval, beta stands for its square in the usual F measure.
    """

    NAME: ClassVar[str] = "SetF"

    rel: float | None = None
    beta: float = 1.0
    judged_only: bool = False

    def __post_init__(self) -> None:
        GradedMeasure.__post_init__(self)
        if not 0 <= self.beta < math.inf:
            raise InputError(f"SetF(beta={self.beta:g}): beta is 0 or more, as SetF(beta=1)")

    def _of(self, run: GradedRun) -> Float64:
        precision, recall = SetPrecision(self.rel)._of(run), SetRecall(self.rel)._of(run)
        both = (self.beta + 1.0) * precision * recall
        return defined(
            np.nan_to_num(ratio(both, recall + self.beta * precision)), run.relevant(self.rel)
        )


@dataclass(frozen=True, slots=True)
class SetAP(GradedMeasure):
    """Measure set precision times set recall."""

    NAME: ClassVar[str] = "SetAP"

    rel: float | None = None
    judged_only: bool = False

    def _of(self, run: GradedRun) -> Float64:
        return SetPrecision(self.rel)._of(run) * SetRecall(self.rel)._of(run)


@dataclass(frozen=True, slots=True)
class Retrieved(GradedMeasure):
    """Count the ranked documents, or with `rel` those of this grade or more."""

    NAME: ClassVar[str] = "NumRet"

    rel: float | None = None

    def _of(self, run: GradedRun) -> Float64:
        if self.rel is None:
            return run.retrieved.astype(np.float64)
        return run.count(run.found.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class Relevant(GradedMeasure):
    """Count the relevant documents of the judgments."""

    NAME: ClassVar[str] = "NumRel"

    rel: float | None = None

    def _of(self, run: GradedRun) -> Float64:
        return run.relevant(self.rel)


@dataclass(frozen=True, slots=True)
class RelevantRetrieved(GradedMeasure):
    """Count the relevant documents that are ranked."""

    NAME: ClassVar[str] = "NumRelRet"

    rel: float | None = None

    def _of(self, run: GradedRun) -> Float64:
        return run.count(run.found.relevant(self.rel))


@dataclass(frozen=True, slots=True)
class Judged(GradedMeasure):
    """Measure the share of the ranked documents, down to the cutoff, that somebody judged.

    Of a ranking that is shorter than the cutoff, the share of what there is; 0 of an empty one.
    Undefined for a query without any judgment.
    """

    NAME: ClassVar[str] = "Judged"

    cutoff: int | None = None

    def _of(self, run: GradedRun) -> Float64:
        ranked = run.retrieved.astype(np.float64)
        whole = ranked if self.cutoff is None else np.minimum(ranked, self.cutoff)
        share = np.nan_to_num(ratio(run.count(run.found.head(self.cutoff)), whole))
        return defined(share, run.count(run.ideal))


@dataclass(frozen=True, slots=True)
class BinaryPreference(GradedMeasure):
    """Measure how few judged documents that are not relevant stand above the relevant ones.

    The mean over the relevant documents of 1 - min(n, R) / min(N, R), n being how many of the N
    judged ones that are not relevant stand above (Buckley and Voorhees 2004, as in trec_eval);
    documents that nobody judged are passed over.
    """

    NAME: ClassVar[str] = "Bpref"

    rel: float | None = None

    def _of(self, run: GradedRun) -> Float64:
        relevant = run.relevant(self.rel)
        other = run.count(run.ideal) - relevant
        hits, judged = run.found.relevant(self.rel), run.condensed().found.relevant(self.rel)
        above = (judged.rank - hits.places()).astype(np.float64)
        bound = np.minimum(other, relevant)[hits.query]
        lost = np.nan_to_num(ratio(np.minimum(above, relevant[hits.query]), bound))
        return ratio(hits.sums(1.0 - lost, run.queries), relevant)


@dataclass(frozen=True, slots=True)
class Accuracy(GradedMeasure):
    """Measure how likely a relevant document stands above one that is not, of those ranked.

    A document that nobody judged is not relevant. Undefined where the ranking holds no pair.
    """

    NAME: ClassVar[str] = "Accuracy"

    cutoff: int | None = None
    rel: float | None = None

    def _of(self, run: GradedRun) -> Float64:
        ranked = run.retrieved.astype(np.float64)
        whole = ranked if self.cutoff is None else np.minimum(ranked, self.cutoff)
        hits = run.found.head(self.cutoff).relevant(self.rel)
        count = run.count(hits)
        above = hits.sums((hits.rank - hits.places()).astype(np.float64), run.queries)
        return 1.0 - ratio(above, (whole - count) * count)
