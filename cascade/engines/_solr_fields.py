"""Which fields a core or collection has, and giving it those of a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from cascade.engines._rest_fields import IndexFields, fields_of_others
from cascade.engines._solr_client import Ask, SolrClient, reading
from cascade.engines._solr_index import SolrIndex
from cascade.engines.mappings import SolrSchema
from cascade.errors import RefusedError
from cascade.schema import Schema

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
_SORTED = frozenset({"LongPointField", "DoublePointField", "DatePointField"})


def fields_of_index(index: SolrIndex, schema: Schema) -> IndexFields:
    """Return which fields of an index that others made hold those of a schema."""
    types = {
        str(spec["name"]): _CLASSES.get(str(spec.get("class", "")).rpartition(".")[2], "")
        for spec in index.get("/schema/fieldtypes")["fieldTypes"]
    }
    # What dynamic fields have made of documents stands nowhere else.
    found = index.get("/admin/luke", numTerms="0", show="index").get("fields") or {}
    named = {name: spec.get("type", "") for name, spec in found.items()}
    named |= {spec["name"]: spec["type"] for spec in index.get("/schema/fields")["fields"]}
    properties = {name: {"type": types.get(kind, "")} for name, kind in named.items()}
    return fields_of_others(schema, properties)


def key_of(index: SolrIndex) -> str:
    """Return the field of an index that holds the documents' ids."""
    return str(index.get("/schema/uniquekey")["uniqueKey"])


def give_fields(client: SolrClient, path: str, wanted: SolrSchema, *, alone: bool) -> None:
    """Give a core or collection the types and fields that it lacks.

    Args:
        client: The server.
        path: Where the core or collection is.
        wanted: The types and fields.
        alone: Whether its configset is its own; if not, what others may use is never changed.

    Raises:
        RefusedError: If a field of a shared configset is there in another form.
        EngineError: If the server refuses them.
    """
    there = client.json(reading(f"{path}/schema"))["schema"]
    commands: dict[str, list[Mapping[str, Any]]] = {}
    types = [_sorted_last(spec) for spec in wanted.field_types]
    for what, before, after in (
        ("field-type", there.get("fieldTypes", ()), types),
        ("field", there.get("fields", ()), wanted.fields),
    ):
        known = {spec["name"]: spec for spec in before}
        new = [spec for spec in after if spec["name"] not in known]
        other = [s for s in after if s["name"] in known and not _says(known[s["name"]], s)]
        if other and not alone:
            raise RefusedError(_shared(path, what, other))
        if new:
            commands[f"add-{what}"] = new
        if other:
            commands[f"replace-{what}"] = other
    if commands:
        body = orjson.dumps(commands)
        client.send(Ask("POST", f"{path}/schema", {}, body, again=False))


def _sorted_last(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a type under which documents without a value come last, in either direction."""
    kind = str(spec.get("class", "")).rpartition(".")[2]
    return {**spec, "sortMissingLast": True} if kind in _SORTED else dict(spec)


def _says(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a definition says all that is wanted, whatever it says besides."""
    return all(_same(known.get(key), value) for key, value in wanted.items())


def _same(known: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(known, Mapping) and _says(known, wanted)
    if isinstance(wanted, list):
        return (
            isinstance(known, list)
            and len(known) == len(wanted)
            and all(map(_same, known, wanted))
        )
    # Some answers hold numbers and truth values as strings.
    return str(known).lower() == str(wanted).lower()


def _shared(path: str, what: str, other: Sequence[Mapping[str, Any]]) -> str:
    names = ", ".join(repr(spec["name"]) for spec in other)
    return (
        f"the configset of {path[1:]!r} has the {what} {names} in another form, and a standalone "
        "Solr shares a configset among all cores that were made from it; copy the configset's "
        "folder under another name and set engine.config_set to that, or use SolrCloud, where "
        "each index gets a copy"
    )
