"""Which fields of an index hold the fields of a schema."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade.errors import QueryError
from cascade.schema import Field, Kind, Schema

VECTOR_TYPES = frozenset({"dense_vector", "knn_vector"})
DATES = ("date", "date_nanos")
_NUMBERS = (
    *("double", "float", "half_float", "scaled_float", "long", "integer", "short", "byte"),
    *("unsigned_long", "boolean"),
)
_KEYWORDS = ("keyword", "constant_keyword", "wildcard", "flat_object", "boolean", "ip", "version")
_TEXTS = ("text", "match_only_text", "search_as_you_type", "keyword", "constant_keyword")
# The types that can hold a kind, the best first.
_TYPES: Mapping[Kind, Sequence[str]] = {
    Kind.TEXT: _TEXTS,
    Kind.KEYWORD: (*_KEYWORDS, *(t for t in _NUMBERS if t != "boolean")),
    Kind.NUMBER: _NUMBERS,
    Kind.DATE: (*DATES, *_NUMBERS),
    Kind.VECTOR: tuple(sorted(VECTOR_TYPES)),
}


@dataclass(frozen=True, slots=True)
class IndexField:
    """Name one field of an index.

    Attributes:
        path: Its name on the server.
        is_date: Whether its numbers are milliseconds and not what the schema's are.
    """

    path: str
    is_date: bool = False


IndexFields = Mapping[str, tuple[IndexField, ...]]
"""For each field of the schema, by name, what holds it; nothing where the index has none."""


def fields_of_ours(schema: Schema) -> IndexFields:
    """Return the fields of an index that our mapping made: named as those of the schema."""
    return {
        field.name: (IndexField(field.name, field.kind is Kind.DATE),) for field in schema.fields
    }


def fields_of_others(schema: Schema, properties: Mapping[str, Any]) -> IndexFields:
    """Return which fields of a mapping that others made hold those of a schema.

    A field is looked for under its own name and under the document keys that feed it, and a
    keyword also among the sub-fields of a text.

    Args:
        schema: The fields.
        properties: The `properties` of the index's mapping.
    """
    types = dict(types_of(properties, ""))
    return {field.name: tuple(_found(field, types)) for field in schema.fields}


def held_by(fields: IndexFields, name: str) -> tuple[IndexField, ...]:
    """Return what holds a field of the schema.

    Raises:
        QueryError: If the index has nothing of it.
    """
    found = fields[name]
    if not found:
        raise QueryError(
            f"the index has no field that holds {name!r} and can be filtered, counted or sorted "
            "by; add one to its mapping, or take the field out of the schema"
        )
    return found


def _found(field: Field, types: Mapping[str, str]) -> Iterator[IndexField]:
    accepted = _TYPES[field.kind]
    named: dict[str, None] = {}
    for source in field.source or (field.name,):
        named |= dict.fromkeys(fnmatch.filter(types, source) if "*" in source else (source,))
    for path in named if any(path in types for path in named) else (field.name,):
        inner = [path, *(name for name in types if name.startswith(f"{path}."))]
        fitting = [name for name in inner if types.get(name) in accepted]
        if fitting:
            best = min(fitting, key=lambda name: (accepted.index(types[name]), name != path))
            yield IndexField(best, types[best] in DATES)


def types_of(properties: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the path and type of each field and sub-field."""
    for name, spec in properties.items():
        path = f"{prefix}{name}"
        if "properties" in spec:
            yield from types_of(spec["properties"], f"{path}.")
        elif "type" in spec:
            if spec.get("index", True) is not False:
                yield path, spec["type"]
            yield from types_of(spec.get("fields", {}), f"{path}.")
