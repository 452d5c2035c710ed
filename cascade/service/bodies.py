"""Request bodies: what the routes take, checked whole, every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from cascade.errors import nearest
from cascade.pipeline.checks import MAX_TEXT
from cascade.pipeline.trace import DEFAULT_SIZE, MAX_DEPTH, MAX_SIZE
from cascade.protocols import Sort
from cascade.service.problems import RequestError

MAX_IDS = 10_000
MAX_EXPLAINED = 50
MAX_NAMES = 100
MAX_BUDGET_MS = 60_000
MAX_PROBLEMS = 50
MAX_SCORE = 1e38  # float32 holds a little more

Name = Annotated[str, Field(max_length=200)]
Names = Annotated[list[Name], Field(max_length=MAX_NAMES)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Score = Annotated[float, Field(ge=-MAX_SCORE, le=MAX_SCORE)]


class Body(BaseModel):
    """Base of all bodies: unknown keys are refused, values are not coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SortBody(Body):
    """Order by one field."""

    field: Name
    order: Literal["asc", "desc"] = "asc"


def _sort(value: object) -> object:
    if isinstance(value, str):
        return {"field": value.removeprefix("-"), "order": "desc" if value[:1] == "-" else "asc"}
    return value


def _form(value: object) -> str:
    return _POINT if isinstance(value, str) else _SHARES


# One form is chosen by the type, so that a share's fault is told without that of the other.
_SHARES, _POINT = "shares", "point"
Preference = Annotated[
    Annotated[dict[str, Number], Tag(_SHARES)] | Annotated[Name, Tag(_POINT)],
    Discriminator(_form),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": "number"}},
                {"type": "string", "maxLength": 200},
            ],
            "description": "the share of each business objective, or the name of an operating "
            "point",
        }
    ),
]


class RequestBody(Body):
    """What every request may say of itself."""

    text: Annotated[str, Field(max_length=MAX_TEXT)] = Field(
        "", description="what the shopper typed; never read as query syntax"
    )
    filters: dict[str, Any] = Field(
        default_factory=dict, description="what every result must satisfy; docs/filters.md"
    )
    preference: Preference = Field(default_factory=dict)
    surface: Name | None = Field(None, description='where the page is shown, as "web"')
    session: Annotated[list[Name], Field(max_length=1_000)] = Field(
        default_factory=list, description="ids the visitor has seen, the latest last"
    )
    budget_ms: Annotated[float, Field(gt=0, le=MAX_BUDGET_MS)] | None = Field(
        None, description="milliseconds the request may take; default: the service's"
    )
    cascade: str | None = Field(None, description="which cascade; default: the first")
    query_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="names the query in logs; default: a new one"
    )
    session_id: Name | None = Field(
        None, description="the session's id; logs hold a pseudonym of it"
    )
    visitor: Name | None = Field(None, description="the visitor's id; logs hold a pseudonym of it")
    consent: bool | None = Field(
        None,
        description="whether the visitor lets requests be linked; false: `session` is not used, "
        "and neither session nor visitor is logged; default: `log.consent`",
    )


class SearchBody(RequestBody):
    """The body of `POST /v1/search`."""

    facets: Names = Field(default_factory=list, description="keyword fields to count")
    sort: Annotated[
        SortBody | None,
        BeforeValidator(_sort),
        WithJsonSchema(
            {
                "anyOf": [{"type": "string"}, SortBody.model_json_schema(), {"type": "null"}],
                "default": None,
                "description": 'a number or date field: "price", "-price" for descending, or '
                '{"field": "price", "order": "desc"}; the cascade is bypassed',
            }
        ),
    ] = None
    collapse: Name | None = Field(None, description="keep the best row of each value of this field")
    size: Annotated[int, Field(ge=1, le=MAX_SIZE)] = Field(
        DEFAULT_SIZE, description="rows of the page"
    )
    offset: Annotated[int, Field(ge=0, le=MAX_DEPTH)] | None = Field(
        None, description="ranks to skip; excludes cursor"
    )
    cursor: Annotated[str, Field(max_length=1_000)] | None = Field(
        None, description="`next` of the page before; excludes offset"
    )
    fields: Names | None = Field(None, description="document keys to return; default: all")
    highlight: Names = Field(default_factory=list, description="text fields to mark matches in")
    explain: bool = Field(False, description="explain each row of the page")

    @model_validator(mode="after")
    def _one_place(self) -> SearchBody:
        if self.offset is not None and self.cursor is not None:
            raise ValueError("offset and cursor exclude each other; leave one of them out")
        if self.explain and self.size > MAX_EXPLAINED:
            raise ValueError(
                f"size: is {self.size} with explain; accepted are 1 to {MAX_EXPLAINED} then"
            )
        if self.explain and self.sort is not None:
            raise ValueError("explain: sort bypasses the cascade; leave one of the two out")
        return self

    def sorting(self) -> Sort | None:
        """Return the order that is asked for."""
        if self.sort is None:
            return None
        return Sort(self.sort.field, descending=self.sort.order == "desc")


class CandidatesBody(Body):
    """Candidates in columns, retrieved by the caller."""

    ids: Annotated[list[str], Field(max_length=MAX_IDS)] = Field(
        description="document ids, distinct"
    )
    scores: Annotated[list[Score], Field(max_length=MAX_IDS)] = Field(
        description="the retrieval score of each"
    )

    @model_validator(mode="after")
    def _paired(self) -> CandidatesBody:
        ids, distinct, scores = len(self.ids), len(set(self.ids)), len(self.scores)
        if ids != scores or ids != distinct:
            raise ValueError(
                f"has {ids} ids, {distinct} of them distinct, and {scores} scores; "
                "accepted are distinct ids with one score each"
            )
        return self


class RankBody(RequestBody):
    """The body of `POST /v1/rank`."""

    candidates: Annotated[CandidatesBody, WithJsonSchema(CandidatesBody.model_json_schema())]
    window: Annotated[int, Field(ge=1, le=MAX_IDS)] | None = Field(
        None, description="rank and return the best-scored so many; default: all"
    )


B = TypeVar("B", bound=Body)


def decoded(raw: bytes, model: type[B]) -> B:
    """Return a request body, checked.

    Raises:
        RequestError: 400 if it is not JSON, with the position; 422 with every other problem.
    """
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestError("invalid-json", 400, [_no_json(error)]) from None
    if not isinstance(content, dict):
        raise RequestError(
            "invalid-body", 422, [f"the body is {_shown(content)}; accepted is a JSON object"]
        )
    return checked(content, model, "invalid-body")


def checked(content: Mapping[str, Any], model: type[B], kind: str) -> B:
    """Return content as a body.

    Raises:
        RequestError: 422 of this kind, with every problem.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RequestError(kind, 422, problems_of(error, model)) from None


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each error: where, what was given, what is accepted."""
    schema = model.model_json_schema()
    lines = [_problem(fault, model, schema) for fault in error.errors()[:MAX_PROBLEMS]]
    more = error.error_count() - len(lines)
    return [*lines, f"and {more:,} more"] if more else lines


def _problem(fault: ErrorDetails, model: type[BaseModel], schema: Mapping[str, Any]) -> str:
    loc, kind = fault["loc"], fault["type"]
    if loc[:1] == ("preference",) and loc[1:2] in ((_SHARES,), (_POINT,)):
        loc = (loc[0], *loc[2:])
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    at, accepted = _field_at(model, schema, loc)
    if kind == "extra_forbidden":
        return f"{path}: unknown field; {nearest(str(loc[-1]), at.model_fields)}"
    if kind == "missing":
        return f"{path}: is missing; accepted is {accepted}"
    if kind == "value_error":
        return f"{path}: {fault['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    return f"{path}: is {_shown(fault['input'])}; accepted is {accepted}"


def _field_at(
    model: type[BaseModel], schema: Mapping[str, Any], loc: tuple[int | str, ...]
) -> tuple[type[BaseModel], str]:
    """Return the model that a path leads into, and what its field accepts in words."""
    at = model
    for part in loc:
        inner = _MODELS.get((at, str(part)))
        branches = [schema, *schema.get("anyOf", ())]
        found: Mapping[str, Any] = {}
        for branch in branches:
            if isinstance(part, int):
                found = found or branch.get("items", {})
            else:
                found = found or branch.get("properties", {}).get(part, {})
                extra = branch.get("additionalProperties")
                found = found or (extra if isinstance(extra, dict) else {})
        schema = found
        if inner is not None:
            at = inner
    return at, _accepted(schema)


_MODELS: Mapping[tuple[type[BaseModel], str], type[BaseModel]] = {
    (SearchBody, "sort"): SortBody,
    (RankBody, "candidates"): CandidatesBody,
}
_WORDS: Mapping[str, str] = {
    "integer": "a whole number",
    "number": "a finite number",
    "string": "a string",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _accepted(schema: Mapping[str, Any]) -> str:
    """Return what a JSON schema accepts, in words."""
    if "anyOf" in schema:
        return " or ".join(_accepted(branch) for branch in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    words = _WORDS.get(str(schema.get("type")), "another value")
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high = schema.get("maximum")
    if low is not None:
        words += f" from {low:,g}"
    if above is not None:
        words += f" above {above:,g}"
    if high is not None:
        words += f" {'to' if low is not None else 'and up to'} {high:,g}"
    if schema.get("type") == "array":
        inner = _PLURALS.get(str(schema.get("items", {}).get("type")))
        words += f" of {inner}" if inner else ""
    for key, unit in (("maxLength", "characters"), ("maxItems", "entries")):
        if key in schema:
            words += f" of at most {schema[key]:,} {unit}"
    return words


_PLURALS: Mapping[str, str] = {"string": "strings", "number": "finite numbers"}


def _no_json(error: orjson.JSONDecodeError) -> str:
    message = f"the body is not valid JSON: {error}"
    start = error.doc[max(0, error.pos - 1) : error.pos + 9].lstrip(" -:[,")
    if start.startswith(("NaN", "Infinity", "aN", "nfinity")):
        message += "; JSON has no NaN and no Infinity, accepted are finite numbers"
    return message


def _shown(value: object) -> str:
    """Return a value as JSON would write it, cut short."""
    if isinstance(value, str) and len(value) > 60:
        return f"a string of {len(value):,} characters"
    if isinstance(value, list) and len(value) > 10:
        return f"a list of {len(value):,} entries"
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
