"""Rows beyond memory: files that hold the same rows, and trees that come out the same."""

import tempfile
from dataclasses import replace

import numpy as np
import pytest
import xgboost

from cascade.training.dataset import Dataset
from cascade.training.external import (
    beyond_memory,
    external_matrices,
    shards,
    within_memory,
)
from cascade.training.fit import TreeOptions, fit_trees

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


def test_shards_hold_whole_listings():
    offsets = np.array([0, 5, 8, 30, 31, 40])
    assert shards(offsets, 10) == [(0, 2), (2, 3), (3, 5)]
    assert shards(offsets, 1) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert shards(offsets, 1_000) == [(0, 5)]
    assert shards(np.array([0]), 10) == []


def in_a_file(data: Dataset, folder) -> Dataset:
    path = folder / "rows.npy"
    np.save(path, np.tile(data.matrix, (1, 60)))
    return replace(
        data, names=tuple(f"f{i}" for i in range(360)), matrix=np.load(path, mmap_mode="r")
    )


def test_rows_beyond_memory_train_as_good_trees_from_disk(tmp_path, monkeypatch):
    train, held = in_a_file(dataset(200, 1), tmp_path), dataset(60, 2)
    held = replace(held, names=train.names, matrix=np.tile(held.matrix, (1, 60)))
    assert beyond_memory(train, 5) and not beyond_memory(train, 50)
    caches = []

    def noted(*given, **named):
        caches.append(given)
        return temporary(*given, **named)

    temporary = tempfile.TemporaryDirectory
    monkeypatch.setattr(tempfile, "TemporaryDirectory", noted)
    scores = []
    for memory_mb in (5, 50):
        options = TreeOptions(rounds=12, depth=3, early_stopping=12, memory_mb=memory_mb)
        fit = fit_trees(train, held, options)
        scores.append(fit.summary["held_out_ndcg@10"])
        assert fit.predict(held.matrix).shape == (len(held),)
        # From disk the first time alone.
        assert len(caches) == 1
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    assert scores[0] > 0.5


def test_a_linear_ranker_learns_from_what_memory_holds(tmp_path):
    train = in_a_file(dataset(200, 1), tmp_path)
    drawn = within_memory(train, 3, seed=0)
    assert 2 << 20 < drawn.matrix.nbytes <= 3 << 20
    assert not isinstance(drawn.matrix, np.memmap)
    assert within_memory(train, 50, seed=0) is train
    assert within_memory(train, 3, seed=0).query_ids == drawn.query_ids
    assert within_memory(train, 3, seed=1).query_ids != drawn.query_ids
