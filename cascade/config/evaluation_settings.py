"""The settings of evaluation."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from cascade.config.base import Positive, Settings
from cascade.errors import InputError
from cascade.measures import parse_business_measure


def _readable(given: str) -> str:
    try:
        parse_business_measure(given)
    except InputError as error:
        raise ValueError(str(error)) from None
    return given


class EvaluationSettings(Settings):
    """`[evaluation]`: what is measured."""

    measures: list[str] = Field(
        default_factory=lambda: ["nDCG@10", "nDCG(dcg='exp-log2')@10", "RR@10", "P@10", "R@100"],
        description="the measures of the report; the first leads",
    )
    business_measures: list[Annotated[str, AfterValidator(_readable)]] = Field(
        default_factory=list, description="measures of the shop in the same table"
    )
    recall: list[Positive] = Field(
        default_factory=lambda: [100, 200, 1_000], description="depths of the recall of retrieval"
    )
    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        10_000, description="of the paired bootstrap and of the randomisation test"
    )
    listed: Annotated[int, Field(ge=0)] = Field(
        20, description="queries of each list of wins and losses"
    )
    seed: int = Field(0, description="of the bootstrap, the test and the random baseline")
