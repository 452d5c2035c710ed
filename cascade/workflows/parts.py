"""The cascade without one of its parts: a stage, or a group of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float32, Query
from cascade.errors import InputError
from cascade.features import Expression
from cascade.pipeline import Cascade, CostModel, Stage
from cascade.pipeline.stages import MatrixRanker
from cascade.protocols import NEVER, Asked, Deadline, Engine, Feature, Retrieval, Scores

_ASKED = Asked()


class Parts(StrEnum):
    """Say what is left out, one part at a time."""

    STAGES = "stages"
    FEATURES = "features"


@dataclass(frozen=True)
class Without:
    """Hold the cascade without one part.

    Attributes:
        cascade: What is left.
        features: How many distinct features were taken from it; None for a stage.
    """

    cascade: Cascade
    features: int | None = None


def without(cascade: Cascade, parts: Parts) -> dict[str, Without]:
    """Return the cascade without each part, by the part's name.

    A stage that is left out leaves the order as it came. A group of features is every feature of
    one kind (`kind:bm25`) or that reads one field (`field:title`), with the formulas that read
    them; it stays in the model's input, but no longer tells the rows of a listing apart.

    Raises:
        InputError: If the cascade has no such part.
    """
    if not cascade.stages:
        raise InputError("the cascade has no stage, so nothing can be left out of it")
    if parts is Parts.STAGES:
        return {
            f"stage:{stage.name}": Without(
                replace(cascade, stages=tuple(s for s in cascade.stages if s is not stage))
            )
            for stage in cascade.stages
        }
    found: dict[str, Without] = {}
    seen: dict[frozenset[str], str] = {}
    for name, members in groups(_features(cascade.stages)).items():
        # A kind that one field alone has is the same group under two names.
        if members not in seen:
            seen[members] = name
            stages = tuple(_blinded(stage, members) for stage in cascade.stages)
            found[name] = Without(replace(cascade, stages=stages), len(members))
    return found


def groups(features: Sequence[Feature]) -> dict[str, frozenset[str]]:
    """Return the names of the features of each group."""
    members: dict[str, set[str]] = {}
    for feature in features:
        for read in _inputs(feature):
            kind = f"kind:{read.definition().get('kind', '')}"
            for group in [kind, *(f"field:{name}" for name in getattr(read, "reads", ()))]:
                members.setdefault(group, set()).add(feature.name)
    return {group: frozenset(names) for group, names in members.items()}


@dataclass(frozen=True)
class Blinded:
    """Score by a ranker that some features no longer tell the rows of a listing apart for.

    They take their median over the rows that are scored: without a new fit, and close to what the
    model has seen. A feature that is the same for a whole listing keeps its value.

    Attributes:
        ranker: Scores a matrix.
        columns: bool[f], the features to blind.
    """

    ranker: MatrixRanker
    columns: NDArray[np.bool_]

    def prepared(self, candidates: Candidates) -> Candidates:
        """Return the candidates with what the features must know of the retrieved listing."""
        return self.ranker.features.prepared(candidates)

    def score(self, candidates: Candidates) -> Scores:
        """Return the scores of candidates of one listing."""
        matrix = self.ranker.features.matrix(candidates)
        if len(matrix):
            matrix[:, self.columns] = _medians(matrix[:, self.columns])
        return self.ranker.score_matrix(matrix)


@dataclass
class Remembering:
    """Be an engine that answers what it was asked of its latest query without asking twice.

    The candidates are the same object each time, and with them what features derived from them.

    Attributes:
        engine: What retrieves.
    """

    engine: Engine
    _of: tuple[Query, ...] = ()
    _answers: list[tuple[tuple[int, Asked], Retrieval]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        return getattr(self.engine, name)

    def retrieve(
        self,
        queries: Sequence[Query],
        size: int,
        asked: Asked = _ASKED,
        deadline: Deadline = NEVER,
    ) -> Retrieval:
        """Return what the engine finds."""
        if self._of != tuple(queries):
            self._of, self._answers = tuple(queries), []
        question = (size, asked)
        for known, answer in self._answers:
            if known == question:
                return answer
        answer = self.engine.retrieve(queries, size, asked, deadline)
        self._answers.append((question, answer))
        return answer


def warmed(stages: Sequence[Stage], listing: Candidates) -> None:
    """Derive each stage's features of a listing once, for all that rank it afterwards."""
    for stage in stages:
        if isinstance(stage.ranker, MatrixRanker):
            features = stage.ranker.features
            features.matrix(features.prepared(listing))


def _inputs(feature: Feature) -> list[Feature]:
    """Return the features that a formula is made of in the end; any other is made of itself."""
    if isinstance(feature, Expression):
        return [inner for read in feature.inputs for inner in _inputs(read)]
    return [feature]


def _features(stages: Sequence[Stage]) -> list[Feature]:
    found: dict[str, Feature] = {}
    for stage in stages:
        for feature in stage.features.features if stage.features is not None else ():
            found.setdefault(feature.name, feature)
    return list(found.values())


def _blinded(stage: Stage, members: frozenset[str]) -> Stage:
    if stage.features is None or not isinstance(stage.ranker, MatrixRanker):
        return stage
    columns = np.array([name in members for name in stage.features.names])
    if not columns.any():
        return stage
    return replace(stage, ranker=Blinded(stage.ranker, columns), cost=CostModel())


def _medians(values: Float32) -> Float32:
    """Return float32[f], the median of each column without its missing values."""
    found = np.full(values.shape[1], np.nan, dtype=np.float32)
    some = ~np.isnan(values).all(axis=0)
    found[some] = np.nanmedian(values[:, some], axis=0)
    return found


def features_of_parts(parts: Mapping[str, Without]) -> dict[str, int]:
    """Return how many features each group has."""
    return {name: part.features for name, part in parts.items() if part.features is not None}
