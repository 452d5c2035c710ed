"""The filter grammar: one written form for the API, rules and engines.

| written | meaning |
| --- | --- |
| `{"brand": "x"}` | the field equals x (any of its values, where it has many) |
| `{"brand": ["x", "y"]}` | it equals one of these |
| `{"price": {"gte": 10, "lt": 20}}` | it lies in this range (`gt`, `gte`, `lt`, `lte`) |
| `{"brand": {"exists": true}}` | it has a value (`false`: it has none) |
| `{"not": {...}}` | the inner filter does not hold |
| `{"any": [{...}, {...}]}` | at least one of these holds |

Keys side by side mean and. `parse` checks the whole against a schema and returns a tree of the
frozen nodes below, which is all that an engine needs to know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from cascade.errors import FilterError, nearest
from cascade.schema import Kind, Schema

MAX_DEPTH = 16
MAX_VALUES = 10_000
_BOUNDS = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class In:
    """Hold for documents of which `field` has one of `values` (str or float)."""

    field: str
    values: tuple[str | float, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Hold for documents of which `field` lies within the bounds that are not None."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """Hold for documents that have a value of `field`."""

    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """Hold where `inner` does not."""

    inner: Filter


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Hold where at least one part does."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Hold where every part does; `AllOf(())` holds everywhere."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = In | Range | Exists | Not | AnyOf | AllOf
EVERYTHING = AllOf(())


def parse(raw: Mapping[str, Any] | None, schema: Schema) -> AllOf:
    """Return the filter tree of a raw filter, checked against the schema.

    Args:
        raw: A filter as the module's table writes it; None or `{}` accepts every document.
        schema: The fields that may be named; text fields and vectors cannot be filtered.

    Raises:
        FilterError: For an unknown field, operator or value, naming the nearest valid one.
    """
    return _all_of({} if raw is None else raw, schema, "filters", 0)


def both(left: AllOf, right: AllOf) -> AllOf:
    """Return the filter that holds where both do."""
    return AllOf(left.parts + right.parts)


def without_field(tree: AllOf, field: str) -> AllOf:
    """Return the filter less its own conditions on `field`, as multi-select facets count."""
    return AllOf(tuple(part for part in tree.parts if fields_of(part) != {field}))


def fields_of(tree: Filter) -> frozenset[str]:
    """Return the names of all fields that the filter reads."""
    if isinstance(tree, Not):
        return fields_of(tree.inner)
    if isinstance(tree, AnyOf | AllOf):
        return frozenset().union(*(fields_of(part) for part in tree.parts))
    return frozenset((tree.field,))


def _all_of(raw: object, schema: Schema, path: str, depth: int) -> AllOf:
    if not isinstance(raw, Mapping):
        raise FilterError(f"{path} is {_shown(raw)}; accepted is an object of field: condition")
    if depth > MAX_DEPTH:
        raise FilterError(f"{path} is nested deeper than {MAX_DEPTH} levels; write it flatter")
    parts: list[Filter] = []
    for key, value in raw.items():
        here = f"{path}.{key}"
        if key == "not":
            parts.append(Not(_all_of(value, schema, here, depth + 1)))
        elif key == "any":
            if not isinstance(value, list) or not value:
                raise FilterError(f"{here} is {_shown(value)}; accepted is a non-empty list")
            inner = (
                _all_of(part, schema, f"{here}[{i}]", depth + 1) for i, part in enumerate(value)
            )
            parts.append(AnyOf(tuple(inner)))
        else:
            parts.append(_condition(str(key), value, schema, here))
    return AllOf(tuple(parts))


def _condition(name: str, value: object, schema: Schema, path: str) -> Filter:
    filterable = schema.filterable
    if name not in filterable:
        raise FilterError(
            f"{path}: {name!r} is not a field that can be filtered; "
            + nearest(name, [*filterable, "not", "any"])
        )
    kind = filterable[name].kind
    if isinstance(value, Mapping):
        return _operators(name, kind, value, path)
    values = value if isinstance(value, list) else [value]
    if not values or len(values) > MAX_VALUES:
        raise FilterError(f"{path} has {len(values)} values; accepted are 1 to {MAX_VALUES}")
    return In(name, tuple(_value(v, kind, path) for v in values))


def _operators(name: str, kind: Kind, raw: Mapping[str, Any], path: str) -> Filter:
    if "exists" in raw:
        if len(raw) > 1 or not isinstance(raw["exists"], bool):
            raise FilterError(f"{path}.exists stands alone and is true or false, not {_shown(raw)}")
        return Exists(name) if raw["exists"] else Not(Exists(name))
    if not raw:
        raise FilterError(f"{path} is empty; accepted are exists or {', '.join(_BOUNDS)}")
    for key in raw:
        if key not in _BOUNDS:
            raise FilterError(
                f"{path}.{key} is not an operator; " + nearest(key, [*_BOUNDS, "exists"])
            )
    if kind is Kind.KEYWORD:
        raise FilterError(f"{path}: a keyword field has no range; name its values in a list")
    bounds = {}
    for key, bound in raw.items():
        number = _value(bound, kind, f"{path}.{key}")
        assert isinstance(number, float)
        bounds[key] = number
    return Range(name, **bounds)


def _value(value: object, kind: Kind, path: str) -> str | float:
    if kind is Kind.KEYWORD:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return value
        raise FilterError(f"{path} is {_shown(value)}; accepted is a string")
    if kind is Kind.DATE and isinstance(value, str):
        return date_seconds(value, path)
    if isinstance(value, bool) and kind is Kind.NUMBER:
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    accepted = "an ISO 8601 date or seconds" if kind is Kind.DATE else "a finite number"
    raise FilterError(f"{path} is {_shown(value)}; accepted is {accepted}")


def date_seconds(text: str, path: str) -> float:
    """Return the seconds since 1970 of an ISO 8601 date; without a zone it means UTC.

    Raises:
        FilterError: If the text is not a date.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{path} is {_shown(text)}; accepted is an ISO 8601 date, as 2024-05-01T12:00:00Z"
        raise FilterError(message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
