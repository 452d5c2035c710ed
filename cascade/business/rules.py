"""Rules: hard statements on a list, certain for any scores.

`Exclude` and `MinStock` are compiled into the engine's filter and checked again on what it gives.
`Boost` and `Bury` give a new order by themselves. `AtMost`, `AtLeast`, `Diversify` and `Pin` bind
each other and are seated together, by `seating`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from cascade.business.implied import ids_named
from cascade.business.settings import (
    above,
    field_of,
    one_of,
    read_end,
    read_filter,
    read_slots,
    read_start,
    read_text,
    read_texts,
    setting,
    whole,
)
from cascade.business.where import matches
from cascade.candidates import Candidates, Int64, Query
from cascade.filters import AllOf, AnyOf, Exists, Filter, Not, Range
from cascade.schema import Kind, Schema

T = TypeVar("T", bound="type[BaseRule]")

RULES: dict[str, type[BaseRule]] = {}


def rule_kind(kind: str) -> Callable[[T], T]:
    """Register a class of rules under the name that configurations use."""

    def register(cls: T) -> T:
        if kind in RULES:
            raise ValueError(f"rule kind {kind!r} is taken by {RULES[kind].__name__}")
        RULES[kind] = cls
        cls.kind = kind
        return cls

    return register


def normalised(query_text: str) -> str:
    """Return a query's text as rules compare it: case and outer or doubled spaces do not count."""
    return " ".join(query_text.casefold().split())


@dataclass(frozen=True, kw_only=True)
class BaseRule:
    """Say which requests a rule is for.

    Attributes:
        name: Names it in traces and messages.
        queries: The texts it is for, as `normalised` compares them; none means every text.
        surfaces: The surfaces it is for; none means every request, also one without a surface.
        starts: The first moment it is for, in seconds since 1970; None means since ever.
        ends: The first moment it is no longer for; None means for ever. A rule with either is for
            no request without a time (`Query.time` of 0).
    """

    kind: ClassVar[str] = ""

    name: str = setting(read_text)
    queries: tuple[str, ...] = setting(read_texts, ())
    surfaces: tuple[str, ...] = setting(read_texts, ())
    starts: float | None = setting(read_start, None)
    ends: float | None = setting(read_end, None)

    @cached_property
    def texts(self) -> frozenset[str]:
        """The normalised texts that the rule is for."""
        return frozenset(map(normalised, self.queries))

    def covers(self, query: Query) -> bool:
        """Return whether the rule is for this request."""
        return (
            (not self.texts or normalised(query.text) in self.texts)
            and (not self.surfaces or query.surface in self.surfaces)
            and self._lasts(query.time)
        )

    def meets(self, other: BaseRule) -> bool:
        """Return whether some request is covered by both rules."""
        return (
            _overlap(self.texts, other.texts)
            and _overlap(frozenset(self.surfaces), frozenset(other.surfaces))
            and max(self.period[0], other.period[0]) < min(self.period[1], other.period[1])
        )

    def faults(self, schema: Schema) -> list[str]:
        """Return what is wrong between settings, each line beginning with `.setting: `."""
        if self.period[0] >= self.period[1]:
            return [".ends: is not after starts; accepted is a later date or moment"]
        return []

    @property
    def period(self) -> tuple[float, float]:
        """The first moment that the rule is for, and the first that it is no longer for."""
        starts = -math.inf if self.starts is None else self.starts
        return starts, math.inf if self.ends is None else self.ends

    def _lasts(self, time: float) -> bool:
        if self.starts is None and self.ends is None:
            return True
        return time != 0 and self.period[0] <= time < self.period[1]


class RetrievalRule(BaseRule, ABC):
    """Keep documents out of retrieval."""

    @abstractmethod
    def condition(self) -> Filter:
        """Return what every retrieved document must satisfy."""


@rule_kind("exclude")
@dataclass(frozen=True, kw_only=True)
class Exclude(RetrievalRule):
    """Never show documents that a filter accepts."""

    where: AllOf = setting(read_filter)  # noqa: RUF009

    def condition(self) -> Filter:
        """Return the opposite of the filter."""
        return Not(self.where)


@rule_kind("min_stock")
@dataclass(frozen=True, kw_only=True)
class MinStock(RetrievalRule):
    """Show only documents with enough stock.

    Attributes:
        field: The number field of the stock.
        at_least: The least stock.
        missing: `keep` or `drop` documents that do not say their stock.
        where: The documents that the rule is for; None means all.
    """

    field: str = setting(field_of(Kind.NUMBER))
    at_least: float = setting(above(0), 1.0)
    missing: str = setting(one_of("keep", "drop"), "keep")
    where: AllOf | None = setting(read_filter, None)  # noqa: RUF009

    def condition(self) -> Filter:
        """Return the range, or that the rule is not for the document."""
        accepted: list[Filter] = [Range(self.field, gte=self.at_least)]
        if self.missing == "keep":
            accepted.append(Not(Exists(self.field)))
        if self.where is not None:
            accepted.append(Not(self.where))
        return accepted[0] if len(accepted) == 1 else AnyOf(tuple(accepted))


class OrderRule(BaseRule, ABC):
    """Give a list a new order by itself.

    Attributes:
        upward: Whether the rows that the rule is about are those that go up.
    """

    upward: ClassVar[bool]

    @abstractmethod
    def apply(self, candidates: Candidates) -> Int64:
        """Return int64[n], the present position of the row at each rank of one listing."""


@rule_kind("boost")
@dataclass(frozen=True, kw_only=True)
class Boost(OrderRule):
    """Move rows that a filter accepts up.

    Such a row rises by `ranks`, less where the top of the list is in the way. Rising rows keep
    their order, the others keep theirs and fill the ranks between.

    Attributes:
        where: The rows that rise.
        ranks: How many ranks; None means to the top.
    """

    upward: ClassVar[bool] = True

    where: AllOf = setting(read_filter)  # noqa: RUF009
    ranks: int | None = setting(whole(1), None)

    def apply(self, candidates: Candidates) -> Int64:
        """Return int64[n]."""
        return _raised(matches(self.where, candidates), self.ranks)


@rule_kind("bury")
@dataclass(frozen=True, kw_only=True)
class Bury(OrderRule):
    """Move rows that a filter accepts down.

    Such a row falls by `ranks`, less where the end of the list is in the way. Falling rows keep
    their order, the others keep theirs and fill the ranks between.

    Attributes:
        where: The rows that fall.
        ranks: How many ranks; None means to the end of the list.
    """

    upward: ClassVar[bool] = False

    where: AllOf = setting(read_filter)  # noqa: RUF009
    ranks: int | None = setting(whole(1), None)

    def apply(self, candidates: Candidates) -> Int64:
        """Return int64[n]."""
        # Falling is rising in the list read from its end.
        falling = matches(self.where, candidates)
        return len(falling) - 1 - _raised(falling[::-1], self.ranks)[::-1]


class QuotaRule(BaseRule, ABC):
    """Say something of the first ranks together."""

    top: int


@rule_kind("at_most")
@dataclass(frozen=True, kw_only=True)
class AtMost(QuotaRule):
    """Allow at most `count` rows of each value of a keyword field in the first `top`.

    Rows over the quota go just below rank `top` in their order. They stand above it only if
    nothing else is left or a pin puts them there; pinned rows count. A row without a value is
    free, and one with many values counts for each.

    Attributes:
        field: The keyword field, as the seller.
        count: How many rows of one value.
        top: The first ranks that the quota is for.
        where: The rows that count; None means all.
    """

    field: str = setting(field_of(Kind.KEYWORD))
    count: int = setting(whole(1))
    top: int = setting(whole(1))
    where: AllOf | None = setting(read_filter, None)  # noqa: RUF009

    def faults(self, schema: Schema) -> list[str]:
        """Return that a quota as large as its top never acts."""
        found = super().faults(schema)
        if self.count >= self.top:
            found.append(f".count: is {self.count}; accepted is less than top, which is {self.top}")
        return found


@rule_kind("at_least")
@dataclass(frozen=True, kw_only=True)
class AtLeast(QuotaRule):
    """Show at least `count` rows that a filter accepts in the first `top`.

    Where too few stand there, the next ones below rise, no further than to the last ranks of the
    top that are needed for them. Fewer are shown only if there are no more such rows, or a pin or
    an `at_most` keeps them out; pinned rows count.

    Attributes:
        where: The rows that are wanted.
        count: How many of them.
        top: The first ranks that the quota is for.
    """

    where: AllOf = setting(read_filter)  # noqa: RUF009
    count: int = setting(whole(1))
    top: int = setting(whole(1))

    def faults(self, schema: Schema) -> list[str]:
        """Return that a top has no room for so many, or that fewer documents are named."""
        found = super().faults(schema)
        if self.count > self.top:
            found.append(f".count: is {self.count}; accepted is at most top, which is {self.top}")
        named = ids_named(self.where, schema.id)
        if named is not None and self.count > len(named):
            found.append(
                f".count: is {self.count}; accepted is at most {len(named)}, as many documents as "
                "`where` names"
            )
        return found


@rule_kind("diversify")
@dataclass(frozen=True, kw_only=True)
class Diversify(QuotaRule):
    """Keep rows of one value of a keyword field at least `gap` ranks apart in the first `top`.

    A rank goes to the first row below that keeps the distance to the rows of its value, those
    that are pinned among them. If no row that may stand there does, to the first that may. A row
    without a value is free, and one with many values keeps its distance for each.

    Attributes:
        field: The keyword field, as the brand.
        top: The first ranks that the rule is for.
        gap: How far apart; 2 means that no two of a value are neighbours.
    """

    field: str = setting(field_of(Kind.KEYWORD))
    top: int = setting(whole(2))
    gap: int = setting(whole(2), 2)

    def faults(self, schema: Schema) -> list[str]:
        """Return that a gap larger than the top says no more than one as large."""
        found = super().faults(schema)
        if self.gap > self.top:
            found.append(f".gap: is {self.gap}; accepted is at most top, which is {self.top}")
        return found


@rule_kind("pin")
@dataclass(frozen=True, kw_only=True)
class Pin(BaseRule):
    """Put documents to slots.

    Attributes:
        slots: Pairs of document id and slot; 1 is the top of the list. A slot beyond the end of
            the list means the last that no other pin has.
    """

    slots: tuple[tuple[str, int], ...] = setting(read_slots)


def _overlap(left: frozenset[str], right: frozenset[str]) -> bool:
    return not left or not right or bool(left & right)


def _raised(moved: NDArray[np.bool_], ranks: int | None) -> Int64:
    count = len(moved)
    rising = np.flatnonzero(moved)
    # Both terms ascend strictly, so no two rows meet.
    targets = np.maximum(rising - (count if ranks is None else ranks), np.arange(len(rising)))
    free = np.ones(count, dtype=np.bool_)
    free[targets] = False
    order = np.empty(count, dtype=np.int64)
    order[targets] = rising
    order[free] = np.flatnonzero(~moved)
    return order
