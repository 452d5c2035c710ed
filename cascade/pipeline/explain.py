"""How one document came to its rank: the twin of ranking, made from what ranking left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cascade.candidates import Candidates, joined
from cascade.pipeline.stages import Stage
from cascade.pipeline.trace import Explanation, Outcome, Ranked, Snapshot, StepExplanation

_SCORED = (Outcome.RAN, Outcome.SHRUNK)


@dataclass(frozen=True, slots=True)
class Origin:
    """Say where a document came from.

    Attributes:
        doc_id: The document.
        found: How it came into the list, as `Explanation.found` says.
        apart: The document as a listing of its own, None if it is among those that rankers saw.
        business: What the business layer says of it.
    """

    doc_id: str
    found: str
    apart: Candidates | None = None
    business: Mapping[str, Any] = field(default_factory=dict)


def listed(doc_id: str, ranked: Ranked) -> Origin | None:
    """Return where a document of a request's list came from, None if retrieval lacks it."""
    if _rank(doc_id, ranked.listing) is not None:
        return Origin(doc_id, "retrieved")
    found = "admitted" if doc_id in ranked.trace.admitted else "retrieved"
    for candidates in (ranked.candidates, ranked.retrieval.candidates):
        rank = _rank(doc_id, candidates)
        if rank is not None:
            return Origin(doc_id, found, candidates.take(np.array([rank - 1])))
        found = "collapsed"
    return None


def explanations(
    origins: Sequence[Origin],
    seen: Sequence[Snapshot],
    ranked: Ranked,
    stages: Sequence[Stage],
) -> tuple[Explanation, ...]:
    """Return where documents stood after each step of one request, and why.

    Args:
        origins: The documents, and where each came from.
        seen: The list after each step.
        ranked: The outcome of the request.
        stages: The stages that ran.
    """
    values = {stage.name: _features(origins, ranked.listing, stage) for stage in stages}
    told = []
    for number, origin in enumerate(origins):
        steps = []
        for snapshot in seen:
            staged = snapshot.step in values
            rank, score = _standing(origin.doc_id, snapshot)
            steps.append(
                StepExplanation(
                    step=snapshot.step,
                    rank=rank,
                    score=score,
                    outcome=str(snapshot.trace.outcome) if snapshot.trace else str(Outcome.RAN),
                    features=values[snapshot.step][number] if staged else {},
                    detail={} if staged or snapshot.trace is None else origin.business,
                )
            )
        told.append(
            Explanation(
                query_id=ranked.candidates.queries[0].id,
                doc_id=origin.doc_id,
                found=origin.found,
                steps=tuple(steps),
                moves=tuple(m for m in ranked.trace.moves if m.doc_id == origin.doc_id),
                final_rank=_rank(origin.doc_id, ranked.candidates),
                trace=ranked.trace,
            )
        )
    return tuple(told)


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


def _features(
    origins: Sequence[Origin], listing: Candidates, stage: Stage
) -> list[Mapping[str, float | None]]:
    """Return the feature values of each document, computed on the list that rankers saw."""
    if stage.features is None:
        return [{} for _ in origins]
    prepared = stage.ranker.prepared(listing)
    told: list[Mapping[str, float | None]] = []
    for origin in origins:
        if origin.apart is None:
            rank = _rank(origin.doc_id, listing)
            row = prepared.take(np.array([rank - 1 if rank else 0]))
        else:
            whole = stage.ranker.prepared(joined(listing, origin.apart))
            row = whole.take(np.array([len(whole) - 1]))
        values = stage.features.matrix(row)[0]
        told.append(
            {
                name: float(value) if np.isfinite(value) else None
                for name, value in zip(stage.features.names, values, strict=True)
            }
        )
    return told
