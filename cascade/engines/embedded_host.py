"""The host of embedded indexes: each is a folder of its generation."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tantivy

from cascade.candidates import Documents
from cascade.engines._embedded.index import (
    ID,
    NO_ROW,
    ROW,
    SOURCE,
    count_of,
    failing,
    index_document,
    open_index,
    open_updates,
    source_of,
    stored,
)
from cascade.engines._embedded.writer import EmbeddedWriter
from cascade.engines.asking import analysers_of, searched_fields
from cascade.engines.embedded import EmbeddedEngine
from cascade.errors import NotFoundError, RefusedError
from cascade.hosting import BulkOptions, Change, IndexState, Place
from cascade.schema import Schema

BATCH = 1_000
FOLDER = "engine"
_BULK = BulkOptions()


class EmbeddedHost:
    """Hold the indexes of a folder: `<root>/<name>/engine`, unless a `Place` says otherwise.

    Args:
        root: The folder of the generations.
        schema: Reads an index by name.
    """

    def __init__(self, root: Path, schema: Schema) -> None:
        self._root = root
        self._schema = schema

    @property
    def kind(self) -> str:
        """The engine's name in configuration."""
        return "embedded"

    def create(self, place: Place, schema: Schema, about: Mapping[str, str]) -> None:
        """Make the folder of an index.

        Raises:
            RefusedError: If there is one already.
        """
        if place.folder.is_dir() and any(place.folder.iterdir()):
            raise RefusedError(f"there is an index in {place.folder} already; give another name")
        place.folder.mkdir(parents=True, exist_ok=True)
        _write(_about(place), {"identity": uuid.uuid4().hex, "about": dict(about)})

    def open_writer(
        self, place: Place, schema: Schema, options: BulkOptions = _BULK
    ) -> EmbeddedWriter:
        """Return what fills an index; it has no server to wait for, so `options` change nothing."""
        return EmbeddedWriter(place.folder, schema)

    def state(self, place: Place) -> IndexState:
        """Return how an index stands.

        Raises:
            NotFoundError: If there is none.
        """
        with failing("open"):
            count = open_index(place.folder, self._schema).searcher().num_docs
        try:
            made = json.loads(_about(place).read_text(encoding="utf-8"))
        except FileNotFoundError:  # a build of an earlier release
            made = {"identity": "", "about": {}}
        return IndexState(count, 0, made["identity"], made["about"])

    def names(self, index: str) -> list[str]:
        """Return the indexes `<index>-NNNNNN` that are there, sorted."""
        pattern = re.compile(re.escape(index) + r"-\d{6}\Z")
        if not self._root.is_dir():
            return []
        found = (p.name for p in self._root.iterdir() if (p / FOLDER).is_dir())
        return sorted(name for name in found if pattern.match(name))

    def drop(self, place: Place) -> None:
        """Remove an index."""
        shutil.rmtree(place.folder, ignore_errors=True)
        _about(place).unlink(missing_ok=True)

    def target(self, alias: str) -> str | None:
        """Return the index behind an alias, None if there is no such alias."""
        if (self._root / alias / FOLDER).is_dir():
            return alias
        try:
            return str(json.loads(self._alias(alias).read_text(encoding="utf-8"))["index"])
        except FileNotFoundError:
            return None

    def point(self, alias: str, place: Place) -> None:
        """Let an alias name this index.

        Raises:
            RefusedError: If `alias` is the name of an index.
            NotFoundError: If there is no such index.
        """
        if (self._root / alias / FOLDER).is_dir():
            raise RefusedError(f"{alias!r} is an index and can be no alias; give another name")
        if not place.folder.is_dir():
            raise NotFoundError(f"there is no index in {place.folder}")
        _write(self._alias(alias), {"index": place.name})

    def documents(self, name: str, batch: int = BATCH) -> Iterator[list[Mapping[str, Any]]]:
        """Yield every document as it was given, by row, then those without one."""
        for found in self._batches(name, batch):
            yield [source_of(stored(document, SOURCE)) for document in found]

    def ids(self, name: str, batch: int = BATCH) -> Iterator[list[str]]:
        """Yield the id of every document, by row, then those without one."""
        for found in self._batches(name, batch):
            yield [stored(document, ID) for document in found]

    def apply(
        self, place: Place, schema: Schema, changes: Sequence[Change], *, refresh: bool = True
    ) -> None:
        """Apply changes in order; they are durable, and seen by who opens it next, on return."""
        searched = frozenset(field.name for field in searched_fields(schema))
        analysers = analysers_of(schema)
        with failing("apply changes"):
            writer = open_updates(place.folder, open_index(place.folder, schema))
            for change in changes:
                writer.delete_documents_by_term(ID, change.doc_id)
                if (document := change.document) is not None:
                    tokens = {
                        name: analysers[name].tokens_of(values)
                        for name, values in document.texts.items()
                    }
                    row = None if change.row < 0 else change.row
                    writer.add_document(index_document(searched, row, document, tokens))
            writer.commit()
            writer.wait_merging_threads()

    def engine(self, place: Place, schema: Schema, documents: Documents) -> EmbeddedEngine:
        """Return an engine that searches this one index."""
        return EmbeddedEngine(place.folder, schema, documents)

    def close(self) -> None:
        """Do nothing: nothing is held between calls."""

    def _alias(self, alias: str) -> Path:
        return self._root / f"{alias}.alias.json"

    def _batches(self, name: str, batch: int) -> Iterator[list[tantivy.Document]]:
        with failing("read the documents"):
            index = open_index(self._root / name / FOLDER, self._schema)
            searcher = index.searcher()
            known, rowless = _rows(index, 0, NO_ROW), _rows(index, NO_ROW, NO_ROW + 1)
            last = searcher.search(known, 1, order_by_field=ROW, order=tantivy.Order.Desc).hits
            top = int(last[0][0]) if last else -1
            count = count_of(searcher.search(rowless, 1))
        for low in range(0, top + 1, batch):
            yield from _found(searcher, _rows(index, low, low + batch), batch)
        if count:
            for found in _found(searcher, rowless, count):
                for at in range(0, len(found), batch):
                    yield found[at : at + batch]


def _rows(index: tantivy.Index, low: int, below: int) -> tantivy.Query:
    kind = tantivy.FieldType.Unsigned
    return tantivy.Query.range_query(
        index.schema, ROW, kind, lower_bound=low, upper_bound=below, include_upper=False
    )


def _found(
    searcher: tantivy.Searcher, query: tantivy.Query, most: int
) -> Iterator[list[tantivy.Document]]:
    with failing("read the documents"):
        hits = searcher.search(query, most, order_by_field=ROW, order=tantivy.Order.Asc).hits
        found = [searcher.doc(address) for _, address in hits]
    if found:
        yield found


def _about(place: Place) -> Path:
    return place.folder.with_name(f"{place.folder.name}.about.json")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    staged.write_text(json.dumps(content), encoding="utf-8")
    staged.replace(path)
