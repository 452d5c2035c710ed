"""What rules say against each other, as far as their settings alone show it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from cascade.business.crowding import crowded
from cascade.business.implied import accepts_id, disjoint, implies, reads
from cascade.business.rules import (
    AtLeast,
    AtMost,
    BaseRule,
    Boost,
    Bury,
    Diversify,
    Exclude,
    MinStock,
    Pin,
)
from cascade.filters import AllOf, In, Range


def conflicts(rules: Sequence[BaseRule], id_field: str | None = None) -> list[str]:
    """Return one line for each set of rules that cannot hold together, naming them.

    Args:
        rules: The rules.
        id_field: The field of the documents' ids, where filters may name it.
    """
    found = [
        f"{name!r} is the name of {count} rules; give each its own"
        for name, count in Counter(rule.name for rule in rules).items()
        if count > 1
    ]
    for left, right in combinations(rules, 2):
        if left.meets(right):
            found += [_line((left, right), told) for told in _clash(left, right, id_field)]
    place = {rule: number for number, rule in enumerate(rules)}
    for together, told in crowded(rules, id_field):
        found.append(_line(sorted(together, key=place.__getitem__), told))
    return found


def _line(rules: Sequence[BaseRule], told: str) -> str:
    *names, last = (repr(rule.name) for rule in rules)
    return f"{', '.join(names)} and {last} {told} for the same requests"


def _clash(left: BaseRule, right: BaseRule, id_field: str | None) -> list[str]:
    if isinstance(left, Pin) and isinstance(right, Pin):
        return _pinned_twice(left, right)
    if isinstance(left, Bury):
        left, right = right, left
    if isinstance(left, Boost) and isinstance(right, Bury):
        same = implies(left.where, right.where) and implies(right.where, left.where)
        return ["boost and bury the same rows"] if same else []
    if isinstance(left, AtLeast):
        return _unmet(left, right)
    if isinstance(right, AtLeast):
        return _unmet(right, left)
    if isinstance(left, Pin):
        left, right = right, left
    if isinstance(left, Exclude) and isinstance(right, Pin) and id_field is not None:
        pinned = [doc_id for doc_id, _ in right.slots]
        return [f"exclude and pin {d!r}" for d in pinned if accepts_id(left.where, id_field, d)]
    return []


def _pinned_twice(left: Pin, right: Pin) -> list[str]:
    slots = {slot: doc_id for doc_id, slot in left.slots}
    mine = dict(left.slots)
    same_slot = [
        f"both pin to slot {slot} ({slots[slot]!r} and {doc_id!r})"
        for doc_id, slot in right.slots
        if slot in slots
    ]
    same_document = [
        f"pin {doc_id!r} to slot {mine[doc_id]} and to slot {slot}"
        for doc_id, slot in right.slots
        if mine.get(doc_id, slot) != slot
    ]
    return same_slot + same_document


def _unmet(wanted: AtLeast, other: BaseRule) -> list[str]:
    """Return why so many rows cannot stand in the top beside another rule."""
    asked = f"at least {wanted.count} in the first {wanted.top}"
    if isinstance(other, Exclude) and implies(wanted.where, other.where):
        return [f"ask for {asked} and exclude all such rows"]
    if isinstance(other, MinStock):
        enough = AllOf((Range(other.field, gte=other.at_least),))
        held = other.where is None or implies(wanted.where, other.where)
        if held and disjoint(wanted.where, enough) and reads(wanted.where, other.field):
            return [f"ask for {asked} and keep out all such rows for their stock"]
    if isinstance(other, AtMost | Diversify):
        most = _most(wanted, other)
        if most is not None and most < wanted.count:
            return [f"ask for {asked} and allow at most {most} there"]
    return []


def _most(wanted: AtLeast, other: AtMost | Diversify) -> int | None:
    """Return how many of the wanted rows another rule lets into their top, None if any number."""
    if isinstance(other, AtMost) and other.where and not implies(wanted.where, other.where):
        return None
    named = [part for part in wanted.where.parts if isinstance(part, In)]
    values = [len(set(part.values)) for part in named if part.field == other.field]
    if not values:
        return None
    shared = min(wanted.top, other.top)
    each = other.count if isinstance(other, AtMost) else math.ceil(shared / other.gap)
    # Every such row has one of the values, so it counts for one of them at least.
    return min(each * min(values), shared) + wanted.top - shared
