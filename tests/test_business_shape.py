"""The shape of a policy: its weights, its formula, and that a scale of 0 changes no bit."""

import math

import numpy as np
import pytest

from cascade.business.shape import Shape
from cascade.errors import ConfigError

LINEAR = Shape(("score", "price", "new"), ("relevance", "revenue"))
HIDDEN = Shape(("score", "price", "new"), ("relevance", "revenue"), hidden=4)


def rows(count, shape, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(count).astype(np.float32)
    inputs = rng.standard_normal((count, len(shape.inputs))).astype(np.float32)
    shares = rng.dirichlet(np.ones(len(shape.objectives)), count).astype(np.float32)
    return scores, inputs, shares


def plain_linear(weights, s, x, p):
    """Return s + c tanh(b + wx . x + wp . p + x W p), one row of one policy, in plain Python."""
    c, b, *rest = weights
    net = b
    for i in range(len(x)):
        net += rest[i] * x[i]
    for j in range(len(p)):
        net += rest[len(x) + j] * p[j]
    products = rest[len(x) + len(p) :]
    for i in range(len(x)):
        for j in range(len(p)):
            net += products[i * len(p) + j] * x[i] * p[j]
    return s + c * math.tanh(net)


def plain_hidden(weights, s, x, p, hidden):
    """Return s + c tanh(b + v . tanh(a0 + Ax x + Ap p)), one row of one policy."""
    c, b, *rest = weights
    v, block = rest[:hidden], rest[hidden:]
    net = b
    for unit in range(hidden):
        inside = block[unit]
        for i, value in enumerate([*x, *p], start=1):
            inside += block[i * hidden + unit] * value
        net += v[unit] * math.tanh(inside)
    return s + c * math.tanh(net)


def test_how_many_weights_there_are():
    assert LINEAR.size == 1 + 1 + 3 + 2 + 3 * 2
    assert HIDDEN.size == 1 + 1 + 4 + 4 * (1 + 3 + 2)


@pytest.mark.parametrize("shape", [LINEAR, HIDDEN], ids=["linear", "hidden"])
def test_utilities_equal_a_plain_reference(shape):
    weights = np.random.default_rng(1).standard_normal((5, shape.size))
    scores, inputs, shares = rows(60, shape)
    found = shape.utilities(weights, scores, inputs, shares)
    assert (found.shape, found.dtype) == ((60, 5), np.float32)
    precise = shape.utilities(weights, scores, inputs, shares, precise=True)
    assert precise.dtype == np.float32
    for child in range(5):
        for row in range(60):
            given = (weights[child].tolist(), float(scores[row]), inputs[row], shares[row])
            wanted = plain_hidden(*given, shape.hidden) if shape.hidden else plain_linear(*given)
            assert found[row, child] == pytest.approx(wanted, abs=2e-6)
            assert precise[row, child] == pytest.approx(wanted, abs=6e-7)


@pytest.mark.parametrize("shape", [LINEAR, HIDDEN], ids=["linear", "hidden"])
def test_chunks_change_nothing(shape, monkeypatch):
    weights = np.random.default_rng(1).standard_normal((3, shape.size))
    given = rows(500, shape)
    whole = shape.utilities(weights, *given)
    monkeypatch.setattr("cascade.business.shape._CHUNK_BYTES", 4_000)
    assert shape.utilities(weights, *given) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("shape", [LINEAR, HIDDEN], ids=["linear", "hidden"])
def test_the_start_gives_the_scores_bit_for_bit(shape):
    scores, inputs, shares = rows(1_000, shape)
    scores[:3] = [-0.0, 1e-45, -3e38]
    start = shape.start(7)
    other = start.copy()
    other[0] = 0.5
    found = shape.utilities(np.stack([other, start]), scores, inputs, shares)
    assert found[:, 1].tobytes() == scores.tobytes()
    assert np.ptp(found[:, 0] - scores) > 0.1
    precise = shape.utilities(start[None], scores, inputs, shares, precise=True)
    assert precise.tobytes() == scores.tobytes()
    assert start.tobytes() == shape.start(7).tobytes()
    assert start.tobytes() != shape.start(8).tobytes()


def test_a_preference_changes_what_an_input_is_worth():
    """With W alone, price counts for revenue and against relevance."""
    weights = np.zeros((1, LINEAR.size))
    weights[0, 0] = 1.0
    weights[0, 2 + 3 + 2 :].reshape(3, 2)[1] = [-0.5, 0.5]
    inputs = np.array([[0, 1, 0], [0, -1, 0]], dtype=np.float32)
    scores = np.zeros(2, dtype=np.float32)
    for shares, sign in (([1, 0], -1), ([0, 1], 1)):
        p = np.tile(np.array(shares, dtype=np.float32), (2, 1))
        found = LINEAR.utilities(weights, scores, inputs, p)[:, 0]
        assert found.tolist() == pytest.approx([sign * math.tanh(0.5), -sign * math.tanh(0.5)])


def test_parts_have_the_formulas_names():
    weights = np.arange(float(LINEAR.size))
    parts = LINEAR.parts(weights)
    assert (parts["c"], parts["b"]) == (0, 1)
    assert parts["wx"].tolist() == [2, 3, 4]
    assert parts["wp"].tolist() == [5, 6]
    assert parts["W"].tolist() == [[7, 8], [9, 10], [11, 12]]
    parts = HIDDEN.parts(np.arange(float(HIDDEN.size)))
    assert parts["v"].tolist() == [2, 3, 4, 5]
    assert parts["a0"].tolist() == [6, 7, 8, 9]
    assert (parts["Ax"].shape, parts["Ap"].shape) == ((3, 4), (2, 4))
    assert parts["Ap"][-1].tolist() == [26, 27, 28, 29]


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((("a",), ("b",), 0), "1 inputs, 1 objectives and 0 hidden units make 5 weights; accepted"),
        ((tuple(map(str, range(20))), ("b",), 40), "make 922 weights; accepted are 10 to 500"),
        (((), ("b",), 0), "inputs: there are none"),
        ((("a", "a"), ("b",), 0), "inputs: 'a' is named twice"),
        ((("a", "c"), ("b",), -1), "hidden: is -1; accepted is 0"),
    ],
)
def test_a_shape_that_cannot_be_used(shape, line):
    with pytest.raises(ConfigError, match=line):
        Shape(*shape)


def test_arrays_that_do_not_fit():
    scores, inputs, shares = rows(4, LINEAR)
    with pytest.raises(ValueError, match="accepted"):
        LINEAR.utilities(np.zeros((2, LINEAR.size)), scores, inputs[:, :2], shares)


def test_no_rows_and_no_children():
    scores, inputs, shares = rows(0, LINEAR)
    assert LINEAR.utilities(np.zeros((2, LINEAR.size)), scores, inputs, shares).shape == (0, 2)
    scores, inputs, shares = rows(3, LINEAR)
    assert LINEAR.utilities(np.zeros((0, LINEAR.size)), scores, inputs, shares).shape == (3, 0)
