"""The parity gate: what it lets through, and every damage that it must catch."""

import itertools
import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.errors import ParityError
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from cascade.training.parity import ParityProbe, check_parity, parity_rows
from cascade.training.trees_onnx import split_points, trees_to_onnx

ROWS = 10_000
LISTING = 50


def probe_of(rows=ROWS, missing=ROWS, listing=LISTING):
    matrix = np.zeros((rows, 2), np.float32)
    matrix[:missing, 1] = np.nan
    return ParityProbe(matrix, np.arange(0, rows + 1, listing))


def spread():
    """Scores of one listing after the other, each a descending ladder with steps of 0.01."""
    return np.tile(np.arange(LISTING)[::-1] * 0.01, ROWS // LISTING).astype(np.float32)


def test_equal_scores_pass_with_a_full_report():
    report = check_parity(probe_of(missing=700), native=spread(), onnx=spread(), served=spread())
    assert (report.rows, report.missing_rows, report.listings) == (10_000, 700, 200)
    assert (report.max_absolute, report.max_relative, report.top10_agreement) == (0, 0, 1)


def test_the_largest_differences_are_reported():
    native, other = np.ones(ROWS) * 100, np.ones(ROWS) * 100
    native[3], other[3] = 0.002, 0.002004  # 4e-6 apart, a five-hundredth of a percent and more
    other[9] += 5e-4  # and this is 5e-6 of its size
    report = check_parity(probe_of(), native=native, onnx=native, served=other)
    assert report.max_absolute == pytest.approx(5e-4)
    assert report.max_relative == pytest.approx(4e-6 / 0.002004)


@pytest.mark.parametrize(
    ("score", "difference", "passes"),
    [
        (0.0, 0.9e-5, True),
        (0.0, 1.1e-5, False),
        (1e-9, 0.9e-5, True),  # below 1 the absolute bound is the larger one
        (-0.5, 1.1e-5, False),
        (1000.0, 0.9e-2, True),  # beyond 1 the relative one is
        (-1000.0, 1.1e-2, False),
    ],
)
@pytest.mark.parametrize("damaged", ["onnx", "served"])
def test_the_bound_is_absolute_or_relative_whichever_is_larger(score, difference, passes, damaged):
    native = np.full(ROWS, score)
    scores = {"native": native, "onnx": native.copy(), "served": native.copy()}
    scores[damaged][7777] += difference
    if passes:
        assert check_parity(probe_of(), **scores).max_absolute == pytest.approx(difference)
        return
    with pytest.raises(ParityError, match=rf"native and {damaged} .* 1 of 10000 rows .* row 7777"):
        check_parity(probe_of(), **scores)


def test_served_is_held_against_onnx_too():
    native = np.zeros(ROWS)
    with pytest.raises(ParityError, match="the trees: onnx and served scores differ"):
        check_parity(
            probe_of(), native=native, onnx=native + 8e-6, served=native - 8e-6, name="the trees"
        )


def test_the_message_counts_the_rows_with_missing_values():
    other = spread()
    other[[4, 900, 8000]] += 0.001
    with pytest.raises(
        ParityError, match=r"3 of 10000 rows \(2 of these have a missing value\).*must not be writ"
    ):
        check_parity(probe_of(missing=1000), native=spread(), onnx=other)


def test_a_tie_that_rounding_broke_is_no_difference():
    native = spread()
    native[1] = native[0]
    other = native.copy()
    other[0] -= 3e-7  # row 1 comes first here, row 0 there
    report = check_parity(probe_of(), native=native, onnx=other)
    assert report.top10_agreement == pytest.approx(1 - 1 / 200)


def test_rows_that_one_side_tells_apart_may_not_change_places():
    # Each score is within the tolerance, and yet the order of two distinct rows turns around.
    native, other = spread(), spread()
    native[450], native[451] = 0.9 + 6e-6, 0.9 - 6e-6
    other[450], other[451] = 0.9 - 1e-6, 0.9 + 1e-6
    with pytest.raises(
        ParityError, match=r"top 10 .* in 1 listings, the first is listing 9: row 450"
    ):
        check_parity(probe_of(), native=native, onnx=other)


def test_below_the_top_10_the_order_may_differ():
    native, other = spread(), spread()
    native[20], native[21] = 0.2 + 6e-6, 0.2 - 6e-6
    other[20], other[21] = 0.2 - 1e-6, 0.2 + 1e-6
    assert check_parity(probe_of(), native=native, onnx=other).top10_agreement == 1


def test_listings_are_compared_each_for_itself():
    # One listing over all rows has one top 10; the same scores in listings of 50 have 200.
    native, other = spread(), spread()
    native += np.repeat(np.arange(200)[::-1], LISTING).astype(np.float32)
    other[:] = native
    native[9950], native[9951] = 0.9 + 6e-6, 0.9 - 6e-6
    other[9950], other[9951] = 0.9 - 1e-6, 0.9 + 1e-6
    check_parity(probe_of(listing=ROWS), native=native, onnx=other)
    with pytest.raises(ParityError, match="listing 199"):
        check_parity(probe_of(), native=native, onnx=other)


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=20),
    seed=st.integers(0, 99),
    noise=st.sampled_from([0.0, 1e-7, 3e-6, 9e-6]),
)
def test_the_verdict_is_that_of_a_plain_loop(lengths, seed, noise):
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths), [ROWS]])
    native = random.integers(0, 40, ROWS) * 7e-6
    other = native + random.uniform(-noise, noise, ROWS)
    same, agreement = True, 0
    for begin, end in itertools.pairwise(offsets):
        rows = range(begin, end)
        tops = [sorted(rows, key=lambda r, s=s: -s[r])[:10] for s in (native, other)]
        agreement += tops[0] == tops[1]
        for i, j in zip(*tops, strict=True):
            same &= abs(native[i] - native[j]) <= 1e-5 and abs(other[i] - other[j]) <= 1e-5
    probe = ParityProbe(probe_of().matrix, offsets)
    if same:
        report = check_parity(probe, native=native, onnx=other)
        assert report.top10_agreement == pytest.approx(agreement / (len(offsets) - 1))
    else:
        with pytest.raises(ParityError, match="order the top 10 differently"):
            check_parity(probe, native=native, onnx=other)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (probe_of(rows=9_950), "tried on 9950 rows, .* accepted: 10000 rows or more"),
        (probe_of(missing=499), "499 with a missing value; accepted: .* 500 of them"),
        (ParityProbe(probe_of().matrix, np.array([0, 9_999])), "offsets run from 0 to 9999"),
        (ParityProbe(probe_of().matrix, np.array([0, 9, 3, ROWS])), "accepted: ascending"),
    ],
)
def test_a_probe_that_could_not_tell_is_refused(probe, message):
    scores = np.zeros(len(probe.matrix))
    with pytest.raises(ParityError, match=message):
        check_parity(probe, native=scores, onnx=scores)


@pytest.mark.parametrize("kind", ["native", "onnx", "served"])
def test_scores_that_are_no_numbers_or_too_few_are_refused(kind):
    for value in (np.nan, np.inf):
        scores = {name: spread() for name in ("native", "onnx", "served")}
        scores[kind][42] = value
        with pytest.raises(ParityError, match=f"1 {kind} scores are not finite, .*row 42"):
            check_parity(probe_of(), **scores)
    scores = {name: spread() for name in ("native", "onnx", "served")}
    scores[kind] = scores[kind][:, None]
    with pytest.raises(ParityError, match=rf"{kind} scores have the shape \(10000, 1\)"):
        check_parity(probe_of(), **scores)


def training_rows(rows=1500, features=4):
    random = np.random.default_rng(5)
    matrix = random.normal(size=(rows, features)).astype(np.float32)
    matrix[:, 0] = np.round(matrix[:, 0], 1)
    grades = np.clip(np.round(matrix[:, 0] - matrix[:, 1] + np.abs(matrix[:, 2]) + 1), 0, 4)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    return matrix, grades


def test_a_probe_has_rows_listings_and_missing_values():
    matrix, _ = training_rows()
    original = matrix.copy()
    probe = parity_rows(matrix, seed=3)
    np.testing.assert_array_equal(matrix, original)
    assert probe.matrix.shape == (10_000, 4)
    assert probe.matrix.dtype == np.float32
    assert np.isnan(probe.matrix[0]).all()
    # A tenth is missing in the training rows, and a tenth of the rest is knocked out.
    assert np.isnan(probe.matrix).mean() == pytest.approx(0.19, abs=0.01)
    np.testing.assert_array_equal(probe.missing, np.isnan(probe.matrix).any(axis=1))
    assert probe.offsets[0] == 0
    assert probe.offsets[-1] == 10_000
    lengths = np.diff(probe.offsets)
    assert lengths.min() >= 1
    assert lengths[lengths < 10].size  # listings shorter than a top 10 are tried too
    again = parity_rows(matrix, seed=3)
    np.testing.assert_array_equal(again.matrix, probe.matrix)
    np.testing.assert_array_equal(again.offsets, probe.offsets)
    assert not np.array_equal(parity_rows(matrix, seed=4).matrix, probe.matrix, equal_nan=True)


def test_a_probe_stands_on_and_beside_the_split_points():
    matrix = np.full((10, 2), 5, np.float32)
    points = np.array([1.5], np.float32)
    probe = parity_rows(matrix, missing=0, seed=0, splits=[points, np.empty(0, np.float32)])
    beside = [np.nextafter(points[0], np.float32(side)) for side in (0, 9)]
    values, counts = np.unique(probe.matrix[1:, 0], return_counts=True)
    assert values.tolist() == [beside[0], 1.5, beside[1], 5]
    assert counts[:3] == pytest.approx([833] * 3, rel=0.15)
    beside = [np.nextafter(np.float32(5), np.float32(side)) for side in (0, 9)]
    assert np.unique(probe.matrix[1:, 1]).tolist() == [beside[0], 5, beside[1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrix": np.empty((0, 3), np.float32)}, r"given the shape \(0, 3\)"),
        ({"matrix": np.empty((3, 0), np.float32)}, r"given the shape \(3, 0\)"),
        ({"missing": 1.0}, "share of 1.0 missing .* below 1"),
        ({"missing": -0.1}, "share of -0.1"),
        ({"rows": 0}, "probe of 0 rows"),
        ({"splits": []}, "points of 0 columns do not fit a matrix of 4"),
    ],
)
def test_a_probe_that_cannot_be_made_is_refused(arguments, message):
    with pytest.raises(ParityError, match=message):
        parity_rows(**{"matrix": training_rows()[0], "seed": 0, **arguments})


@pytest.fixture(scope="module")
def booster():
    matrix, grades = training_rows()
    data = xgb.DMatrix(matrix, label=grades, qid=np.repeat(np.arange(30), 50))
    return xgb.train({"objective": "rank:ndcg", "max_depth": 4, "nthread": 1}, data, 30)


@pytest.fixture(scope="module")
def raw(booster):
    return bytes(booster.save_raw("json"))


@pytest.fixture(scope="module")
def probe(raw):
    return parity_rows(training_rows()[0], seed=1, splits=split_points(raw))


def scored(model, probe):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(["score"], {"features": probe.matrix})[0]


def changed(raw, change):
    content = json.loads(raw)
    change(content["learner"])
    return json.dumps(content).encode()


def flip_default(number, node):
    def flip(learner):
        directions = learner["gradient_booster"]["model"]["trees"][number]["default_left"]
        directions[node] = 1 - directions[node]

    return flip


def lose_base_score(learner):
    learner["learner_model_param"]["base_score"] = "[5E-1]"


def swap_features(learner):
    indices = learner["gradient_booster"]["model"]["trees"][0]["split_indices"]
    indices[0] = (indices[0] + 1) % 4


def move_condition(learner):
    conditions = learner["gradient_booster"]["model"]["trees"][0]["split_conditions"]
    conditions[0] = float(np.nextafter(np.float32(conditions[0]), np.float32(np.inf)))


def test_an_export_of_trees_passes(booster, raw, probe):
    native = booster.inplace_predict(probe.matrix, predict_type="margin")
    model = trees_to_onnx(raw, best_iteration=None)
    report = check_parity(probe, native=native, onnx=scored(model, probe))
    assert report.rows == ROWS
    assert report.missing_rows > ROWS / 2
    assert report.max_absolute == 0
    assert report.top10_agreement == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip_default(0, 0), "differ in"),
        (flip_default(0, 2), "differ in"),
        (flip_default(29, 0), "differ in"),
        (lose_base_score, "differ in 10000 of 10000 rows"),
        (swap_features, "differ in"),
        (move_condition, "differ in"),
    ],
)
def test_a_damaged_export_of_trees_is_caught(booster, raw, probe, change, message):
    native = booster.inplace_predict(probe.matrix, predict_type="margin")
    damaged = trees_to_onnx(changed(raw, change), best_iteration=None)
    with pytest.raises(ParityError, match=message):
        check_parity(probe, native=native, onnx=scored(damaged, probe))


def test_a_flipped_default_shows_in_rows_with_missing_values_alone(booster, raw, probe):
    native = booster.inplace_predict(probe.matrix, predict_type="margin")
    damaged = trees_to_onnx(changed(raw, flip_default(0, 0)), best_iteration=None)
    with pytest.raises(ParityError) as caught:
        check_parity(probe, native=native, onnx=scored(damaged, probe))
    words = str(caught.value).split()
    differing, missing = (int(words[words.index(w) + 1].strip("(")) for w in ("in", "rows"))
    assert differing == missing > 0


def test_other_comparisons_or_fewer_rounds_are_caught(booster, raw, probe):
    native = booster.inplace_predict(probe.matrix, predict_type="margin")
    model = onnx.load_from_string(trees_to_onnx(raw, best_iteration=None))
    (ensemble,) = (n for n in model.graph.node if n.op_type == "TreeEnsembleRegressor")
    (modes,) = (a for a in ensemble.attribute if a.name == "nodes_modes")
    modes.strings[:] = [mode.replace(b"_LT", b"_LEQ") for mode in modes.strings]
    shorter = trees_to_onnx(raw, best_iteration=28)
    for damaged in (model.SerializeToString(), shorter):
        with pytest.raises(ParityError, match="differ in"):
            check_parity(probe, native=native, onnx=scored(damaged, probe))


def test_a_linear_export_passes_and_a_damaged_one_is_caught():
    matrix, _ = training_rows()
    mean, scale = np.nanmean(matrix, axis=0), np.nanstd(matrix, axis=0)
    model = LinearModel(np.array([0.5, -1, 0.2, 0.1]), 0.1, mean, scale, fill=mean)
    other = LinearModel(model.weights, 0.1, mean, scale, fill=np.zeros(4, np.float32))
    probe = parity_rows(matrix, seed=1)
    report = check_parity(
        probe, native=model.score(probe.matrix), onnx=scored(linear_to_onnx(model), probe)
    )
    assert report.max_absolute <= 1e-6
    with pytest.raises(ParityError, match="differ in"):
        check_parity(
            probe, native=model.score(probe.matrix), onnx=scored(linear_to_onnx(other), probe)
        )
