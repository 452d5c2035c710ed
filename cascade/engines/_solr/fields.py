"""Which fields a core or collection has, and giving it those of a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from cascade.engines._server.fields import IndexField, IndexFields, fields_of_others
from cascade.engines._solr.client import Ask, SolrClient, reading
from cascade.engines._solr.index import SolrIndex
from cascade.engines.connection import IndexShape
from cascade.engines.mappings import SolrSchema, render_solr
from cascade.errors import RefusedError
from cascade.hosting import GENERATION_FIELD, ID_FIELD, RAW_FIELD, ROW_FIELD
from cascade.schema import Kind, Schema

# The classes of Solr's field types, and the types that say the same on other servers.
_CLASSES: Mapping[str, str] = {
    "TextField": "text",
    "SortableTextField": "text",
    "StrField": "keyword",
    "UUIDField": "keyword",
    "EnumFieldType": "keyword",
    "BoolField": "boolean",
    "IntPointField": "integer",
    "LongPointField": "long",
    "FloatPointField": "float",
    "DoublePointField": "double",
    "DatePointField": "date",
    "TrieIntField": "integer",
    "TrieLongField": "long",
    "TrieFloatField": "float",
    "TrieDoubleField": "double",
    "TrieDateField": "date",
    "DenseVectorField": "dense_vector",
}
_SHAPE = IndexShape()
_OURS = frozenset({GENERATION_FIELD, ID_FIELD, RAW_FIELD, ROW_FIELD})
_SORTED = frozenset({"LongPointField", "DoublePointField", "DatePointField"})


def fields_of_index(index: SolrIndex, schema: Schema) -> IndexFields:
    """Return which fields of an index that others made hold those of a schema."""
    properties = {name: {"type": kind} for name, kind in types_of_index(index).items()}
    return fields_of_others(schema, properties)


def types_of_index(index: SolrIndex) -> dict[str, str]:
    """Return the type of each field of an index, as other servers call it, "" if none does."""
    types = {
        str(spec["name"]): _CLASSES.get(str(spec.get("class", "")).rpartition(".")[2], "")
        for spec in index.get("/schema/fieldtypes")["fieldTypes"]
    }
    # What dynamic fields have made of documents stands nowhere else.
    found = index.get("/admin/luke", numTerms="0").get("fields") or {}
    named = {name: spec.get("type", "") for name, spec in found.items()}
    named |= {spec["name"]: spec["type"] for spec in index.get("/schema/fields")["fields"]}
    return {name: types.get(kind, "") for name, kind in named.items()}


def key_of(index: SolrIndex) -> str:
    """Return the field of an index that holds the documents' ids."""
    return str(index.get("/schema/uniquekey")["uniqueKey"])


def fields_of_managed(
    index: SolrIndex, schema: Schema, shape: IndexShape = _SHAPE
) -> dict[str, tuple[IndexField, ...]]:
    """Return what holds the fields of a schema in an index that we made, nothing for what it lacks.

    A field has its own name, or one with its type where its configset has that name otherwise.
    """
    known = _by_name(index.get("/schema/fields")["fields"])
    dates = {spec.name for spec in schema.of_kind(Kind.DATE)}
    held: dict[str, tuple[IndexField, ...]] = {spec.name: () for spec in schema.fields}
    for spec in render_solr(schema, shape, {}).fields:
        for path in (spec["name"], _beside(spec)):
            if path in known and _says(known[path], {**spec, "name": path}):
                if spec["name"] in held:
                    held[spec["name"]] = (IndexField(path, spec["name"] in dates),)
                break
    return held


def give_fields(client: SolrClient, path: str, wanted: SolrSchema) -> None:
    """Give a core or collection the types and fields that it lacks.

    What is there is left as it is: cores of a standalone Solr share the configset that they were
    made from. A field that is there in another form is added beside, under a name with its type.

    Args:
        client: The server.
        path: Where the core or collection is.
        wanted: The types and fields.

    Raises:
        RefusedError: If a type, or a field of this system itself, is there in another form.
        EngineError: If the server refuses them.
    """
    there = client.json(reading(f"{path}/schema"))["schema"]
    types = [_sorted_last(spec) for spec in wanted.field_types]
    new_types, other = _apart(types, _by_name(there.get("fieldTypes", ())))
    known = _by_name(there.get("fields", ()))
    new_fields, occupied = _apart(wanted.fields, known)
    other += [spec for spec in occupied if spec["name"] in _OURS]
    beside = [{**spec, "name": _beside(spec)} for spec in occupied]
    more, again = _apart(beside, known)
    if other or again:
        raise RefusedError(_shared(path, other + again))
    commands: dict[str, Any] = {}
    if new_types:
        commands["add-field-type"] = new_types
    if new_fields or more:
        commands["add-field"] = new_fields + more
    if commands:
        body = orjson.dumps(commands)
        client.send(Ask("POST", f"{path}/schema", {}, body, again=False))


def _sorted_last(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a type under which documents without a value come last, in either direction."""
    kind = str(spec.get("class", "")).rpartition(".")[2]
    return {**spec, "sortMissingLast": True} if kind in _SORTED else dict(spec)


def _says(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a definition says all that is wanted, whatever it says besides."""
    return all(_same(known.get(key, False), value) for key, value in wanted.items())


def _same(known: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(known, Mapping) and _says(known, wanted)
    if isinstance(wanted, list):
        return (
            isinstance(known, list) and len(known) == len(wanted) and all(map(_same, known, wanted))
        )
    # Some answers hold numbers and truth values as strings.
    return str(known).lower() == str(wanted).lower()


def _by_name(specs: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(spec["name"]): spec for spec in specs}


def _apart(
    wanted: Sequence[dict[str, Any]], known: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what is not known by its name, and what is known in another form."""
    new = [spec for spec in wanted if spec["name"] not in known]
    other = [
        spec for spec in wanted if spec["name"] in known and not _says(known[spec["name"]], spec)
    ]
    return new, other


def _beside(spec: Mapping[str, Any]) -> str:
    """Return the name of a field whose own is taken: `brand__keyword`."""
    return f"{spec['name']}__{str(spec['type']).removeprefix('cascade_')}"


def _shared(path: str, other: Sequence[Mapping[str, Any]]) -> str:
    names = ", ".join(repr(spec["name"]) for spec in other)
    return (
        f"the configset of {path[1:]!r} has {names} in another form, and a standalone Solr shares "
        "a configset among all cores that were made from it; give engine.config_set another "
        "configset, for example a copy of its folder"
    )
