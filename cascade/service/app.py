"""The application: routes, and what each of them takes and returns."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from fastapi import Query as Parameter
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cascade import __version__
from cascade.config.settings import ServiceSettings
from cascade.errors import CascadeError, EngineUnavailableError, nearest
from cascade.pipeline import Cascade
from cascade.pipeline.checks import MAX_TEXT
from cascade.service import answers
from cascade.service.bodies import Name, RankBody, RequestBody, SearchBody, checked, decoded
from cascade.service.envelope import Envelope
from cascade.service.metrics import Metrics
from cascade.service.problems import RequestError, problem, problem_of, responses
from cascade.service.service import Service
from cascade.service.switching import Switch

_LOG = logging.getLogger(__name__)
_SERVER_ERROR = 500

Endpoint = Callable[[], Awaitable[Response]]


class ExplainParameters(BaseModel):
    """The parameters of `GET /v1/explain`."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=MAX_TEXT)] = Field(description="the query")
    id: str = Field(description="the document")
    filters: str = Field("{}", description="what every result must satisfy, as JSON")
    preference: str = Field(
        "{}",
        description="the share of each business objective, as JSON, or the name of an operating "
        "point",
    )
    surface: Name | None = Field(None, description='where the page is shown, as "web"')
    cascade: str | None = Field(None, description="which cascade; default: the first")

    def body(self) -> RequestBody:
        """Return what the request says of itself, as other routes take it in a body.

        Raises:
            RequestError: 422 if the filters or the preference cannot be used.
        """
        content = self.model_dump(include={"text", "surface", "cascade"})
        for name in ("filters", "preference"):
            given = getattr(self, name)
            if name == "preference" and given[:1].isalpha():
                # A point's name stands for itself; no JSON of an object begins with a letter.
                content[name] = given
                continue
            try:
                content[name] = orjson.loads(given)
            except orjson.JSONDecodeError as error:
                raise RequestError("invalid-parameters", 422, [f"{name}: {error}"]) from None
        return checked(content, RequestBody, "invalid-parameters")


def create_app(
    cascades: Mapping[str, Cascade],
    settings: ServiceSettings,
    *,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Return an application that answers from these cascades.

    Args:
        cascades: By name; the first answers requests that name none. They stay the caller's, who
            closes their engines.
        settings: Of the service.
        clock: Gives the time of a request, in seconds since 1970.

    Raises:
        ValueError: If there is no cascade.
    """
    if not cascades:
        raise ValueError("no cascade was given; a service needs at least one")
    return app_of(Service(Switch(cascades), settings, clock, Metrics()))


def app_of(service: Service) -> FastAPI:
    """Return an application that answers from what a service has, also when that is switched."""
    app = FastAPI(
        title="Cascade",
        version=__version__,
        description="Product search through a ranking cascade.",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    _add_ranking(app, service)
    _add_explain(app, service)
    _add_operations(app, service)
    _add_problems(app)
    paths = _paths(app)

    def count(path: str, status: int, seconds: float) -> None:
        service.metrics.request(path if path in paths else "other", status, seconds)

    app.add_middleware(Envelope, count=count)
    return app


def _add_ranking(app: FastAPI, service: Service) -> None:
    """Add the hot routes: the body is read and checked here, the ranking runs in a thread."""
    limiter = CapacityLimiter(service.settings.threads)
    max_body = service.settings.max_body

    async def search(request: Request) -> Response:
        body = decoded(await _body(request, max_body), SearchBody)
        deadline = service.deadline(body.budget_ms)
        return await to_thread.run_sync(service.search, body, deadline, limiter=limiter)

    async def rank(request: Request) -> Response:
        body = decoded(await _body(request, max_body), RankBody)
        deadline = service.deadline(body.budget_ms)
        return await to_thread.run_sync(service.rank, body, deadline, limiter=limiter)

    refused = responses(400, 404, 413, 422, 500, 502, 503)
    for path, endpoint, taken, given, summary in (
        ("/v1/search", search, SearchBody, answers.SearchAnswer, "One page of a result"),
        ("/v1/rank", rank, RankBody, answers.RankAnswer, "Rank candidates of the caller"),
    ):
        app.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            summary=summary,
            response_class=Response,
            responses={200: _described(given), **refused},
            openapi_extra=_takes(taken),
        )


def _add_explain(app: FastAPI, service: Service) -> None:
    limiter = CapacityLimiter(service.settings.threads)

    async def explain(parameters: Annotated[ExplainParameters, Parameter()]) -> Response:
        asked = partial(service.explain, parameters.body(), parameters.id)
        return await to_thread.run_sync(asked, limiter=limiter)

    app.add_api_route(
        "/v1/explain",
        explain,
        methods=["GET"],
        summary="How one document came to its rank",
        response_class=Response,
        responses={200: _described(answers.ExplainAnswer), **responses(404, 422, 500, 502, 503)},
    )


def _add_operations(app: FastAPI, service: Service) -> None:
    async def livez() -> Response:
        return _json({"status": "alive"})

    async def readyz() -> Response:
        problems = await to_thread.run_sync(service.unready)
        if problems:
            raise EngineUnavailableError("; ".join(problems))
        return _json({"status": "ready", "cascades": service.ready()})

    async def metrics() -> Response:
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    text = {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "OK"}
    alive, ready = _described(answers.AliveAnswer), _described(answers.ReadyAnswer)
    routes: tuple[tuple[str, Endpoint, dict[int | str, dict[str, Any]], str], ...] = (
        ("/livez", livez, {200: alive}, "Whether the process answers"),
        ("/readyz", readyz, {200: ready, **responses(503)}, "Whether every engine answers"),
        ("/metrics", metrics, {200: text}, "Numbers for Prometheus"),
    )
    for path, endpoint, documented, summary in routes:
        app.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            summary=summary,
            response_class=Response,
            responses=documented,
        )


def _add_problems(app: FastAPI) -> None:
    paths = _paths(app)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, CascadeError)
        request_id = request.state.request_id
        if error.status >= _SERVER_ERROR:
            _LOG.error("request %s to %s failed: %s", request_id, request.url.path, error)
        return problem_of(error, request_id)

    async def misused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        problems = [_parameter_problem(fault) for fault in error.errors()]
        return problem("invalid-parameters", 422, problems, request.state.request_id)

    async def no_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        kind, detail = "http-error", str(error.detail)
        if error.status_code == 404:
            kind, detail = "not-found", f"there is no route {path}; {nearest(path, paths)}"
        elif error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            kind = "method-not-allowed"
            detail = f"{path} does not take {request.method}; accepted: {allowed}"
        request_id = request.state.request_id
        return problem(kind, error.status_code, [detail], request_id, error.headers)

    app.add_exception_handler(CascadeError, refused)
    app.add_exception_handler(RequestValidationError, misused)
    app.add_exception_handler(HTTPException, no_route)


def _parameter_problem(fault: Mapping[str, Any]) -> str:
    name = str(fault["loc"][-1])
    if fault["type"] == "extra_forbidden":
        return f"{name}: unknown parameter; {nearest(name, ExplainParameters.model_fields)}"
    if fault["type"] == "missing":
        return f"{name}: is missing; accepted is a string"
    return f"{name}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


async def _body(request: Request, most: int) -> bytes:
    """Read a request's body, and no more of it than is accepted."""
    declared = request.headers.get("content-length", "")
    too_large = declared.isdigit() and int(declared) > most
    chunks: list[bytes] = []
    size = 0
    if not too_large:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                too_large = True
                break
            chunks.append(chunk)
    if too_large:
        given = f"{int(declared):,}" if declared.isdigit() else f"more than {most:,}"
        line = f"the body has {given} bytes; accepted are up to {most:,} (service.max_body)"
        raise RequestError("body-too-large", 413, [line])
    return b"".join(chunks)


def _paths(app: FastAPI) -> frozenset[str]:
    paths = (getattr(route, "path", None) for route in app.routes)
    return frozenset(path for path in paths if path)


def _json(content: Mapping[str, Any]) -> Response:
    return Response(answers.encoded(content), media_type="application/json")


def _described(model: type[BaseModel]) -> dict[str, Any]:
    return {"model": model, "description": "OK"}


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
