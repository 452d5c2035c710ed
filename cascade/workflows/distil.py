"""Teaching cheap stages by a costly one that was trained before."""

from __future__ import annotations

import numpy as np

from cascade.config import Config, registry_of
from cascade.errors import InputError, nearest
from cascade.features import Features, stage_column
from cascade.registry import CANDIDATE, Bundle
from cascade.schema import Schema
from cascade.training.dataset import Dataset
from cascade.training.distil import softened


class Teacher:
    """Give the rows of cheap stages the scores of a costly model.

    Args:
        config: The settings.
        name: A stage, whose candidate or else live model teaches the stages before it; or a
            bundle as `name`, `name@alias` or `name@version`, which teaches the first stage.

    Raises:
        InputError: If no stage comes before the one that is named.
        NotFoundError: If there is no such model.
    """

    def __init__(self, config: Config, name: str) -> None:
        stages = {stage.name: stage for stage in config.settings.stages}
        names = list(stages)
        if names and name == names[0]:
            raise InputError(
                f"--distil-from {name!r} is the first stage, and a stage teaches those before it; "
                + nearest(name, names[1:])
            )
        self.pupils = tuple(names[: names.index(name)] if name in stages else names[:1])
        reference = config.settings.model_name(stages[name]) if name in stages else name
        self.bundle = _bundle(config, reference)
        self._share = config.settings.training.distil_share

    def taught(self, train: Dataset, features: Features, schema: Schema) -> Dataset:
        """Return rows whose grades the teacher has a say in.

        Args:
            train: The rows, with all features.
            features: Those features.
            schema: Of the documents.

        Raises:
            InputError: If the teacher reads a feature that the rows do not have, or another one
                of that name.
            FingerprintError: If its features cannot be made as they were in training.
        """
        ranker = self.bundle.ranker(schema)
        known = {str(d["name"]): d for d in features.definitions()}
        matrix = np.full((len(train), len(ranker.features.names)), np.nan, dtype=np.float32)
        for column, definition in enumerate(ranker.features.definitions()):
            name = str(definition["name"])
            if name in train.names and definition == known.get(name, definition):
                matrix[:, column] = train.matrix[:, train.names.index(name)]
            elif not name.startswith(stage_column("")):
                raise InputError(
                    f"{self.bundle.label} reads the feature {name!r}, which is not among those of "
                    "this configuration or differs from it; train the teacher with it first"
                )
        return softened(train, ranker.score_matrix(matrix).order, self._share)


def _bundle(config: Config, reference: str) -> Bundle:
    registry = registry_of(config)
    name, at, _ = reference.partition("@")
    if not at and CANDIDATE in registry.aliases(name):
        reference = f"{name}@{CANDIDATE}"
    return registry.load(reference)
