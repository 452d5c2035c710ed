"""OpenSearch 2.19 and 3, by its official client."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from cascade.engines._rest.client import Request, Sender, UnreachedError, refusal
from cascade.engines._server.connecting import Answer, address, authorization, tls_of
from cascade.engines.connection import Auth, Connection
from cascade.errors import ConfigError, EngineError, OptionalDependencyError

if TYPE_CHECKING:
    from opensearchpy import Connection as Connecting

KIND = "opensearch"
_EVERY_STATUS = range(300, 600)
_PRODUCT = "x-elastic-product"


class OpenSearchClient:
    """Ask an OpenSearch cluster; its nodes, TLS, pools and AWS signatures are its client's.

    Args:
        connection: Where the server is and who we are.

    Raises:
        OptionalDependencyError: If the package `opensearch-py`, or for "sigv4" `boto3`, is not
            installed.
        ConfigError: If the connection says what OpenSearch cannot do.
    """

    def __init__(self, connection: Connection) -> None:
        try:
            import opensearchpy
        except ImportError as error:
            raise OptionalDependencyError("opensearch-py", KIND) from error
        self._where = address(KIND, connection)
        self._sender = Sender(KIND, self._where, self._send, connection.timeout_s)
        options = _options(connection, _node_class(self._where))
        self._transport = opensearchpy.OpenSearch(**options).transport
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
        from opensearchpy import exceptions
        from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

        form = "application/x-ndjson" if request.ndjson else "application/json"
        try:
            answer = self._transport.perform_request(
                request.method,
                request.path,
                params=dict(request.params),
                body=request.body,
                timeout=seconds,
                ignore=_EVERY_STATUS,
                headers={"content-type": form},
            )
        except exceptions.ConnectionError as error:
            cause = error.info
            unsent = isinstance(cause, NewConnectionError | ConnectTimeoutError)
            late = isinstance(error, exceptions.ConnectionTimeout)
            late |= isinstance(cause, ConnectTimeoutError)
            raise UnreachedError(str(error.error), sent=not unsent, timed_out=late) from error
        if isinstance(answer, bool):
            # The client reads the answer to HEAD as yes or no; `_node_class` raises the rest.
            return Answer(200 if answer else 404, b"")
        assert isinstance(answer, Answer)
        return answer


def _node_class(where: str) -> type[Connecting]:
    """Return a connection class that hands statuses and bodies on as they came."""
    from opensearchpy import Urllib3HttpConnection

    class Node(Urllib3HttpConnection):
        def perform_request(  # noqa: PLR0913, PLR0917 - the signature of its base
            self,
            method: str,
            url: str,
            params: Mapping[str, Any] | None = None,
            body: bytes | None = None,
            timeout: float | None = None,
            ignore: Collection[int] = (),
            headers: Mapping[str, str] | None = None,
        ) -> tuple[int, Mapping[str, str], Answer]:
            status, said, data = super().perform_request(
                method, url, params, body, timeout, ignore, headers
            )
            if _PRODUCT in said:
                raise EngineError(
                    f'{where} is Elasticsearch; say kind = "elasticsearch" and install the extra '
                    "of that name"
                )
            answer = Answer(status, data.encode("utf-8", "surrogatepass"))
            if method == "HEAD" and status >= 400 and status != 404:
                raise refusal(where, Request(method, url, {}, None, False), answer)
            return status, {}, answer

        def _raise_warnings(self, warning_headers: object) -> None:
            """Leave them: what a server deprecates is no news to who asks it for a page."""

    return Node


class _Untouched:
    """Pass bodies through as they are, both ways."""

    mimetype = "application/json"

    def loads(self, data: Answer) -> Answer:
        return data

    def dumps(self, data: bytes) -> bytes:
        return data


def _options(connection: Connection, node_class: type[Connecting]) -> dict[str, Any]:
    if connection.cloud_id is not None:
        raise ConfigError("engine", ["cloud_id: OpenSearch has none; name its nodes by url"])
    untouched = _Untouched()
    options: dict[str, Any] = {
        "hosts": list(connection.urls),
        "connection_class": node_class,
        "pool_maxsize": connection.pool,
        "max_retries": 0,
        "serializer": untouched,
        "serializers": {"application/json": untouched},
        **_authorization(connection.auth),
    }
    if any(url.startswith("https:") for url in connection.urls):
        if connection.verify:
            options["ssl_context"] = tls_of(connection)
        else:
            options |= {"verify_certs": False, "ssl_show_warn": False}
    return options


def _authorization(auth: Auth | None) -> dict[str, Any]:
    if auth is None:
        return {}
    if auth.kind != "sigv4":
        return {"headers": {"authorization": authorization(auth)}}
    from opensearchpy import Urllib3AWSV4SignerAuth

    try:
        boto3 = importlib.import_module("boto3")
    except ImportError as error:
        raise OptionalDependencyError("boto3", "aws") from error
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        problem = "auth: there are no AWS credentials; set them as for any AWS tool"
        raise ConfigError("engine", [problem])
    return {"http_auth": Urllib3AWSV4SignerAuth(credentials, auth.region, auth.service)}
