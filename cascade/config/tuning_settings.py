"""The settings of tuning: which trials are made, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from cascade.config.base import Positive, Settings, Share


def _dimension(given: Any) -> Any:  # noqa: ANN401  (a TOML value)
    if isinstance(given, list) and given:
        return given
    if isinstance(given, Mapping):
        low, high = given.get("low"), given.get("high")
        sound = set(given) <= {"low", "high", "log"} and isinstance(given.get("log", False), bool)
        numbers = [v for v in (low, high) if isinstance(v, int | float) and v is not True]
        if sound and len(numbers) == 2 and numbers[0] < numbers[1]:
            if given.get("log") and numbers[0] <= 0:
                raise ValueError(f"is {given!r}; log = true needs a low above 0")
            return given
    raise ValueError(
        f"is {given!r}; accepted is a list of values, or a table {{low, high, log}} of two numbers"
    )


class TuningSettings(Settings):
    """`[tuning]`: the trials of `cascade tune` and the windows of `cascade tune windows`."""

    root: str = Field("var/tuning", description="the folder of prepared rows and of records")
    trials: Positive = Field(24, description="how many configurations a study tries")
    queries: Positive = Field(
        2_000, description="most validation queries that trials are measured by"
    )
    train_queries: Positive = Field(
        3_000, description="most training queries that trials are fitted on"
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        0, description="processes that work side by side; 0: one a processor"
    )
    seed: int = Field(0, description="of the configurations that are tried")
    keep: Share = Field(
        0.995, description="share of the last model's quality that recommended windows keep"
    )
    space: dict[str, Annotated[Any, AfterValidator(_dimension)]] = Field(
        default_factory=dict,
        description="by setting, the values to choose from, or the range to draw from",
    )
