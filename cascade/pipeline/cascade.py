"""The whole of a request, from a query to a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from cascade.business import Business, BusinessTrace
from cascade.business.where import matches
from cascade.candidates import Candidates, Documents, Float32, Query
from cascade.errors import QueryError
from cascade.filters import both
from cascade.pipeline.checks import check
from cascade.pipeline.explain import Origin, explanations, listed
from cascade.pipeline.exploration import Exploration
from cascade.pipeline.finding import NOTHING_ADMITTED, Admission, Finder
from cascade.pipeline.listing import (
    first_of_groups,
    followed,
    given_candidates,
    stale,
    unknown,
    without,
)
from cascade.pipeline.paging import fetched
from cascade.pipeline.recording import Recording
from cascade.pipeline.stages import Stage, bypassed, run_stages
from cascade.pipeline.trace import (
    Explanation,
    Outcome,
    Page,
    PageRequest,
    Ranked,
    Ranking,
    Snapshot,
    StageTrace,
    Trace,
)
from cascade.protocols import NEVER, Deadline, Engine, Total

FIRST_PAGE = PageRequest()
BUSINESS, EXPLORATION = "business", "exploration"
RETRIEVAL = "retrieval"
_LAST = (BUSINESS, EXPLORATION)


@dataclass(frozen=True)
class Cascade:
    """Rank what an engine retrieves through stages, and adjust the order for the business.

    Attributes:
        engine: Retrieves and fetches.
        documents: The columns that features read; of the same generation as the engine's index.
        stages: The rankers, cheap to costly, on windows that never grow.
        business: The layer after them; None leaves the order as the last stage made it.
        exploration: Swaps neighbours at the very end; None swaps none.
        size: How many candidates are retrieved.
        minimum_match: The share of a query's terms that a document must have.
        name: Names the cascade among those of a service.
        clock: The monotonic clock of deadlines and traces, in seconds.
    """

    engine: Engine
    documents: Documents
    stages: tuple[Stage, ...] = ()
    business: Business | None = None
    exploration: Exploration | None = None
    size: int = 1_000
    minimum_match: float = 0.0
    name: str = "default"
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        windows = [stage.window for stage in self.stages]
        if windows != sorted(windows, reverse=True):
            shown = ", ".join(f"{s.name} {s.window}" for s in self.stages)
            raise ValueError(f"windows never grow from stage to stage; these do: {shown}")

    @property
    def models(self) -> dict[str, str]:
        """The bundle that each stage runs, and the policy's, as name/version."""
        found = {stage.name: stage.model for stage in self.stages if stage.model}
        if self.business is not None and self.business.model:
            found[BUSINESS] = self.business.model
        return found

    def search(
        self,
        query: Query,
        request: PageRequest = FIRST_PAGE,
        deadline: Deadline = NEVER,
        recording: Recording | None = None,
        after: Callable[[Ranked], Ranked] | None = None,
    ) -> Page:
        """Return one page of the documents that match, best first.

        Args:
            query: The request.
            request: Which part of the result is wanted, and with what.
            deadline: When the request must be over.
            recording: Receives what the ranking used.
            after: Changes the list when it is ranked, before the page is fetched.

        Raises:
            QueryError: If the query or the request is not acceptable.
            EngineError: If the engine fails.
        """
        start = self.clock()
        check(query, request, self.documents.schema, self.business)
        seen: list[Snapshot] | None = [] if request.explain else None
        ranked = self.ranked(query, request, deadline, seen, recording)
        if after is not None:
            ranked = after(ranked)
        before_fetch = self.clock()
        items, next_offset, dropped = fetched(
            self.engine, self.documents, self.filtered(query), request, ranked, self.business
        )
        ms = {**ranked.trace.ms, "fetch": (self.clock() - before_fetch) * 1e3}
        told: tuple[Explanation, ...] = ()
        if seen is not None:
            told = self._explained(query, [item.id for item in items], ranked, seen, deadline)
        ms["total"] = (self.clock() - start) * 1e3
        retrieval = ranked.retrieval
        return Page(
            query_id=query.id,
            items=items,
            total=retrieval.totals[0],
            facets=retrieval.facets[0] if retrieval.facets else {},
            next_offset=next_offset,
            trace=replace(ranked.trace, dropped=dropped, ms=ms),
            generation=self.documents.generation,
            models=self.models,
            explanations=told,
        )

    def rank(
        self,
        query: Query,
        ids: Sequence[str],
        scores: Sequence[float] | Float32,
        deadline: Deadline = NEVER,
        recording: Recording | None = None,
    ) -> Ranking:
        """Rank candidates that the caller retrieved.

        Those that fail the query's filters, as far as the catalogue knows, are left out and
        counted; those that it does not know take part with default features.

        Args:
            query: The request.
            ids: Document ids, distinct.
            scores: The retrieval score of each; they are ordered by it, ties as given.
            deadline: When the request must be over.
            recording: Receives what the ranking used.

        Raises:
            QueryError: If the query, the ids or the scores are not acceptable.
        """
        start = self.clock()
        check(query, FIRST_PAGE, self.documents.schema, self.business)
        given = np.asarray(scores, dtype=np.float32)
        if len(set(ids)) != len(ids) or given.shape != (len(ids),):
            raise QueryError(
                f"{len(ids)} ids ({len(set(ids))} distinct) and {given.size} scores were given; "
                "accepted are distinct ids with one score each"
            )
        if not np.isfinite(given).all():
            raise QueryError("scores has NaN or infinite values; accepted are finite numbers")
        listing = given_candidates(query, ids, given, self.documents)
        kept = matches(self.filtered(query).filters, listing)
        candidates = listing.take(kept) if not kept.all() else listing
        too_old = stale(candidates)
        ranked, business, traces = self.reorder(candidates, deadline, recording=recording)
        ranked, swapped = self._explored(ranked, recording)
        trace = Trace(
            retrieved=len(candidates),
            unknown=unknown(candidates),
            filtered=int(np.count_nonzero(~kept)),
            stale=too_old,
            stages=traces,
            moves=business.moves if business else (),
            swapped=swapped,
            ms={"total": (self.clock() - start) * 1e3},
        )
        return Ranking(tuple(ranked.ids()), ranked.scores, trace)

    def ranked(
        self,
        query: Query,
        request: PageRequest = FIRST_PAGE,
        deadline: Deadline = NEVER,
        seen: list[Snapshot] | None = None,
        recording: Recording | None = None,
    ) -> Ranked:
        """Return the whole list in its final order, without fetching a page.

        Stages and business layer act on the first `size` candidates and on admitted pins. What a
        far page needs beyond them follows in retrieval's order, so that no rank depends on the
        page that is asked for.

        Args:
            query: The request.
            request: What of it decides the list: collapse, sort, facets, and a depth beyond `size`.
            deadline: When the request must be over.
            seen: Receives the list as it stood after retrieval and after each step.
            recording: Receives what the ranking used.
        """
        start = self.clock()
        filtered = self.filtered(query)
        finder = Finder(self.engine, self.business, self.minimum_match, deadline)
        found = finder.found(filtered, request, self.size)
        listing, beyond = self._lists(found.retrieval.candidates, request)
        retrieved_at = self.clock()
        too_old = stale(listing)
        steps = [Snapshot(RETRIEVAL, followed(listing, beyond), None)] if seen is not None else []
        rest, pins = beyond, NOTHING_ADMITTED
        swapped: tuple[int, ...] = ()
        if request.sort is not None:
            names = [s.name for s in self.stages] + [BUSINESS] * (self.business is not None)
            ranked, business, traces = listing, None, bypassed(names, request.sort.field)
            if recording is not None:
                recording.listing = recording.final = listing
        else:
            pins = finder.admitted(filtered, listing, request.collapse, relaxed=found.relaxed)
            if beyond is not None and pins.candidates is not None:
                rest = without(beyond, pins.candidates, request.collapse)
            told = None if seen is None else steps
            ranked, business, traces = self.reorder(listing, deadline, told, pins, recording)
            ranked, swapped = self._explored(ranked, recording, told)
        if seen is not None:
            after = [(step, rest if step.step in _LAST else beyond) for step in steps[1:]]
            follow = [replace(s, candidates=followed(s.candidates, part)) for s, part in after]
            seen += [*steps[:1], *follow]
        retrieval = found.retrieval
        if pins.unmatched:
            total = retrieval.totals[0]
            totals = (Total(total.value + pins.unmatched, total.relation),)
            retrieval = replace(retrieval, totals=totals)
        before_collapse = len(retrieval.candidates)
        trace = Trace(
            retrieved=len(listing) + (len(beyond) if beyond is not None else 0),
            unknown=unknown(listing) + (unknown(beyond) if beyond is not None else 0),
            relaxed=found.relaxed,
            deleted=found.deleted,
            refused=found.refused,
            missing=retrieval.missing,
            stale=too_old,
            admitted=pins.ids,
            unadmitted=pins.reason,
            stages=traces,
            moves=business.moves if business else (),
            swapped=swapped,
            ms={
                "retrieve": (retrieved_at - start) * 1e3,
                "rank": (self.clock() - retrieved_at) * 1e3,
            },
        )
        trace = replace(trace, collapsed=before_collapse - trace.retrieved)
        final = followed(ranked, rest)
        return Ranked(final, listing, retrieval, trace, found.complete, business)

    def explain(
        self,
        query: Query,
        doc_id: str,
        request: PageRequest = FIRST_PAGE,
        deadline: Deadline = NEVER,
    ) -> Explanation:
        """Tell how a document came to its rank for a query, step by step.

        Raises:
            QueryError: If the query or the request is not acceptable.
            NotFoundError: If the engine does not have the document.
            EngineError: If the engine fails.
        """
        check(query, request, self.documents.schema, self.business)
        seen: list[Snapshot] = []
        ranked = self.ranked(query, request, deadline, seen)
        return self._explained(query, [doc_id], ranked, seen, deadline)[0]

    def _explained(
        self,
        query: Query,
        doc_ids: Sequence[str],
        ranked: Ranked,
        seen: Sequence[Snapshot],
        deadline: Deadline,
    ) -> tuple[Explanation, ...]:
        finder = Finder(self.engine, self.business, self.minimum_match, deadline)
        origins = []
        for doc_id in doc_ids:
            origin = listed(doc_id, ranked)
            if origin is None:
                found, probe = finder.probed(query, self.filtered(query), doc_id)
                origin = Origin(doc_id, found, probe)
            if self.business is not None and ranked.business is not None:
                told = self.business.explain(ranked.business, doc_id)
                origin = replace(origin, business=asdict(told) if told is not None else {})
            origins.append(origin)
        return explanations(origins, seen, ranked, self.stages)

    def _lists(
        self, found: Candidates, request: PageRequest
    ) -> tuple[Candidates, Candidates | None]:
        """Return the rows that stages and rules act on, and those that far pages add."""
        size = len(found) if request.sort is not None else self.size
        if request.collapse is None:
            return found.split(size)
        kept = first_of_groups(found, request.collapse)
        inside = np.arange(len(found)) < size
        beyond = found.take(kept & ~inside)
        return found.take(kept & inside), beyond if len(beyond) else None

    def filtered(self, query: Query) -> Query:
        """Return a query with the filters of the business layer."""
        if self.business is None:
            return query
        return replace(query, filters=both(query.filters, self.business.retrieval_filter(query)))

    def reorder(
        self,
        listing: Candidates,
        deadline: Deadline = NEVER,
        seen: list[Snapshot] | None = None,
        pins: Admission = NOTHING_ADMITTED,
        recording: Recording | None = None,
    ) -> tuple[Candidates, BusinessTrace | None, tuple[StageTrace, ...]]:
        """Return one retrieved listing through all stages and the business layer.

        Args:
            listing: The candidates in retrieval's order.
            deadline: When the request must be over.
            seen: Receives the list as it stood after each step.
            pins: Pinned documents that the listing lacks; they join before the rules.
            recording: Receives what the ranking used.
        """

        def note(step: str, candidates: Candidates, trace: StageTrace | None) -> None:
            if seen is not None:
                seen.append(Snapshot(step, candidates, trace))

        if recording is not None:
            recording.listing, recording.admitted = listing, pins.candidates
        listing, below = listing.split(self.size)
        ranked, traces = run_stages(self.stages, listing, deadline, note, self.clock, recording)
        ranked = pins.joined_to(followed(ranked, below))
        if recording is not None:
            recording.final = ranked
        if self.business is None:
            return ranked, None, traces
        start = self.clock()
        ranked, told = self.business.rerank(ranked, blend=deadline.left_ms() > 0)
        ms = (self.clock() - start) * 1e3
        outcome = Outcome.RAN
        if told.skipped or told.reverted:
            outcome = Outcome.SKIPPED if told.skipped else Outcome.REVERTED
        trace = StageTrace(BUSINESS, outcome, told.rows, ms, told.reason or told.note)
        note(BUSINESS, ranked, trace)
        if recording is not None:
            recording.business, recording.final = told, ranked
        return ranked, told, (*traces, trace)

    def _explored(
        self,
        ranked: Candidates,
        recording: Recording | None = None,
        seen: list[Snapshot] | None = None,
    ) -> tuple[Candidates, tuple[int, ...]]:
        """Return a list after exploration, and the upper rank of each pair it swapped."""
        if self.exploration is None:
            return ranked, ()
        rules = self.business.rules.rules if self.business is not None else ()
        explored = self.exploration.apply(ranked, rules)
        if recording is not None:
            recording.explored, recording.final = explored, explored.candidates
        if seen is not None:
            seen.append(Snapshot(EXPLORATION, explored.candidates, None))
        return explored.candidates, explored.swapped
