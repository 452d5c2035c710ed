"""The settings of the request log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cascade.config.base import Positive, Settings, Share


class LogSettings(Settings):
    """`[log]`: what the service keeps of its requests."""

    path: str | None = Field(None, description="the folder of the files; none keeps nothing")
    rate: Share = Field(1.0, description="the share of requests that are kept, by their ids")
    rows: Positive = Field(10_000, description="requests of one file at most")
    flush_s: Annotated[float, Field(gt=0)] = Field(
        60.0, description="after how long a file is finished; a killed process loses that much"
    )
    queue: Positive = Field(256, description="requests that wait to be written; more are dropped")
    keep_days: Positive | None = Field(
        90, description="days after which a file is removed; none keeps them"
    )
    consent: Literal["assumed", "asked"] = Field(
        "assumed", description="what counts for a request that does not say"
    )
    salts: str = Field("var/salts", description="the folder of the salts of pseudonyms")
    rotate_days: Positive = Field(30, description="for how long a visitor keeps one pseudonym")
