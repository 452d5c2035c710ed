"""Tree ensembles as ONNX: one `TreeEnsembleRegressor` that follows the trees bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64
from cascade.errors import OptionalDependencyError
from cascade.training.ranker_graph import INPUT, OUTPUT, ranker_graph


@dataclass(frozen=True, slots=True)
class Tree:
    """Hold k nodes in columns, the root first; a row goes left where its value is below `value`.

    Attributes:
        left: int64[k], the left child, -1 in a leaf.
        right: int64[k], the right child, -1 in a leaf.
        value: float32[k], the split condition, or the leaf's weight.
        column: int64[k], the feature that is compared.
        default_left: bool[k], where a missing value goes.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float32]  # the split condition, or the leaf's weight
    column: NDArray[np.int64]
    default_left: NDArray[np.bool_]

    @staticmethod
    def joined(trees: Sequence[Tree]) -> Tree:
        """Return the nodes of all trees, one after the other; ids stay each tree's own."""
        return Tree(
            *(
                np.concatenate([getattr(tree, name) for tree in trees])
                for name in ("left", "right", "value", "column", "default_left")
            )
        )


def leaf_tree(weight: np.float32) -> Tree:
    """Return a tree that is one leaf."""
    none, nothing = np.array([-1]), np.array([0])
    return Tree(none, none, np.array([weight], np.float32), nothing, nothing.astype(np.bool_))


def below(thresholds: Float64) -> Float32:
    """Return the float32 bounds b for which `x < b` equals `x <= threshold` for every float32 x."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
        # The largest float32 that is not above the threshold, and then the next one.
        under = np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
        return np.nextafter(under, np.float32(np.inf)).astype(np.float32)


def split_points_of(trees: Sequence[Tree], features: int) -> list[Float32]:
    """Return the sorted split conditions of each feature: f arrays of float32."""
    if not trees:
        return [np.empty(0, dtype=np.float32) for _ in range(features)]
    nodes = Tree.joined(trees)
    inner = nodes.left >= 0
    columns, conditions = nodes.column[inner], nodes.value[inner]
    return [np.unique(conditions[columns == feature]) for feature in range(features)]


def ensemble_to_onnx(trees: Sequence[Tree], features: int) -> bytes:
    """Return the model whose score is the sum of the trees' leaves, in the order given.

    A comparison with NaN is false, so a missing value always takes a node's false branch. For a
    split that sends it right, that is `x < t`. One that sends it left reads the negated copy of
    the column, with its branches swapped: `x >= t` equals `-x <= -t`, which in float32 equals
    `-x < the next number above -t`. All nodes then have one mode and no
    `nodes_missing_value_tracks_true`, which is the runtime's fast path.
    """
    try:
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise OptionalDependencyError("onnx", "train") from error
    nodes = Tree.joined(trees)
    sizes = [len(tree.left) for tree in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    leaf, flipped = nodes.left < 0, nodes.default_left
    with np.errstate(over="ignore"):
        above = np.nextafter(-nodes.value, np.float32(np.inf))
    thresholds = np.where(leaf, np.float32(0), np.where(flipped, above, nodes.value))
    on_true = np.where(leaf, 0, np.where(flipped, nodes.right, nodes.left))
    on_false = np.where(leaf, 0, np.where(flipped, nodes.left, nodes.right))
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["both"],
        ["sums"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_featureids=(nodes.column + features * flipped).tolist(),
        nodes_values=thresholds.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LT").tolist(),
        nodes_truenodeids=on_true.tolist(),
        nodes_falsenodeids=on_false.tolist(),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=nodes.value[leaf].tolist(),
    )
    graph = [
        helper.make_node("Neg", [INPUT], ["negated"]),
        helper.make_node("Concat", [INPUT, "negated"], ["both"], axis=1),
        ensemble,
        helper.make_node("Squeeze", ["sums", "columns"], [OUTPUT]),
    ]
    columns = numpy_helper.from_array(np.array([1], np.int64), "columns")
    return ranker_graph(graph, [columns], features)
