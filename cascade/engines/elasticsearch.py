"""Elasticsearch 8.19 and 9, by its official client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from cascade.engines._rest.client import Request, Sender, UnreachedError, reason
from cascade.engines._server.connecting import Answer, address, authorization, tls_of
from cascade.engines.connection import Auth, Connection
from cascade.errors import ConfigError, EngineError, OptionalDependencyError

KIND = "elasticsearch"
_FORM = "application/vnd.elasticsearch+{form}; compatible-with={major}"
_PRODUCT = "x-elastic-product"
_WRONG_MEDIA = (400, 406)


class ElasticsearchClient:
    """Ask an Elasticsearch cluster; its nodes, TLS and pools are the official client's.

    Args:
        connection: Where the server is and who we are.

    Raises:
        OptionalDependencyError: If the package `elasticsearch` is not installed.
        ConfigError: If the connection says what Elasticsearch cannot do.
    """

    def __init__(self, connection: Connection) -> None:
        try:
            import elasticsearch
        except ImportError as error:
            raise OptionalDependencyError("elasticsearch", KIND) from error
        self._major = elasticsearch.__version__[0]
        self._headers = {
            "accept": _FORM.format(form="json", major=self._major),
            **_authorization(connection.auth),
        }
        try:
            self._transport = elasticsearch.Elasticsearch(**_options(connection)).transport
        except ValueError as error:
            raise ConfigError("engine", [f"url: {error}"]) from error
        where = address(KIND, connection)
        self._sender = Sender(KIND, where, self._send, connection.timeout_s)
        self._closed = False

    @property
    def kind(self) -> str:
        """What the server is."""
        return KIND

    @property
    def timeout_s(self) -> float:
        """How long a request may take that says nothing else."""
        return self._sender.timeout_s

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
        """Return the answer to one request; see `RestClient.request`."""
        if self._closed:
            raise EngineError("the client is closed; open it again")
        request = Request(method, path, params or {}, body, ndjson)
        return self._sender.ask(request, timeout_s, allow)

    def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        self._transport.close()

    def _send(self, request: Request, seconds: float) -> Answer:
        import elastic_transport
        from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

        headers = self._headers
        if request.body is not None:
            form = "x-ndjson" if request.ndjson else "json"
            headers = {**headers, "content-type": _FORM.format(form=form, major=self._major)}
        target = f"{request.path}?{urlencode(request.params)}" if request.params else request.path
        try:
            meta, body = self._transport.perform_request(
                request.method,
                target,
                body=request.body,
                headers=headers,
                request_timeout=seconds,
                max_retries=0,
                retry_on_status=(),
            )
        except elastic_transport.TransportError as error:
            cause = error.__cause__
            unsent = isinstance(cause, NewConnectionError | ConnectTimeoutError)
            late = isinstance(error, elastic_transport.ConnectionTimeout)
            raise UnreachedError(str(cause or error), sent=not unsent, timed_out=late) from error
        answer = Answer(meta.status, body or b"")
        if meta.headers.get(_PRODUCT) != "Elasticsearch":
            self._check_product(answer)
        elif meta.status in _WRONG_MEDIA:
            self._check_version(answer)
        return answer

    def _check_product(self, answer: Answer) -> None:
        """Refuse another product: Elasticsearch names itself wherever it answers itself."""
        if answer.status == 406 or 200 <= answer.status < 300:
            raise EngineError(
                f"{self._sender.where} is another product: it does not name itself as "
                'Elasticsearch does; for OpenSearch say kind = "opensearch"'
            )

    def _check_version(self, answer: Answer) -> None:
        """Refuse a server older than the client, which reads our requests as of its future."""
        if b"media_type_header_exception" in answer.body:
            raise EngineError(
                f"{self._sender.where} is older than the installed client {self._major}: "
                f"{reason(answer.body)}; for a server of version 8: "
                'pip install "elasticsearch>=8.19,<9"'
            )


class _Untouched:
    """Pass bodies through as bytes, both ways."""

    mimetype = "application/json"

    def loads(self, data: bytes) -> bytes:
        return data

    def dumps(self, data: bytes) -> bytes:
        return data


def _options(connection: Connection) -> dict[str, Any]:
    forms = ("json", "x-ndjson", "vnd.elasticsearch+json", "vnd.elasticsearch+x-ndjson", "*")
    untouched = _Untouched()
    options: dict[str, Any] = {
        "connections_per_node": connection.pool,
        "max_retries": 0,
        "serializers": {
            **{f"application/{form}": untouched for form in forms},
            **dict.fromkeys(("text/plain", "text/html", "text/*"), untouched),
        },
    }
    if connection.cloud_id is not None:
        options["cloud_id"] = connection.cloud_id
    else:
        options["hosts"] = list(connection.urls)
    if connection.cloud_id or any(url.startswith("https:") for url in connection.urls):
        if connection.verify:
            options["ssl_context"] = tls_of(connection)
        else:
            options |= {"verify_certs": False, "ssl_show_warn": False}
    return options


def _authorization(auth: Auth | None) -> dict[str, str]:
    if auth is None:
        return {}
    if auth.kind == "sigv4":
        problem = 'auth.kind: Elasticsearch takes no "sigv4"; for an AWS domain say "opensearch"'
        raise ConfigError("engine", [problem])
    return {"authorization": authorization(auth)}
