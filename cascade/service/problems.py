"""Problems: what a caller is told when a request cannot be answered (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from cascade.errors import CascadeError, ConfigError

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """The body of every response with a status of 400 or more."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="`urn:cascade:` and the kind of the problem")
    title: str = Field(description="the kind in words")
    status: int = Field(description="the status of the response")
    detail: str = Field(description="what was given, what is accepted, what to do")
    request_id: str = Field(description="the response's `X-Request-Id`")
    problems: list[str] = Field(description="one line for each thing that is wrong")


class RequestError(CascadeError):
    """Refuse a request before a cascade has seen it; `problems` has one line for each fault."""

    def __init__(self, kind: str, status: int, problems: Sequence[str]) -> None:
        self.kind = kind
        self.status = status
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


def problem_of(error: CascadeError, request_id: str) -> Response:
    """Return the response that tells an error."""
    problems: tuple[str, ...] = (str(error),)
    if isinstance(error, RequestError | ConfigError):
        problems = error.problems
    kind = error.kind if isinstance(error, RequestError) else _kind(type(error))
    return problem(kind, error.status, problems, request_id)


def problem(
    kind: str,
    status: int,
    problems: Sequence[str],
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem as a response.

    Args:
        kind: Names it, in words joined by hyphens.
        status: Of the response.
        problems: One line for each thing that is wrong.
        request_id: Names the request in logs.
        headers: Further headers.
    """
    content = {
        "type": f"urn:cascade:{kind}",
        "title": kind.replace("-", " "),
        "status": status,
        "detail": "; ".join(problems),
        "request_id": request_id,
        "problems": list(problems),
    }
    return Response(orjson.dumps(content), status, headers, MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI describes the problems of a route."""
    schema = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": schema} for status in statuses
    }


def _kind(error: type[CascadeError]) -> str:
    name = error.__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
