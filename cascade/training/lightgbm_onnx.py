"""LightGBM trees as ONNX, read from the booster's own dump."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade.candidates import Float32, Float64
from cascade.errors import ExportError
from cascade.training.ensemble_onnx import Tree, below, ensemble_to_onnx, split_points_of

_MISSING = ("None", "NaN")
# LightGBM reads a value no further from 0 than this as 0 (`kZeroThreshold`).
_ZERO = np.float32(1e-35)


def lightgbm_to_onnx(dump: Mapping[str, Any]) -> bytes:
    """Return the serialised ONNX model of a LightGBM booster.

    LightGBM compares in float64 and sends a value left that is `<=` its threshold; each threshold
    becomes the float32 bound that parts the float32 values alike.

    Args:
        dump: What `Booster.dump_model(num_iteration=...)` returns.

    Raises:
        ExportError: If it has something that one sum of numeric trees cannot express: categorical
            or linear splits, several outputs, averaged trees, zero read as missing.
        OptionalDependencyError: If `onnx` is not installed.
    """
    return ensemble_to_onnx(_trees(dump), _width(dump))


def lightgbm_split_points(dump: Mapping[str, Any]) -> list[Float32]:
    """Return the sorted split conditions of each feature: f arrays of float32.

    Raises:
        ExportError: As `lightgbm_to_onnx`.
    """
    return split_points_of(_trees(dump), _width(dump))


def _width(dump: Mapping[str, Any]) -> int:
    return int(dump["max_feature_idx"]) + 1


def _trees(dump: Mapping[str, Any]) -> list[Tree]:
    outputs = int(dump.get("num_tree_per_iteration", 1))
    if outputs != 1 or dump.get("average_output"):
        told = "averages its trees (boosting 'rf')" if outputs == 1 else f"has {outputs} outputs"
        raise ExportError(
            f"the booster {told}; accepted: one output that is the sum of its trees, such as "
            "objective 'lambdarank' with boosting 'gbdt'"
        )
    trees = [_tree(info, number) for number, info in enumerate(dump["tree_info"])]
    if not trees:
        raise ExportError("the booster has no tree; train it for a round or more")
    return trees


def _tree(info: Mapping[str, Any], number: int) -> Tree:
    if info.get("num_cat"):
        raise ExportError(
            f"tree {number} has a categorical split; accepted: numeric splits, so train without "
            "categorical_feature on codes or hashed crosses"
        )
    nodes: list[Mapping[str, Any]] = [info["tree_structure"]]
    left, right = [-1], [-1]
    # Breadth first: the list grows while it is read.
    for at, node in enumerate(nodes):
        if "leaf_const" in node or "leaf_coeff" in node:
            raise ExportError(f"tree {number} has linear leaves; train with linear_tree=false")
        if "split_feature" not in node:
            continue
        if node["decision_type"] != "<=" or node["missing_type"] not in _MISSING:
            raise ExportError(
                f"tree {number} splits by {node['decision_type']!r} with missing values as "
                f"{node['missing_type']!r}; accepted are '<=' and missing values as "
                f"{' or '.join(_MISSING)}, so train with zero_as_missing=false"
            )
        left[at], right[at] = len(nodes), len(nodes) + 1
        nodes += [node["left_child"], node["right_child"]]
        left += [-1, -1]
        right += [-1, -1]
    inner = np.array(left) >= 0
    thresholds = np.array([float(node.get("threshold", 0.0)) for node in nodes])
    leaves = np.array([float(node.get("leaf_value", 0.0)) for node in nodes])
    return Tree(
        left=np.array(left),
        right=np.array(right),
        value=np.where(inner, _bounds(thresholds), leaves.astype(np.float32)),
        column=np.array([int(node.get("split_feature", 0)) for node in nodes]),
        default_left=np.array([_missing_left(node) for node in nodes]),
    )


def _bounds(thresholds: Float64) -> Float32:
    """Return float32 bounds that send everything that is read as 0 to the side of 0."""
    bounds, zero_left = below(thresholds), thresholds >= 0.0
    just_above = np.nextafter(_ZERO, np.float32(np.inf))
    return np.where(zero_left, np.maximum(bounds, just_above), np.minimum(bounds, -_ZERO))


def _missing_left(node: Mapping[str, Any]) -> bool:
    """Return where a missing value goes; a split that saw none reads it as 0."""
    if "split_feature" not in node:
        return False
    if node["missing_type"] == "None":
        return float(node["threshold"]) >= 0.0
    return bool(node["default_left"])
