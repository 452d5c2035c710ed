"""What rules say against each other, as far as their settings alone show it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

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
from cascade.filters import AllOf, Filter, In, Not, Range


def conflicts(rules: Sequence[BaseRule], id_field: str | None = None) -> list[str]:
    """Return one line for each two rules that cannot hold together, naming both.

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
            names = f"{left.name!r} and {right.name!r}"
            faults = _clash(left, right, id_field)
            found += [f"{names} {fault} for the same requests" for fault in faults]
    return found


def _clash(left: BaseRule, right: BaseRule, id_field: str | None) -> list[str]:
    if isinstance(left, Pin) and isinstance(right, Pin):
        return _pinned_twice(left, right)
    if {type(left), type(right)} == {Boost, Bury}:
        same = getattr(left, "where", None) == getattr(right, "where", None)
        return ["boost and bury the same rows"] if same else []
    if isinstance(left, AtLeast):
        return _unmet(left, right)
    if isinstance(right, AtLeast):
        return _unmet(right, left)
    if isinstance(left, Pin):
        left, right = right, left
    if isinstance(left, Exclude) and isinstance(right, Pin) and id_field is not None:
        pinned = [doc_id for doc_id, _ in right.slots]
        return [f"exclude and pin {d!r}" for d in pinned if _names(left.where, id_field, d)]
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
    if isinstance(other, Exclude) and _implies(wanted.where, other.where):
        return [f"ask for {asked} and exclude all such rows"]
    if isinstance(other, MinStock):
        enough = AllOf((Range(other.field, gte=other.at_least),))
        held = other.where is None or _implies(wanted.where, other.where)
        if held and _disjoint(wanted.where, enough) and _reads(wanted.where, other.field):
            return [f"ask for {asked} and keep out all such rows for their stock"]
    if isinstance(other, AtMost | Diversify):
        most = _most(wanted, other)
        if most is not None and most < wanted.count:
            return [f"ask for {asked} and allow at most {most} there"]
    if isinstance(other, AtLeast):
        both, top = wanted.count + other.count, max(wanted.top, other.top)
        if both > top and _disjoint(wanted.where, other.where):
            return [f"ask for {both} different rows in the first {top}"]
    if isinstance(other, Pin):
        free = wanted.top - sum(slot <= wanted.top for _, slot in other.slots)
        if free < wanted.count:
            return [f"ask for {asked} and leave {free} of these ranks free of pins"]
    return []


def _most(wanted: AtLeast, other: AtMost | Diversify) -> int | None:
    """Return how many of the wanted rows another rule lets into their top, None if any number."""
    if isinstance(other, AtMost) and other.where and not _implies(wanted.where, other.where):
        return None
    named = [part for part in wanted.where.parts if isinstance(part, In)]
    values = [len(set(part.values)) for part in named if part.field == other.field]
    if not values:
        return None
    shared = min(wanted.top, other.top)
    each = other.count if isinstance(other, AtMost) else math.ceil(shared / other.gap)
    # Every such row has one of the values, so it counts for one of them at least.
    return min(each * min(values), shared) + wanted.top - shared


def _implies(narrow: AllOf, wide: AllOf) -> bool:
    """Return whether it shows that every row of one filter is one of the other."""
    return all(any(_within(part, outer) for part in narrow.parts) for outer in wide.parts)


def _within(part: Filter, outer: Filter) -> bool:
    if isinstance(part, In) and isinstance(outer, In):
        return part.field == outer.field and set(part.values) <= set(outer.values)
    return part == outer


def _disjoint(left: AllOf, right: AllOf) -> bool:
    """Return whether it shows that no row is of both filters."""
    for one, other in ((left, right), (right, left)):
        for part in one.parts:
            if isinstance(part, Not):
                denied = part.inner if isinstance(part.inner, AllOf) else AllOf((part.inner,))
                if _implies(other, denied):
                    return True
    return any(_apart(one, other) for one in left.parts for other in right.parts)


def _apart(left: Filter, right: Filter) -> bool:
    """Return whether no number meets both conditions; a keyword field may have many values."""
    if not isinstance(left, In | Range) or not isinstance(right, In | Range):
        return False
    if left.field != right.field:
        return False
    if isinstance(left, In):
        return all(isinstance(v, float) and not _meets(right, v) for v in left.values)
    if isinstance(right, In):
        return _apart(right, left)
    (low, open_low), (high, closed) = max(_low(left), _low(right)), min(_high(left), _high(right))
    return low > high or (low == high and (open_low or not closed))


def _meets(condition: In | Range, value: float) -> bool:
    if isinstance(condition, In):
        return value in condition.values
    (low, open_low), (high, closed) = _low(condition), _high(condition)
    return low <= value <= high and (value > low or not open_low) and (value < high or closed)


def _low(condition: Range) -> tuple[float, bool]:
    """Return the lower bound and whether it is outside: the larger pair is the tighter bound."""
    gte = -math.inf if condition.gte is None else condition.gte
    gt = -math.inf if condition.gt is None else condition.gt
    return max((gte, False), (gt, condition.gt is not None))


def _high(condition: Range) -> tuple[float, bool]:
    """Return the upper bound and whether it is inside: the smaller pair is the tighter bound."""
    lte = math.inf if condition.lte is None else condition.lte
    lt = math.inf if condition.lt is None else condition.lt
    return min((lte, True), (lt, condition.lt is None))


def _reads(where: AllOf, name: str) -> bool:
    return any(isinstance(part, In | Range) and part.field == name for part in where.parts)


def _names(where: AllOf, id_field: str, doc_id: str) -> bool:
    """Return whether a filter is of ids alone, and accepts this one."""
    return all(
        isinstance(part, In) and part.field == id_field and doc_id in part.values
        for part in where.parts
    )
