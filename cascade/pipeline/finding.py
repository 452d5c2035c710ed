"""What a request asks of the engine beside the page itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cascade.business import Business
from cascade.candidates import Candidates, Query, joined
from cascade.errors import EngineError, EngineUnavailableError, NotFoundError
from cascade.filters import EVERYTHING
from cascade.pipeline.listing import admissible, first_of_groups, without
from cascade.pipeline.trace import MAX_DEPTH, PageRequest
from cascade.protocols import Asked, Deadline, Engine, Retrieval


@dataclass(frozen=True, slots=True)
class Found:
    """Hold what retrieval brought.

    Attributes:
        retrieval: The candidates, the total and the facets.
        relaxed: Whether fewer terms had to match because nothing matched as asked.
        complete: Whether a deeper retrieval would bring nothing more.
        deleted: How many rows are left out because their documents were taken away since.
        refused: How many rows each rule of the business layer refused though the engine gave
            them, by its name.
    """

    retrieval: Retrieval
    relaxed: bool
    complete: bool
    deleted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gone:
    """Count the rows of a retrieval that are left out.

    Attributes:
        deleted: Their documents were taken away since.
        refused: A rule refuses them, by its name.
    """

    deleted: int
    refused: Mapping[str, int]

    @property
    def rows(self) -> int:
        """How many rows there are of both kinds."""
        return self.deleted + sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class Admission:
    """Hold the pinned documents that join a list.

    Attributes:
        candidates: The documents, None if there are none.
        collapse: The field that the list is collapsed by; each takes its group's place.
        unmatched: How many of them the total of the retrieval does not count.
        reason: Why pinned documents were left out, else "".
    """

    candidates: Candidates | None = None
    collapse: str | None = None
    unmatched: int = 0
    reason: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the documents."""
        return () if self.candidates is None else tuple(self.candidates.ids())

    def joined_to(self, listing: Candidates) -> Candidates:
        """Return a list with the documents at its end, less the rows that they stand for."""
        if self.candidates is None:
            return listing
        return joined(without(listing, self.candidates, self.collapse), self.candidates)


NOTHING_ADMITTED = Admission()
_NOBODY: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Finder:
    """Ask an engine on behalf of one request.

    Attributes:
        engine: Retrieves.
        business: Says which documents are pinned.
        minimum_match: The share of a query's terms that a document must have.
        deadline: When the request must be over.
    """

    engine: Engine
    business: Business | None
    minimum_match: float
    deadline: Deadline

    def found(self, query: Query, request: PageRequest, size: int) -> Found:
        """Return `size` candidates, or as many as the page needs.

        Raises:
            EngineError: If the engine fails.
        """
        depth = max(size, request.offset + request.size)
        asked = Asked(
            facets=request.facets,
            sort=request.sort,
            minimum_match=self.minimum_match,
            match_all=_browses(query),
        )
        retrieval, gone = self._present(query, depth, asked)
        relaxed = False
        if self.minimum_match and not retrieval.totals[0].value and not _browses(query):
            asked = replace(asked, minimum_match=0.0)
            retrieval, gone = self._present(query, depth, asked)
            relaxed = retrieval.totals[0].value > 0
        complete = _complete(retrieval, depth - gone.rows)
        if request.collapse is not None and not complete and depth < MAX_DEPTH:
            rows = first_of_groups(retrieval.candidates, request.collapse).sum()
            # Each pin may take the place of one more row.
            pins = len(self.business.wanted(query)) if self.business is not None else 0
            if rows < request.offset + request.size + pins:
                deep, gone = self._present(query, MAX_DEPTH, replace(asked, facets=()))
                complete = _complete(deep, MAX_DEPTH - gone.rows)
                retrieval = replace(retrieval, candidates=deep.candidates)
        return Found(retrieval, relaxed, complete, gone.deleted, gone.refused)

    def admitted(
        self, query: Query, listing: Candidates, collapse: str | None, *, relaxed: bool
    ) -> Admission:
        """Return the pinned documents that a list lacks, if they pass the filters.

        An engine that fails here costs the request its pins alone.

        Args:
            query: The request, with the filters of the business layer.
            listing: The list, collapsed.
            collapse: What it is collapsed by.
            relaxed: Whether fewer terms had to match than configured.
        """
        if self.business is None:
            return NOTHING_ADMITTED
        missing = tuple(dict.fromkeys(self.business.absent(listing)))
        if not missing:
            return NOTHING_ADMITTED
        try:
            asked = Asked(only=(missing,), match_all=True)
            pinned = self._retrieve(query, len(missing), asked).candidates
            if collapse is not None and len(pinned):
                pinned = admissible(pinned, listing, self.business.wanted(query), collapse)
            if not len(pinned):
                return NOTHING_ADMITTED
            asked = Asked(
                only=(tuple(pinned.ids()),),
                minimum_match=0.0 if relaxed else self.minimum_match,
                match_all=_browses(query),
            )
            counted = self._retrieve(query, 0, asked).totals[0].value
        except EngineError as error:
            return Admission(reason=f"{type(error).__name__}: {error}"[:300])
        return Admission(pinned, collapse, len(pinned) - counted)

    def probed(self, query: Query, filtered: Query, doc_id: str) -> tuple[str, Candidates]:
        """Return why retrieval did not bring a document, and the document as a listing.

        Args:
            query: The request as it was given.
            filtered: The same with the filters of the business layer.
            doc_id: The document.

        Raises:
            NotFoundError: If the engine does not have it.
            EngineError: If the engine fails.
        """
        only = ((doc_id,),)
        for found, probing, asked in (
            ("cut", filtered, Asked(only=only, minimum_match=self.minimum_match)),
            ("unmatched", filtered, Asked(only=only, match_all=True)),
            ("filtered", replace(query, filters=EVERYTHING), Asked(only=only, match_all=True)),
        ):
            # What a rule refuses by what is known of it is there, and told as filtered.
            asking = replace(self, business=None) if found == "filtered" else self
            candidates = asking._retrieve(probing, 1, asked).candidates
            if len(candidates):
                return found, candidates
        raise NotFoundError(f"there is no document {doc_id!r} in {candidates.documents.generation}")

    def _retrieve(self, query: Query, size: int, asked: Asked) -> Retrieval:
        return self._present(query, size, asked)[0]

    def _present(self, query: Query, size: int, asked: Asked) -> tuple[Retrieval, Gone]:
        """Return what is there of a retrieval, and what of it is left out.

        Until its next refresh an engine goes on returning a document that was deleted, or that
        changed so that a rule refuses it.
        """
        try:
            found = self.engine.retrieve([query], size, asked, self.deadline)
        except NotFoundError as error:
            raise index_gone(error) from error
        candidates = found.candidates
        gone = candidates.documents.deleted(candidates.rows).copy()
        deleted, refused = int(np.count_nonzero(gone)), _NOBODY
        if self.business is not None and len(candidates):
            refusal = self.business.refused(candidates.take(~gone) if deleted else candidates)
            if refusal.counts:
                refused = refusal.counts
                gone[~gone] |= refusal.rows
        left_out = Gone(deleted, refused)
        if not left_out.rows:
            return found, left_out
        total = found.totals[0]
        left = replace(total, value=max(total.value - left_out.rows, 0))
        return replace(found, candidates=candidates.take(~gone), totals=(left,)), left_out


def index_gone(error: NotFoundError) -> EngineUnavailableError:
    """Return what to say when the index that is being searched was removed."""
    return EngineUnavailableError(
        f"the index that is searched is gone: {error}; go back by `cascade index rollback`, or "
        "build it again by `cascade index build`"
    )


def _browses(query: Query) -> bool:
    """Without a text every document that passes the filters matches: a category's page."""
    return not query.text.strip()


def _complete(retrieval: Retrieval, depth: int) -> bool:
    got, total = len(retrieval.candidates), retrieval.totals[0]
    return got < depth or (total.relation == "eq" and got >= total.value)
