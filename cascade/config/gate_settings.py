"""The settings of the gate between a candidate and what is live, and of shadowing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cascade.config.base import Positive, Settings, Share

AboveZero = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class GateSettings(Settings):
    """`[gate]`: what a candidate must show before it becomes live."""

    judgments: str | None = Field(
        None, description="the judgments that candidate and live models are compared on"
    )
    min_gain: Annotated[float, Field(ge=-1, le=1)] = Field(
        -0.002, description="the least mean gain in the first of `evaluation.measures`"
    )
    margin: Share = Field(
        0.02, description="how far below 0 the interval of that gain may reach at most"
    )
    bucket_loss: Share = Field(
        0.01, description="the mean loss in the head, torso or tail that is too much if it is sure"
    )
    level: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.95, description="the level of the gate's intervals"
    )
    p95_ms: AboveZero | None = Field(
        None, description="the most that ranking may take at the 95th percentile; none: no bound"
    )
    p99_ms: AboveZero | None = Field(None, description="the same at the 99th percentile")
    slower: Annotated[float, Field(ge=1)] = Field(
        1.5, description="how many times the 95th percentile of the live models it may take"
    )
    slack_ms: NotNegative = Field(
        1.0, description="milliseconds slower than the live models that are always accepted"
    )
    psi: AboveZero = Field(
        0.25, description="how far features and scores may stand from the training reference"
    )
    skew_share: Share = Field(
        0.01, description="the share of logged rows that a feature may differ in, computed again"
    )
    requests: Annotated[int, Field(ge=20)] = Field(
        1_000, description="held-out queries that are ranked at most, a fixed sample of them"
    )


class ShadowSettings(Settings):
    """`[shadow]`: live requests that the candidate ranks too, off the response's path."""

    rate: Share = Field(0.0, description="the share of searches that the candidate ranks as well")
    p: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="of the rank-biased overlap: how likely a shopper looks one rank further"
    )
    queue: Positive = Field(64, description="searches that wait at most; more are dropped")


class DriftSettings(Settings):
    """`[drift]`: what is scored, compared with what training saw."""

    rate: Share = Field(0.0, description="the share of requests whose features are compared")
    block: Annotated[int, Field(ge=50)] = Field(
        500, description="requests that a comparison is over; nothing is told of fewer"
    )
