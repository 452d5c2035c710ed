"""Filling an embedded index, document by document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tantivy

from cascade.engines._embedded.index import (
    ROW,
    failing,
    index_document,
    index_schema,
    put_in_row_order,
    seal,
)
from cascade.engines.asking import searched_fields
from cascade.errors import EngineError
from cascade.hosting import Rejected
from cascade.schema import Document, Schema

WRITER_MEMORY_MB = 64


class EmbeddedWriter:
    """Fill a new index, document by document.

    Args:
        folder: Where the index goes; made if it is not there, and must be empty.
        schema: What documents look like.
        memory_mb: How much is gathered before it is written out as a segment.
    """

    def __init__(self, folder: Path, schema: Schema, *, memory_mb: int = WRITER_MEMORY_MB) -> None:
        self._folder = folder
        self._schema = schema
        self._searched = frozenset(field.name for field in searched_fields(schema))
        self._count = 0
        self._finished = False
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EngineError(f"{folder} is not empty; give a new folder for a new index")
        with failing("begin an index"):
            index = tantivy.Index(index_schema(schema), str(folder), sort_by_field=ROW)
            # With two threads the order of equal documents would change from build to build.
            self._writer = index.writer(memory_mb * 2**20, num_threads=1)

    def add(self, row: int, document: Document, tokens: Mapping[str, Sequence[str]]) -> None:
        """Add a document; `tokens` are its terms by text field.

        Raises:
            EngineError: If it cannot be written.
        """
        with failing("add a document"):
            self._writer.add_document(index_document(self._searched, row, document, tokens))
        self._count += 1

    @property
    def acknowledged(self) -> int:
        """None before `finish`: what a killed process added is lost."""
        return self._count if self._finished else 0

    @property
    def rejected(self) -> Sequence[Rejected]:
        """None: what the schema accepts, the index takes."""
        return ()

    def finish(self) -> None:
        """Write out, merge and seal the index.

        Raises:
            EngineError: If it cannot be written.
        """
        with failing("finish an index"):
            self._writer.commit()
            self._writer.wait_merging_threads()
            put_in_row_order(self._folder)
            seal(self._folder, self._schema, self._count)
        self._finished = True

    def abandon(self) -> None:
        """Wait for the threads that write, so that the folder can be removed."""
        with failing("abandon an index"):
            self._writer.wait_merging_threads()
