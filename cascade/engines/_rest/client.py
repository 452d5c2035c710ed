"""Asking Elasticsearch or OpenSearch: one request, one answer in bytes, our own errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from cascade.engines._server.connecting import Answer, late
from cascade.errors import (
    CascadeError,
    DeadlineError,
    EngineError,
    EngineUnavailableError,
    NotFoundError,
)

ATTEMPTS = 3
_READING = frozenset({"_search", "_msearch", "_count", "_mget", "_refresh"})
_BUSY = frozenset({408, 429, 502, 503, 504})
_TIMES_UP = "time exceeded"
_SHOWN_CHARS = 600


class RestClient(Protocol):
    """Send requests to one of a server's nodes; any number of threads may."""

    @property
    def kind(self) -> str:
        """What the server is: "elasticsearch" or "opensearch"."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long a request may take that says nothing else."""
        ...

    def request(  # noqa: PLR0913 - these are the parts of an HTTP request
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        ndjson: bool = False,
        timeout_s: float | None = None,
        allow: frozenset[int] = frozenset(),
    ) -> Answer:
        """Return the answer to one request.

        A node that cannot be reached is tried again, on another where there are several: any
        request that was not sent, and one that only reads even if its answer was lost.

        Args:
            method: "GET", "POST", "PUT", "DELETE" or "HEAD" (whose answer has no body).
            path: From the root on, with what is no plain name in it already quoted.
            params: The query string's values, as they are.
            body: JSON, or one JSON a line if `ndjson`.
            ndjson: Whether the body is lines.
            timeout_s: How long it may take with all tries; None takes the connection's.
            allow: Statuses from 400 on that are answers and not errors.

        Raises:
            EngineUnavailableError: If no node can be reached or has room (429, 502, 503, 504), or
                none answers within the connection's own timeout.
            DeadlineError: If none answers within `timeout_s`.
            NotFoundError: For 404, with the server's words.
            EngineError: For any other status from 400 on, with the server's words.
        """
        ...

    def close(self) -> None:
        """Let go of the connections; a request after this is an `EngineError`."""
        ...


class UnreachedError(Exception):
    """Say that a request got no answer.

    Attributes:
        sent: Whether the server may have received it.
        timed_out: Whether it was the time that ended it.
    """

    def __init__(self, cause: str, *, sent: bool, timed_out: bool) -> None:
        super().__init__(cause)
        self.sent = sent
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Request:
    """Hold one request; see `RestClient.request`."""

    method: str
    path: str
    params: Mapping[str, str]
    body: bytes | None
    ndjson: bool

    @property
    def reads(self) -> bool:
        """Whether asking twice does no harm."""
        return self.method in ("GET", "HEAD") or self.path.rpartition("/")[2] in _READING

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Sender:
    """Ask with retries, and turn what a server refuses into our errors.

    Attributes:
        kind: What the server is.
        where: The server in words.
        send: Sends a request once, in at most so many seconds; raises `UnreachedError`.
        timeout_s: How long a request may take that says nothing else.
    """

    kind: str
    where: str
    send: Callable[[Request, float], Answer]
    timeout_s: float

    def ask(self, request: Request, timeout_s: float | None, allow: frozenset[int]) -> Answer:
        """Return the answer to a request, as `RestClient.request` says."""
        by_deadline = timeout_s is not None
        limit = self.timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + limit
        for attempt in range(1, ATTEMPTS + 1):
            left = end - time.monotonic()
            if left <= 0:
                raise late(self.where, request, limit, by_deadline=by_deadline)
            try:
                answer = self.send(request, left)
            except UnreachedError as error:
                if error.timed_out and (error.sent or time.monotonic() >= end):
                    raise late(
                        self.where, request, limit, by_deadline=timeout_s is not None
                    ) from error
                if attempt < ATTEMPTS and (request.reads or not error.sent):
                    continue
                raise EngineUnavailableError(
                    f"{self.where} cannot be reached for {request}: {error}; check that it runs "
                    "and that the url is right"
                ) from error
            if answer.status >= 400 and answer.status not in allow:
                raise refusal(self.where, request, answer)
            return answer
        raise AssertionError("the last attempt returns or raises")


def refusal(where: str, request: Request, answer: Answer) -> CascadeError:
    """Return the error that an answer with a status from 400 on stands for."""
    status, why = answer.status, reason(answer.body)
    if status == 404:
        return NotFoundError(f"{where} has not what {request} asks for: {why or 'not found'}")
    if _TIMES_UP in why.lower():
        return DeadlineError(f"{where} stopped {request} when the time was up: {why}")
    if status == 401:
        return EngineError(
            f"{where} does not know who asks for {request}: {why or 'no reason given'}; check the "
            "user, key or token"
        )
    if status == 403:
        return EngineError(
            f"{where} does not permit {request}: {why or 'no reason given'}; give the user or key "
            "that privilege"
        )
    if status in _BUSY:
        return EngineUnavailableError(
            f"{where} has no room for {request} (status {status}): {why or 'no reason given'}; "
            "try again later"
        )
    return EngineError(f"{where} refused {request} (status {status}): {why or 'no reason given'}")


def reason(body: bytes) -> str:
    """Return the server's words of why it refused, "" if it had none."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:_SHOWN_CHARS].decode("utf-8", "replace").strip()
    error = answer.get("error", "") if isinstance(answer, dict) else answer
    return "; ".join(dict.fromkeys(_words(error)))[:_SHOWN_CHARS]


def _words(error: object) -> list[str]:
    """Return the reasons of an error, its shards' and its causes'."""
    if not isinstance(error, dict):
        return [str(error)] if error else []
    said = [f"{error.get('type', 'error')}: {error['reason']}"] if error.get("reason") else []
    inner: list[Any] = [error.get("caused_by")]
    for failed in error.get("failed_shards") or []:
        inner.append(failed.get("reason") if isinstance(failed, dict) else failed)
    return said + [word for one in inner if one for word in _words(one)]
