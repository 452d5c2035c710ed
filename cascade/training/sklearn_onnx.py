"""Scikit-learn's tree ensembles as ONNX, read from the fitted estimators."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade.candidates import Float32
from cascade.errors import ExportError
from cascade.training.ensemble_onnx import (
    Tree,
    below,
    ensemble_to_onnx,
    leaf_tree,
    split_points_of,
)

FORESTS = ("ExtraTreesRegressor", "RandomForestRegressor")
ACCEPTED = (
    "DecisionTreeRegressor",
    "ExtraTreesRegressor",
    "GradientBoostingRegressor",
    "HistGradientBoostingRegressor",
    "RandomForestRegressor",
)


def sklearn_to_onnx(model: Any) -> bytes:  # noqa: ANN401  (a lazy import)
    """Return the serialised ONNX model of a fitted scikit-learn regressor over trees.

    Scikit-learn compares float32 values with float64 thresholds by `<=`; each threshold becomes
    the float32 bound that parts the float32 values alike.

    Args:
        model: One of `ACCEPTED`, fitted, with one output.

    Raises:
        ExportError: If it is another model, has several outputs or categorical splits.
        OptionalDependencyError: If `onnx` is not installed.
    """
    return ensemble_to_onnx(_trees(model), int(model.n_features_in_))


def sklearn_split_points(model: Any) -> list[Float32]:  # noqa: ANN401  (a lazy import)
    """Return the sorted split conditions of each feature: f arrays of float32.

    Raises:
        ExportError: As `sklearn_to_onnx`.
    """
    return split_points_of(_trees(model), int(model.n_features_in_))


def _trees(model: Any) -> list[Tree]:  # noqa: ANN401
    kind = type(model).__name__
    if kind not in ACCEPTED or not hasattr(model, "n_features_in_"):
        what = "is not fitted" if kind in ACCEPTED else "is no tree regressor"
        raise ExportError(f"{kind} {what}; accepted, fitted: {', '.join(ACCEPTED)}")
    if kind == "HistGradientBoostingRegressor":
        return _histogram_trees(model)
    if int(getattr(model, "n_outputs_", 1)) != 1:
        raise ExportError(f"{kind} has {model.n_outputs_} outputs; accepted: one")
    if kind == "DecisionTreeRegressor":
        return [_tree(model.tree_, 1.0)]
    if kind in FORESTS:
        share = 1.0 / len(model.estimators_)
        return [_tree(estimator.tree_, share) for estimator in model.estimators_]
    start = model.init_ if model.init_ == "zero" else model.init_.constant_.item()
    base = leaf_tree(np.float32(0.0 if start == "zero" else start))
    rate = float(model.learning_rate)
    return [base, *(_tree(estimator.tree_, rate) for estimator in model.estimators_[:, 0])]


def _tree(tree: Any, scale: float) -> Tree:  # noqa: ANN401
    inner = np.asarray(tree.children_left) >= 0
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(inner)))
    leaves = np.asarray(tree.value)[:, 0, 0] * scale
    return Tree(
        left=np.where(inner, tree.children_left, -1).astype(np.int64),
        right=np.where(inner, tree.children_right, -1).astype(np.int64),
        value=np.where(inner, below(np.asarray(tree.threshold)), leaves.astype(np.float32)),
        column=np.where(inner, tree.feature, 0).astype(np.int64),
        default_left=inner & (np.asarray(missing) != 0),
    )


def _histogram_trees(model: Any) -> list[Tree]:  # noqa: ANN401
    # There is no public way to the nodes; skl2onnx reads the same attributes.
    rounds = model._predictors
    if any(len(trees) != 1 for trees in rounds):
        raise ExportError("HistGradientBoostingRegressor has several outputs; accepted: one")
    found = [leaf_tree(np.float32(np.asarray(model._baseline_prediction).item()))]
    for number, (predictor,) in enumerate(rounds):
        nodes = predictor.nodes
        inner = nodes["is_leaf"] == 0
        if nodes["is_categorical"][inner].any():
            raise ExportError(
                f"tree {number} has a categorical split; accepted: numeric splits, so train "
                "without categorical_features on codes or hashed crosses"
            )
        found.append(
            Tree(
                left=np.where(inner, nodes["left"].astype(np.int64), -1),
                right=np.where(inner, nodes["right"].astype(np.int64), -1),
                value=np.where(
                    inner, below(nodes["num_threshold"]), nodes["value"].astype(np.float32)
                ),
                column=np.where(inner, nodes["feature_idx"].astype(np.int64), 0),
                default_left=inner & (nodes["missing_go_to_left"] != 0),
            )
        )
    return found
