"""What a request tells of itself: pages, and the trace of how each came to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cascade.business import BusinessTrace
from cascade.candidates import Candidates, Float32
from cascade.protocols import Facets, Move, Retrieval, Sort, Total

DEFAULT_SIZE = 24
MAX_SIZE = 1_000
MAX_DEPTH = 10_000


class Outcome(StrEnum):
    """Say what became of a stage."""

    RAN = "ran"
    SHRUNK = "shrunk"
    SKIPPED = "skipped"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True)
class StageTrace:
    """Tell what one stage did.

    Attributes:
        name: The stage.
        outcome: What became of it.
        rows: How many rows it scored.
        ms: How long it took.
        reason: Why it did not run as configured, or what a guard held back, else "".
    """

    name: str
    outcome: Outcome
    rows: int
    ms: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """Tell how a page came to be.

    Attributes:
        retrieved: How many candidates retrieval gave.
        unknown: How many of them the catalogue does not have.
        collapsed: How many rows fell to another of the same group.
        filtered: How many given candidates did not pass the filters (`Cascade.rank` alone).
        relaxed: Whether fewer terms had to match because nothing matched as asked.
        admitted: Pinned documents that one more request brought, since retrieval had not, or
            collapse had taken them away.
        unadmitted: Why pinned documents were left out, else "".
        deleted: Retrieved rows that are left out: their documents were taken away since.
        refused: Rows that the engine gave and a rule refuses by what is known of their documents:
            how many, by the rule's name. They are left out of the list and of the total.
        stale: Fields whose values are older than they may be, and were read as absent;
            "behaviour" for counts that the query's time must not read.
        missing: What was asked of the engine and left out because it came too late, one line each.
        dropped: Rows of the page that were gone, or no longer passed the filters.
        stages: What each stage did; the business layer is the last, named "business".
        moves: What the rules moved, in the order of the rules.
        swapped: The upper rank of each pair of neighbours that exploration swapped.
        ms: Milliseconds by part: retrieve, rank, fetch, total.
    """

    retrieved: int = 0
    unknown: int = 0
    collapsed: int = 0
    filtered: int = 0
    relaxed: bool = False
    admitted: tuple[str, ...] = ()
    unadmitted: str = ""
    deleted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    dropped: int = 0
    stages: tuple[StageTrace, ...] = ()
    moves: tuple[Move, ...] = ()
    swapped: tuple[int, ...] = ()
    ms: Mapping[str, float] = field(default_factory=dict)

    def degraded(self) -> tuple[str, ...]:
        """Return why the page is not what the configuration promises, empty if it is."""
        reasons = [
            f"{s.name} {s.outcome}: {s.reason}" for s in self.stages if s.outcome != Outcome.RAN
        ]
        if self.unknown:
            reasons.append(f"{self.unknown} candidates are not in the catalogue")
        if self.relaxed:
            reasons.append("nothing matched as asked: fewer terms had to match")
        if self.stale:
            reasons.append(f"values are too old and count as absent: {', '.join(self.stale)}")
        if self.unadmitted:
            reasons.append(f"pinned documents are left out: {self.unadmitted}")
        reasons += self.missing
        return tuple(reasons)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Say which part of a result a caller wants, and with what.

    Attributes:
        size: Rows of the page.
        offset: Ranks to skip.
        facets: Keyword fields to count.
        sort: Order by a field; the cascade is bypassed, and the trace says so.
        collapse: Keep the best row of each value of this keyword field.
        fields: Document keys to return; None means all.
        highlight: Text fields to mark matches in.
        explain: Whether each row of the page is explained.
    """

    size: int = DEFAULT_SIZE
    offset: int = 0
    facets: tuple[str, ...] = ()
    sort: Sort | None = None
    collapse: str | None = None
    fields: tuple[str, ...] | None = None
    highlight: tuple[str, ...] = ()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """Hold one row of a page; `rank` is 1-based over the whole result."""

    id: str
    rank: int
    score: float
    fields: Mapping[str, Any]
    highlights: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Hold one page of a result.

    Attributes:
        query_id: The query's id.
        items: The rows, best first.
        total: How many documents match.
        facets: Counts by field.
        next_offset: Where the next page begins, None after the last.
        trace: How it came to be.
        generation: The index and catalogue that served it.
        models: The bundle that each stage ran, as name/version.
        explanations: One for each row, if the request asked for them.
    """

    query_id: str
    items: tuple[Item, ...]
    total: Total
    facets: Facets
    next_offset: int | None
    trace: Trace
    generation: str
    models: Mapping[str, str]
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hold a whole ranked list of ids and the scores that its order came from."""

    ids: tuple[str, ...]
    scores: Float32
    trace: Trace


@dataclass(frozen=True, slots=True)
class Ranked:
    """Hold a whole list in its final order, and how it came to be.

    Attributes:
        candidates: The list.
        listing: The rows that rankers saw, in retrieval's order.
        retrieval: What the engine found, before anything fell to `collapse`; its total counts
            admitted documents too.
        trace: How the list came to be.
        complete: Whether a deeper retrieval would bring nothing more.
        business: What the business layer did, None if it did not run.
    """

    candidates: Candidates
    listing: Candidates
    retrieval: Retrieval
    trace: Trace
    complete: bool
    business: BusinessTrace | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold the whole list after one step."""

    step: str
    candidates: Candidates
    trace: StageTrace | None


@dataclass(frozen=True, slots=True)
class StepExplanation:
    """Tell where a document stood after one step.

    Attributes:
        step: "retrieval", a stage's name, or "business".
        rank: 1-based, None if it was not in the list.
        score: What the step ordered it by, None if it was not scored.
        outcome: What became of the step.
        features: Every feature value of the step's model, by name.
        detail: What else the step says: objectives, preference and utility of the business layer.
    """

    step: str
    rank: int | None
    score: float | None
    outcome: str
    features: Mapping[str, float | None] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Tell how one document came to its rank.

    Attributes:
        query_id: The query's id.
        doc_id: The document.
        found: "retrieved", "admitted" by a pin, "collapsed" (another of its group stands for it),
            "cut" (it matches below the retrieval's size),
            "unmatched" (it passes the filters and matches no term), or "filtered".
        steps: Where it stood after each step.
        moves: What each rule did to it.
        final_rank: Its rank in the end, None if it is not in the list.
        trace: The trace of the request.
    """

    query_id: str
    doc_id: str
    found: str
    steps: tuple[StepExplanation, ...]
    moves: tuple[Move, ...]
    final_rank: int | None
    trace: Trace
