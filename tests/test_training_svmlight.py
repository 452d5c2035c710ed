"""Rows in SVMlight form: what is written is what is read."""

import numpy as np

from cascade.training.dataset import Dataset, svmlight_dataset
from cascade.training.svmlight import write_svmlight


def test_a_dataset_reads_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(7, 5)).astype(np.float32)
    matrix[matrix < 0] = 0
    matrix[0, 4] = np.float32(1e-30)
    dataset = Dataset(
        names=tuple("abcde"),
        matrix=matrix,
        grades=np.array([0, 1, 2, 3, 0, 0.5, 1], np.float32),
        offsets=np.array([0, 3, 4, 7]),
        query_ids=("x", "y", "z"),
        counts={},
    )
    path = tmp_path / "rows.txt"
    write_svmlight(path, dataset)
    lines = path.read_text().splitlines()
    assert lines[3].startswith("3 qid:2 ")
    read = svmlight_dataset(path)
    # The form counts features from 1, so the reader's first one is nobody's.
    np.testing.assert_array_equal(read.matrix[:, 1:], matrix)
    assert not read.matrix[:, 0].any()
    np.testing.assert_array_equal(read.grades, dataset.grades)
    np.testing.assert_array_equal(read.offsets, dataset.offsets)
