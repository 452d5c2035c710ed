"""How one document came to its rank: the twin of ranking, made from what ranking left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.candidates import Candidates
from cascade.pipeline.stages import Stage
from cascade.pipeline.trace import Explanation, Outcome, Ranked, Snapshot, StepExplanation

_SCORED = (Outcome.RAN, Outcome.SHRUNK)


@dataclass(frozen=True, slots=True)
class Origin:
    """Say where a document came from.

    Attributes:
        found: How it came into the list, as `Explanation.found` says.
        listing: The list as retrieval made it, which feature values are computed on.
        business: What the business layer says of it.
    """

    found: str
    listing: Candidates
    business: Mapping[str, Any]


def explanation(
    doc_id: str,
    origin: Origin,
    seen: Sequence[Snapshot],
    ranked: Ranked,
    stages: Sequence[Stage],
) -> Explanation:
    """Return where a document stood after each step, and why.

    Args:
        doc_id: The document.
        origin: Where it came from.
        seen: The list after each step.
        ranked: The outcome of the request.
        stages: The stages that ran.
    """
    by_name = {stage.name: stage for stage in stages}
    steps = []
    for snapshot in seen:
        stage = by_name.get(snapshot.step)
        rank, score = _standing(doc_id, snapshot)
        detail = origin.business if stage is None and snapshot.trace is not None else {}
        steps.append(
            StepExplanation(
                step=snapshot.step,
                rank=rank,
                score=score,
                outcome=str(snapshot.trace.outcome) if snapshot.trace else str(Outcome.RAN),
                features=_features(doc_id, origin.listing, stage) if stage else {},
                detail=detail,
            )
        )
    return Explanation(
        query_id=ranked.candidates.queries[0].id,
        doc_id=doc_id,
        found=origin.found,
        steps=tuple(steps),
        moves=tuple(m for m in ranked.trace.moves if m.doc_id == doc_id),
        final_rank=_rank(doc_id, ranked.candidates),
        trace=ranked.trace,
    )


def _standing(doc_id: str, snapshot: Snapshot) -> tuple[int | None, float | None]:
    rank = _rank(doc_id, snapshot.candidates)
    if rank is None:
        return None, None
    trace = snapshot.trace
    scored = trace is None or (trace.outcome in _SCORED and rank <= trace.rows)
    return rank, float(snapshot.candidates.scores[rank - 1]) if scored else None


def _rank(doc_id: str, candidates: Candidates) -> int | None:
    ids = candidates.ids()
    return ids.index(doc_id) + 1 if doc_id in ids else None


def _features(doc_id: str, listing: Candidates, stage: Stage) -> Mapping[str, float | None]:
    rank = _rank(doc_id, listing)
    if stage.features is None or rank is None:
        return {}
    row = stage.ranker.prepared(listing).take(np.array([rank - 1]))
    values = stage.features.matrix(row)[0]
    return {
        name: float(value) if np.isfinite(value) else None
        for name, value in zip(stage.features.names, values, strict=True)
    }
