"""From filters to the query clauses of Elasticsearch and OpenSearch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from cascade.engines._server.fields import IndexField, IndexFields, held_by
from cascade.engines.asking import cleaned
from cascade.filters import AllOf, AnyOf, Exists, Filter, In, Not, Range

Clause: TypeAlias = dict[str, Any]

EVERYTHING: Clause = {"match_all": {}}
NOTHING: Clause = {"match_none": {}}
MAX_KEYWORD_BYTES = 32_766
"""The longest value that an index can hold; no document equals a longer one."""

MAX_MOMENTS = 64
"""Up to how many dates are asked for as ranges, which need no format of the field's own."""

# Just outside the years 1 to 9999, which are the dates that a server holds.
_FIRST_MS, _LAST_MS = -62_135_596_800_001, 253_402_300_800_000


def filter_clauses(fields: IndexFields, filters: AllOf) -> list[Clause]:
    """Return one clause for each part of a filter; all of them must hold.

    Raises:
        QueryError: If the index has not a field that is filtered.
    """
    return [_clause(fields, part) for part in filters.parts]


def any_of(clauses: Sequence[Clause]) -> Clause:
    """Return what holds where at least one clause does; its score is their sum."""
    if len(clauses) == 1:
        return clauses[0]
    return {"bool": {"should": list(clauses)}} if clauses else NOTHING


def _clause(fields: IndexFields, part: Filter) -> Clause:
    match part:
        case In(name, values):
            return any_of([_equals(field, values) for field in held_by(fields, name)])
        case Range(name):
            return any_of([_range(field, part) for field in held_by(fields, name)])
        case Exists(name):
            return any_of([_exists(field) for field in held_by(fields, name)])
        case Not(inner):
            return {"bool": {"must_not": [_clause(fields, inner)]}}
        case AnyOf(parts):
            return any_of([_clause(fields, one) for one in parts])
        case AllOf(parts):
            clauses = [_clause(fields, one) for one in parts]
            return {"bool": {"filter": clauses}} if clauses else EVERYTHING


def _exists(field: IndexField) -> Clause:
    return {"exists": {"field": field.path}}


def _equals(field: IndexField, values: Sequence[str | float]) -> Clause:
    exact: list[str | float] = []
    for value in values:
        if isinstance(value, str):
            text = cleaned(value)
            if len(text.encode()) <= MAX_KEYWORD_BYTES:
                exact.append(text)
        elif not field.is_date:
            exact.append(value + 0.0)  # -0.0 becomes 0.0
    if not field.is_date:
        return {"terms": {field.path: exact}} if exact else NOTHING
    moments = {round(value * 1000) for value in values if isinstance(value, float)}
    within = sorted(ms for ms in moments if _FIRST_MS <= ms <= _LAST_MS)
    if len(within) > MAX_MOMENTS:
        return {"terms": {field.path: within}}
    return any_of([_between(field, {"gte": ms, "lte": ms}) for ms in within])


def _range(field: IndexField, part: Range) -> Clause:
    lower = [(b + 0.0, strict) for b, strict in ((part.gte, 0), (part.gt, 1)) if b is not None]
    upper = [(b + 0.0, -strict) for b, strict in ((part.lte, 0), (part.lt, 1)) if b is not None]
    bounds: dict[str, float] = {}
    if lower:
        low, strict = max(lower)
        bounds["gt" if strict else "gte"] = low
    if upper:
        high, strict = min(upper)
        bounds["lt" if strict else "lte"] = high
    if not bounds:
        return _exists(field)
    if field.is_date:
        bounds = {name: _milliseconds(name, bound) for name, bound in bounds.items()}
    return _between(field, bounds)


def _between(field: IndexField, bounds: dict[str, Any]) -> Clause:
    form = {"format": "epoch_millis"} if field.is_date else {}
    return {"range": {field.path: {**bounds, **form}}}


def _milliseconds(name: str, seconds: float) -> int:
    """Return a bound in whole milliseconds that parts them as the seconds do."""
    exact = seconds * 1000
    if abs(exact) > _LAST_MS:
        return _LAST_MS if exact > 0 else _FIRST_MS
    near = round(exact)
    # Seconds of our time are known to a quarter of a microsecond: that near, they are meant whole.
    if abs(exact - near) < 1e-3:
        return near
    return math.ceil(exact) if name in ("gte", "lt") else math.floor(exact)
