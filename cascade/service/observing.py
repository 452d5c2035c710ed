"""Observing: what is told of a request to those who keep or compare it, off its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cascade.candidates import Query
from cascade.pipeline import Cascade, PageRequest, Recording

Route = Literal["search", "rank"]


@dataclass(frozen=True, slots=True)
class Served:
    """Hold one request and what became of it.

    Attributes:
        route: Which route answered it.
        query: The request as features saw it.
        request: Which part of the result was wanted, and with what.
        filters: As the body gave them.
        session: The session's id as the body gave it, None without consent.
        visitor: The visitor's, None without consent.
        consent: Whether the request may be linked with others.
        cascade: What answered it; its engine may be closed at any time.
        recording: What the ranking used.
        results: The documents of the page.
        arm: Experiment and arm that it took part in, as `name/arm`; None if in none.
        teams: Of an interleaved page, which cascade each document is of; see `experiments`.
    """

    route: Route
    query: Query
    request: PageRequest
    filters: Mapping[str, Any]
    session: str | None
    visitor: str | None
    consent: bool
    cascade: Cascade
    recording: Recording
    results: tuple[str, ...]
    arm: str | None = None
    teams: tuple[int, ...] = ()


class Observer(Protocol):
    """Take note of requests; what it does with them it does in a thread of its own."""

    def wants(self, query_id: str) -> bool:
        """Return whether it takes note of this query's requests."""
        ...

    def take(self, served: Served) -> None:
        """Take note of a request that is answered; return at once."""
        ...
