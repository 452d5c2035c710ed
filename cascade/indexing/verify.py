"""Proof that an engine and a catalogue hold the same documents, and that their files are whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Documents, Int32, Int64, Query
from cascade.catalogue import LiveCatalogue
from cascade.catalogue.files import open_arrays, read_manifest
from cascade.errors import DocumentError
from cascade.hosting import IndexHost
from cascade.indexing.checksums import compare
from cascade.indexing.generations import Generation
from cascade.protocols import Asked, Engine
from cascade.schema import Document, Kind, Schema

SAMPLE = 200
MAX_TOLD = 20
_BATCH = 100


@dataclass(frozen=True)
class VerifyReport:
    """Say what was compared, and what differs.

    Attributes:
        generation: Which generation.
        engine: How many documents the index gave.
        catalogue: How many documents the catalogue has, less those that the server refused.
        sampled: Of how many documents the columns were compared with the index's own document.
        differences: How many differences of each kind were found; empty if both are equal.
        told: One line for each of the first of them.
    """

    generation: str
    engine: int
    catalogue: int
    sampled: int
    differences: Mapping[str, int]
    told: tuple[str, ...]


class Differences:
    """Count differences by kind, and keep the first of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.told: list[str] = []

    def add(self, kind: str, lines: Iterable[str]) -> None:
        """Note differences of one kind, one line each."""
        for line in lines:
            count = self.counts[kind] = self.counts.get(kind, 0) + 1
            if count <= MAX_TOLD:
                self.told.append(f"{kind}: {line}")


def verify_files(generation: Generation) -> bool:
    """Compare every checksum of a generation; return whether its index took updates since.

    Raises:
        CascadeError: Naming the file that is missing or not what was promised.
    """
    manifest = read_manifest(generation.catalogue)
    open_arrays(generation.catalogue, manifest["files"], verify=True)
    promised = generation.manifest.get("engine")
    # A server keeps its own files; an index in the generation has promised its own.
    if promised or generation.engine.is_dir():
        return compare(generation.engine, promised)
    return False


def verify(
    generation: Generation,
    host: IndexHost,
    schema: Schema,
    documents: Documents,
    sample: int = SAMPLE,
) -> VerifyReport:
    """Compare an index with its catalogue: ids of all, rows and columns of a sample.

    Takes one byte a document beside what is on its way.

    Args:
        generation: What both belong to.
        host: Holds the index.
        schema: The fields.
        documents: The catalogue, with the changes since the build where there are any.
        sample: How many documents to compare field by field, spread evenly.

    Raises:
        CascadeError: If a file is damaged, or the engine fails.
    """
    verify_files(generation)
    found = Differences()
    seen = _compare_ids(host.ids(generation.place.name), documents, found)
    there = indexed(generation, documents)
    known, missing = there[seen[there]], there[~seen[there]]
    found.add("only in the catalogue", _named(documents, missing))
    state = host.state(generation.place)
    if state.failed_shards:
        found.add("failed shard", [f"{state.failed_shards} parts of the index do not answer"])
    spread = np.linspace(0, max(len(known) - 1, 0), min(sample, len(known)))
    chosen = known[np.unique(spread.astype(np.int64))]
    engine = host.engine(generation.place, schema, documents)
    with closing(engine):
        for at in range(0, len(chosen), _BATCH):
            rows = chosen[at : at + _BATCH].astype(np.int32)
            _compare_rows(engine, schema, documents, rows, found)
    return VerifyReport(
        generation=generation.name,
        engine=state.documents,
        catalogue=len(there),
        sampled=len(chosen),
        differences=found.counts,
        told=tuple(found.told),
    )


def indexed(generation: Generation, documents: Documents) -> Int64:
    """Return the row of every document that a generation's index should have, ascending.

    The server refused some of the catalogue's when it was built; a later change may have brought
    them in, with another row.
    """
    rows = np.arange(len(documents))
    if isinstance(documents, LiveCatalogue):
        rows = documents.current()
    refused = generation.manifest.get("refused_rows", [])
    return rows[~np.isin(rows, refused)] if refused else rows


def _compare_ids(
    batches: Iterator[list[str]], documents: Documents, found: Differences
) -> NDArray[np.bool_]:
    """Return bool[n]: the rows of which the engine has the document."""
    seen = np.zeros(len(documents), dtype=bool)
    for ids in batches:
        rows = documents.rows(ids)
        found.add("only in the engine", (repr(ids[i]) for i in np.flatnonzero(rows < 0)))
        known = rows[rows >= 0]
        distinct, counts = np.unique(known, return_counts=True)
        doubled = distinct[(counts > 1) | seen[distinct]]
        found.add("twice in the engine", _named(documents, doubled))
        seen[known] = True
    return seen


def _named(documents: Documents, rows: Int32 | Int64) -> list[str]:
    return [repr(doc_id) for doc_id in documents.ids(rows.astype(np.int32))]


def _compare_rows(
    engine: Engine, schema: Schema, documents: Documents, rows: Int32, found: Differences
) -> None:
    """Compare what the index says of these rows: their numbers, and the documents themselves."""
    ids = documents.ids(rows)
    queries = [Query(str(i), "") for i in range(len(ids))]
    only = tuple((doc_id,) for doc_id in ids)
    candidates = engine.retrieve(queries, 1, Asked(only=only, match_all=True)).candidates
    lengths = np.diff(candidates.offsets)
    given = np.full(len(ids), -1, dtype=np.int32)
    given[lengths > 0] = candidates.rows
    found.add(
        "another row",
        (
            f"{ids[i]!r} is row {rows[i]} of the catalogue and {given[i]} of the engine"
            for i in np.flatnonzero(given != rows)
        ),
    )
    for doc_id, row, page in zip(ids, rows, engine.fetch(queries[0], ids), strict=True):
        if page is None:
            found.add("not fetched", [repr(doc_id)])
            continue
        try:
            document = schema.document(page.fields)
        except DocumentError as error:
            found.add("unreadable", [str(error)])
            continue
        at = np.array([row], dtype=np.int32)
        names = differing(documents, at, document)
        found.add("another value", (f"field {name!r} of {doc_id!r}" for name in names))


def differing(documents: Documents, row: Int32, document: Document) -> Sequence[str]:
    """Return the fields in which a row of the catalogue is not this document."""
    schema, names = documents.schema, []
    for field in schema.of_kind(Kind.NUMBER, Kind.DATE):
        given = np.array([[document.numbers.get(field.name, np.nan)]])
        if not np.array_equal(documents.numbers([field.name], row), given, equal_nan=True):
            names.append(field.name)
    for field in schema.of_kind(Kind.KEYWORD):
        codes = documents.keywords(field.name, row).values
        values = documents.keyword_values(field.name, codes)
        if sorted(values) != sorted(document.keywords.get(field.name, ())):
            names.append(field.name)
    for field in schema.of_kind(Kind.TEXT):
        terms = [documents.analyse(field.name, t) for t in document.texts.get(field.name, ())]
        joined = np.concatenate([np.empty(0, np.int32), *terms])
        if not np.array_equal(documents.tokens(field.name, row).values, joined):
            names.append(field.name)
    return names
