"""What is sent for a document, checked by its schema, to each server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from cascade.engines.mappings.elasticsearch import IGNORE_ABOVE, engine_fields
from cascade.engines.mappings.solr import UNIQUE_KEY
from cascade.hosting import GENERATION_FIELD, ID_FIELD, RAW_FIELD, ROW_FIELD
from cascade.schema import Document, Field, Kind, Schema
from cascade.text import analyser

_SURROGATES = re.compile("[\ud800-\udfff]")
_KEPT_PLANS = 16
_EPOCH = datetime(1970, 1, 1)


def document_elasticsearch(row: int, document: Document, schema: Schema) -> dict[str, Any]:
    """Return the source of a document for Elasticsearch or OpenSearch.

    Args:
        row: Its row in the catalogue; below 0 it has none, and no field of it.
        document: The document.
        schema: The fields.
    """
    body: dict[str, Any] = {ROW_FIELD: row} if row >= 0 else {}
    body[ID_FIELD] = document.id
    body[RAW_FIELD] = _sound(document.raw)
    for spec, _ in _plan(schema):
        value = _value(document, spec)
        if value is not None:
            body[spec.name] = value
    return body


def document_solr(row: int, document: Document, generation: str, schema: Schema) -> dict[str, Any]:
    """Return the JSON document for Solr; texts are terms, parted by blanks.

    Args:
        row: Its row in the catalogue; below 0 it has none, and no field of it.
        document: The document.
        generation: The name of the generation.
        schema: The fields.
    """
    body: dict[str, Any] = {ROW_FIELD: row} if row >= 0 else {}
    body[UNIQUE_KEY] = body[ID_FIELD] = document.id
    body[GENERATION_FIELD] = generation
    body[RAW_FIELD] = raw_json(document.raw)
    for spec, tokens in _plan(schema):
        value = _value(document, spec)
        if value is None:
            continue
        if tokens is not None:
            value = [" ".join(tokens(text)) for text in value]
        elif spec.kind is Kind.KEYWORD:
            value = [keyword for keyword in value if len(keyword) <= IGNORE_ABOVE]
        elif spec.kind is Kind.DATE:
            moment = _EPOCH + timedelta(milliseconds=value)
            value = f"{moment.isoformat(timespec='milliseconds')}Z"
        body[spec.name] = value
    return body


_Tokens = Callable[[str], list[str]]
_Plan = tuple[tuple[Field, _Tokens | None], ...]
_plans: dict[int, tuple[Schema, _Plan]] = {}


def _plan(schema: Schema) -> _Plan:
    """Return the fields of a schema that are sent, and what analyses each text.

    It is kept by the schema's identity, since a build asks for every document; who holds an entry
    holds the schema too, so its identity is no other's.
    """
    held = _plans.get(id(schema))
    if held is None:
        if len(_plans) >= _KEPT_PLANS:
            _plans.clear()
        fields = engine_fields(schema)
        held = schema, tuple((spec, _tokens(spec)) for spec in fields)
        _plans[id(schema)] = held
    return held[1]


def _tokens(spec: Field) -> _Tokens | None:
    return analyser(spec.analyser, spec.synonyms).tokens if spec.kind is Kind.TEXT else None


def raw_json(raw: Mapping[str, Any]) -> str:
    """Return a raw document as JSON; lone surrogates, which UTF-8 cannot hold, are replaced."""
    try:
        return orjson.dumps(raw).decode()
    except TypeError:
        # Lone surrogates, and numbers beyond 64 bits.
        return _SURROGATES.sub("\ufffd", json.dumps(raw, ensure_ascii=False))


def _sound(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a raw document that can be written as JSON: nearly always the one given."""
    try:
        orjson.dumps(raw)
    except TypeError:
        return dict(json.loads(raw_json(raw)))
    return raw


def _value(document: Document, spec: Field) -> Any:  # noqa: ANN401  (whatever JSON can hold)
    """Return the checked value of a field, None if it has none."""
    if spec.kind is Kind.TEXT:
        texts = document.texts.get(spec.name)
        return None if texts is None else list(texts)
    if spec.kind is Kind.KEYWORD:
        keywords = document.keywords.get(spec.name)
        return None if keywords is None else list(keywords)
    if spec.kind is Kind.VECTOR:
        vector = document.vectors.get(spec.name)
        # A vector of length 0 has no direction; servers refuse it under the cosine.
        return list(vector) if vector is not None and any(vector) else None
    number = document.numbers.get(spec.name)
    if number is None:
        return None
    if spec.kind is Kind.DATE:
        return _milliseconds(number)
    return number + 0.0  # -0.0 becomes 0.0


_EARLIEST_MS, _LATEST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


def _milliseconds(seconds: float) -> int:
    """Return a date as servers hold it; one that none can hold becomes the nearest."""
    return round(min(max(seconds * 1000, _EARLIEST_MS), _LATEST_MS))
