"""The ONNX ranker: what it accepts, and that a row's score is its own."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from cascade.candidates import Query, concatenated
from cascade.errors import RankerError
from cascade.features import build_features
from cascade.rankers import OnnxRanker
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from tests.bookshop import Bookshop, open_bookshop
from tests.test_registry import FEATURES, graph


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bookshop:
    return open_bookshop(tmp_path_factory.mktemp("books"))


@pytest.fixture
def ranker(shop: Bookshop) -> OnnxRanker:
    weights = np.array([0.7, -0.3], dtype=np.float32)
    mean, scale = np.array([1.0, 10.0]), np.array([2.0, 5.0])
    model = LinearModel(
        weights,
        0.5,
        mean.astype(np.float32),
        scale.astype(np.float32),
        np.array([0.0, 12.0], dtype=np.float32),
    )
    return OnnxRanker(linear_to_onnx(model), build_features(FEATURES, shop.schema))


def test_scores_are_float32_finite_and_one_a_row(ranker, shop):
    listing = shop.engine.retrieve([Query("1", "river stories")], 100).candidates
    scores = ranker.score(listing).order
    assert scores.dtype == np.float32
    assert scores.shape == (len(listing),)
    assert np.isfinite(scores).all()


def test_a_batch_scores_as_its_listings_do_one_by_one(ranker, shop):
    queries = [Query("1", "river"), Query("2", "silver night"), Query("3", "zeppelin")]
    parts = [shop.engine.retrieve([query], 60).candidates for query in queries]
    whole = ranker.score(concatenated(parts)).order
    single = np.concatenate([ranker.score(part).order for part in parts])
    assert np.array_equal(whole, single)


def test_row_order_does_not_change_a_score(ranker, shop):
    listing = shop.engine.retrieve([Query("1", "river stories")], 100).candidates
    order = np.random.default_rng(0).permutation(len(listing))
    assert np.array_equal(
        ranker.score(listing.take(order)).order, ranker.score(listing).order[order]
    )


def test_no_rows_give_no_scores(ranker, shop):
    listing = shop.engine.retrieve([Query("1", "zeppelin")], 100).candidates
    assert ranker.score(listing).order.shape == (0,)


def test_scores_are_those_of_the_formula(ranker):
    rows = np.array([[3.0, 20.0], [np.nan, np.nan]], dtype=np.float32)
    # By hand: .5 + .7 (3-1)/2 - .3 (20-10)/5, and missing values at their fill 0 and 12.
    expected = [0.5 + 0.7 - 0.6, 0.5 + 0.7 * -0.5 - 0.3 * 0.4]
    assert ranker.score_matrix(rows).order == pytest.approx(expected, abs=1e-6)


def test_bytes_that_are_no_model_are_refused(shop):
    with pytest.raises(RankerError, match="cannot load the model"):
        OnnxRanker(b"not a model", build_features(FEATURES, shop.schema))


def test_a_truncated_model_is_refused(shop):
    with pytest.raises(RankerError, match="cannot load the model"):
        OnnxRanker(graph()[:80], build_features(FEATURES, shop.schema))


def test_another_number_of_features_is_refused(shop):
    with pytest.raises(RankerError, match="takes 3 features; its feature set has 2"):
        OnnxRanker(graph(3), build_features(FEATURES, shop.schema))


def test_a_graph_of_another_form_is_refused(shop):
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    node = helper.make_node("Identity", ["x"], ["y"])
    model = helper.make_model(
        helper.make_graph([node], "g", [given], [made]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    with pytest.raises(RankerError, match=r"inputs \['x'\].*input 'features'"):
        OnnxRanker(model.SerializeToString(), build_features(FEATURES, shop.schema))
