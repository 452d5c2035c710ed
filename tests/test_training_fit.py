"""Fits: they find a planted order, honour early stopping, and their exports score alike."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.features import build_features
from cascade.rankers import OnnxRanker
from cascade.schema import Schema
from cascade.training.dataset import Dataset
from cascade.training.fit import (
    Fit,
    LinearOptions,
    TreeOptions,
    _matrices,
    _parameters,
    fit_linear,
    fit_trees,
    gained,
)

NO_SCHEMA = Schema(id="id", fields=())
TREES = TreeOptions(rounds=40, depth=3, early_stopping=5, threads=1)


def planted(queries: int, seed: int, truth: str = "linear") -> Dataset:
    """Return listings whose grades follow from features 0 and 1; feature 2 is noise."""
    rng = np.random.default_rng(seed)
    rows = queries * 20
    matrix = rng.normal(size=(rows, 3)).astype(np.float32)
    signal = matrix[:, 0] - 2 * matrix[:, 1]
    if truth == "bent":
        signal = -np.abs(matrix[:, 0])
    grades = np.digitize(
        signal + 0.1 * rng.normal(size=rows), np.quantile(signal, [0.5, 0.8, 0.95])
    )
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    return Dataset(
        names=("a", "b", "c"),
        matrix=matrix,
        grades=grades.astype(np.float32),
        offsets=np.arange(0, rows + 1, 20),
        query_ids=tuple(f"q{i}" for i in range(queries)),
        counts={},
    )


def ndcg(scores: np.ndarray, dataset: Dataset) -> float:
    """Return the mean nDCG@10, by the definition: gain = grade, discount log2(1 + rank)."""
    values = []
    for first, last in zip(dataset.offsets[:-1], dataset.offsets[1:], strict=True):
        grades = dataset.grades[first:last]
        discount = 1 / np.log2(np.arange(2, 12))
        order = np.argsort(-scores[first:last], kind="stable")
        best = np.sort(grades)[::-1]
        if best[0] > 0:
            values.append((grades[order][:10] @ discount) / (best[:10] @ discount))
    return float(np.mean(values))


def served(fit: Fit, dataset: Dataset) -> np.ndarray:
    definitions = [{"kind": "column", "name": n, "column": n} for n in dataset.names]
    return (
        OnnxRanker(fit.onnx, build_features(definitions, NO_SCHEMA))
        .score_matrix(dataset.matrix)
        .order
    )


def test_linear_weights_have_the_planted_signs_and_ratio():
    train, test = planted(300, 0), planted(20, 1)
    fit = fit_linear(train, LinearOptions())
    weights = fit.summary["weights"]
    assert weights["a"] > 0 > weights["b"]
    assert weights["b"] / weights["a"] == pytest.approx(-2, rel=0.15)
    assert abs(weights["c"]) < 0.1 * weights["a"]
    assert ndcg(served(fit, test), test) > 0.9


def test_trees_learn_what_a_line_cannot():
    train, held, test = (planted(n, s, "bent") for n, s in ((150, 0), (100, 1), (30, 2)))
    trees = fit_trees(train, held, TREES)
    linear = fit_linear(train, LinearOptions())
    assert ndcg(served(trees, test), test) > 0.9
    assert ndcg(served(linear, test), test) < 0.6


@pytest.mark.parametrize("queries", [100, 10])
def test_native_and_served_scores_agree(queries):
    train, held = planted(60, 0), planted(queries, 1)
    for fit in (fit_linear(train, LinearOptions()), fit_trees(train, held, TREES)):
        assert served(fit, held) == pytest.approx(fit.predict(held.matrix), abs=1e-5, rel=1e-5)


def test_training_stops_early_and_serves_the_best_round():
    train, held = planted(40, 0), planted(100, 1)
    noise = np.random.default_rng(0).permutation(len(train))
    shuffled = Dataset(
        train.names, train.matrix, train.grades[noise], train.offsets, train.query_ids, {}
    )
    fit = fit_trees(shuffled, held, TREES)
    assert fit.summary["held_out"] == "validation"
    assert fit.summary["trees"] < TREES.rounds


def test_few_validation_listings_give_way_to_cross_validation():
    fit = fit_trees(planted(30, 0), planted(5, 1), TREES)
    assert fit.summary["held_out"] == "cross-validation"
    assert fit.summary["trees"] > 1


def test_the_same_seed_gives_the_same_bytes():
    train, held = planted(30, 0), planted(100, 1)
    assert fit_linear(train, LinearOptions()).onnx == fit_linear(train, LinearOptions()).onnx
    assert fit_trees(train, held, TREES).onnx == fit_trees(train, held, TREES).onnx


def test_listings_without_two_grades_are_refused():
    flat = planted(5, 0)
    flat = Dataset(flat.names, flat.matrix, flat.grades * 0, flat.offsets, flat.query_ids, {})
    with pytest.raises(InputError, match="nothing can be learned"):
        fit_linear(flat, LinearOptions())


def test_the_logistic_loss_gives_the_chance_of_relevance():
    """Of rows with x = 1 three in four are relevant, with x = 0 one in four: odds of 3 and 1/3."""
    x = np.tile([1, 1, 1, 1, 0, 0, 0, 0], 50).astype(np.float32)
    grades = np.tile([1, 1, 1, 0, 1, 0, 0, 0], 50).astype(np.float32)
    train = Dataset(
        names=("x",),
        matrix=x[:, None],
        grades=grades,
        offsets=np.arange(0, len(x) + 1, 8),
        query_ids=tuple(map(str, range(50))),
        counts={},
    )
    fit = fit_linear(train, LinearOptions(l2=0.0, loss="logistic"))
    scores = fit.predict(np.array([[1.0], [0.0]], dtype=np.float32))
    np.testing.assert_allclose(scores, [np.log(3), -np.log(3)], atol=1e-3)


@pytest.mark.parametrize("loss", ["pairwise", "logistic"])
def test_a_listing_of_weight_0_teaches_nothing(loss):
    """Two listings say the opposite; the one that counts wins."""
    train = Dataset(
        names=("x",),
        matrix=np.array([[0], [1], [0], [1]], dtype=np.float32),
        grades=np.array([0, 1, 1, 0], dtype=np.float32),
        offsets=np.array([0, 2, 4]),
        query_ids=("a", "b"),
        counts={},
        weights=np.array([1, 0], dtype=np.float32),
    )
    scores = fit_linear(train, LinearOptions(loss=loss)).predict(train.matrix[:2])
    assert scores[1] > scores[0]


def test_grades_between_whole_numbers_have_an_exponential_gain_too():
    """Grades of click models and distilled ones are no whole numbers."""
    options = replace(TREES, gain="exponential")
    train, held, test = (planted(n, s) for n, s in ((150, 0), (100, 1), (30, 2)))
    halved = [replace(part, grades=part.grades * 0.55) for part in (train, held)]
    assert ndcg(served(fit_trees(*halved, options), test), test) > 0.9


def test_the_exponential_gain_is_that_of_xgboost():
    xgboost = pytest.importorskip("xgboost", reason="extra `train`")
    train = planted(100, 0)
    matrix = xgboost.DMatrix(train.matrix, label=train.grades, missing=np.nan)
    matrix.set_group(np.diff(train.offsets))
    wanted = {**_parameters(TREES, 0), "ndcg_exp_gain": True}
    expected = xgboost.train(wanted, matrix, 5).predict(matrix)
    grown = replace(TREES, gain="exponential", rounds=5)
    with _matrices(xgboost, [gained(train, "exponential")], grown) as (ours,):
        found = xgboost.train(_parameters(grown, 0), ours, 5).predict(ours)
    np.testing.assert_allclose(found, expected, atol=1e-4)
