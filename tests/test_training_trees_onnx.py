"""The tree exporter against XGBoost's own prediction, bit for bit."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import ExportError
from cascade.training.trees_onnx import split_points, trees_to_onnx

FEATURES = 5
LISTING = 20
LARGEST, SMALLEST = float(np.finfo(np.float32).max), float(np.float32(1e-45))


def judged(rows, seed):
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, FEATURES)).astype(np.float32)
    matrix[:, 1] = np.round(matrix[:, 1], 1)  # a column of few values: rows stand on split points
    signal = matrix[:, 0] + np.abs(matrix[:, 1]) - matrix[:, 2] * (matrix[:, 3] > 0)
    grades = np.clip(np.round(signal + random.normal(size=rows) + 1), 0, 4)
    matrix[random.random(matrix.shape) < 0.2] = np.nan
    return matrix, grades


def train(rounds=12, seed=0, rows=600, **settings):
    matrix, grades = judged(rows, seed)
    if settings.get("objective") == "rank:map":
        grades = (grades > 2).astype(float)
    group = np.repeat(np.arange(rows // LISTING), LISTING)
    data = xgb.DMatrix(matrix, label=grades, qid=group)
    parameters = {
        "objective": "rank:ndcg",
        "nthread": 1,
        "verbosity": 0,
        "max_depth": 4,
        "seed": seed,
    }
    return xgb.train({**parameters, **settings}, data, rounds)


def raw_of(booster):
    return bytes(booster.save_raw("json"))


def parsed(raw):
    return json.loads(raw)


def attribute(model, name):
    """Return a value of the model's ensemble node, or None."""
    nodes = onnx.load_from_string(model).graph.node
    (ensemble,) = (node for node in nodes if node.op_type == "TreeEnsembleRegressor")
    values = {a.name: onnx.helper.get_attribute_value(a) for a in ensemble.attribute}
    return values.get(name)


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_scores(model, matrix):
    (scores,) = session(model).run(["score"], {"features": matrix})
    return scores


def hard_rows(raw, rows=2000, seed=9):
    """Rows that stand on, just below and just above the booster's split points, and beyond."""
    random = np.random.default_rng(seed)
    matrix, _ = judged(rows, seed)
    for column, points in enumerate(split_points(raw)):
        special = [-np.inf, np.inf, -0.0, 0.0, SMALLEST, -SMALLEST, LARGEST, -LARGEST]
        below, above = np.nextafter(points, np.float32(-9)), np.nextafter(points, np.float32(9))
        pool = np.concatenate([points, below, above, np.array(special, np.float32)])
        moved = random.random(rows) < 0.5
        matrix[moved, column] = random.choice(pool, int(moved.sum()))
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    matrix[0] = np.nan
    return matrix


def assert_exact(booster, best_iteration=None, rounds=(0, 0)):
    raw = raw_of(booster)
    matrix = hard_rows(raw)
    expected = booster.inplace_predict(matrix, iteration_range=rounds, predict_type="margin")
    scores = onnx_scores(trees_to_onnx(raw, best_iteration=best_iteration), matrix)
    assert scores.dtype == np.float32
    assert scores.shape == (len(matrix),)
    np.testing.assert_array_equal(scores, expected)
    return scores


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("objective", ["rank:ndcg", "reg:squarederror"])
def test_scores_are_those_of_the_booster(objective, depth):
    scores = assert_exact(train(objective=objective, max_depth=depth, seed=depth))
    assert len(np.unique(scores)) > 10


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "rank:pairwise"},
        {"objective": "rank:map"},
        {"objective": "reg:absoluteerror"},
        {"objective": "reg:pseudohubererror"},
        {"objective": "reg:squarederror", "tree_method": "exact", "gamma": 2.0, "max_depth": 6},
        {"tree_method": "approx"},
        {"grow_policy": "lossguide", "max_leaves": 11, "max_depth": 0},
        {"monotone_constraints": "(1,0,-1,0,0)"},
        {"num_parallel_tree": 3, "subsample": 0.5, "colsample_bynode": 0.5},
        {"objective": "reg:squarederror", "base_score": 1000.0},
    ],
    ids=str,
)
def test_scores_are_those_of_the_booster_for_other_settings(settings):
    assert_exact(train(**settings))


def test_pruned_trees_leave_their_deleted_nodes_behind():
    raw = raw_of(train(objective="reg:squarederror", tree_method="exact", gamma=2.0, max_depth=6))
    trees = parsed(raw)["learner"]["gradient_booster"]["model"]["trees"]
    deleted = sum(int(tree["tree_param"]["num_deleted"]) for tree in trees)
    stored = sum(len(tree["left_children"]) for tree in trees)
    assert deleted > 0
    ids = attribute(trees_to_onnx(raw, best_iteration=None), "nodes_nodeids")
    assert len(ids) == stored - deleted + 1  # and the leaf that holds base_score


@pytest.mark.parametrize("forest", [1, 3])
def test_the_best_iteration_is_the_last_that_counts(forest):
    train_rows, train_grades = judged(600, 1)
    held_rows, held_grades = judged(300, 2)
    held = xgb.DMatrix(held_rows, label=held_grades)
    booster = xgb.train(
        {"max_depth": 6, "eta": 0.7, "nthread": 1, "num_parallel_tree": forest, "subsample": 0.7},
        xgb.DMatrix(train_rows, label=train_grades),
        60,
        evals=[(held, "held")],
        early_stopping_rounds=4,
        verbose_eval=False,
    )
    best = booster.best_iteration
    assert best < booster.num_boosted_rounds() - 1
    stopped = assert_exact(booster, None, rounds=(0, best + 1))
    np.testing.assert_array_equal(assert_exact(booster, best, rounds=(0, best + 1)), stopped)
    assert_exact(booster, 0, rounds=(0, 1))
    everything = assert_exact(booster, booster.num_boosted_rounds() - 1)
    assert not np.array_equal(everything, stopped)


@pytest.mark.parametrize("best_iteration", [-1, 12, 400])
def test_a_round_that_is_not_there_is_refused(best_iteration):
    with pytest.raises(
        ExportError, match=rf"{best_iteration} and the booster has 12 rounds; .* 11"
    ):
        trees_to_onnx(raw_of(train()), best_iteration=best_iteration)


def test_rounds_follow_from_the_forest_where_a_file_has_no_boundaries():
    booster = train(num_parallel_tree=2, subsample=0.5)
    content = parsed(raw_of(booster))
    del content["learner"]["gradient_booster"]["model"]["iteration_indptr"]
    model = trees_to_onnx(json.dumps(content).encode(), best_iteration=3)
    assert model == trees_to_onnx(raw_of(booster), best_iteration=3)
    assert len(set(attribute(model, "nodes_treeids"))) == 4 * 2 + 1


def test_trees_of_a_single_leaf():
    booster = train(rounds=3, objective="reg:squarederror", gamma=1e9)
    content = parsed(raw_of(booster))["learner"]["gradient_booster"]["model"]["trees"]
    assert [len(tree["left_children"]) for tree in content] == [1, 1, 1]
    scores = assert_exact(booster)
    assert len(set(scores)) == 1


def test_a_booster_without_rounds_scores_its_base_score():
    scores = assert_exact(train(rounds=0, objective="reg:squarederror", base_score=0.25))
    assert set(scores) == {np.float32(0.25)}


STUMP = {
    "left_children": [1, -1, -1],
    "right_children": [2, -1, -1],
    "split_conditions": [2.0, 10.0, 20.0],
    "split_indices": [1, 0, 0],
    "default_left": [1, 0, 0],
    "tree_param": {"size_leaf_vector": "0", "num_nodes": "3", "num_deleted": "0"},
}


def handmade(trees, base_score="5E-1", learner=(), **params):
    return json.dumps(
        {
            "learner": {
                "learner_model_param": {"base_score": base_score, "num_feature": "2", **params},
                "gradient_booster": {
                    "name": "gbtree",
                    "model": {
                        "gbtree_model_param": {"num_parallel_tree": "0"},
                        "trees": trees,
                    },
                },
                "objective": {"name": "reg:squarederror"},
                **dict(learner),
            }
        }
    ).encode()


@pytest.mark.parametrize("base_score", ["5E-1", "[5E-1]", [0.5], 0.5])
def test_base_score_may_be_a_number_a_string_or_a_list_of_one(base_score):
    model = trees_to_onnx(handmade([STUMP], base_score), best_iteration=None)
    matrix = np.array([[9, 1.5], [9, 2], [9, 2.5], [9, np.nan]], np.float32)
    assert onnx_scores(model, matrix).tolist() == [10.5, 20.5, 20.5, 10.5]


def test_a_missing_value_goes_where_the_split_sends_it():
    right = {**STUMP, "default_left": [0, 0, 0]}
    model = trees_to_onnx(handmade([STUMP, right], 0), best_iteration=None)
    matrix = np.array([[0, np.nan], [0, 1], [np.nan, 3]], np.float32)
    assert onnx_scores(model, matrix).tolist() == [10 + 20, 10 + 10, 20 + 20]


@pytest.mark.parametrize("default_left", [0, 1])
def test_a_split_of_missing_from_present_values(default_left):
    # Nothing is below -inf: every present value goes right, whatever it is.
    stump = {
        **STUMP,
        "split_conditions": [-np.inf, 10, 20],
        "default_left": [default_left, 0, 0],
    }
    model = trees_to_onnx(handmade([stump], 0), best_iteration=None)
    matrix = np.array([[0, np.nan], [0, -LARGEST], [0, 0], [0, np.inf]], np.float32)
    missing = 10 if default_left else 20
    assert onnx_scores(model, matrix).tolist() == [missing, 20, 20, 20]


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
SPECIAL = [-np.inf, np.inf, np.nan, 0.0, -0.0, SMALLEST, -SMALLEST, LARGEST, -LARGEST]


@pytest.fixture(scope="module")
def stump_json():
    raw = raw_of(train(rounds=1, objective="reg:squarederror", max_depth=1))
    assert len(parsed(raw)["learner"]["gradient_booster"]["model"]["trees"][0]["parents"]) == 3
    return raw


@given(condition=finite, default_left=st.booleans(), others=st.lists(finite, max_size=5))
def test_any_split_condition_is_compared_as_xgboost_does(
    stump_json, condition, default_left, others
):
    content = parsed(stump_json)
    tree = content["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["split_conditions"][0] = condition
    tree["default_left"][0] = int(default_left)
    raw = json.dumps(content).encode()
    booster = xgb.Booster()
    booster.load_model(bytearray(raw))
    at = np.float32(condition)
    with np.errstate(over="ignore"):
        beside = [np.nextafter(at, np.float32(side)) for side in (-np.inf, np.inf)]
    values = np.array([at, *beside, *SPECIAL, *others], np.float32)
    matrix = np.repeat(values[:, None], FEATURES, axis=1)
    np.testing.assert_array_equal(
        onnx_scores(trees_to_onnx(raw, best_iteration=None), matrix),
        booster.inplace_predict(matrix, predict_type="margin"),
    )


def test_a_row_scores_alone_as_in_a_batch():
    raw = raw_of(train(rounds=100))
    ranker, matrix = session(trees_to_onnx(raw, best_iteration=None)), hard_rows(raw, 1000)
    (together,) = ranker.run(None, {"features": matrix})
    alone = [ranker.run(None, {"features": matrix[i : i + 1]})[0][0] for i in range(200)]
    np.testing.assert_array_equal(together[:200], alone)
    (nothing,) = ranker.run(None, {"features": matrix[:0]})
    assert nothing.shape == (0,)


def test_the_graph_keeps_the_contract():
    raw = raw_of(train())
    model = trees_to_onnx(raw, best_iteration=None)
    assert model == trees_to_onnx(raw, best_iteration=None)
    (given_in,), (given_out,) = session(model).get_inputs(), session(model).get_outputs()
    assert (given_in.name, given_in.type, given_in.shape) == (
        "features",
        "tensor(float)",
        ["n", FEATURES],
    )
    assert (given_out.name, given_out.type, given_out.shape) == ("score", "tensor(float)", ["n"])
    graph = onnx.load_from_string(model)
    assert {o.domain: o.version for o in graph.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert [n.op_type for n in graph.graph.node].count("TreeEnsembleRegressor") == 1
    assert set(attribute(model, "nodes_modes")) == {b"BRANCH_LT", b"LEAF"}
    assert attribute(model, "nodes_missing_value_tracks_true") is None


def test_split_points_are_the_conditions_of_each_feature():
    other = {**STUMP, "split_conditions": [0.1, 1, 2]}
    points = split_points(handmade([STUMP, other, STUMP]))
    assert [p.tolist() for p in points] == [[], [np.float32(0.1), 2.0]]
    assert [p.dtype for p in points] == [np.float32] * 2
    assert [p.tolist() for p in split_points(handmade([]))] == [[], []]


def test_other_boosters_are_refused_by_name():
    for booster in ("dart", "gblinear"):
        with pytest.raises(ExportError, match=f"booster '{booster}' cannot .* accepted: 'gbtree'"):
            trees_to_onnx(
                raw_of(train(rounds=2, booster=booster, objective="reg:squarederror")),
                best_iteration=None,
            )


@pytest.mark.parametrize("objective", ["binary:logistic", "count:poisson", "reg:tweedie"])
def test_objectives_that_transform_the_margin_are_refused_by_name(objective):
    matrix, grades = judged(100, 0)
    label = grades > 2
    booster = xgb.train({"objective": objective, "nthread": 1}, xgb.DMatrix(matrix, label=label), 2)
    with pytest.raises(ExportError, match=f"objective '{objective}' .*accepted: rank:map, rank:nd"):
        trees_to_onnx(raw_of(booster), best_iteration=None)


def test_several_outputs_are_refused():
    matrix, grades = judged(100, 0)
    both = xgb.DMatrix(matrix, label=np.stack([grades, -grades], 1))
    for strategy in ("one_output_per_tree", "multi_output_tree"):
        raw = raw_of(xgb.train({"multi_strategy": strategy, "nthread": 1}, both, 2))
        with pytest.raises(ExportError, match=r"several outputs .num_target 2"):
            trees_to_onnx(raw, best_iteration=None)
    with pytest.raises(ExportError, match="num_class 4"):
        trees_to_onnx(handmade([STUMP], num_class="4"), best_iteration=None)
    wide = {**STUMP, "tree_param": {"size_leaf_vector": "3"}}
    with pytest.raises(ExportError, match="size_leaf_vector 3"):
        trees_to_onnx(handmade([wide]), best_iteration=None)


def test_categorical_splits_are_refused():
    matrix, _ = judged(200, 0)
    matrix[:, 1] = np.arange(200) % 5
    types = ["q", "c", "q", "q", "q"]
    label = np.isin(matrix[:, 1], [0, 2])
    data = xgb.DMatrix(matrix, label=label, feature_types=types, enable_categorical=True)
    raw = raw_of(xgb.train({"max_depth": 2, "nthread": 1}, data, 2))
    with pytest.raises(ExportError, match=r"tree 0 has a categorical split; .*=False"):
        trees_to_onnx(raw, best_iteration=None)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "0 bytes .* not a booster's JSON"),
        (b'{"version": [3, 2, 0]}', "KeyError: 'learner'"),
        (b"[1]", "not a booster's JSON"),
        (handmade([STUMP], "[5E-1,2E-1]"), "base_score is .*; accepted: one number"),
        (handmade([STUMP], "nan"), "not a booster's JSON"),
        (handmade([STUMP], float("inf")), "base_score is inf; accepted: a finite"),
        (handmade([{**STUMP, "split_indices": [2, 0, 0]}]), "feature 2, the booster has 2"),
        (handmade([{**STUMP, "split_indices": [1, 0]}]), "tree 0 .* unlike lengths"),
        (handmade([STUMP, {**STUMP, "left_children": [0, -1, -1]}]), "tree 1 .* child"),
        (handmade([{**STUMP, "right_children": [7, -1, -1]}]), "tree 0 .* child"),
        (handmade([{**STUMP, "split_conditions": [np.nan, 1, 2]}]), "tree 0 .* not a number"),
        (handmade([{**STUMP, "split_conditions": [1, np.inf, 2]}]), "tree 0 .* not a number"),
    ],
)
def test_damage_is_refused(raw, message):
    with pytest.raises(ExportError, match=message):
        trees_to_onnx(raw, best_iteration=None)


def test_the_binary_form_is_refused_with_the_call_that_gives_json():
    raw = bytes(train(rounds=1).save_raw("ubj"))
    with pytest.raises(ExportError, match=r'accepted: the bytes of Booster.save_raw\("json"\)'):
        trees_to_onnx(raw, best_iteration=None)


def test_boundaries_that_do_not_fit_the_trees_are_refused():
    content = parsed(raw_of(train(rounds=3)))
    content["learner"]["gradient_booster"]["model"]["iteration_indptr"] = [0, 1, 2]
    with pytest.raises(ExportError, match=r"3 trees do not fit .* last is 2"):
        trees_to_onnx(json.dumps(content).encode(), best_iteration=None)
