"""The settings of stages and of how they are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cascade.config.base import Positive, Settings, Share


class SplitSettings(Settings):
    """`[split]`: how queries are divided, by a hash of their text."""

    by: Literal["query", "strict", "time"] = Field(
        "query",
        description='"strict" divides documents, so that no query trained on shares a relevant one '
        'with a test query; "time" tests on the latest queries, of a log',
    )
    validation: Share = Field(0.15, description="share of queries that stops the training early")
    test: Share = Field(0.2, description="share of queries that training never sees")
    seed: int = Field(0, description="another seed, another division")

    @model_validator(mode="after")
    def _room_for_training(self) -> SplitSettings:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave no query to train on")
        return self


class LinearSettings(Settings):
    """`[stages.linear]`: how a linear ranker is fitted."""

    l2: Annotated[float, Field(ge=0)] = Field(1e-3, description="ridge penalty")
    iterations: Positive = Field(200, description="most steps of the solver")
    loss: Literal["pairwise", "logistic"] = Field(
        "pairwise", description="of pairs of a listing, or of each row by itself"
    )


class TreeSettings(Settings):
    """`[stages.trees]`: how boosted trees are fitted."""

    library: Literal["xgboost", "lightgbm", "scikit-learn"] = Field(
        "xgboost", description="what fits them; each has its exporter and passes the parity gate"
    )
    rounds: Positive = Field(300, description="most trees")
    depth: Annotated[int, Field(ge=1, le=12)] = Field(6, description="depth of a tree")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="shrinkage")
    min_child_weight: Annotated[float, Field(ge=0)] = Field(
        1.0, description="least weight of a leaf"
    )
    row_share: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="rows of each tree")
    column_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="features of each tree"
    )
    l2: Annotated[float, Field(ge=0)] = Field(1.0, description="penalty on leaf values")
    early_stopping: Positive = Field(30, description="rounds without gain before it stops")


class StageSettings(Settings):
    """`[[stages]]`: one ranker of the cascade, in order, windows never growing."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")] = Field(
        description="names it in traces, reports and metrics"
    )
    ranker: Literal["linear", "trees"] = Field(description="what is fitted")
    window: Positive = Field(description="head rows that it scores")
    budget_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="it is skipped when it is predicted to take longer"
    )
    model: str | None = Field(
        None, description="the bundle: name, name@alias or name@version; default: cascade-stage"
    )
    features: list[str] = Field(
        default_factory=lambda: ["*"], description="names or patterns of the features it reads"
    )
    earlier_scores: bool = Field(
        True, description="whether the scores of the stages before it are features as well"
    )
    linear: LinearSettings = Field(
        default_factory=LinearSettings, description="fit of a linear ranker"
    )
    trees: TreeSettings = Field(default_factory=TreeSettings, description="fit of boosted trees")


class TrainingSettings(Settings):
    """`[training]`: which rows models are fitted on."""

    seed: int = Field(0, description="of samples and fits")
    negatives: Annotated[int, Field(ge=0)] = Field(
        40, description="unjudged rows of each retrieved list that count as grade 0"
    )
    heads: Literal["listing", "rows"] = Field(
        "listing",
        description="later stages learn from rows drawn anew from what is passed on to them, "
        "or from those of the first stage's rows that are",
    )
    distil_share: Share = Field(
        0.5, description="with --distil-from, how much the teacher's scores count beside grades"
    )
    memory_mb: Positive = Field(
        4_096,
        description="rows in a file beyond this are not read whole: trees by XGBoost's external "
        "memory, linear rankers from a draw of the listings",
    )
    gain: Literal["linear", "exponential"] = Field(
        "linear", description="gain of a grade in rank:ndcg: the grade, or 2^grade - 1"
    )
