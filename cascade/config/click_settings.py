"""The settings of what is learned from clicks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cascade.config.base import Positive, Settings

Weight = Annotated[float, Field(ge=0)]
Action = Literal["click", "favourite", "cart", "purchase"]


def _clicks_alone() -> dict[Action, float]:
    return {"click": 1.0}


class ClickSettings(Settings):
    """`[clicks]`: how an event log becomes grades, for `--clicks` and `events judgments`."""

    debias: Literal["none", "ipw", "lambdarank"] = Field(
        "ipw",
        description="what `train --clicks` does about ranks: nothing, weighs impressions by their "
        "propensity, or lets XGBoost find the bias itself",
    )
    propensities: Literal["auto", "shuffled", "pbm", "adjacent"] = Field(
        "auto", description="how the chance that a rank is looked at is found"
    )
    clip: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="the least propensity; a smaller one counts as this"
    )
    prior: Literal["features", "common"] = Field(
        "features",
        description="what grades of `train --clicks` are drawn to: the rate of rows with such "
        "features, as strongly as the log itself tells, or the common rate by `strength`",
    )
    scale: Literal["root", "rate"] = Field(
        "root",
        description="what grades of `train --clicks` follow: the square root of rates, or rates",
    )
    strength: Annotated[float, Field(ge=0)] = Field(
        5.0,
        description="what the common rate is worth for each pair, in times the usual number of "
        "looks at a pair: pairs that few have seen stay close to it",
    )
    minimum_impressions: Positive = Field(
        1, description="a pair that was shown less often has no grade"
    )
    top_grade: Annotated[float, Field(gt=0)] = Field(
        3.0, description="the grade of the pair with the highest rate; the others in proportion"
    )
    searches: Positive = Field(
        20_000, description='how many searches `debias = "lambdarank"` draws; one is one listing'
    )
    events: dict[Action, Weight] = Field(
        default_factory=_clicks_alone,
        description="what each action on a shown row counts, for `train --clicks`",
    )

    @model_validator(mode="after")
    def _something_counts(self) -> ClickSettings:
        if not any(self.events.values()):
            raise ValueError("events: nothing counts; give an action a weight above 0")
        return self
