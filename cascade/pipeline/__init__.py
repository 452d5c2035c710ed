"""The cascade: retrieve, reorder through stages, adjust for the business, fetch the page."""

from cascade.pipeline.cascade import Cascade
from cascade.pipeline.exploration import Exploration, Explored
from cascade.pipeline.recording import Recording, StageRecord
from cascade.pipeline.stages import CostModel, Stage, run_stage, run_stages
from cascade.pipeline.trace import (
    Explanation,
    Item,
    Outcome,
    Page,
    PageRequest,
    Ranking,
    StageTrace,
    StepExplanation,
    Trace,
)

__all__ = [
    "Cascade",
    "CostModel",
    "Explanation",
    "Exploration",
    "Explored",
    "Item",
    "Outcome",
    "Page",
    "PageRequest",
    "Ranking",
    "Recording",
    "Stage",
    "StageRecord",
    "StageTrace",
    "StepExplanation",
    "Trace",
    "run_stage",
    "run_stages",
]
