"""The contracts that the rooms share: read this second, after `candidates`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from cascade.candidates import Candidates, Float32, Float64, Query
from cascade.judgments import Judgments
from cascade.schema import Document


@dataclass(frozen=True, slots=True)
class Deadline:
    """Say when a request must be over, on a monotonic clock (seconds)."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after_ms(cls, budget_ms: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Return the deadline that lies `budget_ms` milliseconds ahead."""
        return cls(clock() + budget_ms / 1000.0, clock)

    def left_ms(self) -> float:
        """Return the milliseconds that are left, below 0 when it has passed."""
        return (self.at - self.clock()) * 1000.0


NEVER = Deadline(float("inf"))


@dataclass(frozen=True, slots=True)
class Sort:
    """Order by one number or date field; documents without a value come last."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """Say what a retrieval is asked for beside its queries.

    Attributes:
        facets: Keyword fields to count over the whole match set, each without its own filter.
        facet_size: How many values of each facet to count, the most frequent first.
        sort: Order by a field instead of by score.
        minimum_match: The share of a query's distinct terms that a document must have, in at
            least one field; 0 asks for any one term, 1 for all.
        only: For each query, the ids it may return; None leaves it open.
        match_all: Whether documents that match the filters but no term are returned as well.
    """

    facets: tuple[str, ...] = ()
    facet_size: int = 20
    sort: Sort | None = None
    minimum_match: float = 0.0
    only: tuple[tuple[str, ...], ...] | None = None
    match_all: bool = False


@dataclass(frozen=True, slots=True)
class Total:
    """Count the documents that match a query; "gte" says that there may be more."""

    value: int
    relation: Literal["eq", "gte"] = "eq"


@dataclass(frozen=True, slots=True)
class FacetValue:
    """Count the matching documents that have one value of a field."""

    value: str
    count: int


Facets = Mapping[str, tuple[FacetValue, ...]]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Hold what an engine found: candidates, and a total and facets for each query.

    The candidates are ordered by (score descending, row ascending) and carry the columns
    `engine_score` and `engine_rank` (1-based). `missing` says, one line each, what was asked for
    and left out because it came too late: facets never hold up a page.
    """

    candidates: Candidates
    totals: tuple[Total, ...]
    facets: tuple[Facets, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageDocument:
    """Hold what a page shows of one document: fields as they were given, and highlights."""

    fields: Mapping[str, Any]
    highlights: Mapping[str, str] = field(default_factory=dict)


class Capability(StrEnum):
    """Name what an engine can do beyond the contract."""

    FACETS = "facets"
    HIGHLIGHT = "highlight"
    SORT = "sort"
    MINIMUM_MATCH = "minimum_match"
    UPDATE = "update"
    PHRASES = "phrases"
    TYPOS = "typos"
    TEMPLATE = "template"
    VECTORS = "vectors"
    NAMED_QUERIES = "named_queries"
    DOC_VALUES = "doc_values"


class Engine(Protocol):
    """Find candidates by BM25, filter and count them, and fetch the fields of a page."""

    @property
    def kind(self) -> str:
        """The engine's name in configuration: "embedded", "elasticsearch", ..."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this engine can do; asked by name before it is used."""
        ...

    def retrieve(
        self,
        queries: Sequence[Query],
        size: int,
        asked: Asked = ...,
        deadline: Deadline = ...,
    ) -> Retrieval:
        """Return up to `size` (>= 0) candidates for each query.

        Raises:
            EngineError: If the engine fails.
            DeadlineError: If the deadline passes before it answers.
        """
        ...

    def fetch(
        self,
        query: Query,
        ids: Sequence[str],
        fields: Sequence[str] | None = None,
        highlight: Sequence[str] = (),
    ) -> list[PageDocument | None]:
        """Return the page's documents in the order of `ids`.

        None stands for a document that is gone or does not pass the query's filters any more.

        Args:
            query: The request; its text is what is highlighted, its filters are checked again.
            ids: Document ids.
            fields: Keys of the original document to return; None means all.
            highlight: Text fields to mark matches in, with `<em>` around each; the rest of the
                text is escaped for HTML.
        """
        ...

    def healthy(self) -> bool:
        """Return whether the engine answers."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class IndexWriter(Protocol):
    """Fill one index of an engine, document by document, in the order of catalogue rows."""

    def add(self, row: int, document: Document, tokens: Mapping[str, Sequence[str]]) -> None:
        """Add a document.

        Args:
            row: Its catalogue row.
            document: The checked document.
            tokens: Its terms by text field, for engines that take the analysis from us.
        """
        ...

    def finish(self) -> None:
        """Make everything that was added durable and searchable."""
        ...

    def abandon(self) -> None:
        """Stop, leaving nothing that still writes; what was added is lost."""
        ...


@runtime_checkable
class Feature(Protocol):
    """Give every candidate one number.

    Attributes:
        name: Unique within a feature set.
        version: Raised whenever the implementation gives other numbers for the same definition.
        scope: "row" if a value depends on the query and its own document alone, "listing" if it
            depends on the whole retrieved listing, which is then what it is computed on.
        portable: Whether it is equal on every engine.
    """

    @property
    def name(self) -> str:
        """The name of the column."""
        ...

    @property
    def version(self) -> int:
        """The version of the implementation."""
        ...

    @property
    def scope(self) -> Literal["row", "listing"]:
        """What a value depends on."""
        ...

    @property
    def portable(self) -> bool:
        """Whether every engine gives the same value."""
        ...

    def definition(self) -> Mapping[str, Any]:
        """Return the plain data from which the same feature can be built again."""
        ...

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN says that the value is missing."""
        ...


class FeatureSet(Protocol):
    """Hold features in order."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features, in the order of the matrix's columns."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the matrix's columns."""
        ...

    @property
    def fingerprint(self) -> str:
        """A digest over definitions and implementation versions, 64 hexadecimal digits."""
        ...

    def definitions(self) -> list[dict[str, Any]]:
        """Return the definition and version of each feature, in order."""
        ...

    def prepared(self, candidates: Candidates) -> Candidates:
        """Return the candidates with a column for each feature of listing scope.

        To be called once, on the listing as it was retrieved.
        """
        ...

    def matrix(self, candidates: Candidates) -> Float32:
        """Return float32[n, f]."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """Hold what a ranker gives: the ordering score, and named heads such as `p_buy`.

    Attributes:
        order: float32[n], higher is better.
        heads: float32[n] by name; they become columns for later stages.
    """

    order: Float32
    heads: Mapping[str, Float32] = field(default_factory=dict)


class Ranker(Protocol):
    """Score candidates; never reorder them."""

    def prepared(self, candidates: Candidates) -> Candidates:
        """Return the candidates with what the ranker must know of the whole retrieved listing."""
        ...

    def score(self, candidates: Candidates) -> Scores:
        """Return a score for each row; row order, batch and other listings change nothing.

        Raises:
            RankerError: If it fails.
        """
        ...


class Objective(Protocol):
    """Give every candidate one business value."""

    @property
    def name(self) -> str:
        """The name that a preference weighs."""
        ...

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] from 0 (worst) to 1 (best)."""
        ...


@dataclass(frozen=True, slots=True)
class Move:
    """Say that a rule moved a document from one rank to another (1-based, whole list)."""

    rule: str
    doc_id: str
    before: int
    after: int


class Measure(Protocol):
    """Judge rankings against judgments; prints as people write it, `nDCG@10`."""

    def per_query(self, run: Run, judgments: Judgments) -> Float64:
        """Return float64[q], one value for each query of the run, NaN where undefined."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """Hold the listings of one system over a query set.

    Attributes:
        query_ids: The q queries.
        rankings: For each query the document ids, best first.
    """

    query_ids: tuple[str, ...]
    rankings: tuple[tuple[str, ...], ...]
