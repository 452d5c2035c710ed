"""The body that makes an index on Elasticsearch or OpenSearch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cascade.engines.connection import IndexShape
from cascade.engines.mappings.chain import analysis, chains
from cascade.errors import ConfigError
from cascade.hosting import ID_FIELD, RAW_FIELD, ROW_FIELD
from cascade.schema import Field, Kind, Role, Schema

IGNORE_ABOVE = 8_191
"""How many characters a keyword that is indexed may have: Lucene's 32,766 bytes at 4 each."""


def render_elasticsearch(
    schema: Schema, shape: IndexShape, about: Mapping[str, str]
) -> dict[str, Any]:
    """Return the body that makes an index of a schema on Elasticsearch.

    Only what differs from the server's defaults is said: BM25's k1 of 1.2 and b of 0.75, norms and
    positions of texts, and doc values of all else are its defaults.

    Args:
        schema: The fields.
        shape: How the index is laid out.
        about: Kept in the mapping's `_meta`.

    Raises:
        ConfigError: If a field has a name that the index needs for itself.
    """
    return _body(schema, shape, about, _dense_vector, {})


def render_opensearch(
    schema: Schema, shape: IndexShape, about: Mapping[str, str]
) -> dict[str, Any]:
    """Return the body that makes an index of a schema on OpenSearch.

    It differs from Elasticsearch's in vectors alone; these need the k-NN plugin.

    Args:
        schema: The fields.
        shape: How the index is laid out.
        about: Kept in the mapping's `_meta`.

    Raises:
        ConfigError: If a field has a name that the index needs for itself.
    """
    knn = {"knn": True} if schema.of_kind(Kind.VECTOR) else {}
    return _body(schema, shape, about, _knn_vector, knn)


def _body(
    schema: Schema,
    shape: IndexShape,
    about: Mapping[str, str],
    vector: Callable[[Field], dict[str, Any]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    check_names(schema, (ROW_FIELD, ID_FIELD, RAW_FIELD))
    analysers = chains(schema)
    fields: dict[str, Any] = {
        ROW_FIELD: {"type": "long"},
        ID_FIELD: {"type": "keyword"},
        RAW_FIELD: {"type": "object", "enabled": False},
    }
    for spec in engine_fields(schema):
        if spec.kind is Kind.TEXT:
            name = analysers[spec.analyser, spec.synonyms].name
            fields[spec.name] = {"type": "text", "analyzer": name}
        elif spec.kind is Kind.VECTOR:
            fields[spec.name] = vector(spec)
        else:
            unmatched = {} if in_terms(spec) else {"index": False}
            fields[spec.name] = {**_TYPES[spec.kind], **unmatched}
    return {
        "settings": {
            "index": {
                "number_of_shards": shape.shards,
                "number_of_replicas": shape.replicas,
                "refresh_interval": f"{round(shape.refresh_s * 1000)}ms",
                **settings,
            },
            "analysis": analysis(schema),
        },
        "mappings": {"dynamic": False, "_meta": dict(about), "properties": fields},
    }


def check_names(schema: Schema, taken: tuple[str, ...]) -> None:
    """Refuse a schema with a field of a name that the index needs for itself.

    Raises:
        ConfigError: With every such field.
    """
    problems = [
        f"fields.{spec.name}: the index has a field of this name for itself; take another and "
        f"name the document's key in `source`"
        for spec in schema.fields
        if spec.name in taken
    ]
    if problems:
        raise ConfigError(schema.source, problems)


def engine_fields(schema: Schema) -> tuple[Field, ...]:
    """Return the fields that an engine has a use for; others are in the catalogue alone.

    Texts are there to be searched, keywords to be filtered by or counted; numbers and dates are
    always there, since lists are sorted by them.
    """
    used = {Role.SEARCHED, Role.FILTERED, Role.FACETED}
    return tuple(
        spec
        for spec in schema.fields
        if spec.roles & used or spec.max_age_s is not None or spec.kind in _ALWAYS
    )


_ALWAYS = (Kind.NUMBER, Kind.DATE, Kind.VECTOR)


def in_terms(spec: Field) -> bool:
    """Tell whether a field is matched, beside being read from doc values."""
    return bool(spec.roles & {Role.SEARCHED, Role.FILTERED})


_TYPES: Mapping[Kind, Mapping[str, Any]] = {
    Kind.KEYWORD: {"type": "keyword", "ignore_above": IGNORE_ABOVE},
    Kind.NUMBER: {"type": "double"},
    Kind.DATE: {"type": "date", "format": "epoch_millis"},
}


def _dense_vector(spec: Field) -> dict[str, Any]:
    return {"type": "dense_vector", "dims": spec.dims, "index": True, "similarity": "cosine"}


def _knn_vector(spec: Field) -> dict[str, Any]:
    method = {"name": "hnsw", "space_type": "cosinesimil", "engine": "lucene"}
    return {"type": "knn_vector", "dimension": spec.dims, "method": method}
