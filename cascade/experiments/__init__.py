"""Live comparisons of whole cascades: assignment to arms, and interleaved lists."""

from cascade.experiments.assignment import Experiment, RatioCheck, sample_ratio
from cascade.experiments.interleaving import (
    Interleaved,
    Preference,
    balanced,
    balanced_credit,
    preference,
    team_draft,
    team_draft_credit,
)

__all__ = [
    "Experiment",
    "Interleaved",
    "Preference",
    "RatioCheck",
    "balanced",
    "balanced_credit",
    "preference",
    "sample_ratio",
    "team_draft",
    "team_draft_credit",
]
