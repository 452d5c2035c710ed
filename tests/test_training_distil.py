"""Grades that a teacher has a say in: by hand."""

import numpy as np

from cascade.training.dataset import Dataset
from cascade.training.distil import softened

ROWS = Dataset(
    names=("x",),
    matrix=np.zeros((5, 1), dtype=np.float32),
    grades=np.array([2, 0, 0, 1, 0], dtype=np.float32),
    offsets=np.array([0, 3, 3, 5]),
    query_ids=("a", "empty", "b"),
    counts={},
)
SCORES = np.array([5, 1, 3, -2, -2], dtype=np.float32)


def test_grades_and_scores_are_mixed_on_one_scale():
    found = softened(ROWS, SCORES, 0.5).grades
    np.testing.assert_allclose(found, [2.0, 0.0, 0.5, 0.5, 0.0])


def test_a_share_of_0_keeps_the_grades_and_1_gives_the_teachers_on_their_scale():
    np.testing.assert_allclose(softened(ROWS, SCORES, 0.0).grades, ROWS.grades)
    np.testing.assert_allclose(softened(ROWS, SCORES, 1.0).grades, [2.0, 0.0, 1.0, 0.0, 0.0])
