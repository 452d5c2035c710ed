"""What every ranker's ONNX graph keeps to: `features` float32[n, f] in, `score` float32[n] out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cascade.errors import OptionalDependencyError

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

INPUT = "features"
OUTPUT = "score"
OPSET = 17
ML_OPSET = 3
IR_VERSION = 8  # the one that came with opset 17, so that older runtimes load the file too


def ranker_graph(
    nodes: Sequence[NodeProto], initializers: Sequence[TensorProto], features: int
) -> bytes:
    """Return the serialised, checked model of nodes that lead from `features` to `score`.

    Missing values are NaN in the input. The same nodes give the same bytes.

    Args:
        nodes: The graph's nodes in topological order.
        initializers: Its constants.
        features: How many columns f the input has.

    Raises:
        OptionalDependencyError: `onnx` is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError as error:
        raise OptionalDependencyError("onnx", "train") from error
    graph = helper.make_graph(
        nodes,
        "ranker",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"])],
        initializers,
    )
    model = helper.make_model(
        graph,
        producer_name="cascade",
        ir_version=IR_VERSION,
        opset_imports=[
            helper.make_opsetid("", OPSET),
            helper.make_opsetid("ai.onnx.ml", ML_OPSET),
        ],
    )
    checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised
