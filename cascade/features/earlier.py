"""What an earlier stage of the cascade made of a row."""

from __future__ import annotations

from dataclasses import dataclass

from cascade.candidates import Candidates, Float32
from cascade.features.base import BaseFeature, column_of
from cascade.features.registry import feature_kind


def stage_column(stage: str) -> str:
    """Return the name of the column that holds a stage's scores."""
    return f"stage:{stage}"


@feature_kind("stage_score")
@dataclass(frozen=True, kw_only=True)
class StageScore(BaseFeature):
    """Return the score that an earlier stage gave; missing where it did not run.

    Attributes:
        stage: The stage's name.
    """

    stage: str

    @property
    def keepable(self) -> bool:
        """False: columns change from stage to stage."""
        return False

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN for a row that the stage did not score."""
        return column_of(candidates, stage_column(self.stage))
