"""Fitting rankers: pairwise logistic regression and boosted trees, each exported to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from cascade.candidates import Float32, Float64, Int64
from cascade.errors import InputError, OptionalDependencyError
from cascade.training.dataset import Dataset
from cascade.training.external import beyond_memory, external_matrices, within_memory
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from cascade.training.trees_onnx import split_points, trees_to_onnx

CLIP_DEVIATIONS = 5.0
PAIRS_PER_ROW = 8
FEW_LISTINGS = 40
SMALL_VALUES = 10_000_000
FOLDS = 5
MEMORY_MB = 4_096

Losses = Callable[[Float64], tuple[float, Float64]]


@dataclass(frozen=True)
class Fit:
    """Hold a fitted model.

    Attributes:
        onnx: The exported graph.
        predict: float32[n, f] to float32[n], by the code that trained it.
        splits: The split points of each feature, for a probe that lies on them, if it has any.
        summary: What the fit says of itself: iterations, losses, importances.
    """

    onnx: bytes
    predict: Callable[[Float32], Float32]
    splits: Sequence[Float32] | None
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class LinearOptions:
    """Say how a linear ranker is fitted."""

    l2: float = 1e-3
    iterations: int = 200
    seed: int = 0
    loss: Literal["pairwise", "logistic"] = "pairwise"
    memory_mb: int = MEMORY_MB


@dataclass(frozen=True)
class TreeOptions:
    """Say how boosted trees are fitted; names are those of the settings."""

    rounds: int = 300
    depth: int = 6
    learning_rate: float = 0.1
    min_child_weight: float = 1.0
    row_share: float = 1.0
    column_share: float = 0.8
    l2: float = 1.0
    early_stopping: int = 30
    gain: Literal["linear", "exponential"] = "linear"
    seed: int = 0
    threads: int = 0
    memory_mb: int = MEMORY_MB


def fit_linear(train: Dataset, options: LinearOptions) -> Fit:
    """Fit weights by a logistic loss on standardised features, of pairs or of single rows.

    Pairwise it is RankNet's loss (Burges et al., "Learning to Rank using Gradient Descent", ICML
    2005): pairs are drawn within listings and weighed by the difference of their grades. Row by
    row, a grade over the highest one is the chance that a row is relevant.

    Args:
        train: The rows.
        options: How.
    """
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise OptionalDependencyError("scipy", "train") from None
    dataset = teaching(within_memory(train, options.memory_mb, options.seed))
    fill, mean, scale = _standardisation(dataset.matrix)
    rows = _standardised(dataset.matrix, fill, mean, scale)
    by_pairs = options.loss == "pairwise"
    losses = _pair_losses(dataset, options.seed) if by_pairs else _row_losses(dataset)
    width = rows.shape[1]

    # The last entry is the bias, which pairs of one listing do not move.
    def loss(solution: Float64) -> tuple[float, Float64]:
        weights = solution[:width]
        value, per_row = losses(rows @ weights + solution[width])
        slope = per_row @ rows + 2 * options.l2 * weights
        bias_slope = 0.0 if by_pairs else float(per_row.sum())
        return value + options.l2 * float(weights @ weights), np.append(slope, bias_slope)

    found = minimize(
        loss,
        np.zeros(width + 1),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": options.iterations},
    )
    weights, bias = found.x[:width].astype(np.float32), np.float32(found.x[width])
    model = LinearModel(
        weights=weights,
        bias=float(bias),
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        fill=fill.astype(np.float32),
        limit=CLIP_DEVIATIONS,
    )

    def predict(probe: Float32) -> Float32:
        scores = _standardised(probe, fill, mean, scale) @ weights + bias
        return np.asarray(scores, dtype=np.float32)

    summary = {
        "loss": float(found.fun),
        "iterations": int(found.nit),
        "weights": largest(train.names, weights),
    }
    return Fit(linear_to_onnx(model), predict, None, summary)


def fit_trees(train: Dataset, validation: Dataset, options: TreeOptions) -> Fit:
    """Fit boosted trees by `rank:ndcg`, as many as held-out listings ask for.

    With `FEW_LISTINGS` validation listings or more, training stops early on them. With fewer,
    their nDCG is mostly noise: the number of trees is then the best of a cross-validation over
    all listings, and the trees are fitted on all of them.

    Args:
        train: The rows.
        validation: Listings that training does not see.
        options: How.
    """
    try:
        import xgboost
    except ImportError:
        raise OptionalDependencyError("xgboost", "train") from None
    train, validation = (gained(dataset, options.gain) for dataset in (train, validation))
    beyond, held = beyond_memory(train, options.memory_mb), validation.informative()
    # To leave out the listings of one grade would read all rows into memory.
    fitted = train if beyond else teaching(train)
    if len(held.query_ids) >= (1 if beyond else FEW_LISTINGS):
        booster, curve = _boosted(xgboost, fitted, held, options, options.early_stopping)
        best = int(np.argmax(curve))
    else:
        fitted = fitted.followed_by(held)
        curve = _cross_validated(xgboost, fitted, options)
        best = int(np.argmax(curve))
        booster, _ = _boosted(xgboost, fitted, None, replace(options, rounds=best + 1), None)
    raw = bytes(booster.save_raw("json"))
    kept = booster[: best + 1]

    def predict(probe: Float32) -> Float32:
        margin = kept.inplace_predict(probe, missing=np.nan, predict_type="margin")
        return np.asarray(margin, dtype=np.float32)

    gains = kept.get_score(importance_type="total_gain")
    importance = np.array([gains.get(f"f{i}", 0.0) for i in range(len(train.names))])
    summary: dict[str, Any] = {
        "trees": best + 1,
        "gain": largest(train.names, importance / max(importance.sum(), 1e-9)),
        "held_out_ndcg@10": float(curve[best]),
        "held_out": "validation" if len(held.query_ids) >= FEW_LISTINGS else "cross-validation",
    }
    return Fit(trees_to_onnx(raw, best_iteration=best), predict, split_points(raw), summary)


def _boosted(
    xgboost: Any,  # noqa: ANN401  (a lazy import)
    train: Dataset,
    held: Dataset | None,
    options: TreeOptions,
    patience: int | None,
) -> tuple[Any, Float64]:
    """Return a booster, and its nDCG@10 on the held-out listings after each tree."""
    history: dict[str, dict[str, list[float]]] = {}
    # Rows in the order that was shown let it find the bias of ranks (Hu et al., WWW 2019).
    unbiased = {"lambdarank_unbiased": train.positions is not None}
    with _matrices(xgboost, [train] if held is None else [train, held], options) as matrices:
        booster = xgboost.train(
            _parameters(options, train.matrix.size) | unbiased,
            matrices[0],
            options.rounds,
            evals=[(matrix, "held") for matrix in matrices[1:]],
            early_stopping_rounds=patience,
            evals_result=history,
            verbose_eval=False,
        ).copy()  # The one that was trained holds on to its rows.
    return booster, np.array(history["held"]["ndcg@10"] if held is not None else [])


@contextmanager
def _matrices(
    xgboost: Any,  # noqa: ANN401  (a lazy import)
    datasets: Sequence[Dataset],
    options: TreeOptions,
) -> Iterator[list[Any]]:
    """Give XGBoost's form of datasets: in memory, or on disk where the first is beyond it."""
    if beyond_memory(datasets[0], options.memory_mb):
        with external_matrices(xgboost, datasets) as made:
            yield made
    else:
        yield [_group_matrix(xgboost, dataset) for dataset in datasets]


def _cross_validated(xgboost: Any, dataset: Dataset, options: TreeOptions) -> Float64:  # noqa: ANN401
    """Return the mean nDCG@10 of left-out listings after each tree, smoothed over rounds."""
    count = len(dataset.query_ids)
    folds = np.random.default_rng(options.seed).permutation(count) % min(FOLDS, count)
    curves = []
    for fold in np.unique(folds):
        inside = folds == fold
        if inside.all():
            continue
        _, curve = _boosted(xgboost, dataset.select(~inside), dataset.select(inside), options, None)
        curves.append(curve * inside.sum() / count)
    if not curves:
        return np.zeros(options.rounds)
    mean = np.sum(curves, axis=0)
    # A single round's peak is luck; its neighbourhood is not.
    width = max(1, options.rounds // 15)
    padded = np.pad(mean, width, mode="edge")
    return np.convolve(padded, np.full(2 * width + 1, 1 / (2 * width + 1)), mode="valid")


def _parameters(options: TreeOptions, values: int) -> dict[str, Any]:
    """Return XGBoost's parameters for a matrix of so many values."""
    return {
        "objective": "rank:ndcg",
        "eval_metric": "ndcg@10",
        # Grades are gains by now: XGBoost takes an exponent of whole numbers alone.
        "ndcg_exp_gain": False,
        "lambdarank_pair_method": "topk",
        "lambdarank_num_pair_per_sample": 16,
        "tree_method": "hist",
        "max_depth": options.depth,
        "eta": options.learning_rate,
        "min_child_weight": options.min_child_weight,
        "subsample": options.row_share,
        "colsample_bytree": options.column_share,
        "lambda": options.l2,
        "seed": options.seed,
        "nthread": options.threads or threads_for(values),
    }


def threads_for(values: int) -> int:
    """Return how many threads XGBoost fits a matrix of so many values with; 0 means one a core.

    On little data a second thread costs more than it gives.
    """
    return 1 if values < SMALL_VALUES else 0


def gained(dataset: Dataset, gain: Literal["linear", "exponential"]) -> Dataset:
    """Return the dataset with the gain of each grade in its place: the grade, or 2^grade - 1."""
    if gain == "linear":
        return dataset
    return replace(dataset, grades=np.exp2(dataset.grades) - np.float32(1.0))


def teaching(train: Dataset) -> Dataset:
    """Return the listings that teach an order.

    Raises:
        InputError: If there is none.
    """
    dataset = train.informative()
    if not len(dataset):
        raise InputError(
            "no query has rows of more than one grade among what was retrieved: nothing can be "
            "learned. Check that the judgments' document ids are those of the index"
        )
    return dataset


def _group_matrix(xgboost: Any, dataset: Dataset) -> Any:  # noqa: ANN401  (a lazy import)
    matrix = xgboost.DMatrix(dataset.matrix, label=dataset.grades, missing=np.nan)
    matrix.set_group(np.diff(dataset.offsets))
    if dataset.weights is not None:
        matrix.set_weight(dataset.weights)
    return matrix


def _standardisation(matrix: Float32) -> tuple[Float64, Float64, Float64]:
    """Return the fill, mean and scale of each feature; a constant one has scale 1."""
    finite = np.where(np.isfinite(matrix), matrix, np.nan).astype(np.float64)
    known = np.isfinite(finite).any(axis=0)
    fill = np.zeros(matrix.shape[1])
    fill[known] = np.nanmedian(finite[:, known], axis=0)
    filled = np.where(np.isnan(finite), fill, finite)
    mean = filled.mean(axis=0)
    scale = filled.std(axis=0)
    scale[scale < 1e-6 * np.maximum(1.0, np.abs(mean))] = 1.0
    return fill, mean, scale


def _standardised(matrix: Float32, fill: Float64, mean: Float64, scale: Float64) -> Float64:
    filled = np.where(np.isnan(matrix), fill.astype(np.float32), matrix).astype(np.float64)
    standard = (filled - mean.astype(np.float32)) / scale.astype(np.float32)
    return np.clip(standard, -CLIP_DEVIATIONS, CLIP_DEVIATIONS)


def _pair_losses(dataset: Dataset, seed: int) -> Losses:
    """Return what gives the mean loss of drawn pairs, and its slope by each row's score."""
    better, worse, weight = _pairs(dataset, seed)
    weight = weight / weight.sum()

    def losses(scores: Float64) -> tuple[float, Float64]:
        margin = scores[better] - scores[worse]
        value = float(weight @ np.logaddexp(0.0, -margin))
        pull = -weight / (1.0 + np.exp(np.clip(margin, -500, 500)))
        count = len(scores)
        up: Float64 = np.bincount(better, pull, count).astype(np.float64)
        return value, up - np.bincount(worse, pull, count)

    return losses


def _row_losses(dataset: Dataset) -> Losses:
    """Return what gives the mean loss of rows, and its slope by each row's score."""
    lengths = np.diff(dataset.offsets)
    of_listing = np.ones(len(lengths)) if dataset.weights is None else dataset.weights
    # Every listing counts alike, however many rows of it were judged.
    weight = np.repeat(of_listing / np.maximum(lengths, 1), lengths).astype(np.float64)
    weight /= weight.sum()
    wanted = dataset.grades.astype(np.float64) / float(dataset.grades.max())

    def losses(scores: Float64) -> tuple[float, Float64]:
        value = float(weight @ (np.logaddexp(0.0, scores) - wanted * scores))
        return value, weight * (1.0 / (1.0 + np.exp(-np.clip(scores, -500, 500))) - wanted)

    return losses


def _pairs(dataset: Dataset, seed: int) -> tuple[Int64, Int64, Float64]:
    """Draw pairs of rows of one listing with different grades, the better one first."""
    rng = np.random.default_rng(seed)
    lengths = np.diff(dataset.offsets)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    first = np.repeat(np.arange(len(dataset)), PAIRS_PER_ROW)
    span = lengths[owners[first]]
    second = dataset.offsets[owners[first]] + (rng.random(len(first)) * span).astype(np.int64)
    gap = dataset.grades[first] - dataset.grades[second]
    better = np.where(gap > 0, first, second)[gap != 0]
    worse = np.where(gap > 0, second, first)[gap != 0]
    # Every listing counts alike, however many rows of it were judged.
    pairs = np.bincount(owners[better], minlength=len(lengths))
    weight = np.abs(gap[gap != 0]).astype(np.float64) / pairs[owners[better]]
    if dataset.weights is not None:
        weight *= dataset.weights[owners[better]]
    return better, worse, weight


def largest(names: tuple[str, ...], values: Float32 | Float64, most: int = 15) -> dict[str, float]:
    """Return the values that are furthest from 0, by name, the furthest first."""
    order = np.argsort(-np.abs(values), kind="stable")[:most]
    return {names[i]: round(float(values[i]), 5) for i in order}
