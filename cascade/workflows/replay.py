"""Replaying logged requests: the served order again, bit for bit, from what the log holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from cascade.business.bounds import bounded_order
from cascade.candidates import Candidates, Float32, Int32
from cascade.config import Config
from cascade.errors import CascadeError
from cascade.events.requests import LoggedBusiness, LoggedRequest, LoggedStage
from cascade.pipeline import Cascade, Stage, run_stages
from cascade.pipeline.finding import NOTHING_ADMITTED, Admission
from cascade.protocols import NEVER, Scores
from cascade.workflows.logged import (
    RAN,
    ByFunction,
    LoggedModels,
    admitted_of,
    candidates_of,
    filters_of,
    over_generations,
    stages_of,
)
from cascade.workflows.progress import Progress, silent
from cascade.workflows.rows import RowDocuments
from cascade.workflows.runs import unhurried


class Verdict(StrEnum):
    """Say what became of a replay."""

    REPRODUCED = "reproduced"
    DIFFERING = "differing"
    UNREPLAYABLE = "unreplayable"


@dataclass(frozen=True)
class Replayed:
    """Tell of one request.

    Attributes:
        query_id: The query's id.
        verdict: What became of it.
        reason: The first difference, or why it cannot be replayed; else "".
    """

    query_id: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class ReplayReport:
    """Tell of all requests.

    Attributes:
        fixed: Whether time-dependent choices were off.
        requests: Each request.
    """

    fixed: bool
    requests: tuple[Replayed, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many requests had each verdict."""
        return {v.value: sum(r.verdict is v for r in self.requests) for v in Verdict}

    @property
    def first(self) -> Replayed | None:
        """The first request that was not reproduced."""
        return next((r for r in self.requests if r.verdict is not Verdict.REPRODUCED), None)


class _Missing(Exception):
    """Says why a request cannot be replayed."""


def replay(
    config: Config,
    requests: Iterable[LoggedRequest],
    *,
    fixed: bool = False,
    progress: Progress = silent,
) -> ReplayReport:
    """Replay logged requests and compare the orders and scores with those that were served.

    As served, a stage that ran scores the logged features by the logged model version, on as many
    rows as it did, and one that did not run does not. The utilities of the business layer and what
    its rules and exploration did to the list are taken from the log. Fixed, the retrieved
    candidates go through every stage and the business layer anew, over the generation that the log
    names, without a budget or deadline, and without exploration.

    Args:
        config: Names the registry and, for a fixed replay, the store and the business layer, whose
            policy is the version that the log names.
        requests: The requests.
        fixed: Whether time-dependent choices are off.
        progress: Told how far it is.
    """
    models = LoggedModels(config)
    replays = _fixed(config, models, requests) if fixed else _served(models, requests)
    found = []
    for request in replays:
        found.append(request)
        progress("replay", len(found), None)
    return ReplayReport(fixed, tuple(found))


def _served(models: LoggedModels, requests: Iterable[LoggedRequest]) -> Iterator[Replayed]:
    for request in requests:
        try:
            order, scores, problem = _again(models, request)
        except (CascadeError, _Missing) as error:
            yield Replayed(request.query_id, Verdict.UNREPLAYABLE, str(error))
        else:
            yield _compared(request, order, scores, problem)


def _again(models: LoggedModels, request: LoggedRequest) -> tuple[Int32, Float32, str]:
    """Return the order and scores that the log's parts give, and the first score that differs."""
    problems: list[str] = []
    size = len(request.candidates) - request.admitted
    # The documents of a replay are the places in the log's list of candidates.
    places = tuple(map(str, range(len(request.candidates))))
    named = replace(request, candidates=places, columns={})
    listing = candidates_of(named, RowDocuments(len(places)))

    def ranker(stage: LoggedStage) -> ByFunction:
        if not stage.model or len(stage.matrix) != len(stage.scores):
            raise _Missing(f"stage {stage.name} has no model that scores a logged matrix")
        scorer = models.scorer(stage)

        def scored(head: Candidates) -> Scores:
            found = scorer.score_matrix(stage.matrix)
            differing = _differing(found.order, stage.scores)
            if len(differing):
                at = int(differing[0])
                doc_id = request.candidates[int(head.rows[at])]
                problems.append(
                    f"stage {stage.name}: {doc_id} scored {stage.scores[at]!s} when it was served, "
                    f"{found.order[at]!s} by {stage.model} again"
                )
            return found

        return ByFunction(scored)

    stages = () if request.sort is not None else stages_of(request, ranker)
    ranked, traces = run_stages(stages, listing, NEVER)
    problems += [f"stage {t.name}: {t.reason}" for t in traces if t.outcome not in RAN]
    staying = ranked.take(np.isin(ranked.rows, request.order))
    order = np.concatenate([staying.rows, np.arange(size, len(places), dtype=np.int32)])
    scores = np.concatenate([staying.scores, request.engine_scores[size:]])
    if request.business is not None:
        arranged = _arranged(request.business, len(order))
        order, scores = order[arranged], scores[arranged]
    for upper in request.swapped:
        pair = [upper - 1, upper]
        order[pair], scores[pair] = order[pair[::-1]], scores[pair[::-1]]
    return order.astype(np.int32), scores, problems[0] if problems else ""


def _arranged(business: LoggedBusiness, count: int) -> Int32:
    """Return the position of the row at each rank after policy and rules."""
    blended = np.arange(count, dtype=np.int32)
    window = len(business.utilities)
    blended[:window] = bounded_order(business.utilities, business.max_displacement)
    return blended[business.arranged]


def _compared(request: LoggedRequest, order: Int32, scores: Float32, problem: str) -> Replayed:
    if problem:
        return Replayed(request.query_id, Verdict.DIFFERING, problem)
    if len(order) != len(request.order):
        reason = f"{len(request.order)} rows were served, {len(order)} are ranked again"
        return Replayed(request.query_id, Verdict.DIFFERING, reason)
    moved = np.flatnonzero(order != request.order)
    if len(moved):
        rank = int(moved[0])
        was, now = (request.candidates[int(o[rank])] for o in (request.order, order))
        reason = f"rank {rank + 1}: {was} was served, {now} comes again"
        return Replayed(request.query_id, Verdict.DIFFERING, reason)
    differing = _differing(scores, request.scores)
    if len(differing):
        at = int(differing[0])
        reason = f"rank {at + 1}: the score was {request.scores[at]!s}, it is {scores[at]!s} again"
        return Replayed(request.query_id, Verdict.DIFFERING, reason)
    return Replayed(request.query_id, Verdict.REPRODUCED)


def _differing(left: Float32, right: Float32) -> Int32:
    """Return where the bits of two arrays differ."""
    if left.shape != right.shape:
        return np.zeros(1, dtype=np.int32)
    found: Int32 = np.flatnonzero(left.view(np.uint32) != right.view(np.uint32)).astype(np.int32)
    return found


def _fixed(
    config: Config, models: LoggedModels, requests: Iterable[LoggedRequest]
) -> Iterator[Replayed]:
    for request, held in over_generations(config, requests):
        if isinstance(held, CascadeError):
            yield Replayed(request.query_id, Verdict.UNREPLAYABLE, str(held))
        else:
            engine, documents = held
            yield _anew(models, Cascade(engine, documents), request)


def _anew(models: LoggedModels, cascade: Cascade, request: LoggedRequest) -> Replayed:
    try:
        order, scores = _ranked(models, cascade, request)
    except (CascadeError, _Missing) as error:
        return Replayed(request.query_id, Verdict.UNREPLAYABLE, str(error))
    found = _compared(request, order, scores, "")
    if found.verdict is Verdict.DIFFERING:
        hurried = [f"{s.name} {s.outcome}: {s.reason}" for s in request.stages]
        hurried = [
            line for line, s in zip(hurried, request.stages, strict=True) if s.outcome not in RAN
        ]
        if request.swapped:
            hurried.append("exploration swapped neighbours")
        if hurried:
            reason = f"{found.reason}; when it was served, {', '.join(hurried)}"
            return replace(found, reason=reason)
    return found


def _ranked(
    models: LoggedModels, cascade: Cascade, request: LoggedRequest
) -> tuple[Int32, Float32]:
    """Return the order and scores of a request that has all the time there is.

    Raises:
        _Missing: If the log does not say by which policy it was served.
    """
    schema = cascade.documents.schema
    filters = filters_of(request, schema)
    listing = candidates_of(request, cascade.documents, filters)
    if request.sort is None:
        stages = tuple(
            Stage(s.name, models.ranker(s.model, schema), s.window, model=s.model)
            for s in request.stages
        )
        pinned = admitted_of(request, cascade.documents, filters)
        pins = Admission(pinned, request.collapse) if pinned is not None else NOTHING_ADMITTED
        depth = max(len(listing), 1)
        business = models.business(_policy(models.config, request), schema)
        fixed = unhurried(replace(cascade, stages=stages, business=business, size=depth))
        listing, _, _ = fixed.reorder(listing, pins=pins)
    place = {doc_id: at for at, doc_id in enumerate(request.candidates)}
    order = np.array([place[doc_id] for doc_id in listing.ids()], dtype=np.int32)
    return order, listing.scores


def _policy(config: Config, request: LoggedRequest) -> str:
    """Return the bundle of the policy that served a request, "" for the linear blend."""
    found = "" if request.business is None else request.business.model
    if found is None and "model" in (config.settings.business or {}):
        raise _Missing("the log does not name the policy's version")
    return found or ""
