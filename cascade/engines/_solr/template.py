"""A team's own Solr search in JSON, into which the text and the filters are placed as data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade.errors import ConfigError, nearest

QUERY = "{{query}}"
FILTERS = "{{filters}}"

_WHERE = "engine.matching.template"
_KEPT = ("query", "queries", "filter", "params")
# What we ask for ourselves, whatever a team's search asked for.
_REPLACED = ("fields", "limit", "offset", "sort", "facet", "timeAllowed")
_OURS = frozenset(
    ("fl", "rows", "start", "sort", "facet", "cursorMark", "timeAllowed", "wt", "expandMacros")
)
# Parsers that read a text word by word, and those that take it as it is.
_WORDS, _WHOLE = frozenset({"edismax", "dismax"}), frozenset({"field", "term"})
_OPERATORS = re.compile(r"[^\w\s]|\b(?:AND|OR|NOT|TO)\b")


@dataclass(frozen=True)
class Template:
    """Hold a search with places for the text and the filters.

    Attributes:
        tree: What it says of matching.
    """

    tree: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template of a search in Solr's JSON form.

        The text may stand where a parser takes data: as the `query` of an edismax, dismax, field
        or term query, or as the parameter `q` under `defType` edismax or dismax. What the body
        says of paging, order, facets and fields is left out, since that is asked for by us.

        Raises:
            ConfigError: If it is no search, or the text would be parsed as a query.
        """
        try:
            tree = json.loads(text)
        except ValueError as error:
            raise ConfigError(_WHERE, [f"is no JSON: {error}"]) from None
        if not isinstance(tree, dict):
            raise ConfigError(_WHERE, ["is no search; accepted is a JSON object"])
        problems = [
            f"{key}: cannot be kept; " + nearest(key, _KEPT)
            for key in tree
            if key not in (*_KEPT, *_REPLACED)
        ]
        kept = {key: value for key, value in tree.items() if key in _KEPT}
        params = kept.get("params", {})
        if isinstance(params, dict):
            kept["params"] = {k: v for k, v in params.items() if k not in _OURS}
        else:
            problems.append("params: is no object")
        places = list(_places(kept, ()))
        safe = [path for path in places if _is_safe(kept, path)]
        problems += [
            f"{'.'.join(map(str, path))}: the text would be parsed as a query there; accepted is "
            'the "query" of an edismax, dismax, field or term query, or params.q under a defType '
            "of edismax or dismax"
            for path in places
            if path not in safe
        ]
        if not places:
            problems.append('query: nowhere says "{{query}}", so every text would find the same')
        if problems:
            raise ConfigError(_WHERE, problems)
        return cls(kept)

    def filled(
        self, text: str, filters: Sequence[str], params: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return the search with the text and the filters in their places.

        Args:
            text: The text.
            filters: Clauses; they join the template's own.
            params: The values that the clauses refer to.
        """
        body: dict[str, Any] = _placed(self.tree, text, "")
        own = body.get("filter", [])
        listed = own if isinstance(own, list) else [own]
        body["filter"] = [one for one in listed if one != FILTERS] + list(filters)
        body["params"] = {**body.get("params", {}), **params}
        return body


def _places(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401
    """Yield where the text is to stand."""
    if isinstance(node, str) and QUERY in node:
        yield path
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _places(value, (*path, key))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _places(value, (*path, at))


def _is_safe(tree: Mapping[str, Any], path: tuple[str | int, ...]) -> bool:
    node: Any = tree
    for key in path:
        node = node[key]
    if node != QUERY:
        return False
    if path == ("params", "q"):
        return tree["params"].get("defType") in _WORDS and "query" not in tree
    return len(path) > 2 and path[-1] == "query" and path[-2] in _WORDS | _WHOLE


def _placed(node: Any, text: str, parser: str) -> Any:  # noqa: ANN401
    """Return a part of the tree with the text in its places."""
    if node == QUERY:
        # Those that read words would take a hyphen or quote for an operator.
        return text if parser in _WHOLE else " ".join(_OPERATORS.sub(_plain, text).split())
    if isinstance(node, Mapping):
        return {
            key: _placed(value, text, parser if key == "query" else str(key))
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_placed(value, text, parser) for value in node]
    return node


def _plain(found: re.Match[str]) -> str:
    return found[0].lower() if found[0].isalpha() else " "
