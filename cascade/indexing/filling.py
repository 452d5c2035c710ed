"""Filling catalogue and index together, and keeping count of what the server has answered for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from cascade.catalogue import CatalogueWriter
from cascade.errors import DocumentError
from cascade.hosting import BulkWriter, Rejected
from cascade.indexing.checkpoint import Checkpoint
from cascade.indexing.dead_letters import Quarantine
from cascade.indexing.reading import Analysed

SETTLED_EVERY = 256
SAVED_EVERY_S = 0.5


@dataclass
class Filling:
    """Bring documents into a catalogue and an index, the same row in both.

    Attributes:
        catalogue: Takes every row.
        writer: Takes the documents.
        quarantine: Takes what neither can.
        checkpoint: How far an earlier run came.
        save: Keeps a checkpoint.
        backlog: At most so many documents are on their way to the server.
        count: How many rows there are.
        refused: The rows whose documents the server refused, with the reasons.
    """

    catalogue: CatalogueWriter
    writer: BulkWriter
    quarantine: Quarantine
    checkpoint: Checkpoint
    save: Callable[[Checkpoint], None]
    backlog: int
    count: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    _waiting: deque[tuple[int, Analysed]] = field(default_factory=deque)
    _earlier: dict[int, str] = field(init=False)
    _told: int = 0
    _saved_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._earlier = {one.row: one.reason for one in self.checkpoint.refused}

    def run(self, documents: Iterable[Analysed], tell: Callable[[int], None]) -> None:
        """Add all documents, make both durable and count them.

        Raises:
            DocumentError: For a document that is refused, or when none is left.
            EngineError: If the server fails; the checkpoint says how far it came.
        """
        try:
            for found in documents:
                self._add(found)
                if self.count % SETTLED_EVERY == 0:
                    self._settle()
                    tell(self.count)
            self._need_documents()
            self.catalogue.finish()
            self.writer.finish()
        except BaseException:
            self._save(self.writer.acknowledged)
            raise
        self._settle()
        self._save(self.writer.acknowledged)
        self._need_documents()
        tell(self.count)

    def _add(self, found: Analysed) -> None:
        try:
            self.catalogue.add(found.document, found.tokens)
        except DocumentError as error:
            self.quarantine.put(found.place, str(error), found.document.raw)
            return
        row = self.count
        self.count += 1
        if row in self._earlier:
            self._refuse(Rejected(found.document.id, row, self._earlier[row]), found)
        self.writer.add(row, found.document, found.tokens)
        self._waiting.append((row, found))
        if len(self._waiting) > self.backlog + SETTLED_EVERY:
            self._waiting.popleft()

    def _settle(self) -> None:
        """Take what the server has answered since the last time."""
        # Asked in this order, every document among the acknowledged that was refused is known.
        acknowledged, rejected = self.writer.acknowledged, self.writer.rejected
        if len(rejected) != self._told:
            self._told = len(rejected)
            waiting = dict(self._waiting)
            for one in rejected:
                if one.row not in self.refused:
                    self._refuse(one, waiting.get(one.row))
        while self._waiting and self._waiting[0][0] < acknowledged:
            self._waiting.popleft()
        if time.monotonic() - self._saved_at >= SAVED_EVERY_S:
            self._save(acknowledged)

    def _refuse(self, one: Rejected, found: Analysed | None) -> None:
        self.refused[one.row] = one.reason
        place = found.place if found is not None else f"document {one.doc_id!r}"
        given = None if found is None else found.document.raw
        self.quarantine.put(place, f"the server refused {one.doc_id!r}: {one.reason}", given)

    def _save(self, acknowledged: int) -> None:
        self._saved_at = time.monotonic()
        if acknowledged <= self.checkpoint.acknowledged:
            return
        known = {one.row: one for one in self.checkpoint.refused}
        for one in self.writer.rejected:
            if one.row < acknowledged:
                known[one.row] = one
        self.checkpoint = replace(
            self.checkpoint, acknowledged=acknowledged, refused=tuple(known.values())
        )
        self.save(self.checkpoint)

    def _need_documents(self) -> None:
        if self.count == len(self.refused):
            told = "".join(f"\n  {reason}" for reason in self.quarantine.reasons)
            raise DocumentError(f"no document can be used{told}")
