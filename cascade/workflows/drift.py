"""The training reference of a model: what its features and scores look like where it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from cascade.candidates import Float32, Int64, Query
from cascade.config import Config, open_cascade
from cascade.config.stage_settings import StageSettings
from cascade.config.wire import model_references
from cascade.drift import reference_of
from cascade.pipeline import PageRequest, Recording, Stage
from cascade.rankers import OnnxRanker
from cascade.registry import REFERENCE
from cascade.training.dataset import Dataset
from cascade.workflows.ahead import Ahead
from cascade.workflows.shadow import fixed, pinned

QUERIES = 400
ROWS_OF_LISTING = 50


def reference_files(
    config: Config,
    stage: StageSettings,
    ranker: OnnxRanker,
    train: Dataset,
    asked: Sequence[Query] = (),
) -> Mapping[str, bytes]:
    """Return the file of a bundle that says what the model was given and gave.

    A sample of training queries is asked again, through the candidates of the stages before: the
    rows that a model is fitted on are judged and sampled ones, and those that it serves are not.

    Args:
        config: The settings.
        stage: The stage that was fitted.
        ranker: Its model.
        train: What it was fitted on, which stands for what it serves where there are no queries.
        asked: The training queries.
    """
    if asked:
        matrix, offsets = _served(config, stage, ranker, asked)
    else:
        matrix, offsets = train.columns(ranker.features.names).matrix, train.offsets
    if not len(matrix):
        return {}
    scores = ranker.score_matrix(matrix).order
    return {REFERENCE: reference_of(matrix, scores, ranker.features.names, offsets).encoded()}


def _served(
    config: Config, stage: StageSettings, ranker: OnnxRanker, asked: Sequence[Query]
) -> tuple[Float32, Int64]:
    """Return rows as the stage is given them, float32[n, f], and the offsets of their listings."""
    before = config.settings.stages[: config.settings.stages.index(stage)]
    settings = config.settings.model_copy(update={"stages": before})
    earlier = replace(config, settings=settings)
    cascade = open_cascade(pinned(earlier, model_references(earlier, "candidate")))
    own = Stage(stage.name, ranker, stage.window, features=ranker.features)
    parts: list[Float32] = []
    with closing(cascade.engine):
        whole = fixed(replace(cascade, stages=(*cascade.stages, own), business=None))
        filtering = replace(whole, business=cascade.business)
        chosen = np.unique(np.linspace(0, len(asked) - 1, QUERIES).astype(np.int64))
        queries = [filtering.filtered(asked[at]) for at in chosen.tolist()]
        batched = replace(whole, engine=Ahead(cascade.engine, queries))
        for query in queries:
            recording = Recording()
            batched.ranked(query, PageRequest(size=1), recording=recording)
            matrix = recording.stages[-1].matrix
            if matrix is not None and len(matrix):
                rows = np.linspace(0, len(matrix) - 1, ROWS_OF_LISTING).astype(np.int64)
                parts.append(matrix[np.unique(rows)])
    width = len(ranker.features.names)
    lengths = [len(part) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.concatenate([np.empty((0, width), np.float32), *parts]), offsets
