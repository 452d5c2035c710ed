"""Learned policies as ONNX: one graph from scores, inputs and a preference to utilities."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cascade.business.guard import SurrogateGain
from cascade.business.inputs import PolicyInputs, objective_definition
from cascade.business.learned import (
    CARD,
    INPUTS,
    PREFERENCE,
    SCORES,
    UTILITY,
    Bounds,
    PolicyCard,
    policy_graph,
)
from cascade.business.objectives import BaseObjective
from cascade.business.shape import Shape
from cascade.errors import ExportError, OptionalDependencyError
from cascade.registry import CANDIDATE, LIVE, Bundle, Manifest, Registry
from cascade.training.parity import ParityProbe, ParityReport, check_parity, parity_rows
from cascade.training.ranker_graph import IR_VERSION, OPSET

if TYPE_CHECKING:
    from onnx import NodeProto

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
KIND = "policy"


@dataclass(frozen=True, kw_only=True)
class TrainedPolicy:
    """Hold a policy as a search leaves it, and what is kept with it.

    Attributes:
        shape: Which weights it has.
        weights: float64[size], the weights.
        inputs: What its inputs mean; their names are those of the shape.
        objectives: The declared objectives, by the names that the shape has.
        bounds: Within what it was accepted.
        gain: What the guard takes for a grade.
        points: The shares of each operating point, by its name.
        data: What it was trained on.
        training: The settings and the outcome of the search.
        measures: The measures it was accepted with.
        trained_queries: Digests of the query texts it has seen.
    """

    shape: Shape
    weights: Float64
    inputs: PolicyInputs
    objectives: tuple[BaseObjective, ...]
    bounds: Bounds
    gain: SurrogateGain = field(default_factory=SurrogateGain)
    points: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    trained_queries: tuple[str, ...] = ()

    def card(self) -> PolicyCard:
        """Return what the bundle says of it.

        Raises:
            QueryError: If an operating point has a share of no objective.
        """
        return PolicyCard(
            inputs=self.inputs.definitions(),
            fingerprint=self.inputs.fingerprint,
            objectives=self.shape.objectives,
            definitions={
                o.name: objective_definition(o)
                for o in self.objectives
                if o.name in self.shape.objectives
            },
            bounds=self.bounds,
            gain=self.gain,
            points=self.points,
            hidden=self.shape.hidden,
            weights=tuple(self.weights.tolist()),
        )


def save_policy(
    registry: Registry,
    name: str,
    policy: TrainedPolicy,
    scores: Float32,
    inputs: Float32,
    *,
    promote: bool = True,
) -> Bundle:
    """Export a policy, check its parity and write it as the candidate of a name.

    Args:
        registry: Where it goes.
        name: The bundle's name.
        policy: The policy.
        scores: float32[n], those of rows that it was trained on.
        inputs: float32[n, f], their inputs.
        promote: Whether it becomes the live one where there is none yet.

    Raises:
        ExportError: If the weights do not fit the shape, or the inputs do not.
        ParityError: If utilities differ between training and serving; nothing is written.
    """
    model = policy_to_onnx(policy.shape, policy.weights)
    parity = policy_parity(policy, model, scores, inputs, name=name)
    card = policy.card()

    def describe(version: int, sha256: str) -> Manifest:
        return Manifest(
            name=name,
            version=version,
            kind=KIND,
            features=[dict(definition) for definition in card.inputs],
            fingerprint=card.fingerprint,
            model_sha256=sha256,
            data=policy.data,
            training=policy.training,
            parity=asdict(parity),
            measures=policy.measures,
            trained_queries=list(policy.trained_queries),
            created=time.time(),
        )

    bundle = registry.save(model, describe, name, {CARD: card.written()})
    registry.point(name, CANDIDATE, bundle.manifest.version)
    if promote and LIVE not in registry.aliases(name):
        registry.point(name, LIVE, bundle.manifest.version)
    return bundle


def policy_parity(
    policy: TrainedPolicy,
    model: bytes,
    scores: Float32,
    inputs: Float32,
    *,
    seed: int = 0,
    name: str = "the policy",
) -> ParityReport:
    """Return how closely `Shape.utilities`, the graph and what would serve it agree.

    The probe's rows have scores and inputs of training rows, moved and knocked out as for any
    model, and each listing has a preference of its own, drawn evenly from those that sum to 1.

    Args:
        policy: The policy.
        model: Its graph.
        scores: float32[n].
        inputs: float32[n, f].
        seed: The same seed gives the same probe.
        name: What to call the policy in a message.

    Raises:
        ParityError: If they differ, or the rows are too few to tell.
    """
    probe = parity_rows(np.concatenate([scores[:, None], inputs], axis=1), seed=seed)
    listings = len(probe.offsets) - 1
    drawn = np.random.default_rng(seed).dirichlet(np.ones(len(policy.shape.objectives)), listings)
    shares = drawn.astype(np.float32)
    # A row always has a score; an absent input is 0 in training, and in the graph.
    given = np.nan_to_num(probe.matrix[:, 0], nan=0.0)
    absent = ParityProbe(np.column_stack([given, probe.matrix[:, 1:]]), probe.offsets)
    columns = absent.matrix[:, 1:]
    preferences = np.repeat(shares, np.diff(absent.offsets), axis=0)
    filled = np.nan_to_num(columns, nan=0.0)
    graph = policy_graph(model, policy.inputs)
    served = [
        graph.run(given[start:end], filled[start:end], share[None, :])
        for start, end, share in zip(absent.offsets, absent.offsets[1:], shares, strict=False)
    ]
    weights = policy.weights[None, :]
    native = policy.shape.utilities(weights, given, filled, preferences, precise=True)[:, 0]
    return check_parity(
        absent,
        native=native,
        onnx=graph.run(given, columns, preferences),
        served=np.concatenate(served),
        name=name,
    )


def policy_to_onnx(shape: Shape, weights: Float64) -> bytes:
    """Return the serialised ONNX model of a policy.

    It takes `scores` float32[n], `inputs` float32[n, f] and `preference` float32[m, p], where m
    is 1 or n, and gives `utility` float32[n]. A missing input counts as 0. Sums are made in
    float64, so that a row's utility is the same in any batch; with c = 0 it is the score.

    Args:
        shape: Which weights there are.
        weights: float64[size].

    Raises:
        ExportError: If there are other weights than the shape has, or one is not finite.
        OptionalDependencyError: `onnx` is not installed.
    """
    _check_weights(shape, weights)
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise OptionalDependencyError("onnx", "train") from error
    # Training multiplies by weights in float32: the graph has these very numbers.
    parts = shape.parts(weights.astype(np.float32).astype(np.float64))
    constants, net = (_hidden_net if shape.hidden else _linear_net)(parts)
    constants |= {"zero": np.float32(0.0), "c": parts["c"], "b": parts["b"]}
    constants |= {"last": np.array([1], np.int64)}
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        _nodes_around(net),
        KIND,
        [
            value(SCORES, TensorProto.FLOAT, ["n"]),
            value(INPUTS, TensorProto.FLOAT, ["n", len(shape.inputs)]),
            value(PREFERENCE, TensorProto.FLOAT, ["m", len(shape.objectives)]),
        ],
        [value(UTILITY, TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="cascade",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _check_weights(shape: Shape, weights: Float64) -> None:
    bad = np.count_nonzero(~np.isfinite(weights))
    if weights.shape != (shape.size,) or bad:
        raise ExportError(
            f"weights of the shape {weights.shape}, {bad} of them not finite; accepted: "
            f"{shape.size} finite ones"
        )


def _nodes_around(net: Sequence[NodeProto]) -> list[NodeProto]:
    """Return the nodes of `scores + c tanh(b + net)` in float64, missing inputs as 0."""
    from onnx import TensorProto, helper

    node = helper.make_node
    return [
        node("IsNaN", [INPUTS], ["absent"]),
        node("Where", ["absent", "zero", INPUTS], ["present"]),
        node("Cast", ["present"], ["x"], to=TensorProto.DOUBLE),
        node("Cast", [PREFERENCE], ["p"], to=TensorProto.DOUBLE),
        *net,
        node("Add", ["sum", "b"], ["net"]),
        node("Tanh", ["net"], ["bent"]),
        node("Mul", ["bent", "c"], ["column"]),
        node("Squeeze", ["column", "last"], ["change"]),
        node("Cast", [SCORES], ["s"], to=TensorProto.DOUBLE),
        node("Add", ["s", "change"], ["precise"]),
        node("Cast", ["precise"], [UTILITY], to=TensorProto.FLOAT),
    ]


def _linear_net(parts: Mapping[str, Float64]) -> tuple[dict[str, Any], list[NodeProto]]:
    """Return the constants and nodes of `wx . x + (wp + x W) . p`, [n, 1]."""
    from onnx import helper

    constants: dict[str, Any] = {
        "wx": parts["wx"].reshape(-1, 1),
        "wp": parts["wp"].reshape(1, -1),
        "W": parts["W"],
        "columns": np.array([1], np.int64),
    }
    node = helper.make_node
    return constants, [
        node("MatMul", ["x", "W"], ["worth"]),
        node("Add", ["worth", "wp"], ["worths"]),
        node("Mul", ["worths", "p"], ["preferred"]),
        node("ReduceSum", ["preferred", "columns"], ["by_preference"], keepdims=1),
        node("MatMul", ["x", "wx"], ["by_inputs"]),
        node("Add", ["by_inputs", "by_preference"], ["sum"]),
    ]


def _hidden_net(parts: Mapping[str, Float64]) -> tuple[dict[str, Any], list[NodeProto]]:
    """Return the constants and nodes of `v . tanh(a0 + Ax x + Ap p)`, [n, 1]."""
    from onnx import helper

    constants: dict[str, Any] = {
        "a0": parts["a0"].reshape(1, -1),
        "Ax": parts["Ax"],
        "Ap": parts["Ap"],
        "v": parts["v"].reshape(-1, 1),
    }
    node = helper.make_node
    return constants, [
        node("MatMul", ["x", "Ax"], ["from_inputs"]),
        node("MatMul", ["p", "Ap"], ["from_preference"]),
        node("Add", ["from_inputs", "from_preference"], ["both"]),
        node("Add", ["both", "a0"], ["reached"]),
        node("Tanh", ["reached"], ["units"]),
        node("MatMul", ["units", "v"], ["sum"]),
    ]
