"""Linear rankers as ONNX: imputation, normalisation and clipping happen inside the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.errors import ExportError, OptionalDependencyError
from cascade.training.ranker_graph import INPUT, OUTPUT, ranker_graph

Vector = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Hold a linear ranker: `bias + clip((x - mean) / scale, -limit, limit) . weights`.

    Every score is finite, for infinite inputs too, because each normalised value is clipped.

    Attributes:
        weights: float[f], of the normalised features.
        bias: Added to every score.
        mean: float[f], subtracted from each feature.
        scale: float[f], above 0; give a constant feature the scale 1 and the weight 0.
        fill: float[f], what stands for a missing value (NaN), in the feature's own unit.
        limit: Where normalised values are clipped, in scales (standard deviations).

    Raises:
        ExportError: Lengths differ, a number is not finite, a scale or the limit is not
            positive, or scores could leave the range of float32.
    """

    weights: Vector
    bias: float
    mean: Vector
    scale: Vector
    fill: Vector
    limit: float = 10.0

    def __post_init__(self) -> None:
        shape = np.shape(self.weights)
        if len(shape) != 1 or not shape[0]:
            raise ExportError(f"weights have the shape {shape}; accepted: one weight a feature")
        for name in ("weights", "mean", "scale", "fill"):
            _refuse_vector(name, getattr(self, name), shape[0])
        if not self.limit > 0 or not np.isfinite(np.float32(self.limit)):
            raise ExportError(
                f"limit is {self.limit}; accepted: a positive, finite number of standard "
                "deviations (a large one to leave values unclipped)"
            )
        reach = self.limit * float(np.abs(self.weights).sum(dtype=np.float64)) + abs(self.bias)
        if not reach < float(np.finfo(np.float32).max):
            raise ExportError(
                f"scores could reach {reach:.3g} with bias {self.bias}, which float32 cannot "
                "hold; lower the limit or fit the weights anew with more regularisation"
            )

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[n], the scores of float32[n, f] computed by numpy."""
        mean, scale, fill = (np.asarray(v, np.float32) for v in (self.mean, self.scale, self.fill))
        limit = np.float32(self.limit)
        with np.errstate(over="ignore"):
            deviations = (np.where(np.isnan(matrix), fill, matrix) - mean) / scale
        clipped = np.clip(deviations, -limit, limit).astype(np.float64)
        sums: NDArray[np.float64] = clipped @ np.asarray(self.weights, np.float64)
        return (sums + self.bias).astype(np.float32)


def linear_to_onnx(model: LinearModel) -> bytes:
    """Return the serialised ONNX model of a linear ranker.

    The dot product is a `MatMul` in float64: each row's sum is then the same float32 for any
    batch, where `Einsum`, `Gemm` and `ReduceSum` in float32 change with the number of rows.

    Raises:
        OptionalDependencyError: `onnx` is not installed.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise OptionalDependencyError("onnx", "train") from error
    constants: dict[str, NDArray[Any]] = {
        "fill": np.asarray(model.fill, np.float32),
        "mean": np.asarray(model.mean, np.float32),
        "scale": np.asarray(model.scale, np.float32),
        "lowest": np.array(-model.limit, np.float32),
        "highest": np.array(model.limit, np.float32),
        "weights": np.asarray(model.weights, np.float64).reshape(-1, 1),
        "bias": np.array(model.bias, np.float64),
        "columns": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("IsNaN", [INPUT], ["missing"]),
        helper.make_node("Where", ["missing", "fill", INPUT], ["filled"]),
        helper.make_node("Sub", ["filled", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["deviations"]),
        helper.make_node("Clip", ["deviations", "lowest", "highest"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["precise"], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", ["precise", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["scores"], to=TensorProto.FLOAT),
        helper.make_node("Squeeze", ["scores", "columns"], [OUTPUT]),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return ranker_graph(nodes, initializers, len(model.weights))


def _refuse_vector(name: str, vector: Vector, features: int) -> None:
    """Raise where one of the model's vectors has a wrong length or an unusable number."""
    if np.shape(vector) != (features,):
        raise ExportError(
            f"{name} has the shape {np.shape(vector)}, the weights have ({features},); "
            "accepted: one number a feature"
        )
    with np.errstate(over="ignore"):
        narrowed = np.asarray(vector, np.float32)
    wrong = ~np.isfinite(narrowed)
    if name == "scale":
        wrong |= narrowed <= 0
    if wrong.any():
        at = int(np.argmax(wrong))
        accepted = "positive float32 numbers" if name == "scale" else "finite float32 numbers"
        raise ExportError(
            f"{name}[{at}] is {vector[at]}; accepted: {accepted}. Give a feature that is "
            "constant or always missing the mean 0, the scale 1, the fill 0 and the weight 0"
        )
