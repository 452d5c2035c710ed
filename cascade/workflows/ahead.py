"""Retrieving several queries in one request, for a caller that asks for them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cascade.candidates import Query
from cascade.protocols import NEVER, Asked, Deadline, Engine, Retrieval

QUERIES_AHEAD = 32
_ASKED = Asked()


@dataclass
class Ahead:
    """Be an engine that, asked for one query of a known order, retrieves the next ones as well.

    A batch gives what its queries give one by one, so nothing changes but the number of requests.

    Attributes:
        engine: What retrieves.
        queries: All queries, filters included, in the order in which they will be asked.
    """

    engine: Engine
    queries: Sequence[Query]
    _found: dict[str, Retrieval] = field(default_factory=dict)
    _for: tuple[int, Asked] = (0, _ASKED)

    def __post_init__(self) -> None:
        self._places = {query.id: at for at, query in enumerate(self.queries)}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        return getattr(self.engine, name)

    def retrieve(
        self,
        queries: Sequence[Query],
        size: int,
        asked: Asked = _ASKED,
        deadline: Deadline = NEVER,
    ) -> Retrieval:
        """Return what the engine finds."""
        at = self._places.get(queries[0].id) if len(queries) == 1 else None
        if at is None or asked.only is not None or self.queries[at] != queries[0]:
            return self.engine.retrieve(queries, size, asked, deadline)
        query = queries[0]
        if self._for != (size, asked) or query.id not in self._found:
            self._read(at, size, asked, deadline)
        return self._found.pop(query.id)

    def _read(self, at: int, size: int, asked: Asked, deadline: Deadline) -> None:
        batch = self.queries[at : at + QUERIES_AHEAD]
        found = self.engine.retrieve(batch, size, asked, deadline)
        self._for = (size, asked)
        self._found = {
            query.id: Retrieval(
                candidates=found.candidates.listings(i, i + 1),
                totals=found.totals[i : i + 1],
                facets=found.facets[i : i + 1],
                missing=found.missing,
            )
            for i, query in enumerate(batch)
        }
