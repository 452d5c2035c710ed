"""The settings of a live experiment."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cascade.config.base import Settings


class ExperimentSettings(Settings):
    """`[experiment]`: which cascades live requests are divided among; of the first cascade."""

    name: Annotated[str, Field(min_length=1)] = Field(description="names it in answers and logs")
    kind: Literal["ab", "team_draft", "balanced"] = Field(
        "ab", description="one cascade for each visitor, or lists interleaved from two"
    )
    cascades: Annotated[list[str], Field(min_length=2)] = Field(
        description="cascades of this file, that which is compared with first"
    )
    shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=list,
        description="the share of the units for each cascade, together at most 1; default: equal "
        "ones. Of an interleaving, the one share that is interleaved; default: 1",
    )
    unit: Literal["visitor", "session", "query"] = Field(
        "visitor", description="what is divided; a request without such an id takes no part"
    )
    salt: str = Field("", description="another salt, another division")

    @model_validator(mode="after")
    def _shares_fit(self) -> ExperimentSettings:
        interleaved = self.kind != "ab"
        wanted = 1 if interleaved else len(self.cascades)
        if interleaved and len(self.cascades) != 2:
            raise ValueError(f"an interleaving has 2 cascades; {len(self.cascades)} are given")
        if self.shares and len(self.shares) != wanted:
            raise ValueError(f"{len(self.shares)} shares are given; {wanted} are needed")
        if math.fsum(self.shares) > 1 + 1e-9:
            raise ValueError(f"the shares add up to {math.fsum(self.shares):g}; at most 1 is there")
        if len(set(self.cascades)) != len(self.cascades):
            raise ValueError("a cascade is named twice; accepted are distinct ones")
        return self

    def divided(self) -> dict[str, float]:
        """Return the share of each arm by its name."""
        if self.kind != "ab":
            return {"interleaved": self.shares[0] if self.shares else 1.0}
        equal = [1.0 / len(self.cascades)] * len(self.cascades)
        return dict(zip(self.cascades, self.shares or equal, strict=True))
