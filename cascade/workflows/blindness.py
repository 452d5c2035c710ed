"""How often an engine finds what the features of a schema cannot explain."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cascade.candidates import Query
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import DocumentError
from cascade.hosting import IndexHost, Place
from cascade.protocols import Engine
from cascade.schema import Document, Kind, Schema
from cascade.text import analyser

SAMPLE = 1_000
QUERIES = 40
DEPTH = 50
WARNED_SHARE = 0.05
_WORDS = 2


@dataclass(frozen=True)
class Blindness:
    """Say which share of what an engine finds has none of the query's terms for us.

    Attributes:
        rows: How many rows were found and looked at.
        blind: How many of them have no term of their query in any text or keyword.
        queries: How many queries were asked.
        unread: How many documents the schema cannot read.
        examples: Some of the blind ones, as query and id.
        empty: How many queries found nothing at all.
    """

    rows: int
    blind: int
    queries: int
    unread: int = 0
    examples: tuple[tuple[str, str], ...] = ()
    empty: int = 0

    @property
    def share(self) -> float:
        """The share of blind rows, 0 if there are none."""
        return self.blind / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Sample:
    """Hold the first documents of an index.

    Attributes:
        documents: Those that the schema can read.
        unread: How many it cannot.
    """

    documents: Sequence[Document]
    unread: int = 0


def blindness(
    host: IndexHost, index: str, schema: Schema, sample: Sample, texts: Sequence[str] = ()
) -> Blindness:
    """Ask an index of others for texts, and look for their terms in what it finds.

    Args:
        host: Who holds the index.
        index: Its name.
        schema: The fields.
        sample: Documents of it.
        texts: What people ask for; none takes words of the sample.

    Raises:
        EngineError: If the server fails.
    """
    asked = list(texts)[:QUERIES] or _texts(sample.documents, schema)
    with tempfile.TemporaryDirectory() as folder:
        # Whatever is found is fetched: no catalogue is needed but an empty one.
        with CatalogueWriter(Path(folder) / "none", schema, "none") as writer:
            writer.finish()
        documents = Catalogue.open(Path(folder) / "none", schema)
        place = Place(index, Path(folder))
        with closing(host.engine(place, schema, documents)) as engine:
            found = [_blind(engine, schema, text) for text in asked]
    return Blindness(
        rows=sum(rows for rows, _, _ in found),
        blind=sum(len(ids) for _, ids, _ in found),
        queries=len(asked),
        unread=sample.unread + sum(bad for _, _, bad in found),
        examples=tuple(
            (text, ids[0]) for text, (_, ids, _) in zip(asked, found, strict=True) if ids
        )[:5],
        empty=sum(not rows and not bad for rows, _, bad in found),
    )


def first_documents(host: IndexHost, index: str, schema: Schema) -> Sample:
    """Return the first documents of an index.

    Raises:
        EngineError: If the server fails.
    """
    raws: Iterator[Mapping[str, Any]] = (
        raw for batch in host.documents(index, SAMPLE) for raw in batch
    )
    documents, unread = [], 0
    for raw in islice(raws, SAMPLE):
        try:
            documents.append(schema.document(raw))
        except DocumentError:
            unread += 1
    return Sample(documents, unread)


def _texts(sample: Sequence[Document], schema: Schema) -> list[str]:
    """Return the first words of some documents, from the field that weighs most."""
    searched = sorted((f for f in schema.of_kind(Kind.TEXT) if f.boost > 0), key=lambda f: -f.boost)
    step = max(1, len(sample) // QUERIES)
    found: dict[str, None] = {}
    for document in sample[::step]:
        texts = next((document.texts[f.name] for f in searched if f.name in document.texts), ())
        words = [word for text in texts for word in text.split() if word.isalnum()]
        if words:
            found[" ".join(words[:_WORDS])] = None
    return list(found)[:QUERIES]


def _blind(engine: Engine, schema: Schema, text: str) -> tuple[int, list[str], int]:
    """Return how many rows a text finds, the ids of the blind ones, and how many are unreadable."""
    query = Query("adopt", text)
    ids = engine.retrieve([query], DEPTH).candidates.ids()
    blind, unread, rows = [], 0, 0
    for doc_id, page in zip(ids, engine.fetch(query, ids), strict=True):
        if page is None:
            continue
        try:
            document = schema.document({**page.fields, schema.id: doc_id})
        except DocumentError:
            unread += 1
            continue
        rows += 1
        if not _sees(document, schema, text):
            blind.append(doc_id)
    return rows, blind, unread


def _sees(document: Document, schema: Schema, text: str) -> bool:
    """Tell whether a text or keyword of the document has a term of the query."""
    for spec in schema.of_kind(Kind.TEXT, Kind.KEYWORD):
        held = document.texts if spec.kind is Kind.TEXT else document.keywords
        values = held.get(spec.name)
        if values is not None:
            terms = analyser(spec.analyser, spec.synonyms)
            if not set(terms.tokens(text)).isdisjoint(terms.tokens_of(values)):
                return True
    return False
