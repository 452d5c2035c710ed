"""XGBoost trees as ONNX, read from the booster's own JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.errors import ExportError
from cascade.training.ensemble_onnx import Tree, ensemble_to_onnx, leaf_tree, split_points_of

# Their prediction is the margin itself, and `base_score` is kept in the margin's own unit.
IDENTITY_OBJECTIVES = frozenset(
    {
        "rank:map",
        "rank:ndcg",
        "rank:pairwise",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:squarederror",
    }
)
TREE_ARRAYS = (
    "left_children",
    "right_children",
    "split_conditions",
    "split_indices",
    "default_left",
)


def trees_to_onnx(raw: bytes, *, best_iteration: int | None) -> bytes:
    """Return the serialised ONNX model of an XGBoost booster.

    Args:
        raw: What `Booster.save_raw("json")` returns.
        best_iteration: The last boosting round (from 0) that counts; None means the one that
            early stopping left in the booster, or every round where it left none.

    Raises:
        ExportError: The booster is damaged, or has something that one sum of numeric trees
            cannot express: dart, gblinear, categorical splits, several outputs, an objective
            that transforms the margin.
        OptionalDependencyError: `onnx` is not installed.
    """
    booster = _booster(raw)
    kept = booster.trees[: _trees_kept(booster, best_iteration)]
    # A first tree of one leaf holds base_score: the sum then starts from it, as XGBoost's does,
    # and every partial sum rounds alike. `base_values` would be added last.
    return ensemble_to_onnx([leaf_tree(booster.base_score), *kept], booster.features)


def split_points(raw: bytes) -> list[NDArray[np.float32]]:
    """Return the sorted split conditions of each feature: f arrays of float32.

    Raises:
        ExportError: As `trees_to_onnx`.
    """
    booster = _booster(raw)
    return split_points_of(booster.trees, booster.features)


@dataclass(frozen=True, slots=True)
class _Booster:
    """What a booster's JSON says that matters for its scores."""

    trees: list[Tree]
    ends: list[int]  # how many trees stand before each boosting round, and after the last
    base_score: np.float32
    features: int
    stopped_at: int | None  # the best round, where early stopping left one


def _booster(raw: bytes) -> _Booster:
    """Return the parsed booster, or say why it is not one that can be exported."""
    try:
        learner = json.loads(bytes(raw))["learner"]
        _refuse_unsupported(learner)
        params, model = learner["learner_model_param"], learner["gradient_booster"]["model"]
        features = int(params["num_feature"])
        stopped_at = learner.get("attributes", {}).get("best_iteration")
        return _Booster(
            trees=[_tree(tree, i, features) for i, tree in enumerate(model["trees"])],
            ends=_round_ends(model),
            base_score=_base_score(params["base_score"]),
            features=features,
            stopped_at=None if stopped_at is None else int(stopped_at),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ExportError(
            f"{len(raw)} bytes that begin with {bytes(raw[:12])!r} are not a booster's JSON "
            f"({type(error).__name__}: {error}); accepted: the bytes of "
            'Booster.save_raw("json") of XGBoost 2 or later'
        ) from error


def _refuse_unsupported(learner: dict[str, Any]) -> None:
    """Raise, by name, for what one sum of numeric trees cannot express."""
    booster = learner["gradient_booster"]["name"]
    if booster != "gbtree":
        raise ExportError(
            f"booster {booster!r} cannot be exported; accepted: 'gbtree' (dart scales trees by "
            "dropout weights and gblinear has none: train with booster='gbtree')"
        )
    objective = learner["objective"]["name"]
    if objective not in IDENTITY_OBJECTIVES:
        raise ExportError(
            f"objective {objective!r} transforms or is not known to keep the sum of the trees; "
            f"accepted: {', '.join(sorted(IDENTITY_OBJECTIVES))}"
        )
    params = learner["learner_model_param"]
    trees = learner["gradient_booster"]["model"]["trees"]
    sizes = {int(tree["tree_param"].get("size_leaf_vector", 1)) for tree in trees}
    targets, classes = int(params.get("num_target", 1)), int(params.get("num_class", 0))
    if targets > 1 or classes > 1 or max(sizes, default=1) > 1:
        raise ExportError(
            f"the booster has several outputs (num_target {targets}, num_class {classes}, "
            f"size_leaf_vector {max(sizes, default=1)}); accepted: one output, so train one "
            "booster a target, without multi_strategy='multi_output_tree'"
        )
    for number, tree in enumerate(trees):
        if any(tree.get("split_type", ())) or len(tree.get("categories_nodes", ())):
            raise ExportError(
                f"tree {number} has a categorical split; accepted: numeric splits, so train "
                "with enable_categorical=False on codes or hashed crosses"
            )


def _base_score(given: Any) -> np.float32:  # noqa: ANN401
    """Return the margin that every score starts from: 0.5, "5E-1", "[5E-1]" and [0.5] are one."""
    value = given
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list):
        if len(value) != 1:
            raise ExportError(f"base_score is {given!r}; accepted: one number, for one output")
        value = value[0]
    base_score = np.float32(value)
    if not np.isfinite(base_score):
        raise ExportError(f"base_score is {given!r}; accepted: a finite float32 number")
    return base_score


def _round_ends(model: dict[str, Any]) -> list[int]:
    """Return how many trees stand before each boosting round, and after the last."""
    trees = len(model["trees"])
    ends = model.get("iteration_indptr")
    if ends is None:  # older files leave the boundaries to follow from the forest's size
        forest = max(1, int(model["gbtree_model_param"].get("num_parallel_tree", 1)))
        ends = list(range(0, trees + 1, forest))
    if ends[0] != 0 or ends[-1] != trees or sorted(ends) != ends:
        raise ExportError(
            f"{trees} trees do not fit the boosting rounds' boundaries (the last is {ends[-1]}); "
            "the booster's JSON is damaged, save it anew"
        )
    return [int(end) for end in ends]


def _trees_kept(booster: _Booster, best_iteration: int | None) -> int:
    """Return how many leading trees belong to rounds 0..best_iteration."""
    rounds = len(booster.ends) - 1
    chosen = booster.stopped_at if best_iteration is None else best_iteration
    if chosen is None:
        return len(booster.trees)
    if not 0 <= chosen < rounds:
        raise ExportError(
            f"best_iteration is {chosen} and the booster has {rounds} rounds; accepted: "
            f"0 to {rounds - 1}, or None for the round that early stopping chose"
        )
    return booster.ends[chosen + 1]


def _tree(tree: dict[str, Any], number: int, features: int) -> Tree:
    """Return one tree's reachable nodes; a pruned tree keeps deleted ones in its arrays."""
    left, right, conditions, columns, default_left = (np.asarray(tree[key]) for key in TREE_ARRAYS)
    count = len(left)
    if not count or {len(right), len(conditions), len(columns), len(default_left)} != {count}:
        raise ExportError(f"tree {number} is damaged: its arrays are empty or of unlike lengths")
    levels, level, seen = [], np.array([0]), 0
    while level.size:
        seen += level.size
        inner = level[left[level] >= 0]
        levels.append(level)
        level = np.concatenate([left[inner], right[inner]])
        if seen + level.size > count or (level.size and not 0 < level.min() <= level.max() < count):
            raise ExportError(f"tree {number} is damaged: a child is not a node below its parent")
    kept = np.concatenate(levels)
    numbers = np.full(count, -1)
    numbers[kept] = np.arange(len(kept))
    inner = left[kept] >= 0
    used = columns[kept][inner]
    if used.size and not 0 <= used.min() <= used.max() < features:
        raise ExportError(
            f"tree {number} splits on feature {used.max()}, the booster has {features}"
        )
    with np.errstate(over="ignore"):
        values = conditions[kept].astype(np.float32)
    if np.isnan(values).any() or not np.isfinite(values[~inner]).all():
        raise ExportError(f"tree {number} has a split condition or leaf that is not a number")
    return Tree(
        left=np.where(inner, numbers[left[kept]], -1),
        right=np.where(inner, numbers[right[kept]], -1),
        value=values,
        column=np.where(inner, columns[kept], 0),
        default_left=inner & (default_left[kept] != 0),
    )
