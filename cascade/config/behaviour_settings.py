"""The settings of counted behaviour."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cascade.config.base import Settings


class BehaviourSettings(Settings):
    """`[behaviour]`: the counts of what shoppers did, which features read."""

    max_age_s: Annotated[float, Field(gt=0)] = Field(
        172_800.0, description="counts that are older than this at the time of a query are not read"
    )
