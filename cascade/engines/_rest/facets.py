"""Counting facets beside a retrieval, and never holding it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cascade.candidates import Query
from cascade.engines._rest.answers import facets_of
from cascade.engines._rest.query import QueryWriter, counting
from cascade.engines._rest.search import Searcher
from cascade.engines._server.fields import held_by
from cascade.engines.asking import facet_groups
from cascade.protocols import Asked, Deadline, Facets

THREADS = 8

Only = Sequence[Sequence[str] | None]


class FacetCounter:
    """Count facets in threads of its own, each under all of a query's filters but its own.

    Args:
        searcher: Asks the server.
        queries: Writes the queries.
    """

    def __init__(self, searcher: Searcher, queries: QueryWriter) -> None:
        self._searcher = searcher
        self._queries = queries
        self._workers = ThreadPoolExecutor(THREADS, "cascade-facets")

    def begin(
        self, queries: Sequence[Query], only: Only, asked: Asked, deadline: Deadline
    ) -> Future[list[Facets]]:
        """Begin to count; the result has the facets of each query.

        Args:
            queries: What is asked.
            only: For each query, the ids that it may find.
            asked: Which facets, and how many values.
            deadline: When the counts are of no more use.

        Raises:
            QueryError: If the index has not a field that is counted.
        """
        bodies: list[Mapping[str, Any]] = []
        groups: list[tuple[int, list[str]]] = []
        shards = self._searcher.shards
        asking = zip(queries, only, strict=True) if asked.facet_size else ()
        for place, (query, ids) in enumerate(asking):
            for filters, names in facet_groups(asked.facets, query.filters).items():
                matched = self._queries.matched(query.text, filters, asked, ids)
                if matched is not None:
                    paths = {n: held_by(self._queries.fields, n)[0].path for n in names}
                    body = {key: part for key, part in matched.body.items() if key != "rescore"}
                    bodies.append(counting(body, paths, asked.facet_size, shards))
                    groups.append((place, names))

        def count() -> list[Facets]:
            counted: list[dict[str, Any]] = [dict.fromkeys(asked.facets, ()) for _ in queries]
            wanted = ("timed_out", "aggregations.*.buckets")
            pages = self._searcher.pages(bodies, wanted, deadline)
            for (place, names), page in zip(groups, pages, strict=True):
                counted[place] |= facets_of(page, names)
            return list(counted)

        return self._workers.submit(count)

    def close(self) -> None:
        """Begin nothing any more."""
        self._workers.shutdown(wait=False, cancel_futures=True)
