"""The envelope of every response: a request id, a count, and never a traceback."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cascade.service.problems import problem

_LOG = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
CLIENT_LEFT = 499

Count = Callable[[str, int, float], None]


class Envelope:
    """Wrap an application: name, time and count its requests, turn what it raises into a problem.

    Args:
        app: The application.
        count: Told the path, the status and the seconds of each request.
    """

    def __init__(self, app: ASGIApp, count: Count) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        start = time.perf_counter()
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, told)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception:
            _LOG.exception("request %s to %s failed", request_id, scope["path"])
            if status:
                raise
            detail = f"the service failed; its log tells more of request {request_id}"
            await problem("internal-error", 500, [detail], request_id)(scope, receive, told)
        finally:
            self._count(scope["path"], status or 500, time.perf_counter() - start)


def request_id_of(given: str | None) -> str:
    """Return the id that a caller gave, or a new one if it is absent or of unusable form."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex
