"""What a schema renders to, by the name of the server's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cascade.engines.connection import IndexShape
from cascade.engines.mappings.elasticsearch import render_elasticsearch, render_opensearch
from cascade.engines.mappings.solr import render_solr
from cascade.errors import InputError, nearest
from cascade.schema import Schema


def _solr(schema: Schema, shape: IndexShape, about: Mapping[str, str]) -> dict[str, Any]:
    return render_solr(schema, shape, about).commands()


_RENDERERS: Mapping[str, Callable[[Schema, IndexShape, Mapping[str, str]], dict[str, Any]]] = {
    "elasticsearch": render_elasticsearch,
    "opensearch": render_opensearch,
    "solr": _solr,
}
SERVERS = tuple(_RENDERERS)
"""The kinds of servers that a schema renders to."""


def render(
    kind: str, schema: Schema, shape: IndexShape, about: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a server is sent to make an index: its body, or the commands for Solr.

    Args:
        kind: The kind of the server, as in `engine.kind`.
        schema: The fields.
        shape: How the index is laid out.
        about: Kept with the index.

    Raises:
        InputError: If there is nothing to render for this kind.
        ConfigError: If a field has a name that the index needs for itself.
    """
    if kind not in _RENDERERS:
        raise InputError(
            f"a schema renders to nothing for {kind!r}; {nearest(kind, SERVERS)} (the embedded "
            "engine takes the schema itself)"
        )
    return _RENDERERS[kind](schema, shape, about)
