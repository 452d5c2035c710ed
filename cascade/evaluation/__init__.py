"""Evaluation: runs and judgments in; a report for the terminal, as JSON or as a page out."""

from cascade.evaluation.ablation import losses
from cascade.evaluation.baselines import random_run
from cascade.evaluation.bootstrap import Bootstrap, Interval
from cascade.evaluation.comparison import Settings, evaluate
from cascade.evaluation.power import Power, power_of, queries_needed
from cascade.evaluation.report import (
    About,
    BucketResult,
    Curve,
    Excluded,
    Loss,
    Outcomes,
    PerQuery,
    QueryOutcome,
    Report,
    SystemResult,
    WindowResult,
    to_json,
)
from cascade.evaluation.significance import (
    PValue,
    Randomisation,
    benjamini_hochberg,
    holm,
)
from cascade.evaluation.splits import Split, by_frequency, by_length

__all__ = [
    "About",
    "Bootstrap",
    "BucketResult",
    "Curve",
    "Excluded",
    "Interval",
    "Loss",
    "Outcomes",
    "PValue",
    "PerQuery",
    "Power",
    "QueryOutcome",
    "Randomisation",
    "Report",
    "Settings",
    "Split",
    "SystemResult",
    "WindowResult",
    "benjamini_hochberg",
    "by_frequency",
    "by_length",
    "evaluate",
    "holm",
    "losses",
    "power_of",
    "queries_needed",
    "random_run",
    "to_json",
]
