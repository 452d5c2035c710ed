"""Following an index that others write: what they change goes into a log of our own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cascade.catalogue import LiveCatalogue, Op
from cascade.errors import DocumentError, NotFoundError
from cascade.hosting import IndexHost, Place
from cascade.indexing.log import Item, Log
from cascade.schema import Field, Kind, Schema

STATE = "follow.json"
CHUNK = 1_000
_UPDATED = "updated"


@runtime_checkable
class ChangedSince(Protocol):
    """A host that finds recent changes without reading all documents."""

    def changed_since(
        self, name: str, field: str, since: float
    ) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the documents whose update time is `since` (seconds since 1970) or later.

        Args:
            name: A concrete index.
            field: The key that holds the update time.
            since: From when on.
        """
        ...


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """Say how an index is followed.

    Attributes:
        field: The key of a document that holds when it was changed; None compares all documents
            at every reconciliation and finds nothing between.
        overlap_s: How far back each reading goes beyond the newest change that was seen, for
            changes that were stamped earlier than they became visible.
        reconcile_s: After how many seconds all ids are compared, which finds what was removed.
        poll_s: Seconds between two readings.
    """

    field: str | None = None
    overlap_s: float = 60.0
    reconcile_s: float = 3_600.0
    poll_s: float = 5.0


@dataclass(frozen=True, slots=True)
class FollowState:
    """Say how far an index is followed; times in seconds since 1970.

    Attributes:
        index: The concrete index that the catalogue was read from.
        identity: Its identity then.
        newest: The latest change that was seen.
        polled: When the last reading began that came to its end.
        reconciled: When the last comparison of all ids began that came to its end.
        upserts: How many documents were put in, over all time.
        deletes: How many were taken away.
        refused: How many did not fit the schema.
        flipped: The index that others put in its place; "" while it is the one that they serve.
            Nothing is read until a catalogue of that one is built.
    """

    index: str
    identity: str
    newest: float = 0.0
    polled: float = 0.0
    reconciled: float = 0.0
    upserts: int = 0
    deletes: int = 0
    refused: int = 0
    flipped: str = ""

    def lag_s(self, now: float) -> float:
        """Return for how many seconds changes may have gone unseen."""
        return max(now - self.polled, 0.0)


@dataclass(frozen=True, slots=True)
class Followed:
    """Say what is followed, and into what.

    Attributes:
        host: Holds the index; it is read, never written.
        name: What others serve: the name of an index or of an alias.
        live: The catalogue, with the log's entries.
        log: Of this index, on this machine.
        place: Says where an index is, by its name.
    """

    host: IndexHost
    name: str
    live: LiveCatalogue
    log: Log
    place: Callable[[str], Place]


class Follower:
    """Read what others change in an index, and log what our catalogue does not have.

    Args:
        followed: The index, the catalogue and the log.
        state: Where to begin: `begun` or `read_state`.
        settings: How to follow.
        on_flip: Called once for each index that takes the place of the one that is followed.
        clock: Gives the present, in seconds since 1970.
    """

    def __init__(
        self,
        followed: Followed,
        state: FollowState,
        settings: FollowSettings,
        on_flip: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host, self._name = followed.host, followed.name
        self._live, self._log = followed.live, followed.log
        self._place = followed.place
        self._settings = settings
        self._on_flip = on_flip
        self._clock = clock
        self._told = ""
        self._written = clock()
        self._dated = Schema(
            self._live.schema.id, (Field(_UPDATED, Kind.DATE, (settings.field or _UPDATED,)),)
        )
        ages = [f.max_age_s for f in self._live.schema.fields if f.max_age_s is not None]
        self._beat_s = min(ages) / 3 if ages else None
        self.state = state

    def poll(self) -> FollowState:
        """Read once, and reconcile if it is time; return how far it is followed.

        Raises:
            EngineError: If the server fails; the next reading begins where this one did.
            ChecksumError: If the log is damaged.
        """
        now = self._clock()
        if not self._flipped():
            if self._settings.field is not None:
                self._read_changes()
            if now - self.state.reconciled >= self._settings.reconcile_s:
                self._reconcile(now)
            self._beat(now)
            self.state = replace(self.state, polled=now)
        write_state(self._log, self.state)
        return self.state

    def reconcile(self) -> FollowState:
        """Compare all ids at once; return how far the index is followed.

        Raises:
            EngineError: If the server fails.
        """
        if not self._flipped():
            self._reconcile(self._clock())
        write_state(self._log, self.state)
        return self.state

    def _flipped(self) -> bool:
        """Return whether others have put another index in the place of ours."""
        target = self._host.target(self._name)
        if target is None:
            raise NotFoundError(f"there is no index {self._name!r} on the server any more")
        identity = self._host.state(self._place(target)).identity
        if (target, identity) == (self.state.index, self.state.identity):
            self.state = replace(self.state, flipped="")
            if self._live.flipped:
                self._write([Item(Op.FLIPPED)])
            return False
        self.state = replace(self.state, flipped=target)
        if self._live.flipped != target:
            # Serving processes read it from there, and rank with defaults until it is over.
            self._write([Item(Op.FLIPPED, target)])
        if self._told != f"{target} {identity}":
            self._told = f"{target} {identity}"
            self._on_flip(target)
        return True

    def _read_changes(self) -> None:
        since = self.state.newest - self._settings.overlap_s
        newest = self.state.newest
        # A stamp far ahead of us is wrong, and must not hide what is changed until then.
        latest = self._clock() + self._settings.overlap_s
        for batch in self._changed(since):
            stamps = map(self._time_of, batch)
            newest = max([newest, *(stamp for stamp in stamps if stamp <= latest)])
            self._take(batch)
        self.state = replace(self.state, newest=newest)

    def _changed(self, since: float) -> Iterator[list[Mapping[str, Any]]]:
        host, index = self._host, self.state.index
        if isinstance(host, ChangedSince) and self._settings.field is not None:
            yield from host.changed_since(index, self._settings.field, since)
            return
        for batch in host.documents(index):
            yield [raw for raw in batch if self._time_of(raw) >= since]

    def _time_of(self, raw: Mapping[str, Any]) -> float:
        """Return when a document was changed; one that does not say so counts as always new."""
        try:
            return self._dated.document(raw).numbers.get(_UPDATED, self.state.newest)
        except DocumentError:
            return self.state.newest

    def _take(self, batch: Sequence[Mapping[str, Any]]) -> None:
        """Log those documents that the catalogue does not have as they are."""
        items, refused = [], 0
        for raw in batch:
            try:
                document = self._live.schema.document(raw)
            except DocumentError:
                refused += 1
                continue
            if not self._live.same(document):
                items.append(Item(Op.UPSERT, document.id, document.raw))
        self._write(items)
        self.state = replace(
            self.state,
            upserts=self.state.upserts + len(items),
            refused=self.state.refused + refused,
        )

    def _reconcile(self, now: float) -> None:
        """Log what the index has and the catalogue lacks, and the other way round."""
        # What is put in below is there already; only what was there before can be gone.
        before = self._live.current()
        seen = np.zeros(len(self._live), dtype=np.bool_)
        unknown: set[str] = set()
        compared = self._settings.field is None
        for ids in self._all_ids(compared):
            rows = self._live.rows(ids)
            known = (rows >= 0) & (rows < len(seen))
            seen[rows[known]] = True
            unknown.update(
                doc_id for doc_id, row in zip(ids, rows.tolist(), strict=True) if row < 0
            )
        if self._flipped():
            return
        gone = self._live.ids(before[~seen[before]].astype(np.int32))
        for at in range(0, len(gone), CHUNK):
            self._write([Item(Op.DELETE, doc_id) for doc_id in gone[at : at + CHUNK]])
        if unknown and not compared:
            for batch in self._host.documents(self.state.index):
                self._take([raw for raw in batch if self._id_of(raw) in unknown])
        self.state = replace(self.state, reconciled=now, deletes=self.state.deletes + len(gone))

    def _all_ids(self, compared: bool) -> Iterator[list[str]]:
        """Yield all ids, after taking in the documents if these are compared whole."""
        if not compared:
            yield from self._host.ids(self.state.index)
            return
        for batch in self._host.documents(self.state.index):
            ids = [self._id_of(raw) for raw in batch]
            # Before they are taken in: a changed document keeps its old row from being missed.
            yield [doc_id for doc_id in ids if doc_id]
            self._take(batch)

    def _id_of(self, raw: Mapping[str, Any]) -> str:
        try:
            return Schema(self._live.schema.id, ()).document(raw).id
        except DocumentError:
            return ""

    def _beat(self, now: float) -> None:
        """Say that volatile values are current, though nothing changed."""
        if self._beat_s is not None and now - self._written >= self._beat_s:
            self._write([Item(Op.HEARTBEAT)])

    def _write(self, items: Sequence[Item]) -> None:
        if not items:
            return
        now = self._clock()
        with self._log.alone() as writer:
            writer.append(items, now)
        self._written = now
        self._live.refresh()


def begun(index: str, identity: str, built: float) -> FollowState:
    """Return where to begin with a catalogue that was read from an index.

    Args:
        index: The concrete index.
        identity: Its identity when it was read.
        built: When the reading began, in seconds since 1970.
    """
    return FollowState(index, identity, newest=built)


def read_state(log: Log) -> FollowState | None:
    """Return how far an index is followed, None if nobody has begun."""
    try:
        return FollowState(**json.loads((log.folder / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_state(log: Log, state: FollowState) -> None:
    """Keep how far an index is followed, for the next process and for metrics."""
    log.folder.mkdir(parents=True, exist_ok=True)
    staged = log.folder / f".{STATE}.{os.getpid()}"
    staged.write_text(json.dumps(asdict(state)), encoding="utf-8")
    staged.replace(log.folder / STATE)
