"""Reading a search body of Elasticsearch or OpenSearch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cascade.engines.adoption.found import QUERY, FoundQuery
from cascade.errors import InputError

_KEPT = ("query", "knn", "rescore", "min_score", "runtime_mappings", "indices_boost")
# Asked for by us in its own way, so nothing is lost without them.
_OURS = (
    *("_source", "aggs", "aggregations", "docvalue_fields", "explain", "fields", "from"),
    *("highlight", "profile", "size", "sort", "stored_fields", "timeout", "track_scores"),
    *("track_total_hits", "version"),
)
_LISTED = ("multi_match", "combined_fields", "simple_query_string", "query_string")
_SINGLE = ("match", "match_bool_prefix", "match_phrase", "match_phrase_prefix")
_PARTS = ("must", "should", "filter", "must_not")
_WITHIN = {
    "dis_max": "queries",
    "function_score": "query",
    "script_score": "query",
    "boosting": "positive",
    "constant_score": "filter",
    "nested": "query",
}
_PHRASES = ("match_phrase", "match_phrase_prefix")


def read_search(body: Mapping[str, Any]) -> FoundQuery:
    """Return what a search body says.

    Raises:
        InputError: If it searches no text.
    """
    search = body if any(key in body for key in _KEPT) else {"query": body}
    reader = _Reader()
    template: dict[str, Any] = {}
    for key, value in search.items():
        if key in _KEPT:
            template[key] = reader.clause(value) if key == "query" else value
        elif key not in _OURS:
            reader.note(f"{key!r} of the search is left out: it cannot be kept")
    if not reader.boosts:
        raise InputError(
            "the search has no match or multi_match that names its fields; give the body that "
            "finds the products of a text"
        )
    if len(reader.texts) > 1:
        reader.note(f"it asks for {len(reader.texts)} different texts; each became {QUERY}")
    return FoundQuery(
        boosts=reader.boosts,
        template=template,
        mentions=frozenset(_strings(search)),
        hints=reader.hints,
        notes=tuple(reader.notes),
    )


class _Reader:
    """Walk through the clauses of a query, and put `{{query}}` in place of its text."""

    def __init__(self) -> None:
        self.boosts: dict[str, float] = {}
        self.hints: dict[str, object] = {}
        self.notes: list[str] = []
        self.texts: set[str] = set()

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def clause(self, node: object, within: str = "") -> Any:  # noqa: ANN401
        """Return a clause, or a list of them, with the text replaced."""
        if isinstance(node, list):
            return [self.clause(one, within) for one in node]
        if not isinstance(node, Mapping):
            return node
        return {kind: self._one(str(kind), spec, within) for kind, spec in node.items()}

    def _one(self, kind: str, spec: object, within: str) -> Any:  # noqa: ANN401
        if kind == "bool" and isinstance(spec, Mapping):
            self._needed(spec)
            return {
                key: self.clause(value, key) if key in _PARTS else value
                for key, value in spec.items()
            }
        if kind in _WITHIN and isinstance(spec, Mapping):
            if kind in ("function_score", "script_score"):
                self.note(f"{kind}: kept in the template; no feature knows what it adds")
            inner = _WITHIN[kind]
            return {
                key: self.clause(value, within) if key == inner else value
                for key, value in spec.items()
            }
        if kind in _LISTED and isinstance(spec, Mapping):
            return self._listed(kind, spec)
        if kind in _SINGLE and isinstance(spec, Mapping) and within not in ("filter", "must_not"):
            return {path: self._single(kind, str(path), value) for path, value in spec.items()}
        if within in ("filter", "must_not"):
            self.note(
                f"{kind} under {within}: kept in the template for every text; take it out if it "
                "was a filter of one visitor"
            )
        else:
            self.note(f"{kind}: kept in the template as it stands; it was not understood")
        return spec

    def _listed(self, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        weight = float(spec.get("boost", 1.0))
        phrase = str(spec.get("type", "")).startswith("phrase")
        if not spec.get("fields"):
            self.note(f"{kind} names no fields, so the schema cannot know what it searches")
        for named in spec.get("fields", ()):
            path, _, boost = str(named).partition("^")
            self._searched(path, weight * float(boost or 1.0), phrase=phrase)
        if kind.endswith("query_string"):
            self.note(f"{kind} reads operators in what users type; a multi_match does not")
        self._needed(spec)
        return {**spec, "query": self._text(spec.get("query"))}

    def _single(self, kind: str, path: str, value: object) -> Any:  # noqa: ANN401
        spec: Mapping[str, Any] = value if isinstance(value, Mapping) else {"query": value}
        self._searched(path, float(spec.get("boost", 1.0)), phrase=kind in _PHRASES)
        self._needed(spec)
        text = self._text(spec.get("query"))
        return {**spec, "query": text} if isinstance(value, Mapping) else text

    def _searched(self, path: str, boost: float, *, phrase: bool) -> None:
        if phrase:
            self.hints.setdefault("phrase_boost", boost)
        self.boosts[path] = self.boosts.get(path, 0.0) + (0.0 if phrase else boost)

    def _needed(self, spec: Mapping[str, Any]) -> None:
        share = str(spec.get("minimum_should_match", ""))
        if str(spec.get("operator", "or")).lower() == "and":
            share = "100%"
        if share.endswith("%") and share[:-1].isdigit():
            self.hints["minimum_match"] = int(share[:-1]) / 100
        elif share:
            self.note(f"minimum_should_match {share!r} is in the template alone")
        if "fuzziness" in spec:
            self.hints["typos"] = True

    def _text(self, text: object) -> str:
        self.texts.add(str(text))
        return QUERY


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node.partition("^")[0]
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)
