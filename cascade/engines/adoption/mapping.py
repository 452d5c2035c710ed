"""Reading the mapping of an index on Elasticsearch or OpenSearch."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from cascade.engines.adoption.found import (
    Adoption,
    FoundAnalysis,
    FoundField,
    FoundQuery,
    schema_name,
)
from cascade.errors import InputError
from cascade.schema import Kind

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("text", "match_only_text", "search_as_you_type"), Kind.TEXT),
    **dict.fromkeys(("keyword", "constant_keyword", "wildcard", "boolean"), Kind.KEYWORD),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), Kind.NUMBER),
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), Kind.NUMBER),
    **dict.fromkeys(("date", "date_nanos"), Kind.DATE),
    **dict.fromkeys(("dense_vector", "knn_vector"), Kind.VECTOR),
}
_LANGUAGES = {"english": "english", "porter": "english", "porter2": "english", "german": "german"}
_BUILT_IN = ("standard", "simple", "whitespace", "stop", "keyword", "pattern", "default")
_PLAIN_FILTERS = frozenset(
    ("lowercase", "asciifolding", "trim", "unique", "flatten_graph", "remove_duplicates")
)
_SYNONYMS = ("synonym", "synonym_graph")


def read_index(live: Mapping[str, Any], query: FoundQuery) -> Adoption:
    """Return the fields of a mapping as a schema would have them.

    Raises:
        InputError: If the index has none of the fields that are searched.
    """
    properties: Mapping[str, Any] = live.get("mappings", {}).get("properties", {})
    analysis: Mapping[str, Any] = live.get("settings", {}).get("analysis", {})
    notes: list[str] = []
    fields: list[FoundField] = []
    taken: set[str] = set()
    for path, spec in properties.items():
        kind = _KINDS.get(str(spec.get("type", "object")))
        if kind is None:
            what = spec.get("type", "object")
            searched = [p for p in query.boosts if p.startswith(f"{path}.")]
            also = f"; the search looks into {', '.join(searched)}" if searched else ""
            notes.append(f"{path}: a field of type {what} is not taken over{also}")
            continue
        fields.append(_field(path, spec, kind, (analysis, query, taken)))
        fields += _keywords_within(path, spec, query, taken)
    if not any(field.boost for field in fields):
        raise InputError(
            f"the index has none of the searched fields {', '.join(query.boosts)} as a text; it "
            f"has {', '.join(list(properties)[:12])}"
        )
    copies = tuple(
        path
        for path, spec in properties.items()
        if spec.get("type") == "keyword" and spec.get("doc_values", True)
    )
    return Adoption("_id", tuple(fields), tuple(notes), copies)


def _field(
    path: str,
    spec: Mapping[str, Any],
    kind: Kind,
    found: tuple[Mapping[str, Any], FoundQuery, set[str]],
) -> FoundField:
    analysis, query, taken = found
    name = schema_name(path, taken)
    if kind is not Kind.TEXT:
        dims = int(spec.get("dims", spec.get("dimension", 0)))
        return FoundField(name, kind, (path,), dims=dims, notes=_date_notes(spec, kind))
    paths = {path: spec, **{f"{path}.{sub}": s for sub, s in spec.get("fields", {}).items()}}
    boosts = {
        inner: sum(boost for named, boost in query.boosts.items() if fnmatch.fnmatch(inner, named))
        for inner in paths
    }
    best = max(paths, key=lambda inner: (boosts[inner], inner == path))
    notes: tuple[str, ...] = ()
    if sum(1 for boost in boosts.values() if boost) > 1:
        searched = ", ".join(inner for inner, boost in boosts.items() if boost)
        notes = (f"the search looks into {searched}; they are one field here",)
    read = analysis_of(paths[best], analysis)
    return FoundField(name, kind, (path,), sum(boosts.values()), read, notes=notes)


def _keywords_within(
    path: str, spec: Mapping[str, Any], query: FoundQuery, taken: set[str]
) -> list[FoundField]:
    """Return the keyword sub-fields of a text that the search uses."""
    return [
        FoundField(schema_name(f"{path}_{sub}", taken), Kind.KEYWORD, (path,))
        for sub, inner in spec.get("fields", {}).items()
        if inner.get("type") == "keyword" and f"{path}.{sub}" in query.mentions
    ]


def _date_notes(spec: Mapping[str, Any], kind: Kind) -> tuple[str, ...]:
    if kind is Kind.DATE and "epoch_millis" in str(spec.get("format", "")):
        return ("documents may hold milliseconds; a schema reads numbers as seconds",)
    return ()


def analysis_of(spec: Mapping[str, Any], analysis: Mapping[str, Any]) -> FoundAnalysis:
    """Return what a text field's analysers come nearest to."""
    synonyms: list[str] = []
    notes: list[str] = []
    languages: list[str] = []
    names = dict.fromkeys(
        str(spec[key]) for key in ("analyzer", "search_analyzer") if spec.get(key) is not None
    )
    for name in names or {"standard": None}:
        made = analysis.get("analyzer", {}).get(name, {"type": name})
        kind = str(made.get("type", "custom"))
        if kind != "custom":
            _built_in(kind, languages, notes)
            continue
        filters = made.get("filter", [])
        for part in [filters] if isinstance(filters, str) else filters:
            own = analysis.get("filter", {}).get(part, {"type": part})
            _filter(str(part), own, languages, synonyms, notes)
        if made.get("char_filter"):
            notes.append(f"{name} has character filters, which ours does not copy")
    return FoundAnalysis(
        languages[0] if languages else "plain",
        tuple(dict.fromkeys(synonyms)),
        tuple(dict.fromkeys(notes)),
    )


def _built_in(kind: str, languages: list[str], notes: list[str]) -> None:
    if kind in _LANGUAGES:
        languages.append(_LANGUAGES[kind])
        notes.append(f"{kind} removes stop words, which ours keeps")
    elif kind not in _BUILT_IN:
        notes.append(f"there is no analyser for {kind}; plain does not stem")


def _filter(
    name: str,
    spec: Mapping[str, Any],
    languages: list[str],
    synonyms: list[str],
    notes: list[str],
) -> None:
    kind = str(spec.get("type", name))
    if kind in _SYNONYMS:
        lines = spec.get("synonyms", [])
        synonyms += [lines] if isinstance(lines, str) else list(map(str, lines))
        if not lines:
            where = spec.get("synonyms_path", spec.get("synonyms_set", "the server"))
            notes.append(f"the synonyms of {name} lie in {where}; copy them beside this file")
    elif kind in ("stemmer", "snowball", "porter_stem", "kstem"):
        told = str(spec.get("language", spec.get("name", "english"))).lower()
        if told.startswith("possessive"):
            return
        language = next((ours for key, ours in _LANGUAGES.items() if key in told), None)
        if language is None:
            notes.append(f"there is no analyser for {told}; plain does not stem")
        else:
            languages.append(language)
    elif kind == "stop":
        notes.append(f"{name} removes stop words, which ours keeps")
    elif kind not in _PLAIN_FILTERS:
        notes.append(f"the filter {name} ({kind}) has no counterpart in ours")
