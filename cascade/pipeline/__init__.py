"""The cascade: retrieve, reorder through stages, adjust for the business, fetch the page."""

from cascade.pipeline.cascade import Cascade
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
    "Item",
    "Outcome",
    "Page",
    "PageRequest",
    "Ranking",
    "Stage",
    "StageTrace",
    "StepExplanation",
    "Trace",
    "run_stage",
    "run_stages",
]
