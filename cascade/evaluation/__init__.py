"""Evaluation: runs and judgments in; a report for the terminal, as JSON or as a page out."""

from cascade.evaluation.baselines import random_run
from cascade.evaluation.bootstrap import Bootstrap, Interval
from cascade.evaluation.comparison import Settings, evaluate
from cascade.evaluation.report import (
    About,
    BucketResult,
    Curve,
    Excluded,
    Outcomes,
    Report,
    SystemResult,
    WindowResult,
    to_json,
)
from cascade.evaluation.splits import Split, by_frequency, by_length

__all__ = [
    "About",
    "Bootstrap",
    "BucketResult",
    "Curve",
    "Excluded",
    "Interval",
    "Outcomes",
    "Report",
    "Settings",
    "Split",
    "SystemResult",
    "WindowResult",
    "by_frequency",
    "by_length",
    "evaluate",
    "random_run",
    "to_json",
]
