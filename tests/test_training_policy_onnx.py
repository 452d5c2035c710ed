"""The export of a policy: the graph's utilities are those of training, and the bundle says all."""

import json
from dataclasses import replace

import memory_policy
import numpy as np
import onnx
import pytest

from cascade.business.learned import CARD, policy_graph, read_card
from cascade.errors import ExportError, ParityError, QueryError
from cascade.registry import CANDIDATE, LIVE, Registry
from cascade.training.policy_onnx import policy_parity, policy_to_onnx, save_policy


@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_parity(hidden, seed):
    policy = memory_policy.trained(hidden, scale=3.0, seed=seed)
    model = policy_to_onnx(policy.shape, policy.weights)
    report = policy_parity(policy, model, *memory_policy.rows(), seed=seed)
    assert report.rows == 10_000
    assert report.missing_rows > 500
    assert report.max_absolute <= 1e-5


@pytest.mark.parametrize("hidden", [0, 6])
def test_one_preference_for_all_rows_is_one_for_each(hidden):
    policy = memory_policy.trained(hidden)
    graph = policy_graph(policy_to_onnx(policy.shape, policy.weights), policy.inputs)
    scores, inputs = memory_policy.rows()
    shares = np.array([[0.5, 0.3, 0.2]], dtype=np.float32)
    once = graph.run(scores, inputs, shares)
    assert once.tobytes() == graph.run(scores, inputs, np.repeat(shares, 300, axis=0)).tobytes()
    # A row's utility does not depend on those beside it.
    alone = [graph.run(scores[i : i + 1], inputs[i : i + 1], shares)[0] for i in range(50)]
    assert once[:50].tolist() == alone
    assert graph.run(scores[:0], inputs[:0], shares).shape == (0,)


@pytest.mark.parametrize("hidden", [0, 6])
def test_a_scale_of_0_gives_the_scores_bit_for_bit(hidden):
    policy = memory_policy.trained(hidden, scale=0.0)
    graph = policy_graph(policy_to_onnx(policy.shape, policy.weights), policy.inputs)
    scores, inputs = memory_policy.rows()
    shares = np.array([[0.5, 0.3, 0.2]], dtype=np.float32)
    assert graph.run(scores, inputs, shares).tobytes() == scores.tobytes()


def test_a_damaged_graph_is_refused():
    policy = memory_policy.trained()
    weights = policy.weights.copy()
    weights[4] += 0.01
    other = policy_to_onnx(policy.shape, weights)
    with pytest.raises(ParityError, match="scores differ"):
        policy_parity(policy, other, *memory_policy.rows())


def test_the_graph_is_checked_and_the_same_each_time():
    policy = memory_policy.trained()
    model = policy_to_onnx(policy.shape, policy.weights)
    assert model == policy_to_onnx(policy.shape, policy.weights)
    graph = onnx.load_from_string(model).graph
    assert [i.name for i in graph.input] == ["scores", "inputs", "preference"]
    assert [o.name for o in graph.output] == ["utility"]


@pytest.mark.parametrize("weights", [np.zeros(3), np.full(30, np.nan)])
def test_weights_that_do_not_fit(weights):
    with pytest.raises(ExportError, match="accepted"):
        policy_to_onnx(memory_policy.trained().shape, weights)


class TestSaved:
    def test_a_bundle_as_any_other(self, tmp_path):
        registry, policy = Registry(tmp_path), memory_policy.trained()
        bundle = save_policy(registry, "shop-policy", policy, *memory_policy.rows())
        assert registry.aliases("shop-policy") == {CANDIDATE: 1, LIVE: 1}
        again = registry.load("shop-policy")
        assert again.manifest.kind == "policy"
        assert again.manifest.fingerprint == policy.inputs.fingerprint
        assert again.manifest.parity["max_absolute"] <= 1e-5
        assert json.loads(again.files[CARD])["points"] == memory_policy.POINTS
        card = read_card(again.files[CARD], bundle.label)
        assert card == replace(policy.card(), inputs=card.inputs)
        assert list(card.inputs) == list(policy.card().inputs)
        # A second version does not become the live one by itself.
        save_policy(registry, "shop-policy", policy, *memory_policy.rows())
        assert registry.aliases("shop-policy") == {CANDIDATE: 2, LIVE: 1}

    def test_nothing_is_written_where_a_point_names_no_objective(self, tmp_path):
        policy = memory_policy.trained(points={"odd": {"revenues": 1.0}})
        with pytest.raises(QueryError, match="'revenues' is no objective"):
            save_policy(Registry(tmp_path), "p", policy, *memory_policy.rows())
        assert Registry(tmp_path).names() == []
