"""What filters show of each other by what is written: never more than holds for every document."""

from __future__ import annotations

import math

from cascade.filters import AllOf, Filter, In, Not, Range


def implies(narrow: AllOf, wide: AllOf) -> bool:
    """Return whether it shows that every row of one filter is one of the other."""
    return all(any(_within(part, outer) for part in narrow.parts) for outer in wide.parts)


def disjoint(left: AllOf, right: AllOf, id_field: str | None = None) -> bool:
    """Return whether it shows that no row is of both filters.

    Args:
        left: The one.
        right: The other.
        id_field: The field of the documents' ids, where filters may name it; any other keyword
            field may have several values.
    """
    for one, other in ((left, right), (right, left)):
        if any(implies(other, denied) for denied in _denied(one)):
            return True
    return any(_apart(one, other, id_field) for one in left.parts for other in right.parts)


def reads(where: AllOf, name: str) -> bool:
    """Return whether a filter says something of a field's values."""
    return any(isinstance(part, In | Range) and part.field == name for part in where.parts)


def accepts_id(where: AllOf, id_field: str, doc_id: str) -> bool:
    """Return whether a filter is of ids alone, and accepts this one."""
    return all(
        isinstance(part, In) and part.field == id_field and doc_id in part.values
        for part in where.parts
    )


def refuses_id(where: AllOf, id_field: str, doc_id: str) -> bool:
    """Return whether it shows that a filter does not accept the document of this id."""
    if any(accepts_id(denied, id_field, doc_id) for denied in _denied(where)):
        return True
    named = ids_named(where, id_field)
    return named is not None and doc_id not in named


def ids_named(where: AllOf, id_field: str) -> frozenset[str] | None:
    """Return the ids that a filter asks for, None if it asks for none."""
    parts = [part for part in where.parts if isinstance(part, In) and part.field == id_field]
    if not parts:
        return None
    return frozenset.intersection(*(frozenset(map(str, part.values)) for part in parts))


def _denied(where: AllOf) -> list[AllOf]:
    inner = [part.inner for part in where.parts if isinstance(part, Not)]
    return [part if isinstance(part, AllOf) else AllOf((part,)) for part in inner]


def _within(part: Filter, outer: Filter) -> bool:
    if isinstance(part, In) and isinstance(outer, In):
        return part.field == outer.field and set(part.values) <= set(outer.values)
    return part == outer


def _apart(left: Filter, right: Filter, id_field: str | None) -> bool:
    """Return whether no single value meets both conditions, where a field has but one."""
    if not isinstance(left, In | Range) or not isinstance(right, In | Range):
        return False
    if left.field != right.field:
        return False
    if isinstance(left, In):
        single = left.field == id_field
        return all((single or isinstance(v, float)) and not _meets(right, v) for v in left.values)
    if isinstance(right, In):
        return _apart(right, left, id_field)
    (low, open_low), (high, closed) = max(_low(left), _low(right)), min(_high(left), _high(right))
    return low > high or (low == high and (open_low or not closed))


def _meets(condition: In | Range, value: str | float) -> bool:
    if isinstance(condition, In):
        return value in condition.values
    # The grammar gives a keyword field no range.
    assert isinstance(value, float)
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
