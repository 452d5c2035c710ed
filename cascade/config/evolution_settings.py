"""The settings of the search for a business policy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cascade.config.base import Positive, Settings, Share
from cascade.training.evolution.findings import Code

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
NotNegative = Annotated[float, Field(ge=0)]
_FITNESS = ("measures", "raised", "function", "objectives")


def _one_way(given: dict[str, Any]) -> dict[str, Any]:
    """Check that a fitness is written in one way; what it names is read with the market."""
    unknown = sorted(set(given) - set(_FITNESS))
    if unknown or len(given) != 1:
        raise ValueError(f"is {given!r}; accepted is a table with one of {', '.join(_FITNESS)}")
    ((way, value),) = given.items()
    if way in ("raised", "function"):
        sound = isinstance(value, str) and bool(value)
    else:
        wanted = str if way == "objectives" else (int, float)
        sound = isinstance(value, dict) and bool(value)
        sound = sound and all(isinstance(v, wanted) for v in value.values())
    if not sound:
        kinds = {"measures": "a table of weights", "objectives": "a table of page measures"}
        raise ValueError(f"{way}: is {value!r}; accepted is {kinds.get(way, 'a text')}")
    return given


def _distinct(given: list[int]) -> list[int]:
    if len(set(given)) < len(given):
        raise ValueError(f"is {given}; accepted are distinct whole numbers of 0 or more")
    return given


class EvolutionSettings(Settings):
    """`[evolution]`: how the weights of the business policy are searched."""

    root: str = Field("var/evolution", description="the folder of checkpoints and reports")
    columns: dict[Name, str] = Field(
        default_factory=dict,
        description="columns of the market, by formula over `gain`, number fields, objectives and "
        "columns before it",
    )
    groups: list[str] = Field(
        default_factory=list, description="keyword fields whose first value is a row's group"
    )
    fitness: Annotated[dict[str, Any], AfterValidator(_one_way)] | None = Field(
        None,
        description="what is raised, by one of `measures`, `raised`, `function`, `objectives`; "
        "default: nDCG@10 and the mean of each objective over the first 10, by preference",
    )
    scalarising: Literal["linear", "tchebycheff"] = Field(
        "tchebycheff", description="what a preference makes of `objectives`"
    )
    bounds: dict[str, str] = Field(
        default_factory=dict,
        description='what other measures may come to, such as "nDCG@10" = ">= 0.99 of base"',
    )
    form: Literal["penalty", "lagrangian"] = Field(
        "penalty", description="how a broken bound counts while searching"
    )
    margin: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="the share of a bound's room that the search keeps back from itself"
    )
    acceptance: dict[str, str] = Field(
        default_factory=lambda: {
            "nDCG@10": ">= 0.99 of base",
            "nDCG@3": ">= 0.97 of base",
            "MRR": ">= 0.97 of base",
        },
        description="what an operating point keeps: on validation requests by the margin, or it "
        "gets no name, and on held-out requests as served, or it is not written",
    )
    moved: Share = Field(
        0.5, description="the share of rows that may move by more than 10 ranks, at acceptance"
    )
    max_loss: Share = Field(
        0.02,
        description="the share of surrogate gain that a served policy may cost a listing, where "
        "`business.max_loss` says nothing",
    )
    allow: list[Code] = Field(
        default_factory=list, description="codes of lint findings that do not stop a search"
    )
    preference: dict[str, NotNegative] = Field(
        default_factory=dict,
        description="the shares of every request where the fitness has no `objectives`",
    )
    concentration: Annotated[float, Field(gt=0)] = Field(
        1.0, description="of the Dirichlet that preferences are drawn from; less draws corners"
    )
    optimiser: Literal["one_plus_one", "nes", "canonical", "openai_es", "cma"] = Field(
        "openai_es", description="what moves the weights"
    )
    sigma: Annotated[float, Field(gt=0, le=100)] = Field(
        0.3, description="the standard deviation of the mutations, at the start"
    )
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description='of "nes" and "openai_es"; default: as their page says'
    )
    children: Annotated[int, Field(ge=2, le=10_000)] | None = Field(
        None, description="weights that are tried a generation; default: 64"
    )
    generations: Positive = Field(100, description="how many")
    requests: Annotated[int, Field(ge=0)] = Field(
        256, description="requests that a generation is measured on; 0: all"
    )
    validate_every: Positive = Field(
        5, description="generations between two looks at validation requests"
    )
    patience: Annotated[int, Field(ge=0)] = Field(
        0, description="looks without a better one that end a search; 0 never does"
    )
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], AfterValidator(_distinct)] = Field(
        default_factory=lambda: [0, 1, 2], min_length=1, description="one search each"
    )
    points: Annotated[int, Field(ge=2, le=100)] = Field(
        10, description="steps between two objectives on the front"
    )
    threads: Annotated[int, Field(ge=0)] = Field(
        0, description="threads that order the children; 0: one a processor"
    )
