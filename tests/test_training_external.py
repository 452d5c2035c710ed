"""Rows beyond memory: files that hold the same rows, and trees that come out the same."""

import numpy as np
import pytest
import xgboost

from cascade.training.dataset import Dataset
from cascade.training.external import RowFile, external_matrices, shards

PARAMETERS = {
    "objective": "rank:ndcg",
    "eval_metric": "ndcg@10",
    "tree_method": "hist",
    "max_depth": 4,
    "nthread": 1,
    "seed": 0,
}


def dataset(listings: int, seed: int, weights: bool = False) -> Dataset:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 40, listings)
    rows = int(lengths.sum())
    matrix = rng.normal(size=(rows, 6)).astype(np.float32)
    grades = (matrix[:, 0] + rng.normal(size=rows) > 1).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return Dataset(
        names=tuple("abcdef"),
        matrix=matrix,
        grades=grades,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        query_ids=tuple(f"q{i}" for i in range(listings)),
        counts={},
        weights=rng.random(listings).astype(np.float32) if weights else None,
    )


def in_memory(data: Dataset) -> xgboost.DMatrix:
    matrix = xgboost.DMatrix(data.matrix, label=data.grades, missing=np.nan)
    matrix.set_group(np.diff(data.offsets))
    if data.weights is not None:
        matrix.set_weight(data.weights)
    return matrix


@pytest.mark.parametrize("weights", [False, True])
def test_trees_from_disk_are_those_from_memory(tmp_path, weights):
    train, held = dataset(120, 1, weights), dataset(30, 2)
    curves = []
    with external_matrices(xgboost, [train, held], tmp_path, shard_values=2_000) as (rows, watched):
        history: dict = {}
        booster = xgboost.train(
            PARAMETERS,
            rows,
            15,
            evals=[(watched, "held")],
            evals_result=history,
            verbose_eval=False,
        )
        curves.append(history["held"]["ndcg@10"])
        del booster, rows, watched
    assert list(tmp_path.iterdir()) == []
    history = {}
    xgboost.train(
        PARAMETERS,
        in_memory(train),
        15,
        evals=[(in_memory(held), "held")],
        evals_result=history,
        verbose_eval=False,
    )
    curves.append(history["held"]["ndcg@10"])
    # Bins are found batch by batch, so single splits may differ; what is learned does not.
    assert curves[0][-1] == pytest.approx(curves[1][-1], abs=0.02)
    assert curves[0][-1] > curves[0][0]


@pytest.mark.parametrize("memory_mb", [0, 1, 100])
def test_a_row_file_gives_back_what_was_added(tmp_path, memory_mb):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 5)).astype(np.float32) for n in (3, 0, 40_000, 50_000, 1)]
    rows = RowFile(tmp_path / "rows", memory_mb)
    for part in parts:
        rows.add(part)
    matrix = rows.matrix(5)
    np.testing.assert_array_equal(matrix, np.concatenate(parts))
    assert isinstance(matrix, np.memmap) == (memory_mb < 100)
    assert not list(tmp_path.glob("rows/*"))


def test_no_rows_are_a_matrix_too(tmp_path):
    assert RowFile(tmp_path, 1).matrix(4).shape == (0, 4)


def test_shards_hold_whole_listings():
    offsets = np.array([0, 5, 8, 30, 31, 40])
    assert shards(offsets, 10) == [(0, 2), (2, 3), (3, 5)]
    assert shards(offsets, 1) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert shards(offsets, 1_000) == [(0, 5)]
    assert shards(np.array([0]), 10) == []
