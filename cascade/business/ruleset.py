"""The rules of a cascade as one set: checked against each other, applied in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cascade.business.conflicts import conflicts
from cascade.business.rules import BaseRule, OrderRule, Pin, QuotaRule, RetrievalRule
from cascade.business.seating import seated
from cascade.business.where import matches
from cascade.candidates import Candidates, Int64, Query
from cascade.errors import ConfigError
from cascade.filters import EVERYTHING, AllOf, fields_of
from cascade.protocols import Move


@dataclass(frozen=True, slots=True)
class Shift:
    """Say which rows one rule moved.

    Attributes:
        rule: The rule's name.
        positions: int64[m] into the list as it came in.
        before: int64[m], ranks from 0 before the rule.
        after: int64[m], ranks from 0 after it.
    """

    rule: str
    positions: Int64
    before: Int64
    after: Int64


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Hold the order that rules gave one listing.

    Attributes:
        order: int64[n], the position in the list as it came in of the row at each rank.
        shifts: What each rule moved, in the order of application.
        absent: Pinned documents that are not in the list.
    """

    order: Int64
    shifts: tuple[Shift, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say which rows the retrieval rules refuse.

    Attributes:
        rows: bool[n].
        counts: How many rows each rule refuses, by its name; a row counts for the first.
    """

    rows: NDArray[np.bool_]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class RuleSet:
    """Hold rules that do not contradict each other.

    Boosts and buries come first, in the order they are written, then quotas and pins at once:
    a pin wins over a quota, and its row counts.

    Raises:
        ConfigError: With every conflict, naming both rules.
    """

    rules: tuple[BaseRule, ...] = ()

    def __post_init__(self) -> None:
        found = conflicts(self.rules)
        if found:
            raise ConfigError("rules", found)

    @cached_property
    def _retrieval(self) -> tuple[RetrievalRule, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, RetrievalRule))

    @cached_property
    def _ordering(self) -> tuple[OrderRule, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, OrderRule))

    @cached_property
    def _quotas(self) -> tuple[QuotaRule, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, QuotaRule))

    @cached_property
    def _pins(self) -> tuple[Pin, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, Pin))

    def retrieval_filter(self, query: Query) -> AllOf:
        """Return what exclusions and minimum stock ask of every document of this request."""
        parts = tuple(rule.condition() for rule in self._retrieval if rule.covers(query))
        return AllOf(parts) if parts else EVERYTHING

    def refused(self, candidates: Candidates) -> Refusal:
        """Return which rows of one listing its retrieval rules refuse, by what is known of them.

        A document's columns may be newer than the engine's index: stock that fell, a brand that
        was withdrawn. Rows that the columns do not know, and conditions on a field whose values
        are too old to be read, are left to the engine.
        """
        query, documents = candidates.queries[0], candidates.documents
        rows = np.zeros(len(candidates), dtype=np.bool_)
        counts: dict[str, int] = {}
        for rule in self._retrieval:
            if not rule.covers(query) or not fields_of(rule.condition()).isdisjoint(
                documents.stale
            ):
                continue
            found = ~matches(rule.condition(), candidates) & (candidates.rows >= 0) & ~rows
            if found.any():
                counts[rule.name] = int(np.count_nonzero(found))
                rows |= found
        return Refusal(rows, counts)

    def wanted(self, query: Query) -> tuple[str, ...]:
        """Return the ids of the documents that pins put on this request's list."""
        pins = (pin for pin in self._pins if pin.covers(query))
        return tuple(doc_id for pin in pins for doc_id, _ in pin.slots)

    def absent(self, candidates: Candidates) -> tuple[str, ...]:
        """Return the wanted ids that one listing does not have."""
        wanted = self.wanted(candidates.queries[0])
        found = _positions(candidates, wanted)
        return tuple(i for i, position in zip(wanted, found, strict=True) if position < 0)

    def apply(self, candidates: Candidates) -> Arrangement:
        """Return the order that the rules give one listing."""
        query = candidates.queries[0]
        order = np.arange(len(candidates))
        now = bare(candidates)
        shifts: list[Shift] = []
        for rule in self._ordering:
            if rule.covers(query):
                step = rule.apply(now)
                shift = _shift(rule, step, order)
                if shift is not None:
                    shifts.append(shift)
                    order, now = order[step], now.take(step)
        quotas = [rule for rule in self._quotas if rule.covers(query)]
        pins = [rule for rule in self._pins if rule.covers(query)]
        if not quotas and not pins:
            return Arrangement(order, tuple(shifts))

        places, absent = _places(now, pins)
        seating = seated(now, quotas, {p: slot for held in places.values() for p, slot in held})
        rank = _inverse(seating.order)
        for quota in quotas:
            passed = np.array(seating.passed[quota.name], dtype=np.int64)
            raised = np.array(seating.raised[quota.name], dtype=np.int64)
            fell, rose = passed[rank[passed] > passed], raised[rank[raised] < raised]
            shifts += _some(quota, np.union1d(fell, rose), rank, order)
        for name, held in places.items():
            moved = np.array([p for p, _ in held if rank[p] != p], dtype=np.int64)
            shifts += _some(next(p for p in pins if p.name == name), moved, rank, order)
        return Arrangement(order[seating.order], tuple(shifts), absent)


def bare(candidates: Candidates) -> Candidates:
    """Return one listing less its columns, which no rule reads, so that it is cheap to reorder."""
    return Candidates(
        queries=candidates.queries,
        offsets=candidates.offsets,
        rows=candidates.rows,
        scores=candidates.scores,
        documents=candidates.documents,
        doc_ids=candidates.doc_ids,
    )


def moves(shifts: Iterable[Shift], candidates: Candidates) -> tuple[Move, ...]:
    """Return what rules moved, by document; `candidates` are the list as it came in."""
    return tuple(
        Move(shift.rule, doc_id, before + 1, after + 1)
        for shift in shifts
        for doc_id, before, after in zip(
            bare(candidates).take(shift.positions).ids(),
            shift.before.tolist(),
            shift.after.tolist(),
            strict=True,
        )
    )


def _positions(candidates: Candidates, ids: Sequence[str]) -> list[int]:
    """Return the position of each document in one listing, -1 where it is not in it."""
    if not ids:
        return []
    found = []
    for doc_id, row in zip(ids, candidates.documents.rows(ids).tolist(), strict=True):
        hits = np.flatnonzero(candidates.rows == row) if row >= 0 else np.zeros(0, dtype=np.int64)
        if not len(hits) and candidates.doc_ids is not None:
            hits = np.flatnonzero(candidates.doc_ids == doc_id)
        found.append(int(hits[0]) if len(hits) else -1)
    return found


def _places(
    candidates: Candidates, pins: Sequence[Pin]
) -> tuple[dict[str, list[tuple[int, int]]], tuple[str, ...]]:
    """Return position and slot (both from 0) of each rule's pins, and the absent ids."""
    places: dict[str, list[tuple[int, int]]] = {}
    absent: list[str] = []
    for pin in pins:
        found = _positions(candidates, [doc_id for doc_id, _ in pin.slots])
        for position, (doc_id, slot) in zip(found, pin.slots, strict=True):
            if position < 0:
                absent.append(doc_id)
            else:
                places.setdefault(pin.name, []).append((position, slot - 1))
    return places, tuple(absent)


def _inverse(order: Int64) -> Int64:
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank


def _shift(rule: OrderRule, step: Int64, order: Int64) -> Shift | None:
    rank = _inverse(step)
    here = np.arange(len(step))
    moved = np.flatnonzero(rank < here if rule.upward else rank > here)
    return Shift(rule.name, order[moved], moved, rank[moved]) if len(moved) else None


def _some(rule: BaseRule, moved: Int64, rank: Int64, order: Int64) -> list[Shift]:
    return [Shift(rule.name, order[moved], moved, rank[moved])] if len(moved) else []
