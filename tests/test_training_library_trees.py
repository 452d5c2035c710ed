"""LightGBM's and scikit-learn's trees: the graph gives the scores of the library that fitted it."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import ExportError
from cascade.training.dataset import Dataset
from cascade.training.ensemble_onnx import below
from cascade.training.fit import TreeOptions
from cascade.training.library_trees import fit_lightgbm, fit_sklearn
from cascade.training.lightgbm_onnx import lightgbm_to_onnx
from cascade.training.parity import check_parity, parity_rows
from cascade.training.sklearn_onnx import sklearn_split_points, sklearn_to_onnx

lightgbm = pytest.importorskip("lightgbm", reason="extra `lightgbm`")
ensemble = pytest.importorskip("sklearn.ensemble", reason="extra `sklearn`")

OPTIONS = TreeOptions(rounds=30, depth=4, threads=1)


def scores(model: bytes, matrix: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["score"], {"features": matrix})[0]


def listings(count: int, seed: int, missing: float = 0.1) -> Dataset:
    """Grades 0, 0.1 and 1 that follow the first two features; some values are missing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 30, count)
    rows = int(lengths.sum())
    matrix = rng.normal(size=(rows, 4)).astype(np.float32)
    matrix[:, 3] = np.round(matrix[:, 3])
    taste = matrix[:, 0] + 0.5 * matrix[:, 1] + 0.3 * rng.normal(size=rows)
    grades = np.choose(np.searchsorted([0.0, 1.0], taste), [0.0, 0.1, 1.0]).astype(np.float32)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = tuple(f"q{i}" for i in range(count))
    return Dataset(("a", "b", "c", "d"), matrix, grades, offsets, ids, {})


def assert_parity(fit, train):
    probe = parity_rows(train.matrix, seed=1, splits=fit.splits)
    served = scores(fit.onnx, probe.matrix)
    report = check_parity(
        probe, native=fit.predict(probe.matrix), onnx=served, served=served, name="trees"
    )
    assert report.rows >= 10_000
    assert report.missing_rows >= 500


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_lightgbm_passes_the_parity_gate(missing):
    train, held = listings(60, 1, missing), listings(50, 2, missing)
    fit = fit_lightgbm(train, held, OPTIONS)
    assert_parity(fit, train)
    assert 1 <= fit.summary["trees"] <= 30
    assert fit.summary["held_out_ndcg@10"] > 0.8


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_scikit_learn_passes_the_parity_gate(missing):
    train = listings(60, 3, missing)
    fit = fit_sklearn(train, OPTIONS)
    assert_parity(fit, train)
    assert fit.summary["trees"] == 30


@pytest.mark.parametrize(
    "fit", [lambda d: fit_lightgbm(d, d, OPTIONS), lambda d: fit_sklearn(d, OPTIONS)]
)
def test_listings_of_weight_0_teach_nothing(fit):
    told, contrary = listings(40, 5), listings(120, 6)
    contrary = replace(contrary, grades=1.0 - contrary.grades)
    both = told.followed_by(contrary)
    found = fit(replace(both, weights=np.repeat(np.float32([1, 0]), [40, 120])))
    rows = np.zeros((2, 4), dtype=np.float32)
    rows[0, :2], rows[1, :2] = 2.0, -2.0
    better, worse = scores(found.onnx, rows)
    assert better > worse


@pytest.mark.parametrize(
    "fit", [lambda d: fit_lightgbm(d, d, OPTIONS), lambda d: fit_sklearn(d, OPTIONS)]
)
def test_what_is_fitted_ranks_rows_by_what_their_grades_follow(fit):
    found = fit(listings(60, 4))
    rows = np.zeros((2, 4), dtype=np.float32)
    rows[0, :2] = 2.0
    rows[1, :2] = -2.0
    better, worse = scores(found.onnx, rows)
    assert better > worse


@pytest.mark.parametrize(
    "model",
    [
        ensemble.RandomForestRegressor(n_estimators=7, max_depth=5, random_state=0),
        ensemble.ExtraTreesRegressor(n_estimators=7, max_depth=5, random_state=0),
        ensemble.GradientBoostingRegressor(n_estimators=15, random_state=0),
        ensemble.GradientBoostingRegressor(n_estimators=5, init="zero", random_state=0),
        ensemble.HistGradientBoostingRegressor(max_iter=15, random_state=0),
    ],
    ids=lambda m: type(m).__name__,
)
def test_scikit_learns_ensembles_are_exported_bound_by_bound(model):
    train = listings(20, 5, missing=0.0)
    model.fit(train.matrix, train.grades)
    points = sklearn_split_points(model)
    rows = np.random.default_rng(6).choice(train.matrix.ravel(), (3_000, 4)).astype(np.float32)
    for column, bounds in enumerate(points):
        if len(bounds):
            near = np.concatenate([bounds, np.nextafter(bounds, np.float32(-np.inf))])
            rows[: len(near), column] = near[: len(rows)]
    expected = model.predict(rows)
    np.testing.assert_allclose(scores(sklearn_to_onnx(model), rows), expected, atol=1e-5)


@given(st.floats(-1e30, 1e30), st.floats(-(2.0**100), 2.0**100, width=32))
def test_a_float32_bound_parts_values_as_the_float64_threshold_does(threshold, value):
    for x in (np.float32(value), np.float32(threshold)):
        bound = below(np.array([threshold]))[0]
        assert (x < bound) == (np.float64(x) <= threshold)


def test_what_cannot_be_one_sum_of_numeric_trees_is_refused_by_name():
    train = listings(20, 7)
    data = lightgbm.Dataset(train.matrix, label=train.grades)
    averaged = lightgbm.train(
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "verbosity": -1}, data, 2
    )
    with pytest.raises(ExportError, match="averages its trees"):
        lightgbm_to_onnx(averaged.dump_model())
    zero = lightgbm.Dataset(np.nan_to_num(train.matrix.round()), label=train.grades)
    sparse = lightgbm.train({"zero_as_missing": True, "verbosity": -1}, zero, 2)
    with pytest.raises(ExportError, match="zero_as_missing"):
        lightgbm_to_onnx(sparse.dump_model())
    with pytest.raises(ExportError, match="is not fitted"):
        sklearn_to_onnx(ensemble.RandomForestRegressor())
    with pytest.raises(ExportError, match="dict is no tree regressor"):
        sklearn_to_onnx({})
    codes = np.arange(60) % 6
    model = ensemble.HistGradientBoostingRegressor(categorical_features=[0], max_iter=3)
    model.fit(codes[:, None], (codes % 2).astype(float))
    with pytest.raises(ExportError, match="categorical"):
        sklearn_to_onnx(model)
