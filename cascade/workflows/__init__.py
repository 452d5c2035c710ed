"""Whole jobs: build an index, train the stages, evaluate them, and the demo."""

from cascade.workflows.evaluate import Compared, Protocol, Rival, evaluate_config
from cascade.workflows.index import build_index, index_status
from cascade.workflows.parts import Parts
from cascade.workflows.progress import Progress, silent
from cascade.workflows.train import StageReport, TrainReport, train_config

__all__ = [
    "Compared",
    "Parts",
    "Progress",
    "Protocol",
    "Rival",
    "StageReport",
    "TrainReport",
    "build_index",
    "evaluate_config",
    "index_status",
    "silent",
    "train_config",
]
