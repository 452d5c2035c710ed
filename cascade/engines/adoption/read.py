"""Reading an index and a search by the name of the server's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cascade.engines.adoption import lucene_query, mapping, solr
from cascade.engines.adoption.found import Adoption, FoundQuery

_SEARCHES: Mapping[str, Callable[[Mapping[str, Any]], FoundQuery]] = {
    "elasticsearch": lucene_query.read_search,
    "opensearch": lucene_query.read_search,
    "solr": solr.read_search,
}
_INDEXES: Mapping[str, Callable[[Mapping[str, Any], FoundQuery], Adoption]] = {
    "elasticsearch": mapping.read_index,
    "opensearch": mapping.read_index,
    "solr": solr.read_index,
}


def read_search(kind: str, body: Mapping[str, Any]) -> FoundQuery:
    """Return what a team's search says.

    Args:
        kind: The kind of the server.
        body: What is sent to it, with an example text or `{{query}}` in it.

    Raises:
        InputError: If it searches no text.
    """
    return _SEARCHES[kind](body)


def read_index(kind: str, live: Mapping[str, Any], query: FoundQuery) -> Adoption:
    """Return the fields of an index as a schema would have them.

    Args:
        kind: The kind of the server.
        live: The index's mapping and analysis, as the host gives them.
        query: The search: what it searches has its boost, other texts are not searched.

    Raises:
        InputError: If the index has none of the fields that are searched.
    """
    return _INDEXES[kind](live, query)
