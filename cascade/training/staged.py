"""What a stage passes on while a cascade is trained: heads, and scores that are out of fold.

A later stage learns from the rows that the stages before it really give it, and from their scores.
A model scores the queries that it was fitted on better than those it will serve, so each training
query is scored by a model of the same settings that was fitted on the other folds of queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xxhash

from cascade.candidates import Candidates, Float32, Int64
from cascade.features import stage_column
from cascade.protocols import FeatureSet
from cascade.training.dataset import Dataset
from cascade.training.row_file import blanked_at

FOLDS = 5
# So many listings are trained on without the earlier scores: a stage that was skipped or reverted
# must not leave the next one without a sensible branch.
BLANK_SHARE = 0.05

Predict = Callable[[Float32], Float32]
FitOne = Callable[[Dataset], Predict]


@dataclass(frozen=True)
class Handed:
    """Hold a fitted stage, as later stages meet it in training.

    Attributes:
        name: The stage's.
        window: How many head rows it scores.
        features: What it reads.
        predict: Its scores, float32[m, f] to float32[m], for queries that it did not see.
        of_fold: The same by models that did not see the queries of fold i.
        folds: The fold of each query that it was fitted on, by query id.
    """

    name: str
    window: int
    features: FeatureSet
    predict: Predict
    of_fold: tuple[Predict, ...]
    folds: Mapping[str, int]

    def scores(self, matrix: Float32, query_ids: Sequence[str], lengths: Int64) -> Float32:
        """Return the score of each row by a model that did not see its query, float32[m].

        Args:
            matrix: float32[m, f] of the stage's features.
            query_ids: The q queries.
            lengths: int64[q], how many rows each has.
        """
        models = len(self.of_fold)
        fold = np.array([self.folds.get(q, models) for q in query_ids], dtype=np.int64)
        row_fold = np.repeat(fold, lengths)
        scores = np.empty(len(matrix), dtype=np.float32)
        for number, predict in enumerate((*self.of_fold, self.predict)):
            rows = np.flatnonzero(row_fold == number)
            if len(rows):
                scores[rows] = predict(np.ascontiguousarray(matrix[rows]))
        return scores


def handed(
    name: str, window: int, features: FeatureSet, train: Dataset, predict: Predict, fit: FitOne
) -> Handed:
    """Return a fitted stage with models for the queries that it was fitted on.

    Args:
        name: The stage's.
        window: How many head rows it scores.
        features: What it reads.
        train: What it was fitted on.
        predict: Its scores.
        fit: Fits it anew to some of the listings.
    """
    folds = {q: fold_of(q) for q in train.query_ids}
    number = np.array([folds[q] for q in train.query_ids], dtype=np.int64)
    models = []
    for fold in range(FOLDS):
        others = train.select(number != fold)
        # Too few queries to leave some out: the model itself is the best there is.
        enough = len(others.informative().query_ids) and (number == fold).any()
        models.append(fit(others) if enough else predict)
    return Handed(name, window, features, predict, tuple(models), folds)


def fold_of(query_id: str) -> int:
    """Return the fold of a query, 0 to `FOLDS` - 1."""
    return _hash("fold", query_id) % FOLDS


def passed_on(stages: Sequence[Handed], window: int) -> Callable[[Candidates], Candidates]:
    """Return what reorders retrieved listings by stages and keeps the next one's window.

    Args:
        stages: The stages so far, in order.
        window: Of the next stage.
    """

    def pass_on(found: Candidates) -> Candidates:
        for stage in stages:
            found = found.head(stage.window)
            matrix = stage.features.matrix(found)
            scores = stage.scores(matrix, [q.id for q in found.queries], found.lengths)
            found = found.with_columns({stage_column(stage.name): scores}).reranked(scores)
        return found.head(window)

    return pass_on


def with_scores(dataset: Dataset, stage: Handed, window: int) -> Dataset:
    """Return the rows of a dataset that a stage passes on, with its scores as a further feature.

    For rows that cannot be retrieved again: the head of a listing is that of its rows in the
    dataset.

    Args:
        dataset: Has the features that the stage reads.
        stage: The stage.
        window: Of the next stage.
    """
    lengths = np.diff(dataset.offsets)
    matrix = dataset.columns(stage.features.names).matrix
    scores = stage.scores(matrix, dataset.query_ids, lengths)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-scores, owners))
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[order] = np.arange(len(scores)) - np.repeat(dataset.offsets[:-1], lengths)
    name = stage_column(stage.name)
    # Rows of a log may have the scores that were served, which are not out of fold.
    others = dataset.columns([n for n in dataset.names if n != name])
    wider = replace(
        others,
        names=(*others.names, name),
        matrix=np.column_stack([others.matrix, scores]).astype(np.float32, copy=False),
    )
    return wider.rows(ranks < window)


def blanked(dataset: Dataset, seed: int) -> Dataset:
    """Return the dataset with the earlier scores of `BLANK_SHARE` of its listings missing."""
    columns = np.flatnonzero([name.startswith(stage_column("")) for name in dataset.names])
    if not len(columns):
        return dataset
    limit = BLANK_SHARE * 2**64
    blank = np.array([_hash(f"blank:{seed}", q) < limit for q in dataset.query_ids], dtype=np.bool_)
    rows = np.flatnonzero(np.repeat(blank, np.diff(dataset.offsets)))
    return replace(dataset, matrix=blanked_at(dataset.matrix, rows, columns))


def _hash(purpose: str, query_id: str) -> int:
    return xxhash.xxh64_intdigest(f"{purpose}:{query_id}".encode("utf-8", "replace"))
