"""The linear exporter against hand calculation and numpy."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cascade.errors import ExportError
from cascade.training.linear_onnx import LinearModel, linear_to_onnx


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_scores(model, matrix):
    (scores,) = session(linear_to_onnx(model)).run(["score"], {"features": matrix})
    return scores


def small(**changes):
    parts = {
        "weights": np.array([2.0, -1.0]),
        "bias": 0.5,
        "mean": np.array([10.0, 0.0]),
        "scale": np.array([4.0, 0.5]),
        "fill": np.array([12.0, 1.0]),
        "limit": 3.0,
    }
    return LinearModel(**{**parts, **changes})


def random_model(features, seed=0):
    random = np.random.default_rng(seed)
    return LinearModel(
        weights=random.normal(size=features),
        bias=0.3,
        mean=random.normal(size=features).astype(np.float32),
        scale=random.uniform(0.1, 3, features).astype(np.float32),
        fill=random.normal(size=features).astype(np.float32),
    )


def random_matrix(rows, features, seed=1):
    random = np.random.default_rng(seed)
    matrix = random.normal(0, 3, (rows, features)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    return matrix


# bias 0.5, weights 2 and -1; the first feature is (x - 10) / 4, the second x / 0.5.
BY_HAND = {
    (14.0, 0.5): 0.5 + 2 * 1 - 1,
    (10.0, 0.0): 0.5,
    (np.nan, 0.0): 0.5 + 2 * 0.5,
    (10.0, np.nan): 0.5 - 2,
    (np.nan, np.nan): 0.5 + 1 - 2,
    (1e9, 0.0): 0.5 + 2 * 3,
    (np.inf, -np.inf): 0.5 + 2 * 3 + 3,
    (-np.inf, np.inf): 0.5 - 2 * 3 - 3,
    (-3.4e38, 3.4e38): 0.5 - 2 * 3 - 3,
}


def test_scores_by_hand():
    matrix = np.array(list(BY_HAND), np.float32)
    expected = np.array(list(BY_HAND.values()), np.float32)
    np.testing.assert_array_equal(onnx_scores(small(), matrix), expected)
    np.testing.assert_array_equal(small().score(matrix), expected)


@pytest.mark.parametrize("features", [1, 7, 40, 137])
def test_numpy_and_the_graph_give_the_same_scores(features):
    model, matrix = random_model(features), random_matrix(2000, features)
    scores = onnx_scores(model, matrix)
    assert scores.dtype == np.float32
    assert scores.shape == (2000,)
    np.testing.assert_allclose(scores, model.score(matrix), rtol=1e-6, atol=1e-6)
    assert scores.std() > 0.1


@pytest.mark.parametrize("features", [1, 3, 40, 137, 300])
def test_a_row_has_one_score_in_any_batch(features):
    ranker = session(linear_to_onnx(random_model(features)))
    matrix = random_matrix(1000, features)
    (together,) = ranker.run(None, {"features": matrix})
    for size in (1, 2, 3, 4, 7, 16, 300):
        parts = [
            ranker.run(None, {"features": matrix[at : at + size]})[0]
            for at in range(0, len(matrix), size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_an_empty_batch_has_no_scores():
    assert onnx_scores(small(), np.empty((0, 2), np.float32)).shape == (0,)


def test_large_weights_that_cancel_keep_their_difference():
    # In float32 the sum 1e8 * z + z - 1e8 * z loses the middle term.
    model = small(
        weights=np.array([1e8, 1.0, -1e8]), mean=np.zeros(3), scale=np.ones(3), fill=np.zeros(3)
    )
    matrix = np.array([[1.1, 1.1, 1.1]], np.float32)
    assert onnx_scores(model, matrix)[0] == pytest.approx(0.5 + 1.1, abs=1e-6)


def test_the_graph_keeps_the_contract():
    model = linear_to_onnx(small())
    assert model == linear_to_onnx(small())
    (given_in,), (given_out,) = session(model).get_inputs(), session(model).get_outputs()
    assert (given_in.name, given_in.type, given_in.shape) == ("features", "tensor(float)", ["n", 2])
    assert (given_out.name, given_out.type, given_out.shape) == ("score", "tensor(float)", ["n"])
    opsets = onnx.load_from_string(model).opset_import
    assert {o.domain: o.version for o in opsets} == {"": 17, "ai.onnx.ml": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.zeros((2, 1))}, r"weights have the shape \(2, 1\); accepted: one weight"),
        ({"weights": np.empty(0)}, r"weights have the shape \(0,\)"),
        ({"mean": np.zeros(3)}, r"mean has the shape \(3,\), the weights have \(2,\)"),
        ({"weights": np.array([1, np.nan])}, r"weights\[1\] is nan; accepted: finite"),
        ({"fill": np.array([np.nan, 0])}, r"fill\[0\] is nan; .* always missing"),
        ({"mean": np.array([1e300, 0])}, r"mean\[0\] is 1e\+300"),
        ({"scale": np.array([1.0, 0.0])}, r"scale\[1\] is 0.0; accepted: positive .* constant"),
        ({"scale": np.array([1.0, -2.0])}, r"scale\[1\] is -2.0"),
        ({"scale": np.array([1.0, 1e-60])}, r"scale\[1\] is 1e-60"),
        ({"limit": 0.0}, r"limit is 0.0; accepted: a positive, finite"),
        ({"limit": np.inf}, r"limit is inf"),
        ({"limit": np.nan}, r"limit is nan"),
        ({"bias": np.inf}, r"bias inf, which float32 cannot hold"),
        ({"bias": np.nan}, r"bias nan, which float32 cannot hold"),
        ({"weights": np.array([3e38, 3e38])}, r"scores could reach 1.8e\+39"),
    ],
)
def test_a_model_that_could_not_score_is_refused(changes, message):
    with pytest.raises(ExportError, match=message):
        small(**changes)
