"""Objectives: what a shop wants beside relevance, as one number from 0 to 1 for each row.

A row whose document lacks the field, or that the catalogue does not have, gets 0, so that missing
data never lifts a row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from cascade.business.scales import SCALES, minmax
from cascade.business.settings import above, field_of, one_of, read_bool, read_text, setting
from cascade.business.where import listed, number_of
from cascade.candidates import Candidates, Float32, Float64, Int64
from cascade.schema import Kind, Schema

T = TypeVar("T", bound="type[BaseObjective]")

_TRUE = ("true", "1")
_SCALE = one_of(*SCALES)

OBJECTIVES: dict[str, type[BaseObjective]] = {}


def objective_kind(kind: str) -> Callable[[T], T]:
    """Register a class of objectives under the name that configurations use."""

    def register(cls: T) -> T:
        if kind in OBJECTIVES:
            raise ValueError(f"objective kind {kind!r} is taken by {OBJECTIVES[kind].__name__}")
        OBJECTIVES[kind] = cls
        cls.kind = kind
        return cls

    return register


@dataclass(frozen=True, kw_only=True)
class BaseObjective(ABC):
    """Give every candidate one business value; the settings are the fields of the dataclass.

    Attributes:
        name: What a preference calls it.
    """

    kind: ClassVar[str] = ""

    name: str = setting(read_text)

    @abstractmethod
    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] from 0 (worst, or missing) to 1 (best)."""

    def faults(self, schema: Schema) -> list[str]:
        """Return what is wrong between settings, each line beginning with `.setting: `."""
        return []


@objective_kind("relevance")
@dataclass(frozen=True, kw_only=True)
class Relevance(BaseObjective):
    """Scale the scores that made the present order by their range in the listing.

    It never rises from one rank to the next. Scores are comparable within one stage only, and the
    rows below a stage's window keep an earlier stage's scores: where the score rises from one rank
    to the next, or is not finite, another block of rows begins. A block is scaled within itself to
    the share of ranks it takes, so rows a to b of n reach from 1 - b / n to 1 - a / n. With one
    block this is (score - lowest) / (highest - lowest), and 0.5 if all are equal.
    """

    name: str = setting(read_text, "relevance")

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n], descending within each listing."""
        count = len(candidates)
        if not count:
            return np.zeros(0, dtype=np.float32)
        scores = candidates.scores.astype(np.float64)
        finite = np.isfinite(scores)
        begins = np.ones(count, dtype=np.bool_)
        begins[1:] = ~(finite[1:] & finite[:-1])
        known = np.where(finite, scores, 0.0)
        begins[1:] |= known[1:] > known[:-1]
        starts = _starts(candidates)
        begins[starts] = True
        blocks = np.flatnonzero(begins)
        shares = minmax(known, blocks)
        if len(blocks) == len(starts) and finite.all():
            return _narrowed(shares)

        sizes = np.diff(blocks, append=count)
        rows = candidates.lengths[candidates.listing[blocks]]
        first = candidates.ranks[blocks] - 1
        low, high = 1 - (first + sizes) / rows, 1 - first / rows
        relevance = np.repeat(low, sizes) + shares * np.repeat(high - low, sizes)
        return _narrowed(relevance)


@objective_kind("number")
@dataclass(frozen=True, kw_only=True)
class Number(BaseObjective):
    """Scale a number or date field within the listing: `percentile`, or `minmax` of its range.

    Attributes:
        field: The field.
        scale: How it is brought to 0..1.
        descending: Whether the lowest value is the best.
    """

    field: str = setting(field_of(Kind.NUMBER, Kind.DATE))
    scale: str = setting(_SCALE, "percentile")
    descending: bool = setting(read_bool, False)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        scaled = SCALES[self.scale](number_of(candidates, self.field), _starts(candidates))
        return _narrowed(1 - scaled if self.descending else scaled)


@objective_kind("revenue")
@dataclass(frozen=True, kw_only=True)
class Revenue(BaseObjective):
    """Scale what a sale brings within the listing: price x margin, or the price alone.

    Attributes:
        price: The field of the price.
        margin: The field of the margin, as a share of the price.
        scale: `percentile` or `minmax`.
    """

    price: str = setting(field_of(Kind.NUMBER))
    margin: str | None = setting(field_of(Kind.NUMBER), None)
    scale: str = setting(_SCALE, "percentile")

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; a row that lacks either field gets 0."""
        revenue = number_of(candidates, self.price)
        if self.margin is not None:
            with np.errstate(over="ignore"):
                revenue = revenue * number_of(candidates, self.margin)
        return _narrowed(SCALES[self.scale](revenue, _starts(candidates)))


@objective_kind("new_seller")
@dataclass(frozen=True, kw_only=True)
class NewSeller(BaseObjective):
    """Give 1 to listings of new sellers, 0 to all others.

    Attributes:
        field: The seller's age in days; or, without `days`, a field that says it: a number above
            0, or a keyword "true" or "1".
        days: From this age on a seller is not new.
    """

    field: str = setting(field_of(Kind.NUMBER, Kind.KEYWORD))
    days: float | None = setting(above(0), None)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n], 0 or 1."""
        documents = candidates.documents
        if documents.schema.by_name[self.field].kind is Kind.KEYWORD:
            codes = documents.keyword_codes(self.field, _TRUE)
            flags = documents.keywords(self.field, candidates.rows)
            return listed(flags, codes).astype(np.float32)
        column = number_of(candidates, self.field)
        new = column > 0 if self.days is None else column < self.days
        return new.astype(np.float32)

    def faults(self, schema: Schema) -> list[str]:
        """Return that a keyword field has no age."""
        keyword = schema.by_name[self.field].kind is Kind.KEYWORD
        if keyword and self.days is not None:
            return [f".days: goes with an age in a number field; {self.field!r} is a keyword field"]
        return []


@objective_kind("stock")
@dataclass(frozen=True, kw_only=True)
class Stock(BaseObjective):
    """Give stock / (stock + half): each further piece counts less.

    Attributes:
        field: The pieces in stock.
        half: The stock at which the value is 0.5.
    """

    field: str = setting(field_of(Kind.NUMBER))
    half: float = setting(above(0), 10.0)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; a stock below 0 counts as none."""
        stock = np.maximum(number_of(candidates, self.field), 0.0)
        return _narrowed(1 - self.half / (stock + self.half))


def _starts(candidates: Candidates) -> Int64:
    return candidates.offsets[:-1][candidates.lengths > 0]


def _narrowed(values: Float64) -> Float32:
    narrow = np.clip(values, 0.0, 1.0).astype(np.float32)
    narrow[np.isnan(narrow)] = 0.0
    return narrow
