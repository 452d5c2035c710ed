"""Solr 9, by its JSON request API over a pool of connections."""

from __future__ import annotations

from cascade.engines._solr.engine import SolrEngine
from cascade.engines._solr.host import SolrHost
from cascade.engines._solr.search import View
from cascade.engines.connection import Connection, IndexShape, Matching

__all__ = ["SolrEngine", "SolrHost", "View", "open_host"]

_MATCHING, _SHAPE = Matching(), IndexShape()


def open_host(
    connection: Connection, matching: Matching = _MATCHING, shape: IndexShape = _SHAPE
) -> SolrHost:
    """Return who holds the indexes of a Solr, standalone or cloud; nothing is asked of it yet.

    Args:
        connection: Where its nodes are and who we are.
        matching: What a text must match, and what that counts.
        shape: How new indexes are laid out.

    Raises:
        OptionalDependencyError: If the package `urllib3` is not installed.
        ConfigError: If the connection says what Solr cannot do.
    """
    return SolrHost(connection, matching, shape)
