"""A query body of a team's own, into which the text and the filters are placed as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade.errors import ConfigError, nearest

QUERY = "{{query}}"
FILTERS = "{{filters}}"

_KEPT = ("query", "knn", "rescore", "min_score", "runtime_mappings", "indices_boost")
# What we ask for ourselves, whatever a team's search asked for.
_REPLACED = (
    *("_source", "aggregations", "aggs", "docvalue_fields", "explain", "fields", "from"),
    *("highlight", "profile", "size", "sort", "stored_fields", "timeout", "track_scores"),
    *("track_total_hits", "version"),
)


@dataclass(frozen=True)
class Template:
    """Hold a query body with places for the text and the filters.

    Attributes:
        tree: What it says of matching.
        places_filters: Whether it says itself where the filters go.
    """

    tree: Mapping[str, Any]
    places_filters: bool

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template of a search body in JSON.

        What a body says of paging, order, facets and what is shown is left out, since that is
        asked for by us.

        Raises:
            ConfigError: If it is no search body, or says what cannot be kept.
        """
        where = "engine.matching.template"
        try:
            tree = json.loads(text)
        except ValueError as error:
            raise ConfigError(where, [f"is no JSON: {error}"]) from None
        if not isinstance(tree, dict):
            raise ConfigError(where, ["is no search body; accepted is a JSON object"])
        problems = [
            f"{key}: cannot be kept; " + nearest(key, _KEPT)
            for key in tree
            if key not in (*_KEPT, *_REPLACED)
        ]
        kept = {key: value for key, value in tree.items() if key in _KEPT}
        if "query" not in kept and "knn" not in kept:
            problems.append('query: is missing; accepted is a query clause with "{{query}}" in it')
        elif not any(QUERY in one for one in _strings(kept)):
            problems.append('query: nowhere says "{{query}}", so every text would find the same')
        if problems:
            raise ConfigError(where, problems)
        return cls(kept, FILTERS in _strings(kept))

    @property
    def ordered(self) -> bool:
        """Whether hits may be ordered by score and a field; the servers do not rescore then."""
        return "rescore" not in self.tree

    def names(self) -> list[str]:
        """Return the names that the template gives its clauses, in order."""
        return list(dict.fromkeys(_names(self.tree)))

    def filled(self, text: str, filters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the body with the text and the filters in their places.

        Where the template has no place for them, the filters stand around its query and in its
        nearest neighbours.
        """
        body: dict[str, Any] = _placed(self.tree, text, list(filters))
        if filters and not self.places_filters:
            if "query" in body:
                body["query"] = {"bool": {"must": [body["query"]], "filter": list(filters)}}
            if "knn" in body:
                body["knn"] = _filtered(body["knn"], list(filters))
        return body


def _placed(node: Any, text: str, filters: list[Mapping[str, Any]]) -> Any:  # noqa: ANN401
    """Return a part of the tree with its places filled."""
    if isinstance(node, str):
        return filters if node == FILTERS else node.replace(QUERY, text)
    if isinstance(node, Mapping):
        return {key: _placed(value, text, filters) for key, value in node.items()}
    if isinstance(node, list):
        placed: list[Any] = []
        for value in node:
            one = _placed(value, text, filters)
            placed += one if value == FILTERS else [one]
        return placed
    return node


def _filtered(knn: Any, filters: list[Mapping[str, Any]]) -> Any:  # noqa: ANN401
    if isinstance(knn, list):
        return [_filtered(one, filters) for one in knn]
    before = knn.get("filter", [])
    return {**knn, "filter": [*(before if isinstance(before, list) else [before]), *filters]}


def _strings(node: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)


def _names(node: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_name" and isinstance(value, str):
                yield value
            else:
                yield from _names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _names(value)
