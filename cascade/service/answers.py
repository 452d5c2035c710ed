"""Response bodies: how each is made, and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from cascade.pipeline import Cascade, Explanation, Outcome, Page, Ranking, Trace

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class Answer(BaseModel):
    """Base of all answers; they describe, and are not built on the way of a request."""

    model_config = ConfigDict(extra="forbid")


class ItemAnswer(Answer):
    """One row of a page."""

    id: str
    rank: int = Field(description="1-based over the whole result")
    score: float = Field(description="what the last stage ordered it by")
    fields: dict[str, Any] = Field(description="the document, as it was given")
    highlights: dict[str, str] = Field(
        description="text by field, escaped for HTML, matches in <em>"
    )


class TotalAnswer(Answer):
    """How many documents match."""

    value: int
    relation: Literal["eq", "gte"] = Field(description='"gte": there may be more')


class FacetAnswer(Answer):
    """How many matching documents have one value of a field."""

    value: str
    count: int


class StageAnswer(Answer):
    """What one stage did."""

    name: str
    outcome: Outcome
    rows: int = Field(description="rows that it scored")
    ms: float
    reason: str = Field(description='why it did not run as configured, else ""')


class MoveAnswer(Answer):
    """What one rule did to one document."""

    rule: str
    doc_id: str
    before: int
    after: int


class TraceAnswer(Answer):
    """How the answer came to be."""

    retrieved: int = Field(description="candidates")
    unknown: int = Field(description="candidates that the catalogue does not have")
    collapsed: int = Field(description="rows that fell to another of the same group")
    filtered: int = Field(description="given candidates that do not pass the filters")
    relaxed: bool = Field(description="whether fewer terms had to match")
    admitted: list[str] = Field(description="pinned documents that one more request brought")
    unadmitted: str = Field(description='why pinned documents were left out, else ""')
    deleted: int = Field(description="retrieved rows whose documents were taken away since")
    refused: dict[str, int] = Field(description="rows that a rule refuses by now, by its name")
    stale: list[str] = Field(description="fields whose values are too old and count as absent")
    missing: list[str] = Field(description="what was asked for and came too late")
    dropped: int = Field(description="rows that were gone when the page was fetched")
    stages: list[StageAnswer]
    moves: list[MoveAnswer]
    swapped: list[int] = Field(description="upper rank of each pair that exploration swapped")
    ms: dict[str, float] = Field(description="milliseconds by part")


class StepAnswer(Answer):
    """Where a document stood after one step."""

    step: str
    rank: int | None
    score: float | None
    outcome: Outcome
    features: dict[str, float | None]
    detail: dict[str, Any]


class ExplanationAnswer(Answer):
    """How one document came to its rank."""

    doc_id: str
    found: str = Field(description="retrieved, admitted, collapsed, cut, unmatched or filtered")
    final_rank: int | None
    steps: list[StepAnswer]
    moves: list[MoveAnswer]


class ExperimentAnswer(Answer):
    """How a search took part in an experiment."""

    name: str
    arm: str = Field(description='a cascade, or "interleaved"')
    teams: list[int] = Field(
        description="of an interleaved page, whose each item is: 0 the first cascade's, 1 the "
        "other's, -1 neither's"
    )


class SearchAnswer(Answer):
    """The answer of `POST /v1/search`."""

    items: list[ItemAnswer]
    total: TotalAnswer
    facets: dict[str, list[FacetAnswer]]
    next: str | None = Field(description="the cursor of the next page, null after the last")
    degraded: list[str] = Field(description="why the page is not all it could be; empty if it is")
    trace: TraceAnswer
    generation: str = Field(description="the index and catalogue that served it")
    models: dict[str, str] = Field(description="the model of each stage, as name/version")
    query_id: str
    experiment: ExperimentAnswer | None = Field(
        None, description="the experiment that the search took part in; only if in one"
    )
    explain: list[ExplanationAnswer] | None = Field(
        None, description="one for each item; only when asked for"
    )


class RankAnswer(Answer):
    """The answer of `POST /v1/rank`."""

    ids: list[str] = Field(description="best first")
    scores: list[float] = Field(description="of each id; its last stage's")
    degraded: list[str]
    trace: TraceAnswer
    generation: str
    models: dict[str, str]
    query_id: str


class ExplainAnswer(ExplanationAnswer):
    """The answer of `GET /v1/explain`."""

    query_id: str
    degraded: list[str]
    trace: TraceAnswer
    generation: str
    models: dict[str, str]


class CascadeAnswer(Answer):
    """One cascade that can answer."""

    generation: str
    models: dict[str, str]


class ReadyAnswer(Answer):
    """The answer of `GET /readyz`."""

    status: Literal["ready"]
    cascades: dict[str, CascadeAnswer]


class AliveAnswer(Answer):
    """The answer of `GET /livez`."""

    status: Literal["alive"]


def search_content(
    page: Page, following: str | None, stale: Sequence[str], *, explain: bool
) -> dict[str, Any]:
    """Return the answer of a search as plain data.

    Args:
        page: The page.
        following: The cursor of the next page.
        stale: What else the page is not, beside what its trace tells.
        explain: Whether the explanation of each item is part of it.
    """
    content = {
        "items": page.items,
        "total": page.total,
        "facets": page.facets,
        "next": following,
        "degraded": [*page.trace.degraded(), *stale],
        "trace": page.trace,
        "generation": page.generation,
        "models": page.models,
        "query_id": page.query_id,
    }
    if explain:
        content["explain"] = [explanation_content(e) for e in page.explanations]
    return content


def rank_content(ranking: Ranking, cascade: Cascade, query_id: str) -> dict[str, Any]:
    """Return the answer of a ranking as plain data."""
    return {
        "ids": ranking.ids,
        "scores": ranking.scores,
        **_about(ranking.trace, cascade),
        "query_id": query_id,
    }


def explain_content(explanation: Explanation, cascade: Cascade) -> dict[str, Any]:
    """Return the answer of an explanation as plain data."""
    return {
        "query_id": explanation.query_id,
        **explanation_content(explanation),
        **_about(explanation.trace, cascade),
    }


def explanation_content(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation, less the trace that it shares with others."""
    return {
        "doc_id": explanation.doc_id,
        "found": explanation.found,
        "final_rank": explanation.final_rank,
        "steps": explanation.steps,
        "moves": explanation.moves,
    }


def _about(trace: Trace, cascade: Cascade) -> dict[str, Any]:
    return {
        "degraded": trace.degraded(),
        "trace": trace,
        "generation": cascade.documents.generation,
        "models": cascade.models,
    }


def encoded(content: Mapping[str, Any]) -> bytes:
    """Return an answer as JSON."""
    return orjson.dumps(content, default=_plain, option=_OPTIONS)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def server_timing(trace: Trace) -> str:
    """Return the `Server-Timing` header: milliseconds of each part and stage."""
    parts = {name: ms for name, ms in trace.ms.items() if name != "rank"}
    stages = [
        f"{s.name};dur={s.ms:.2f}" + (f';desc="{s.outcome}"' if s.outcome != Outcome.RAN else "")
        for s in trace.stages
    ]
    before = [f"retrieve;dur={parts.pop('retrieve'):.2f}"] if "retrieve" in parts else []
    return ", ".join([*before, *stages, *(f"{name};dur={ms:.2f}" for name, ms in parts.items())])
