"""Trees fitted by LightGBM and scikit-learn, each exported to ONNX by its own exporter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cascade.candidates import Float32
from cascade.errors import OptionalDependencyError
from cascade.training.dataset import Dataset
from cascade.training.fit import FEW_LISTINGS, Fit, TreeOptions, gained, largest, teaching
from cascade.training.lightgbm_onnx import lightgbm_split_points, lightgbm_to_onnx
from cascade.training.sklearn_onnx import sklearn_split_points, sklearn_to_onnx

MOST_LEAVES = 255


def fit_lightgbm(train: Dataset, validation: Dataset, options: TreeOptions) -> Fit:
    """Fit boosted trees by LightGBM's `lambdarank`.

    With `FEW_LISTINGS` validation listings or more, training stops early on them; with fewer, all
    rounds are kept.

    Args:
        train: The rows.
        validation: Listings that training does not see.
        options: How.

    Raises:
        OptionalDependencyError: If LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise OptionalDependencyError("lightgbm", "lightgbm") from None
    fitted, held = teaching(train), validation.informative()
    # LightGBM takes whole numbers as grades, and a gain for each of them.
    grades = np.unique(np.concatenate([fitted.grades, held.grades]))
    gains = grades if options.gain == "linear" else np.exp2(grades) - 1.0
    data = _lightgbm_data(lightgbm, fitted, grades)
    stopping: list[Callable[..., Any]] = []
    watched = []
    if len(held.query_ids) >= FEW_LISTINGS:
        watched = [_lightgbm_data(lightgbm, held, grades, data)]
        stopping = [lightgbm.early_stopping(options.early_stopping, verbose=False)]
    booster = lightgbm.train(
        {**_lightgbm_parameters(options), "label_gain": gains.astype(np.float64).tolist()},
        data,
        options.rounds,
        valid_sets=watched,
        valid_names=["held"] if watched else None,
        callbacks=stopping,
    )
    rounds = booster.best_iteration if watched else booster.current_iteration()
    dump = booster.dump_model(num_iteration=rounds)

    def predict(probe: Float32) -> Float32:
        raw = booster.predict(probe, num_iteration=rounds, raw_score=True)
        return np.asarray(raw, dtype=np.float32)

    importance = booster.feature_importance("gain", iteration=rounds)
    summary: dict[str, Any] = {
        "library": f"lightgbm {lightgbm.__version__}",
        "trees": rounds,
        "gain": largest(train.names, importance / max(float(importance.sum()), 1e-9)),
    }
    if watched:
        summary["held_out_ndcg@10"] = float(booster.best_score["held"]["ndcg@10"])
    return Fit(lightgbm_to_onnx(dump), predict, lightgbm_split_points(dump), summary)


def fit_sklearn(train: Dataset, options: TreeOptions) -> Fit:
    """Fit histogram-boosted regression trees to the grades, row by row, by scikit-learn.

    Every listing weighs the same, or as it says, however many rows of it there are. The loss is
    that of single rows: it knows no order, and serves as a peer to the rankers that do.

    Args:
        train: The rows.
        options: How; `early_stopping`, `row_share` and `column_share` do not apply.

    Raises:
        OptionalDependencyError: If scikit-learn is not installed.
    """
    try:
        import sklearn
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError:
        raise OptionalDependencyError("scikit-learn", "sklearn") from None
    fitted = teaching(gained(train, options.gain))
    lengths = np.diff(fitted.offsets)
    of_listing = np.ones(len(lengths)) if fitted.weights is None else fitted.weights
    weights = np.repeat(of_listing * lengths.mean() / lengths, lengths)
    model = HistGradientBoostingRegressor(
        max_iter=options.rounds,
        max_depth=options.depth,
        max_leaf_nodes=min(2**options.depth, MOST_LEAVES),
        learning_rate=options.learning_rate,
        l2_regularization=options.l2,
        early_stopping=False,
        random_state=options.seed,
    )
    model.fit(fitted.matrix, fitted.grades, sample_weight=weights)

    def predict(probe: Float32) -> Float32:
        return np.asarray(model.predict(probe), dtype=np.float32)

    summary = {"library": f"scikit-learn {sklearn.__version__}", "trees": int(model.n_iter_)}
    return Fit(sklearn_to_onnx(model), predict, sklearn_split_points(model), summary)


def _lightgbm_data(
    lightgbm: Any,  # noqa: ANN401  (a lazy import)
    dataset: Dataset,
    grades: Float32,
    reference: Any = None,  # noqa: ANN401  (of the lazy import)
) -> Any:  # noqa: ANN401  (of the lazy import)
    lengths = np.diff(dataset.offsets)
    weights = None if dataset.weights is None else np.repeat(dataset.weights, lengths)
    return lightgbm.Dataset(
        dataset.matrix,
        label=np.searchsorted(grades, dataset.grades),
        weight=weights,
        group=lengths,
        reference=reference,
        feature_name=[f"f{i}" for i in range(len(dataset.names))],
    )


def _lightgbm_parameters(options: TreeOptions) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "learning_rate": options.learning_rate,
        "max_depth": options.depth,
        "num_leaves": min(2**options.depth, MOST_LEAVES),
        "lambda_l2": options.l2,
        "feature_fraction": options.column_share,
        "bagging_fraction": options.row_share,
        "bagging_freq": 1 if options.row_share < 1 else 0,
        "seed": options.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": options.threads,
        "zero_as_missing": False,
        "verbosity": -1,
    }
