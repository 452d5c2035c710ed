"""The runs of every system over a query set, by the code that serves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from cascade.candidates import Candidates, Query
from cascade.judgments import Judgments
from cascade.pipeline import Cascade
from cascade.pipeline.trace import PageRequest, Snapshot
from cascade.protocols import Asked, Run
from cascade.workflows.ahead import Ahead
from cascade.workflows.parts import Remembering, warmed
from cascade.workflows.progress import Progress

BM25, FINAL = "bm25", "final"
NONE: Mapping[str, Cascade] = MappingProxyType({})


@dataclass
class Rankings:
    """Collect the ranking of each system, query by query.

    Attributes:
        query_ids: The queries so far.
        systems: The rankings by system, aligned with `query_ids`.
        matched: How many documents match each query.
    """

    query_ids: list[str] = field(default_factory=list)
    systems: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    matched: list[int] = field(default_factory=list)

    def add(self, query_id: str, rankings: Mapping[str, tuple[str, ...]], matched: int) -> None:
        """Add one query."""
        self.query_ids.append(query_id)
        self.matched.append(matched)
        for system, ranking in rankings.items():
            self.systems.setdefault(system, []).append(ranking)

    def runs(self) -> dict[str, Run]:
        """Return a run for each system."""
        ids = tuple(self.query_ids)
        return {system: Run(ids, tuple(ranks)) for system, ranks in self.systems.items()}


def unhurried(cascade: Cascade) -> Cascade:
    """Return the cascade as measurements run it: no stage is skipped, and nothing is drawn.

    What a stage's budget leaves out depends on how busy the machine is, and what exploration
    swaps on chance.
    """
    stages = tuple(replace(stage, budget_ms=math.inf) for stage in cascade.stages)
    return replace(cascade, stages=stages, exploration=None)


def full_rankings(
    cascade: Cascade,
    judgments: Judgments,
    time: float,
    progress: Progress,
    others: Mapping[str, Cascade] = NONE,
) -> Rankings:
    """Return what each step makes of the retrieved list of every judged query, asked at `time`.

    Args:
        cascade: What is measured.
        judgments: The queries.
        time: The clock that features read, in seconds since 1970.
        progress: Told how far it is.
        others: Further cascades over the same engine by the name of their system; of each the
            final order is taken.
    """
    found, cascade = Rankings(), unhurried(cascade)
    count = len(judgments.texts)
    request = PageRequest(size=1)
    queries = [Query(query_id, text, time=time) for query_id, text in judgments.texts.items()]
    filtered = [cascade.filtered(query) for query in queries]
    engine = Remembering(Ahead(cascade.engine, filtered))
    batched = replace(cascade, engine=engine)
    rivals = {name: replace(unhurried(other), engine=engine) for name, other in others.items()}
    for number, query in enumerate(queries):
        seen: list[Snapshot] = []
        ranked = batched.ranked(query, request, seen=seen)
        steps = _steps(seen, ranked.candidates)
        if rivals:
            warmed(cascade.stages, ranked.listing)
        for name, rival in rivals.items():
            final = rival.ranked(query, request).candidates
            steps[name] = tuple(final.ids())
        found.add(query.id, steps, ranked.retrieval.totals[0].value)
        if number % 20 == 19:
            progress("evaluate", number + 1, count)
    progress("evaluate", count, count)
    return found


def pool_rankings(
    cascade: Cascade,
    judgments: Judgments,
    time: float,
    progress: Progress,
    others: Mapping[str, Cascade] = NONE,
) -> Rankings:
    """Return what each step makes of the judged documents alone of every query.

    The engine scores them; those that match no term come last. Judged documents that the index
    does not have take no part. The arguments are those of `full_rankings`.
    """
    found, cascade = Rankings(), unhurried(cascade)
    rivals = {name: unhurried(other) for name, other in others.items()}
    count = len(judgments.texts)
    for number, (query_id, text) in enumerate(judgments.texts.items()):
        pool = tuple(judgments.grades[query_id])
        query = Query(query_id, text, time=time)
        asked = Asked(only=(pool,), match_all=True)
        listing = cascade.engine.retrieve([query], len(pool), asked).candidates
        seen = [Snapshot("retrieval", listing, None)]
        final, _, _ = cascade.reorder(listing, seen=seen)
        steps = _steps(seen, final)
        if rivals:
            warmed(cascade.stages, listing)
        for name, rival in rivals.items():
            steps[name] = tuple(rival.reorder(listing)[0].ids())
        found.add(query_id, steps, len(listing))
        if number % 20 == 19:
            progress("evaluate", number + 1, count)
    progress("evaluate", count, count)
    return found


def _steps(seen: Sequence[Snapshot], final: Candidates) -> dict[str, tuple[str, ...]]:
    name_of = dict(_named(seen, final))
    rankings: dict[str, tuple[str, ...]] = {}
    for snapshot in seen:
        if snapshot.step == "retrieval":
            rankings[BM25] = _ranking(snapshot.candidates, name_of)
        elif snapshot.step != "business":
            rankings[f"stage:{snapshot.step}"] = _ranking(snapshot.candidates, name_of)
    rankings[FINAL] = _ranking(final, name_of)
    return rankings


def _named(seen: Sequence[Snapshot], final: Candidates) -> Iterator[tuple[int, str]]:
    """Yield row and id once for each document: the lists share their strings."""
    first = seen[0].candidates
    yield from zip(first.rows.tolist(), first.ids(), strict=True)
    extra = np.setdiff1d(final.rows, first.rows)
    yield from zip(extra.tolist(), final.documents.ids(extra), strict=True)


def _ranking(candidates: Candidates, name_of: Mapping[int, str]) -> tuple[str, ...]:
    if candidates.doc_ids is not None:
        return tuple(candidates.doc_ids)
    return tuple(name_of[row] for row in candidates.rows.tolist())
