"""The commands that give a Solr core or collection the fields of a schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade.engines.connection import IndexShape
from cascade.engines.mappings.elasticsearch import check_names, engine_fields, in_terms
from cascade.hosting import GENERATION_FIELD, ID_FIELD, RAW_FIELD, ROW_FIELD
from cascade.schema import Field, Kind, Schema

UNIQUE_KEY = "id"
_TEXT = "cascade_terms"

_TYPES: Mapping[str, Mapping[str, Any]] = {
    "cascade_terms": {
        "class": "solr.TextField",
        "positionIncrementGap": "100",
        "analyzer": {"tokenizer": {"name": "whitespace"}},
    },
    "cascade_keyword": {"class": "solr.StrField", "docValues": True, "sortMissingLast": True},
    "cascade_long": {"class": "solr.LongPointField", "docValues": True, "sortMissingLast": True},
    "cascade_double": {
        "class": "solr.DoublePointField",
        "docValues": True,
        "sortMissingLast": True,
    },
    "cascade_date": {"class": "solr.DatePointField", "docValues": True, "sortMissingLast": True},
    "cascade_stored": {"class": "solr.StrField", "indexed": False, "docValues": False},
}
_OF_KIND: Mapping[Kind, str] = {
    Kind.TEXT: _TEXT,
    Kind.KEYWORD: "cascade_keyword",
    Kind.NUMBER: "cascade_double",
    Kind.DATE: "cascade_date",
}


@dataclass(frozen=True, slots=True)
class SolrSchema:
    """Hold what Solr's Schema API is told, in this order.

    Attributes:
        field_types: The arguments of each `add-field-type`.
        fields: The arguments of each `add-field`.
        about: What the index tells of itself; a Solr schema has no place for it.
    """

    field_types: tuple[dict[str, Any], ...]
    fields: tuple[dict[str, Any], ...]
    about: Mapping[str, str]

    def commands(self) -> dict[str, list[dict[str, Any]]]:
        """Return the body of one request to the Schema API of an index that has none of it."""
        return {"add-field-type": list(self.field_types), "add-field": list(self.fields)}


def render_solr(schema: Schema, shape: IndexShape, about: Mapping[str, str]) -> SolrSchema:
    """Return the types and fields of a schema for Solr.

    Texts come as terms of `cascade.text`, parted by blanks, as `document_solr` makes them: through
    its Schema API Solr takes no file, and its synonyms and character mappings are files.

    Args:
        schema: The fields.
        shape: Unused: shards and replicas are those of the collection.
        about: Passed on.

    Raises:
        ConfigError: If a field has a name that the index needs for itself.
    """
    check_names(schema, (UNIQUE_KEY, ROW_FIELD, ID_FIELD, RAW_FIELD, GENERATION_FIELD))
    fields = [
        _field(ROW_FIELD, "cascade_long"),
        _field(ID_FIELD, "cascade_keyword"),
        _field(GENERATION_FIELD, "cascade_keyword"),
        {"name": RAW_FIELD, "type": "cascade_stored", "stored": True},
    ]
    types = {name: dict(spec) for name, spec in _TYPES.items()}
    for spec in engine_fields(schema):
        if spec.kind is Kind.VECTOR:
            name = f"cascade_vector_{spec.dims}"
            types[name] = _vector(spec)
            fields.append({"name": spec.name, "type": name, "indexed": True, "stored": False})
        else:
            many = spec.kind in (Kind.TEXT, Kind.KEYWORD)
            field = _field(spec.name, _OF_KIND[spec.kind], many)
            fields.append(field | {"indexed": in_terms(spec)})
    return SolrSchema(
        tuple({"name": name, **spec} for name, spec in types.items()), tuple(fields), dict(about)
    )


def _field(name: str, kind: str, many: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "indexed": True, "stored": False, "multiValued": many}


def _vector(spec: Field) -> dict[str, Any]:
    return {
        "class": "solr.DenseVectorField",
        "vectorDimension": str(spec.dims),
        "similarityFunction": "cosine",
    }
