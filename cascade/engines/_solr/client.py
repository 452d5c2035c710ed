"""Asking Solr: one request over a pool of connections, one answer in bytes, our own errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from cascade.engines._server.connecting import Answer, address, authorization, late, tls_of
from cascade.engines.connection import Connection
from cascade.errors import (
    CascadeError,
    ConfigError,
    EngineError,
    EngineUnavailableError,
    NotFoundError,
    OptionalDependencyError,
)

KIND = "solr"
BAD_REQUEST, NOT_FOUND, CONFLICT = 400, 404, 409
_BUSY = frozenset({408, 429, 502, 503, 504})
_ELSEWHERE = frozenset({502, 503})
_CONNECT_S = 5.0
_SHOWN_CHARS = 600
_JSON = "application/json"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Hold one request.

    Attributes:
        method: "GET", "POST" or "DELETE".
        path: What follows the node's address, `/products/select`.
        params: The query string's values, as they are.
        body: The body, if there is one.
        kind: The body's media type.
        again: Whether asking twice does no harm, so that a lost answer is asked for again.
    """

    method: str
    path: str
    params: Mapping[str, str]
    body: bytes | None = None
    kind: str = _JSON
    again: bool = True

    def __str__(self) -> str:
        action = self.params.get("action")
        return f"{self.method} {self.path}" + (f"?action={action}" if action else "")


def reading(path: str, body: bytes | None = None, **params: str) -> Ask:
    """Return a request that changes nothing; its body, if any, is JSON."""
    return Ask("GET" if body is None else "POST", path, params, body)


def admin(path: str, action: str, **params: str) -> Ask:
    """Return a request to an administrative handler, sent at most once to a node that has it."""
    return Ask("POST", path, {"action": action, **params}, again=False)


class SolrClient:
    """Ask one of the nodes of a Solr; any number of threads may.

    A node that cannot be reached is passed over for the next, and the one that answered last is
    asked first.

    Args:
        connection: Where the nodes are and who we are; an address without a path gets `/solr`.

    Raises:
        OptionalDependencyError: If the package `urllib3` is not installed.
        ConfigError: If the connection says what Solr cannot do.
    """

    def __init__(self, connection: Connection) -> None:
        try:
            import urllib3
        except ImportError as error:
            raise OptionalDependencyError("urllib3", KIND) from error
        _check(connection)
        self.where = address(KIND, connection)
        self.pool = connection.pool
        self.timeout_s = connection.timeout_s
        self._nodes = [_node(url) for url in connection.urls]
        self._first = 0
        self._closed = False
        self._lock = threading.Lock()
        headers = {"accept": _JSON, "user-agent": "cascade-ranking"}
        if connection.auth is not None:
            headers["authorization"] = authorization(connection.auth)
        self._pool = urllib3.PoolManager(
            num_pools=len(self._nodes),
            headers=headers,
            maxsize=connection.pool,
            retries=False,
            **_tls(connection),
        )

    def send(
        self, ask: Ask, *, timeout_s: float | None = None, allow: frozenset[int] = frozenset()
    ) -> Answer:
        """Return the answer to one request.

        Args:
            ask: The request.
            timeout_s: How long it may take with all tries; None takes the connection's.
            allow: Statuses from 400 on that are answers and not errors.

        Raises:
            EngineUnavailableError: If no node can be reached or has room, or none answers within
                the connection's own timeout.
            DeadlineError: If none answers within `timeout_s`.
            NotFoundError: For 404, with the server's words.
            EngineError: For any other status from 400 on, with the server's words.
        """
        import urllib3

        limit = self.timeout_s if timeout_s is None else min(timeout_s, self.timeout_s)
        by_deadline = timeout_s is not None and timeout_s <= self.timeout_s
        end = time.monotonic() + limit
        cause: object = "no time was left"
        for turn in range(len(self._nodes) + 1):
            if self._closed:
                raise EngineError("the engine is closed; open it again")
            left = end - time.monotonic()
            if left <= 0:
                raise late(self.where, ask, limit, by_deadline=by_deadline)
            at = (self._first + turn) % len(self._nodes)
            try:
                answer = self._once(self._nodes[at], ask, left)
            except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError):
                cause = "the connection was refused or took too long"
            except urllib3.exceptions.TimeoutError as error:
                raise late(self.where, ask, limit, by_deadline=by_deadline) from error
            except urllib3.exceptions.SSLError as error:
                raise EngineUnavailableError(
                    f"{self.where} cannot be trusted: {error}; give its certificate authority"
                ) from error
            except urllib3.exceptions.HTTPError as error:
                cause = error
                if not ask.again:
                    break
            else:
                if answer.status in _ELSEWHERE and ask.again and turn < len(self._nodes) - 1:
                    continue
                self._first = at
                if answer.status >= BAD_REQUEST and answer.status not in allow:
                    raise refusal(self.where, ask, answer)
                return answer
        raise EngineUnavailableError(
            f"{self.where} cannot be reached for {ask}: {cause}; check that it runs and that the "
            "url is right"
        )

    def read(self, ask: Ask, shape: type[T], *, timeout_s: float | None = None) -> T:
        """Return an answer, decoded; see `send`.

        Raises:
            EngineError: If it is not what Solr answers.
        """
        answer = self.send(ask, timeout_s=timeout_s)
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EngineError(
                f"{self.where} gave no answer of Solr to {ask}: {error}; is the url right?"
            ) from error

    def json(self, ask: Ask) -> dict[str, Any]:
        """Return an answer as plain data; see `send`."""
        return self.read(ask, dict[str, Any])

    def close(self) -> None:
        """Let go of the connections; a request after this is an `EngineError`."""
        with self._lock:
            self._closed = True
            self._pool.clear()

    def _once(self, node: str, ask: Ask, left: float) -> Answer:
        import urllib3

        params = urlencode({"wt": "json", "indent": "false", **ask.params})
        headers = dict(self._pool.headers)
        if ask.body is not None:
            headers["content-type"] = ask.kind
        got = self._pool.request(
            ask.method,
            f"{node}{ask.path}?{params}",
            body=ask.body,
            headers=headers,
            redirect=False,
            timeout=urllib3.Timeout(total=left, connect=min(left, _CONNECT_S)),
        )
        return Answer(got.status, got.data)


def refusal(where: str, ask: Ask, answer: Answer) -> CascadeError:
    """Return the error that an answer with a status from 400 on stands for."""
    status, why = answer.status, reason(answer.body) or "no reason given"
    if status == NOT_FOUND:
        return NotFoundError(f"{where} has not what {ask} asks for: {why}")
    if status == 401:
        return EngineError(
            f"{where} does not know who asks for {ask}: {why}; check the user and password or token"
        )
    if status == 403:
        return EngineError(
            f"{where} does not permit {ask}: {why}; give the user the permission that the page "
            "docs/solr.md names for it"
        )
    if status in _BUSY:
        return EngineUnavailableError(
            f"{where} has no room for {ask} (status {status}): {why}; try again later"
        )
    return EngineError(f"{where} refused {ask} (status {status}): {why}")


def reason(body: bytes) -> str:
    """Return the server's words of why it refused, "" if it had none."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "" if b"<html" in body[:200].lower() else _text(body)
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return str(error)[:_SHOWN_CHARS] if error else ""
    details = [str(one.get("errorMessages", "")) for one in error.get("details") or () if one]
    return "; ".join([str(error.get("msg", "")), *details])[:_SHOWN_CHARS]


def _text(body: bytes) -> str:
    return body[:_SHOWN_CHARS].decode("utf-8", "replace").strip()


def _node(url: str) -> str:
    plain = url.rstrip("/")
    return plain if urlsplit(plain).path else f"{plain}/solr"


def _check(connection: Connection) -> None:
    problems = []
    if not connection.urls:
        problems.append("url: Solr needs the address of at least one node")
    for url in connection.urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            problems.append(f"url: is {url!r}; accepted is http://HOST:PORT or https://HOST:PORT")
    if connection.cloud_id:
        problems.append("cloud_id: belongs to Elasticsearch; give Solr's url")
    if connection.auth is not None and connection.auth.kind not in ("basic", "bearer"):
        problems.append(f"auth: is {connection.auth.kind!r}; accepted by Solr: basic, bearer")
    if problems:
        raise ConfigError("engine", problems)


def _tls(connection: Connection) -> dict[str, Any]:
    if not any(urlsplit(url).scheme == "https" for url in connection.urls):
        return {}
    context = tls_of(connection)
    if not connection.verify:
        import ssl

        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"ssl_context": context}
