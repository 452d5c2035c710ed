"""The request log of the service: which requests are kept, and what of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cascade.business import Business, BusinessTrace
from cascade.candidates import Candidates, Float32, Int32
from cascade.config import Config
from cascade.events.pseudonyms import Pseudonyms
from cascade.events.request_writer import Count, RequestWriter, Writing
from cascade.events.requests import LoggedBusiness, LoggedRequest, LoggedStage, sampled
from cascade.pipeline import Cascade, Outcome, PageRequest, StageRecord
from cascade.service.observing import Served

_NOTHING = np.zeros(0, dtype=np.float32)


def logger_of(config: Config, count: Count) -> RequestLogger | None:
    """Return what keeps the requests of a configuration, None where `log.path` names no folder.

    Args:
        config: The settings.
        count: Told how many requests were written, dropped or failed.

    Raises:
        OptionalDependencyError: If pyarrow is not installed.
    """
    settings = config.settings.log
    if settings.path is None:
        return None
    writing = Writing(settings.rows, settings.flush_s, settings.queue, settings.keep_days)
    writer = RequestWriter(config.resolve(settings.path), writing, count)
    pseudonyms = Pseudonyms(config.resolve(settings.salts), settings.rotate_days)
    return RequestLogger(writer, settings.rate, pseudonyms)


@dataclass(frozen=True)
class RequestLogger:
    """Keep a share of the requests.

    Attributes:
        writer: Writes them from its own thread; what it has no room for is dropped and counted.
        rate: The share, 0 to 1.
        pseudonyms: Name sessions and visitors.
    """

    writer: RequestWriter
    rate: float
    pseudonyms: Pseudonyms

    def wants(self, query_id: str) -> bool:
        """Return whether this query's requests are kept."""
        return sampled(query_id, self.rate)

    def take(self, served: Served) -> None:
        """Hand a request to the writer."""
        self.writer.put(partial(logged, _slim(served), self.pseudonyms))


def _slim(served: Served) -> Served:
    """Return a request without what was derived on its way, which would wait in memory too."""
    recording = served.recording
    business = recording.business
    kept = replace(
        recording,
        listing=_bare(recording.listing),
        admitted=_bare(recording.admitted),
        final=_bare(recording.final),
        business=business and replace(business, incoming=business.incoming.bare()),
    )
    return replace(served, recording=kept)


def _bare(candidates: Candidates | None) -> Candidates | None:
    return None if candidates is None else candidates.bare()


def logged(served: Served, pseudonyms: Pseudonyms) -> LoggedRequest:
    """Return what the log keeps of a request.

    Raises:
        ValueError: If the recording is not of this request.
    """
    recording, query, cascade = served.recording, served.query, served.cascade
    if recording.listing is None or recording.final is None:
        raise ValueError("nothing was recorded of the request")
    listing, admitted, final = recording.listing, recording.admitted, recording.final
    candidates = listing.ids() + (admitted.ids() if admitted is not None else [])
    scores = [listing.scores] + ([admitted.scores] if admitted is not None else [])
    session, visitor = pseudonyms.of([served.session, served.visitor], query.time)
    explored = recording.explored
    return LoggedRequest(
        query_id=query.id,
        route=served.route,
        text=query.text,
        filters=served.filters,
        preference=query.preference,
        surface=query.surface,
        time=query.time,
        session=session,
        visitor=visitor,
        consent=served.consent,
        seen=query.session,
        cascade=cascade.name,
        generation=cascade.documents.generation,
        candidates=tuple(candidates),
        admitted=len(admitted) if admitted is not None else 0,
        engine_scores=np.concatenate(scores),
        columns=listing.columns,
        stages=tuple(map(_stage, recording.stages)),
        business=_business(recording.business, cascade),
        order=_places(listing, admitted, final),
        scores=final.scores,
        sort=_sorted_by(served.request),
        collapse=served.request.collapse,
        offset=served.request.offset,
        size=served.request.size,
        results=served.results,
        arm=served.arm,
        teams=served.teams,
        swapped=explored.swapped if explored is not None else (),
        propensities=explored.propensities if explored is not None else np.zeros(0),
    )


def _sorted_by(request: PageRequest) -> str | None:
    sort = request.sort
    return None if sort is None else f"{'-' if sort.descending else ''}{sort.field}"


def _places(listing: Candidates, admitted: Candidates | None, final: Candidates) -> Int32:
    """Return where each row of the last order stands in the listing and what was admitted."""
    if (final.rows < 0).any() or final.doc_ids is not None:
        names = listing.ids() + (admitted.ids() if admitted is not None else [])
        at = {name: place for place, name in enumerate(names)}
        return np.array([at[name] for name in final.ids()], dtype=np.int32)
    rows = listing.rows if admitted is None else np.concatenate([listing.rows, admitted.rows])
    by_row = np.argsort(rows, kind="stable")
    found: Int32 = by_row[np.searchsorted(rows, final.rows, sorter=by_row)].astype(np.int32)
    return found


def _stage(record: StageRecord) -> LoggedStage:
    width = len(record.names)
    matrix: Float32 = (
        record.matrix if record.matrix is not None else np.zeros((0, width), dtype=np.float32)
    )
    return LoggedStage(
        name=record.name,
        model=record.model,
        window=record.window,
        outcome=str(record.trace.outcome),
        reason=record.trace.reason,
        ms=record.trace.ms,
        names=record.names,
        matrix=matrix,
        scores=record.scores if record.scores is not None else _NOTHING,
    )


def _business(trace: BusinessTrace | None, cascade: Cascade) -> LoggedBusiness | None:
    if trace is None or cascade.business is None:
        return None
    outcome = Outcome.RAN
    if trace.reason:
        outcome = Outcome.SKIPPED if trace.skipped else Outcome.REVERTED
    return LoggedBusiness(
        policy=policy_name(cascade.business),
        outcome=str(outcome),
        reason=trace.reason,
        preference=trace.preference,
        utilities=trace.utilities if trace.utilities is not None else _NOTHING,
        max_displacement=cascade.business.max_displacement,
        arranged=trace.arrangement.order.astype(np.int32),
        moves=tuple((m.rule, m.doc_id, m.before, m.after) for m in trace.moves),
        model=cascade.business.model,
    )


def policy_name(business: Business) -> str:
    """Return a name for a policy, its objectives and its rules: other settings, another name."""
    digest = hashlib.sha256(repr(business).encode()).hexdigest()[:12]
    return f"{type(business.policy).__name__}/{digest}"
