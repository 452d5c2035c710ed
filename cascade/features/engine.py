"""What the engine or an earlier stage gave: columns of the candidates, not of the documents."""

from __future__ import annotations

from dataclasses import dataclass

from cascade.candidates import Candidates, Float32
from cascade.features.base import BaseFeature, column_of
from cascade.features.registry import feature_kind

ENGINE_SCORE, ENGINE_RANK = "engine_score", "engine_rank"


@dataclass(frozen=True, kw_only=True)
class EngineFeature(BaseFeature):
    """Read what the engine gave, which changes with the engine, its version and settings."""

    @property
    def keepable(self) -> bool:
        """False: columns change from stage to stage."""
        return False

    @property
    def portable(self) -> bool:
        """False: another engine scores in another way."""
        return False


@feature_kind("engine_score")
@dataclass(frozen=True, kw_only=True)
class EngineScore(EngineFeature):
    """Return the engine's own score; missing where the engine gave none."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        return column_of(candidates, ENGINE_SCORE)


@feature_kind("engine_rank")
@dataclass(frozen=True, kw_only=True)
class EngineRank(EngineFeature):
    """Return the 1-based rank the engine gave; missing where it gave none."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        return column_of(candidates, ENGINE_RANK)


@feature_kind("column")
@dataclass(frozen=True, kw_only=True)
class Column(BaseFeature):
    """Return a column that the candidates bring along; missing where they do not.

    Attributes:
        column: The column's name: a head of an earlier stage, a feature of a data file. Empty
            means the feature's own name.
        portable: Whether every engine gives the same value.
    """

    column: str = ""
    portable: bool = False

    @property
    def keepable(self) -> bool:
        """False: columns change from stage to stage."""
        return False

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        return column_of(candidates, self.column or self.name)
