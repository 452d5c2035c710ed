"""The settings of event logs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cascade.config.base import Positive, Settings

_Rate = Annotated[int, Field(ge=0)]


class RobotSettings(Settings):
    """`[events.robots]`: which sessions are no people; 0 means no such rule."""

    searches_per_minute: _Rate = Field(30, description="searches of a session in one minute")
    searches_per_hour: _Rate = Field(500, description="searches of a session in one hour")
    actions_per_second: _Rate = Field(
        10, description="actions of a session in one second, impressions aside"
    )
    agents: list[str] = Field(
        default_factory=lambda: [r"(?<!cu)bots?\b", "crawler", "spider", "headless"],
        description="patterns of user agents, and of clients that name themselves",
    )


class EventSettings(Settings):
    """`[events]`: the log of what shoppers were shown and did, and what an import keeps."""

    path: str = Field("var/events", description="the folder of the log")
    first_rank: Annotated[int, Field(ge=0, le=1)] = Field(
        1, description="the position of the first result, where a logger counts from 0"
    )
    sample: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="the share of sessions that is kept, by a stable hash"
    )
    seed: int = Field(0, description="another seed, another sample")
    keep_days: Positive | None = Field(
        None, description="what `cascade events expire` keeps; none keeps everything"
    )
    memory_mb: Positive = Field(
        1_024, description="what an import and its rules keep in memory before they spill to disk"
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        ",", description="what divides the columns of a table"
    )
    divider: Annotated[str, Field(min_length=1)] = Field(
        ";", description="what divides the document ids of a search in a table"
    )
    robots: RobotSettings = Field(
        default_factory=RobotSettings, description="see `[events.robots]`"
    )
    actions: dict[str, str] = Field(
        default_factory=dict,
        description='what further names of actions mean; "" leaves one out',
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="what a table calls our columns; see events.md"
    )
