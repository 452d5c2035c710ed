"""What the ranking of one request really used, kept for whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cascade.business import BusinessTrace
from cascade.candidates import Candidates, Float32
from cascade.pipeline.exploration import Explored
from cascade.pipeline.trace import StageTrace


@dataclass(frozen=True, slots=True)
class StageRecord:
    """Hold what one stage saw and gave.

    Attributes:
        name: The stage.
        model: The bundle it ran, as name/version.
        window: The head rows it may score.
        names: The features, in the order of the matrix's columns.
        matrix: float32[rows, f], the very array that the model was given, rows in the order that
            came in; None if the stage did not run or its ranker takes no matrix.
        scores: float32[rows] of the same rows, None if the stage did not run.
        trace: What became of it.
    """

    name: str
    model: str
    window: int
    names: tuple[str, ...]
    matrix: Float32 | None
    scores: Float32 | None
    trace: StageTrace


@dataclass(slots=True)
class Recording:
    """Collect what one request's ranking used; nothing in it is computed for it or copied.

    Attributes:
        listing: The rows that rankers saw, in retrieval's order.
        admitted: Pinned documents that joined after the stages.
        stages: The stages that were tried, in order; none where a sort bypassed them.
        business: What the business layer did, None if it did not run.
        explored: What exploration swapped, None if there is none.
        final: The rows of `listing` and `admitted` in their last order.
    """

    listing: Candidates | None = None
    admitted: Candidates | None = None
    stages: list[StageRecord] = field(default_factory=list)
    business: BusinessTrace | None = None
    explored: Explored | None = None
    final: Candidates | None = None
