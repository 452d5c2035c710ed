"""The settings of exploration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cascade.config.base import Settings


class ExplorationSettings(Settings):
    """`[exploration]`: the randomised share that estimates off the policy need."""

    swap_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="the chance that a pair of neighbours is swapped"
    )
    head: Annotated[int, Field(ge=2, le=100)] = Field(10, description="the ranks that take part")
