"""The settings of the pipeline."""

from __future__ import annotations

from pydantic import Field

from cascade.config.base import Settings


class PipelineSettings(Settings):
    """`[pipeline]`: features, training, evaluation, gate and promotion in one run."""

    root: str = Field("var/pipeline", description="the folder of the records of its steps")
    judgments: str | None = Field(
        None, description="the judgments to learn from; the test part of their queries is held out"
    )
