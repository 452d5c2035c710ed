"""The contract of whoever holds indexes: making, filling, naming, reading and removing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cascade.candidates import Documents
from cascade.protocols import Engine, IndexWriter
from cascade.schema import Document, Schema

ROW_FIELD = "cascade_row"
"""The number field of an index that holds the catalogue row of a document."""
ID_FIELD = "cascade_id"
"""The keyword field, in doc values, that holds a copy of the document's id."""
RAW_FIELD = "cascade_raw"
"""The field, stored and never indexed, that holds the document as it was given."""
GENERATION_FIELD = "cascade_generation"
"""The keyword field that holds the name of the generation, where a server needs it in documents."""


@dataclass(frozen=True, slots=True)
class Place:
    """Say where one index is.

    Attributes:
        name: Its concrete name on the server, `products-000007`.
        folder: The folder of its files, for an engine that keeps them in the generation.
    """

    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Rejected:
    """Tell which document a server refused, and why."""

    doc_id: str
    row: int
    reason: str


class BulkWriter(IndexWriter, Protocol):
    """Fill an index in batches that the server acknowledges."""

    @property
    def acknowledged(self) -> int:
        """How many documents, counted from the first, the server has answered for."""
        ...

    @property
    def rejected(self) -> Sequence[Rejected]:
        """The documents that the server refused for what they are; they are not in the index."""
        ...


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """Say how an index is filled.

    Attributes:
        documents: At most so many documents in one request.
        bytes: About so many bytes in one request.
        in_flight: How many requests may be on their way at once.
        retries: How often items that the server had no room for (429, 5xx) are sent again.
        backoff_s: How long to wait before the first of these, doubled each time.
        skip: How many documents, counted from the first, an earlier run has had acknowledged;
            they are passed over.
        skip_refused: How many of these the server refused for what they are.
    """

    documents: int = 1_000
    bytes: int = 8_000_000
    in_flight: int = 2
    retries: int = 16
    backoff_s: float = 0.1
    skip: int = 0
    skip_refused: int = 0


@dataclass(frozen=True, slots=True)
class IndexState:
    """Say how an index stands.

    Attributes:
        documents: How many documents a search sees.
        failed_shards: How many of its parts do not answer.
        identity: Changes when an index is made anew under the same name.
        about: What was written into it when it was made; empty for an index that others made.
    """

    documents: int
    failed_shards: int
    identity: str
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Put one document in place of that with its id, or take it away.

    Attributes:
        doc_id: Which.
        row: The row of its columns; -1 if it has none.
        document: What it becomes; None takes it away.
    """

    doc_id: str
    row: int = -1
    document: Document | None = None


class IndexHost(Protocol):
    """Hold the indexes of one server, or of one folder for the embedded engine.

    Names are concrete unless an argument is called alias. An alias is a pointer for others: this
    system searches concrete indexes.
    """

    @property
    def kind(self) -> str:
        """The engine's name in configuration."""
        ...

    def create(self, place: Place, schema: Schema, about: Mapping[str, str]) -> None:
        """Make an empty index with the schema's mapping.

        Args:
            place: Where; there must be none.
            schema: The fields.
            about: Kept with the index: the generation and whatever proves whose it is.

        Raises:
            RefusedError: If there is one already.
            EngineError: If the server fails.
        """
        ...

    def open_writer(self, place: Place, schema: Schema, options: BulkOptions = ...) -> BulkWriter:
        """Return what fills an index; `finish` makes all of it searchable."""
        ...

    def state(self, place: Place) -> IndexState:
        """Return how an index stands, after a refresh.

        Raises:
            NotFoundError: If there is none.
        """
        ...

    def names(self, index: str) -> list[str]:
        """Return the concrete indexes `<index>-NNNNNN` that are there, sorted."""
        ...

    def drop(self, place: Place) -> None:
        """Remove an index; one that is not there is no error."""
        ...

    def target(self, alias: str) -> str | None:
        """Return the concrete index behind an alias, None if there is no such alias.

        The name of a plain index gives itself.
        """
        ...

    def point(self, alias: str, place: Place) -> None:
        """Let an alias name this index from one request to the next, without a gap.

        Raises:
            RefusedError: If `alias` is the name of an index, not of an alias.
        """
        ...

    def documents(self, name: str, batch: int = ...) -> Iterator[list[Mapping[str, Any]]]:
        """Yield every document as it was given, from one consistent view where the server has one.

        Args:
            name: A concrete index; an index of others gives what it stored of its documents.
            batch: How many at a time.
        """
        ...

    def ids(self, name: str, batch: int = ...) -> Iterator[list[str]]:
        """Yield the id of every document."""
        ...

    def apply(
        self, place: Place, schema: Schema, changes: Sequence[Change], *, refresh: bool = ...
    ) -> None:
        """Apply changes in order; they are durable when this returns.

        Args:
            place: The index.
            schema: The fields.
            changes: The later of two for one id counts.
            refresh: Whether searches that begin after this call see them.

        Raises:
            DocumentError: If the server refuses a document for what it is; the rest is applied.
            EngineError: If the server fails.
        """
        ...

    def engine(self, place: Place, schema: Schema, documents: Documents) -> Engine:
        """Return an engine that searches this one index.

        Args:
            place: The index.
            schema: The fields, and their weights in retrieval.
            documents: The catalogue of the same build.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
