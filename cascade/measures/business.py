"""Measures of what a page is worth to the shop, from fields of the documents that it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from cascade.candidates import Float64, Int64
from cascade.errors import InputError, nearest
from cascade.judgments import Judgments
from cascade.measures.base import GradedMeasure, check_rel, printed, ratio
from cascade.measures.graded import GradedRun
from cascade.measures.written import cutoff_of, split_measure
from cascade.protocols import Measure, Run

# The value of a field for each document, float64[n], NaN where it has none; with a text, 1 or 0
# for whether it is among the field's values.
Columns = Callable[[str, str, Sequence[str]], Float64]
Worth = Literal["relevant", "grade"]
Middle = Literal["mean", "median"]


@dataclass(frozen=True, slots=True)
class Shown:
    """Hold the first documents of every query of a run.

    Attributes:
        query: int64[n], the position of the query in the run.
        rank: int64[n], 1-based.
        ids: The n documents.
        queries: How many queries there are.
    """

    query: Int64
    rank: Int64
    ids: tuple[str, ...]
    queries: int


def shown(run: Run, cutoff: int) -> Shown:
    """Return the first `cutoff` documents of every query."""
    pages = [ranking[:cutoff] for ranking in run.rankings]
    sizes = np.array([len(page) for page in pages], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    return Shown(
        query=np.repeat(np.arange(len(pages), dtype=np.int64), sizes),
        rank=np.arange(1, int(sizes.sum()) + 1, dtype=np.int64) - np.repeat(starts, sizes),
        ids=tuple(doc_id for page in pages for doc_id in page),
        queries=len(pages),
    )


@dataclass(frozen=True, slots=True)
class Revenue:
    """Measure what the relevant documents among the first ranks are worth.

    The sum of a numeric field over the first `cutoff` ranks, of documents that are relevant. With
    `by="grade"` each counts as often as its grade says, which is the money made where grades count
    purchases, and the expected money where they are purchase probabilities. 0 for a query without
    a relevant document; a document without a value adds nothing.

    Attributes:
        cutoff: The last rank that counts.
        field: The field that is summed.
        by: "relevant" or "grade".
        rel: The lowest grade that is relevant; None means every grade above 0.
    """

    NAME: ClassVar[str] = "revenue"

    cutoff: int
    field: str = "price"
    by: Worth = "relevant"
    rel: float | None = None

    def __post_init__(self) -> None:
        _check(self, "by", self.by, get_args(Worth))
        check_rel(self.NAME, self.rel)

    def __str__(self) -> str:
        return printed(self, self.NAME, "cutoff")

    def of(self, run: Run, judgments: Judgments, columns: Columns) -> Float64:
        """Return float64[q]."""
        page = shown(run, self.cutoff)
        grades = _grades(run, judgments, self.cutoff)
        weight = np.where(grades > 0 if self.rel is None else grades >= self.rel, 1.0, 0.0)
        if self.by == "grade":
            weight = weight * grades
        worth = np.nan_to_num(columns(self.field, "", page.ids)) * weight
        return np.bincount(page.query, weights=worth, minlength=page.queries).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Measure the share of the attention to the first ranks that falls on a group of documents.

    Rank r has the attention 1 / log2(r + 1) (Singh and Joachims 2018). The group is the documents
    whose keyword field has the `value`, or whose numeric field is below `below`, or else above 0.
    Undefined for an empty page. More or less of it is neither good nor bad by itself.

    Attributes:
        cutoff: The last rank that counts.
        field: The field that tells the group.
        value: A value of a keyword field; "" for a numeric one.
        below: What the numbers of the group are below, such as the age of new sellers.
    """

    NAME: ClassVar[str] = "exposure"

    cutoff: int
    field: str = ""
    value: str = ""
    below: float | None = None

    def __post_init__(self) -> None:
        _check(self)
        if not self.field:
            raise InputError(f"{self}: say whose, as exposure(field=is_new)@10")
        if self.value and self.below is not None:
            raise InputError(f"{self}: value is of a keyword field, below of a number; give one")
        if self.below is not None and math.isnan(self.below):
            raise InputError(f"{self}: below is no number")

    def __str__(self) -> str:
        return printed(self, self.NAME, "cutoff")

    def of(self, run: Run, judgments: Judgments, columns: Columns) -> Float64:
        """Return float64[q]; NaN for a query whose ranking is empty."""
        page = shown(run, self.cutoff)
        attention = 1.0 / np.log2(page.rank + 1.0)
        column = columns(self.field, self.value, page.ids)
        group = column > 0 if self.below is None else column < self.below
        part = np.bincount(page.query, weights=attention * group, minlength=page.queries)
        whole = np.bincount(page.query, weights=attention, minlength=page.queries)
        return ratio(part.astype(np.float64), whole.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Position(GradedMeasure):
    """Measure the mean or median rank of the relevant documents that are ranked; lower is better.

    Where grades count purchases it is the position of what was bought. Undefined where none is
    ranked.

    Attributes:
        cutoff: The last rank that counts; None counts every rank.
        by: "mean" or "median" of the ranks of one query.
        rel: The lowest grade that is relevant; None means every grade above 0.
    """

    NAME: ClassVar[str] = "position"

    cutoff: int | None = None
    by: Middle = "mean"
    rel: float | None = None

    def __post_init__(self) -> None:
        GradedMeasure.__post_init__(self)
        _check(self, "by", self.by, get_args(Middle))

    def _of(self, run: GradedRun) -> Float64:
        hits = run.found.head(self.cutoff).relevant(self.rel)
        count = run.count(hits)
        if self.by == "mean":
            return ratio(hits.sums(hits.rank.astype(np.float64), run.queries), count)
        some = np.flatnonzero(count)
        starts = np.searchsorted(hits.query, some)
        size = count[some].astype(np.int64)
        middle = np.full(run.queries, np.nan)
        low, high = hits.rank[starts + (size - 1) // 2], hits.rank[starts + size // 2]
        middle[some] = (low + high) / 2.0
        return middle


_NUMBERS = ("below", "rel")
BusinessMeasure = Revenue | Exposure | Position
BUSINESS_MEASURES: Mapping[str, type[BusinessMeasure]] = {
    measure.NAME: measure for measure in (Revenue, Exposure, Position)
}


@dataclass(frozen=True, slots=True)
class OverColumns:
    """Give a business measure the fields that it reads; fulfils `protocols.Measure`."""

    measure: Revenue | Exposure
    columns: Columns

    def __str__(self) -> str:
        return str(self.measure)

    def per_query(self, run: Run, judgments: Judgments) -> Float64:
        """Return float64[q], NaN where undefined."""
        return self.measure.of(run, judgments, self.columns)


def over(measure: BusinessMeasure, columns: Columns) -> Measure:
    """Return a business measure as one that asks for nothing but a run and judgments."""
    return measure if isinstance(measure, Position) else OverColumns(measure, columns)


def parse_business_measure(written: str) -> BusinessMeasure:
    """Return the business measure that prints as `written`, such as `revenue(field=price)@10`.

    Raises:
        InputError: Naming the part that is not understood, and what is accepted.
    """
    name, listed, at = split_measure(written)
    measure = BUSINESS_MEASURES.get(name.casefold())
    if measure is None:
        known = nearest(name, BUSINESS_MEASURES)
        raise InputError(f"business measure {written!r}: no measure {name!r}; {known}")
    known_fields = {field.name: field for field in fields(measure)}
    settings: dict[str, Any] = {}
    for key, value in listed.items():
        if key not in known_fields or key == "cutoff":
            accepted = nearest(key, [n for n in known_fields if n != "cutoff"])
            raise InputError(f"business measure {written!r}: no setting {key!r}; {accepted}")
        settings[key] = _number(written, key, value) if key in _NUMBERS else value
    if at is not None:
        settings["cutoff"] = cutoff_of(written, at)
    elif known_fields["cutoff"].default is MISSING:
        raise InputError(f"business measure {written!r} needs a cutoff, such as {name}@10")
    return measure(**settings)


def _grades(run: Run, judgments: Judgments, cutoff: int) -> Float64:
    found: list[float] = []
    for query_id, ranking in zip(run.query_ids, run.rankings, strict=True):
        judged = judgments.grades.get(query_id, {})
        found += [judged.get(doc_id, 0.0) for doc_id in ranking[:cutoff]]
    return np.array(found, dtype=np.float64)


def _number(written: str, key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"business measure {written!r}: {key} is {value!r}, no number") from None


def _check(
    measure: object, setting: str = "", given: str = "", accepted: tuple[str, ...] = ()
) -> None:
    cutoff = getattr(measure, "cutoff", None)
    if cutoff is not None and cutoff < 1:
        raise InputError(f"{measure}: a cutoff is 1 or more")
    if setting and given not in accepted:
        raise InputError(f"{measure}: {setting} is {given!r}; {nearest(given, accepted)}")
