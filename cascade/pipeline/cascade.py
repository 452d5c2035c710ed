"""The whole of a request, from a query to a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cascade.business import Business, BusinessTrace
from cascade.business.where import matches
from cascade.candidates import Candidates, Documents, Float32, Query, joined
from cascade.errors import NotFoundError, QueryError, nearest
from cascade.filters import EVERYTHING, both
from cascade.pipeline.explain import Origin, explanation
from cascade.pipeline.stages import Stage, run_stages
from cascade.pipeline.trace import (
    MAX_DEPTH,
    MAX_SIZE,
    Explanation,
    Item,
    Outcome,
    Page,
    PageRequest,
    Ranked,
    Ranking,
    Snapshot,
    StageTrace,
    Trace,
)
from cascade.protocols import NEVER, Asked, Deadline, Engine, Retrieval, Total
from cascade.schema import Kind

MAX_TEXT = 10_000
FIRST_PAGE = PageRequest()
BUSINESS = "business"
RETRIEVAL = "retrieval"


@dataclass(frozen=True)
class Cascade:
    """Rank what an engine retrieves through stages, and adjust the order for the business.

    Attributes:
        engine: Retrieves and fetches.
        documents: The columns that features read; of the same generation as the engine's index.
        stages: The rankers, cheap to costly, on windows that never grow.
        business: The last layer; None leaves the order as the last stage made it.
        size: How many candidates are retrieved.
        minimum_match: The share of a query's terms that a document must have.
        name: Names the cascade among those of a service.
        clock: The monotonic clock of deadlines and traces, in seconds.
    """

    engine: Engine
    documents: Documents
    stages: tuple[Stage, ...] = ()
    business: Business | None = None
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
        """The bundle that each stage runs, as name/version."""
        return {stage.name: stage.model for stage in self.stages if stage.model}

    def search(
        self, query: Query, request: PageRequest = FIRST_PAGE, deadline: Deadline = NEVER
    ) -> Page:
        """Return one page of the documents that match, best first.

        Raises:
            QueryError: If the query or the request is not acceptable.
            EngineError: If the engine fails.
        """
        start = self.clock()
        self.check(query, request)
        ranked = self.ranked(query, request, deadline)
        before_fetch = self.clock()
        items, next_offset, dropped = self._fetched(self._filtered(query), request, ranked)
        end = self.clock()
        ms = {
            **ranked.trace.ms,
            "fetch": (end - before_fetch) * 1e3,
            "total": (end - start) * 1e3,
        }
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
        )

    def rank(
        self,
        query: Query,
        ids: Sequence[str],
        scores: Sequence[float] | Float32,
        deadline: Deadline = NEVER,
    ) -> Ranking:
        """Rank candidates that the caller retrieved.

        Those that fail the query's filters, as far as the catalogue knows, are left out and
        counted; those that it does not know take part with default features.

        Args:
            query: The request.
            ids: Document ids, distinct.
            scores: The retrieval score of each; they are ordered by it, ties as given.
            deadline: When the request must be over.

        Raises:
            QueryError: If the query, the ids or the scores are not acceptable.
        """
        start = self.clock()
        self.check(query, FIRST_PAGE)
        given = np.asarray(scores, dtype=np.float32)
        if len(set(ids)) != len(ids) or given.shape != (len(ids),):
            raise QueryError(
                f"{len(ids)} ids ({len(set(ids))} distinct) and {given.size} scores were given; "
                "accepted are distinct ids with one score each"
            )
        if not np.isfinite(given).all():
            raise QueryError("scores has NaN or infinite values; accepted are finite numbers")
        listing = given_candidates(query, ids, given, self.documents)
        kept = matches(self._filtered(query).filters, listing)
        candidates = listing.take(kept) if not kept.all() else listing
        ranked, business, traces = self.reorder(candidates, deadline, None)
        trace = Trace(
            retrieved=len(candidates),
            unknown=int(np.count_nonzero(candidates.rows < 0)),
            filtered=int(np.count_nonzero(~kept)),
            stages=traces,
            moves=business.moves if business else (),
            ms={"total": (self.clock() - start) * 1e3},
        )
        return Ranking(tuple(ranked.ids()), ranked.scores, trace)

    def ranked(
        self,
        query: Query,
        request: PageRequest = FIRST_PAGE,
        deadline: Deadline = NEVER,
        seen: list[Snapshot] | None = None,
    ) -> Ranked:
        """Return the whole list in its final order, without fetching a page.

        Args:
            query: The request.
            request: What of it decides the list: collapse, sort, facets, and a depth beyond `size`.
            deadline: When the request must be over.
            seen: Receives the list as it stood after retrieval and after each step.
        """
        start = self.clock()
        filtered = self._filtered(query)
        depth = max(self.size, request.offset + request.size)
        retrieval, relaxed = self._retrieved(filtered, request, depth, deadline)
        found = retrieval.candidates
        listing = self._collapsed(found, request.collapse)
        retrieved_at = self.clock()
        admitted: tuple[str, ...] = ()
        if seen is not None:
            seen.append(Snapshot(RETRIEVAL, listing, None))
        if request.sort is not None:
            ranked, business, traces = listing, None, self._bypassed(request.sort.field)
        else:
            wanted = self._admitted(filtered, listing)
            admitted = tuple(wanted.ids()) if wanted is not None else ()
            ranked, business, traces = self.reorder(listing, deadline, seen, wanted)
        if admitted:
            total = retrieval.totals[0]
            totals = (Total(total.value + len(admitted), total.relation),)
            retrieval = replace(retrieval, totals=totals)
        trace = Trace(
            retrieved=len(listing),
            unknown=int(np.count_nonzero(listing.rows < 0)),
            collapsed=len(found) - len(listing),
            relaxed=relaxed,
            admitted=admitted,
            stages=traces,
            moves=business.moves if business else (),
            ms={
                "retrieve": (retrieved_at - start) * 1e3,
                "rank": (self.clock() - retrieved_at) * 1e3,
            },
        )
        return Ranked(ranked, retrieval, trace, business)

    def explain(self, query: Query, doc_id: str) -> Explanation:
        """Tell how a document came to its rank for a query, step by step.

        Raises:
            NotFoundError: If the engine does not have the document.
        """
        self.check(query, FIRST_PAGE)
        seen: list[Snapshot] = []
        ranked = self.ranked(query, seen=seen)
        listing = seen[0].candidates
        found = "retrieved"
        if doc_id in ranked.trace.admitted:
            found = "admitted"
        elif doc_id not in listing.ids():
            found, probe = self._probed(query, doc_id)
            listing = joined(listing, probe)
        detail: Mapping[str, Any] = {}
        if self.business is not None and ranked.business is not None:
            told = self.business.explain(ranked.business, doc_id)
            detail = asdict(told) if told is not None else {}
        return explanation(doc_id, Origin(found, listing, detail), seen, ranked, self.stages)

    def check(self, query: Query, request: PageRequest) -> None:
        """Refuse a query or a page request that cannot be served.

        Raises:
            QueryError: Saying what was given and what is accepted.
        """
        if len(query.text) > MAX_TEXT:
            raise QueryError(
                f"text has {len(query.text):,} characters; accepted are up to {MAX_TEXT:,}"
            )
        if not query.text.strip() and not query.filters.parts:
            raise QueryError(
                "text is empty and there are no filters; accepted are a text, or filters alone "
                "to browse what passes them"
            )
        if not 1 <= request.size <= MAX_SIZE:
            raise QueryError(f"size is {request.size}; accepted are 1 to {MAX_SIZE}")
        if request.offset < 0 or request.offset + request.size > MAX_DEPTH:
            raise QueryError(
                f"offset {request.offset} with size {request.size} is not acceptable; "
                f"accepted are pages that end at rank {MAX_DEPTH:,} or before"
            )
        schema = self.documents.schema
        keywords = [f.name for f in schema.of_kind(Kind.KEYWORD)]
        numbers = [f.name for f in schema.of_kind(Kind.NUMBER, Kind.DATE)]
        texts = [f.name for f in schema.of_kind(Kind.TEXT)]
        sort = (request.sort.field,) if request.sort else ()
        collapse = (request.collapse,) if request.collapse is not None else ()
        for what, names, valid in (
            ("facets", request.facets, keywords),
            ("collapse", collapse, keywords),
            ("sort", sort, numbers),
            ("highlight", request.highlight, texts),
        ):
            for name in names:
                if name not in valid:
                    raise QueryError(f"{what}: {name!r} cannot be used; {nearest(name, valid)}")
        if self.business is not None:
            self.business.preference(query)
        elif query.preference:
            raise QueryError("a preference was given, and this cascade has no business layer")

    def _filtered(self, query: Query) -> Query:
        if self.business is None:
            return query
        return replace(query, filters=both(query.filters, self.business.retrieval_filter(query)))

    def _retrieved(
        self, query: Query, request: PageRequest, depth: int, deadline: Deadline
    ) -> tuple[Retrieval, bool]:
        # Without a text every document that passes the filters matches: a category's page.
        browsing = not query.text.strip()
        asked = Asked(
            facets=request.facets,
            sort=request.sort,
            minimum_match=self.minimum_match,
            match_all=browsing,
        )
        retrieval = self.engine.retrieve([query], depth, asked, deadline)
        if self.minimum_match == 0 or retrieval.totals[0].value or browsing:
            return retrieval, False
        relaxed = self.engine.retrieve([query], depth, replace(asked, minimum_match=0.0), deadline)
        return relaxed, relaxed.totals[0].value > 0

    def _collapsed(self, candidates: Candidates, field: str | None) -> Candidates:
        if field is None or not len(candidates):
            return candidates
        groups = self.documents.keywords(field, candidates.rows)
        filled = np.flatnonzero(groups.lengths > 0)
        codes = groups.values[groups.offsets[filled]]
        _, first = np.unique(codes, return_index=True)
        kept = groups.lengths == 0
        kept[filled[first]] = True
        return candidates.take(kept)

    def _admitted(self, query: Query, listing: Candidates) -> Candidates | None:
        """Return the pinned documents that retrieval did not bring, if they may be shown."""
        if self.business is None:
            return None
        missing = self.business.absent(listing)
        if not missing:
            return None
        asked = Asked(only=(missing,), match_all=True)
        found = self.engine.retrieve([query], len(missing), asked).candidates
        return found if len(found) else None

    def reorder(
        self,
        listing: Candidates,
        deadline: Deadline = NEVER,
        seen: list[Snapshot] | None = None,
        admitted: Candidates | None = None,
    ) -> tuple[Candidates, BusinessTrace | None, tuple[StageTrace, ...]]:
        """Return one retrieved listing through all stages and the business layer.

        Args:
            listing: The candidates in retrieval's order.
            deadline: When the request must be over.
            seen: Receives the list as it stood after each step.
            admitted: Pinned documents that retrieval did not bring; they join before the rules.
        """

        def note(step: str, candidates: Candidates, trace: StageTrace | None) -> None:
            if seen is not None:
                seen.append(Snapshot(step, candidates, trace))

        # Depth beyond `size` is for far pages alone: the rows that rankers see never depend on it.
        listing, beyond = listing.split(self.size)
        ranked, traces = run_stages(self.stages, listing, deadline, note)
        for part in (beyond, admitted):
            ranked = ranked if part is None else joined(ranked, part)
        if self.business is None:
            return ranked, None, traces
        start = time.perf_counter()
        ranked, told = self.business.rerank(ranked, blend=deadline.left_ms() > 0)
        ms = (time.perf_counter() - start) * 1e3
        outcome = Outcome.RAN
        if told.reason:
            late = told.reason.startswith("left out")
            outcome = Outcome.SKIPPED if late else Outcome.REVERTED
        trace = StageTrace(BUSINESS, outcome, told.rows, ms, told.reason)
        note(BUSINESS, ranked, trace)
        return ranked, told, (*traces, trace)

    def _probed(self, query: Query, doc_id: str) -> tuple[str, Candidates]:
        """Return why retrieval did not bring a document, and the document as a listing."""
        only = ((doc_id,),)
        filtered = self._filtered(query)
        for found, probing, asked in (
            ("cut", filtered, Asked(only=only, minimum_match=self.minimum_match)),
            ("unmatched", filtered, Asked(only=only, match_all=True)),
            ("filtered", replace(query, filters=EVERYTHING), Asked(only=only, match_all=True)),
        ):
            candidates = self.engine.retrieve([probing], 1, asked).candidates
            if len(candidates):
                return found, candidates
        raise NotFoundError(f"there is no document {doc_id!r} in {self.documents.generation}")

    def _bypassed(self, field: str) -> tuple[StageTrace, ...]:
        names = [stage.name for stage in self.stages]
        names += [BUSINESS] if self.business is not None else []
        reason = f"the result is sorted by {field}"
        return tuple(StageTrace(name, Outcome.SKIPPED, 0, 0.0, reason) for name in names)

    def _fetched(
        self, query: Query, request: PageRequest, ranked: Ranked
    ) -> tuple[tuple[Item, ...], int | None, int]:
        """Return the page's items, where the next page begins, and how many rows were gone."""
        items: list[Item] = []
        at, dropped, total = request.offset, 0, len(ranked.candidates)
        while len(items) < request.size and at < total:
            rows = np.arange(at, min(at + request.size - len(items), total))
            part = ranked.candidates.take(rows)
            ids = part.ids()
            found = self.engine.fetch(query, ids, request.fields, request.highlight)
            for doc_id, score, document in zip(ids, part.scores, found, strict=True):
                if document is None:
                    dropped += 1
                    continue
                rank = request.offset + len(items) + 1
                items.append(Item(doc_id, rank, float(score), document.fields, document.highlights))
            at += len(rows)
        deeper = at < total or ranked.retrieval.totals[0].value > total
        return tuple(items), (at if deeper and at < MAX_DEPTH and items else None), dropped


def given_candidates(
    query: Query, ids: Sequence[str], scores: Float32, documents: Documents
) -> Candidates:
    """Return a listing of documents that a caller names, ordered by their scores."""
    order = np.argsort(-scores, kind="stable")
    rows = documents.rows(ids)[order]
    names = np.array(list(ids), dtype=object)[order] if len(ids) else np.empty(0, dtype=object)
    ranks = np.arange(1, len(ids) + 1, dtype=np.float32)
    ordered = scores[order]
    return Candidates(
        queries=(query,),
        offsets=np.array([0, len(ids)], dtype=np.int64),
        rows=rows,
        scores=ordered,
        documents=documents,
        columns={"engine_score": ordered, "engine_rank": ranks},
        doc_ids=names if (rows < 0).any() else None,
    )
