"""Grades that a costly model has a say in, for a cheap one to learn (distillation).

After Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, and Tang and
Wang, "Ranking Distillation", KDD 2018: the teacher orders rows that nobody judged as well.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cascade.candidates import Float32
from cascade.training.dataset import Dataset


def softened(dataset: Dataset, scores: Float32, share: float) -> Dataset:
    """Return the dataset with its grades mixed with a teacher's scores, on the scale of the grades.

    grade' = (1 - share) * grade + share * highest grade * (score - lowest) / (highest - lowest),
    the scores' bounds being those of the listing; a listing of one score adds nothing.

    Args:
        dataset: The rows.
        scores: float32[n] of the teacher.
        share: How much the teacher counts, 0 to 1.
    """
    lengths = np.diff(dataset.offsets)
    filled = np.flatnonzero(lengths)
    starts = dataset.offsets[:-1][filled]
    wide = scores.astype(np.float64)
    low, high = (
        np.repeat(bound.reduceat(wide, starts), lengths[filled])
        for bound in (np.minimum, np.maximum)
    )
    taught = np.divide(wide - low, high - low, out=np.zeros(len(wide)), where=high > low)
    # Rows that say when to stop keep their grades, and may be fitted beside these.
    highest = float(dataset.grades.max(initial=0.0)) or 1.0
    mixed = (1 - share) * dataset.grades + share * highest * taught
    return replace(dataset, grades=mixed.astype(np.float32))
