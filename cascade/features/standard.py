"""The features to begin with, made from a schema by a rule."""

from __future__ import annotations

from typing import Any

from cascade.schema import Field, Kind, Schema

MAX_TEXT_FIELDS = 5
MAX_KEYWORD_FIELDS = 4
MAX_NUMBER_FIELDS = 6
MAX_DATE_FIELDS = 2

MAIN_FIELD_KINDS = (
    "bm25",
    "coverage",
    "idf_coverage",
    "missing_idf",
    "first_position",
    "ordered_pairs",
    "phrase",
    "whole_match",
    "query_density",
    "length",
)
OTHER_FIELD_KINDS = ("bm25", "coverage", "ordered_pairs", "length")
KEYWORD_KINDS = ("keyword_match", "keyword_coverage")
NUMBER_KINDS = ("log", "percentile")
QUERY_KINDS = ("query_length", "query_idf_mean", "query_idf_max")
ENGINE_KINDS = ("engine_score", "engine_rank", "engine_score_ratio")

Definition = dict[str, Any]


def standard_features(schema: Schema, *, engine_bound: bool = True) -> list[Definition]:
    """Return definitions for a schema: about 40 for four text, two keyword, five number fields.

    The text field of the highest boost is the main one and gets `MAIN_FIELD_KINDS`; the next
    `MAX_TEXT_FIELDS - 1` of a boost above 0 get `OTHER_FIELD_KINDS`. With several, `any_coverage`
    (over those that share the main field's analysis), `best_field` and `bm25_sum`, the sum of
    their BM25 weighted by boost, are added. The first `MAX_KEYWORD_FIELDS` keyword fields get
    `KEYWORD_KINDS`, the first `MAX_NUMBER_FIELDS` numbers `NUMBER_KINDS`, the first
    `MAX_DATE_FIELDS` dates `age`; then come `QUERY_KINDS` of the main field and `ENGINE_KINDS`.

    Args:
        schema: The fields.
        engine_bound: Whether features are wanted that only this engine gives.
    """
    texts = sorted((f for f in schema.of_kind(Kind.TEXT) if f.boost > 0), key=lambda f: -f.boost)
    texts = texts[:MAX_TEXT_FIELDS]
    made: list[Definition] = []
    for i, text in enumerate(texts):
        made += _each(OTHER_FIELD_KINDS if i else MAIN_FIELD_KINDS, text)
    if len(texts) > 1:
        made += _across(texts)
    for keyword in schema.of_kind(Kind.KEYWORD)[:MAX_KEYWORD_FIELDS]:
        made += _each(KEYWORD_KINDS, keyword)
    for number in schema.of_kind(Kind.NUMBER)[:MAX_NUMBER_FIELDS]:
        made += _each(NUMBER_KINDS, number)
    for date in schema.of_kind(Kind.DATE)[:MAX_DATE_FIELDS]:
        made += _each(("age",), date)
    if texts:
        made += [{"kind": kind, "name": kind, "field": texts[0].name} for kind in QUERY_KINDS]
    if engine_bound:
        made += [{"kind": kind, "name": kind} for kind in ENGINE_KINDS]
    return made


def _each(kinds: tuple[str, ...], field: Field) -> list[Definition]:
    return [{"kind": kind, "name": f"{kind}_{field.name}", "field": field.name} for kind in kinds]


def _across(texts: list[Field]) -> list[Definition]:
    main = texts[0]
    alike = [f.name for f in texts if (f.analyser, f.synonyms) == (main.analyser, main.synonyms)]
    weighted = " + ".join(f"{f.boost:g} * bm25_{f.name}" for f in texts)
    return [
        {"kind": "any_coverage", "name": "any_coverage", "fields": alike},
        {"kind": "best_field", "name": "best_field", "fields": [f.name for f in texts]},
        {"kind": "expression", "name": "bm25_sum", "formula": weighted},
    ]
