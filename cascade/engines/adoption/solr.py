"""Reading the schema of a Solr index and a search of its JSON or parameter form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cascade.engines.adoption.found import (
    QUERY,
    Adoption,
    FoundAnalysis,
    FoundField,
    FoundQuery,
    schema_name,
)
from cascade.errors import InputError
from cascade.schema import Kind

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("TextField", "SortableTextField"), Kind.TEXT),
    **dict.fromkeys(("StrField", "UUIDField", "BoolField", "EnumFieldType"), Kind.KEYWORD),
    **{f"{size}PointField": Kind.NUMBER for size in ("Int", "Long", "Float", "Double")},
    **{f"Trie{size}Field": Kind.NUMBER for size in ("Int", "Long", "Float", "Double")},
    **dict.fromkeys(("DatePointField", "TrieDateField"), Kind.DATE),
    "DenseVectorField": Kind.VECTOR,
}
NAMED = 12
"""How many fields a note names at most."""
_PARSERS = ("edismax", "dismax")
_PAGING = ("query", "fl", "rows", "start", "sort", "facet", "wt", "echoParams", "hl", "debugQuery")
_STEMMERS = {"porterstem": "english", "kstem": "english", "englishminimalstem": "english"}
_GERMAN = ("germanstem", "germanlightstem", "germanminimalstem")
_PLAIN = frozenset(
    ("lowercase", "asciifolding", "flattengraph", "removeduplicates", "trim", "englishpossessive")
)


def read_search(body: Mapping[str, Any]) -> FoundQuery:
    """Return what a search says: `{"params": {...}}`, or the parameters alone.

    Raises:
        InputError: If it is no edismax or dismax search with `qf`.
    """
    notes: list[str] = []
    params = dict(_params(body))
    filters = params.pop("fq", body.get("filter"))
    parser = str(params.get("defType", "edismax"))
    if parser not in _PARSERS or not params.get("qf"):
        raise InputError(
            "the search is no edismax or dismax with qf; give its parameters as a JSON object, "
            'such as {"defType": "edismax", "q": "...", "qf": "title^3 description"}'
        )
    kept = {k: v for k, v in params.items() if k not in _PAGING and not k.startswith("facet.")}
    template: dict[str, Any] = {"params": {**kept, "defType": parser, "q": QUERY}}
    if filters:
        template["filter"] = filters
        notes.append(
            "fq is kept in the template for every text; take out what was a filter of one visitor"
        )
    for name in ("bq", "bf", "boost"):
        if name in kept:
            notes.append(f"{name}: kept in the template; no feature knows what it adds")
    hints: dict[str, object] = {}
    share = str(kept.get("mm", ""))
    if share.endswith("%") and share[:-1].isdigit():
        hints["minimum_match"] = int(share[:-1]) / 100
    elif share:
        notes.append(f"mm {share!r} is in the template alone")
    phrases = _weights(kept.get("pf", ""))
    if phrases:
        hints["phrase_boost"] = max(phrases.values())
    return FoundQuery(_weights(params["qf"]), template, frozenset(), hints, tuple(notes))


def _params(body: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(body.get("params"), Mapping):
        return {**body["params"], **({"q": body["query"]} if "query" in body else {})}
    query = body.get("query")
    if isinstance(query, Mapping):
        parser = next((name for name in _PARSERS if isinstance(query.get(name), Mapping)), None)
        return {} if parser is None else {"defType": parser, **query[parser]}
    return body


def _weights(text: object) -> dict[str, float]:
    """Return the fields and weights of `title^3 description`."""
    listed = " ".join(map(str, text)) if isinstance(text, list) else str(text)
    found = {}
    for part in listed.replace(",", " ").split():
        path, _, weight = part.partition("^")
        found[path.partition("~")[0]] = float(weight or 1.0)
    return found


def read_index(live: Mapping[str, Any], query: FoundQuery) -> Adoption:
    """Return the fields of a Solr schema as ours would have them.

    Raises:
        InputError: If the index has none of the fields that are searched.
    """
    types = {str(spec["name"]): spec for spec in live.get("fieldTypes", ())}
    made = {name: spec.get("type", "") for name, spec in live.get("made", {}).items()}
    stored = {str(spec["name"]): str(spec["type"]) for spec in live.get("fields", ())}
    key = str(live.get("uniqueKey", "id"))
    copied = _copies(live.get("copyFields", ()))
    fields, notes, taken = list[FoundField](), list[str](), set[str]()
    unused = list[str]()
    for path, type_name in {**made, **stored}.items():
        if path == key or path.startswith("_"):
            continue
        spec = types.get(type_name, {})
        kind = _KINDS.get(str(spec.get("class", "")).rpartition(".")[2])
        if kind is None:
            notes.append(f"{path}: a field of type {type_name} is not taken over")
            continue
        # A field that others are copied into is no key of a document.
        boost = query.boosts.get(path, 0.0) if kind is Kind.TEXT else None
        if path in copied and not boost:
            continue
        # A configset names fields that an index never came to have.
        if made and path not in made and not boost:
            unused.append(path)
            continue
        fields.append(
            FoundField(
                schema_name(path, taken),
                kind,
                tuple(copied.get(path, [path])),
                boost,
                _analysis(spec) if kind is Kind.TEXT else None,
                int(spec.get("vectorDimension", 0)),
            )
        )
    if not any(field.boost for field in fields):
        raise InputError(
            f"the index has none of the searched fields {', '.join(query.boosts)} as a text; it "
            f"has {', '.join(list({**made, **stored})[:NAMED])}"
        )
    if unused:
        more = f" and {len(unused) - NAMED} more" if len(unused) > NAMED else ""
        notes.append(f"no document has {', '.join(unused[:NAMED])}{more}: they are not taken over")
    return Adoption(key, tuple(fields), tuple(notes))


def _copies(rules: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in rules:
        found.setdefault(str(rule["dest"]), []).append(str(rule["source"]))
    return found


def _analysis(spec: Mapping[str, Any]) -> FoundAnalysis:
    languages, notes = list[str](), list[str]()
    for which in ("analyzer", "indexAnalyzer", "queryAnalyzer"):
        for part in spec.get(which, {}).get("filters", ()):
            name = str(part.get("name", part.get("class", ""))).rpartition(".")[2]
            _filter(name.removesuffix("FilterFactory").lower(), part, languages, notes)
    return FoundAnalysis(languages[0] if languages else "plain", (), tuple(dict.fromkeys(notes)))


def _filter(name: str, part: Mapping[str, Any], languages: list[str], notes: list[str]) -> None:
    if name == "snowballporter":
        told = str(part.get("language", "English")).lower()
        language = next((ours for ours in ("english", "german") if told.startswith(ours)), None)
        if language is None and told.startswith("porter"):
            language = "english"
        if language is None:
            notes.append(f"there is no analyser for {told}; plain does not stem")
        else:
            languages.append(language)
    elif name in _STEMMERS:
        languages.append(_STEMMERS[name])
    elif name in _GERMAN:
        languages.append("german")
    elif "synonym" in name:
        where = part.get("synonyms", part.get("managed", "the server"))
        notes.append(f"its synonyms lie in {where} on the server; copy them beside this file")
    elif name == "stop":
        notes.append("it removes stop words, which ours keeps")
    elif name not in _PLAIN:
        notes.append(f"its filter {name} has no counterpart in ours")
