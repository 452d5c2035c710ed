"""Changing documents of indexes that exist: into the log first, then into every generation."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cascade.candidates import Query
from cascade.catalogue import Catalogue, LiveCatalogue, Op
from cascade.catalogue.files import read_manifest
from cascade.errors import CascadeError, ChecksumError, NotFoundError
from cascade.hosting import IndexHost, Place
from cascade.indexing.generations import Generation, Store
from cascade.indexing.log import Item, Log
from cascade.indexing.replay import Applied, Target, position_of, replay, target_of
from cascade.protocols import Engine
from cascade.schema import Document, Schema

LOG_FOLDER = "log"
CHUNK = 1_000


@dataclass(frozen=True)
class UpdateReport:
    """Tell what an update did.

    Attributes:
        upserts: How many documents were put in.
        deletes: How many were taken away, known or not.
        position: The log's last entry.
        generations: The generations whose indexes have all of it.
        refused: Why the server refused what it refused; the log and the catalogues have it.
        behind: Why a generation other than the live one does not have it yet, by name.
        seconds: How long it took.
        skipped: How many lines of files were left out.
        reasons: Why, for the first of them.
    """

    upserts: int
    deletes: int
    position: int
    generations: tuple[str, ...]
    refused: tuple[str, ...]
    behind: Mapping[str, str]
    seconds: float
    skipped: int = 0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogHooks:
    """What a build needs of the log.

    Attributes:
        position: Where it begins.
        before_publish: Brings what came since a position into an index that is built.
    """

    position: int
    before_publish: Callable[[Place, int | None], None]


class Updater:
    """Change documents of one index.

    One process at a time has the pen, which is the log's lock: it writes, and brings every index
    to the log's end before it lets go. What a killed one leaves, the next one makes good.

    Args:
        store: The generations.
        log: The log of their index.
        host: Who holds the indexes.
        schema: The fields.
        clock: Gives the present, in seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        log: Log,
        host: IndexHost,
        schema: Schema,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.log = log
        self._host = host
        self._schema = schema
        self._clock = clock

    def update(
        self, documents: Iterable[Document] = (), deletes: Iterable[str] = ()
    ) -> UpdateReport:
        """Put documents in, then take others away, in the live generation and those that are kept.

        When this returns, the log has all of it durably, and the live index has acknowledged it.

        Raises:
            NotFoundError: If no generation was built yet.
            EngineError: If the live index fails; the log has what was told to it by then, and the
                next update brings it in.
        """
        start = time.perf_counter()
        self.store.live_pointer()  # without a generation, nothing is logged
        plain = Schema("id", ())
        items = chain(
            (Item(Op.UPSERT, d.id, d.raw) for d in documents),
            (Item(Op.DELETE, plain.document({"id": doc_id}).id) for doc_id in deletes),
        )
        reports: list[_Caught] = []
        counts = Counter[Op]()
        chunk = list(islice(items, CHUNK))
        while chunk or not reports:
            with self.log.alone() as writer:
                writer.append(chunk, self._clock())
                reports.append(self._catch_all_up(self._live()))
            counts.update(item.op for item in chunk)
            chunk = list(islice(items, CHUNK))
        told = (counts[Op.UPSERT], counts[Op.DELETE])
        return _report(reports, told, self.log.position, start)

    def patch(self, patches: Iterable[Mapping[str, Any]]) -> UpdateReport:
        """Change some keys of documents that are there; null takes a key away.

        Each becomes a whole document in the log, made from what the live index has of it.

        Args:
            patches: The id of a document under its own key, and the keys that change.

        Raises:
            NotFoundError: If there is no such document; nothing is changed then.
            DocumentError: If a changed document does not fit the schema.
        """
        start = time.perf_counter()
        self.store.live_pointer()
        with self.log.alone() as writer:
            live = self._live()
            caught = [self._catch_all_up(live)]
            changed = self._patched(live, patches)
            items = [Item(Op.UPSERT, doc_id, raw) for doc_id, raw in changed.items()]
            position = writer.append(items, self._clock())
            caught.append(self._catch_all_up(live))
        return _report(caught, (len(items), 0), position, start)

    def _patched(
        self, live: Generation, patches: Iterable[Mapping[str, Any]]
    ) -> dict[str, Mapping[str, Any]]:
        """Return by id what documents of a generation become; the caller has the pen."""
        changed: dict[str, Mapping[str, Any]] = {}
        catalogue = Catalogue.open(self.store.get(live.name).catalogue, self._schema)
        plain = Schema(self._schema.id, ())
        with closing(self._host.engine(live.place, self._schema, catalogue)) as engine:
            for patch in patches:
                doc_id = plain.document(patch).id
                found = changed.get(doc_id) or _raw(engine, doc_id, live.name)
                whole = {key: v for key, v in {**found, **patch}.items() if v is not None}
                changed[doc_id] = self._schema.document(whole).raw
        return changed

    def heartbeat(self) -> int:
        """Say that the feed is alive though nothing changed; return the log's last entry."""
        with self.log.alone() as writer:
            return writer.append([Item(Op.HEARTBEAT)], self._clock())

    def catch_up(self, generation: Generation) -> None:
        """Bring the index of a generation to the log's end.

        To be called before a generation is searched that was not live, since an update may have
        come between its build's end and its publication, or a process may have been killed.

        Raises:
            EngineError: If the server fails.
        """
        with self.settled(generation):
            return

    @contextmanager
    def settled(self, *generations: Generation) -> Iterator[None]:
        """Hold off all updates while the indexes of generations have every entry of the log.

        Raises:
            EngineError: If the server fails.
        """
        with self.log.alone():
            for generation in generations:
                replay(self.log, self._host, target_of(generation, self._schema))
            yield

    def hooks(self) -> LogHooks:
        """Return what a build that begins now needs of the log.

        Raises:
            ChecksumError: If the log is damaged.
        """
        with self.log.alone() as writer:
            position = writer.position
            if self.store.live_name() is not None:
                live = target_of(self._live(), self._schema)
                try:
                    # A build that reads the live index must find there what the log has.
                    replay(self.log, self._host, live)
                except CascadeError:
                    position = live.applied().position
        return LogHooks(position, self._bring_in)

    def trim(self) -> list[str]:
        """Remove what no generation needs of the log any more; return the names of the segments."""
        names = self.store.names()
        if not names:
            return []
        needed = [position_of(self.store.listed(name).manifest) for name in names]
        return self.log.trim(min(needed))

    def _catch_all_up(self, live: Generation) -> _Caught:
        """Bring every index to the log's end; the caller has the pen, so that none becomes live.

        Raises:
            EngineError: If the live index fails.
        """
        refused: list[str] = []
        behind: dict[str, str] = {}
        there = set(self._host.names(self.store.index))
        # Listed after the log was written: what is published later has read it.
        wanted = [self.store.listed(name) for name in self.store.names()]
        wanted = [g for g in wanted if g.place.name in there or g.name == live.name]
        done = []
        failed: CascadeError | None = None
        for generation in wanted:
            try:
                told = replay(self.log, self._host, target_of(generation, self._schema))
            except CascadeError as error:
                if generation.name == live.name:
                    failed = error
                behind[generation.name] = str(error)
            else:
                done.append(generation.name)
                refused += told if generation.name == live.name else []
        if failed is not None:
            raise failed
        return _Caught(tuple(done), refused, behind)

    def _bring_in(self, place: Place, position: int | None) -> None:
        """Replay the log into an index that nobody searches yet."""
        manifest = read_manifest(place.folder.parent / "catalogue")
        identity = self._host.state(place).identity
        target = Target(
            place, self._schema, int(manifest["documents"]), Applied(position or 0, 0, identity)
        )
        # Another build of this name may have left its own.
        target.record.unlink(missing_ok=True)
        replay(self.log, self._host, target)

    def _live(self) -> Generation:
        live = self.store.listed(self.store.live_pointer().generation)
        if live.place.name not in self._host.names(self.store.index):
            # An index that lies in the generation is pulled with it.
            return self.store.get(live.name)
        return live


@dataclass(frozen=True, slots=True)
class _Caught:
    generations: tuple[str, ...]
    refused: list[str]
    behind: Mapping[str, str]


def _report(
    caught: Sequence[_Caught], counts: tuple[int, int], position: int, start: float
) -> UpdateReport:
    return UpdateReport(
        upserts=counts[0],
        deletes=counts[1],
        position=position,
        generations=caught[-1].generations,
        refused=tuple(reason for one in caught for reason in one.refused),
        behind=caught[-1].behind,
        seconds=time.perf_counter() - start,
    )


def _raw(engine: Engine, doc_id: str, name: str) -> Mapping[str, Any]:
    found = engine.fetch(Query("patch", ""), [doc_id])[0]
    if found is None:
        raise NotFoundError(f"there is no document {doc_id!r} in {name}; give it whole by --input")
    return found.fields


def log_folder(root: Path, index: str) -> Path:
    """Return the folder of an index's log below the store's own."""
    return root / LOG_FOLDER / index


def open_live(
    catalogue: Catalogue,
    log: Log,
    generation: Generation,
    clock: Callable[[], float] = time.time,
) -> LiveCatalogue:
    """Return a generation's catalogue with everything that the log has since its build.

    Raises:
        ChecksumError: If the log is damaged, or lacks what the generation needs.
    """
    position = position_of(generation.manifest)
    if position > (end := log.position):
        raise ChecksumError(
            f"the log {log.folder} ends at entry {end}, and {generation.name} was built from "
            f"{position}: the log was lost; restore it, or build the index again"
        )
    live = LiveCatalogue(
        catalogue,
        position=position,
        source=log.tail(position),
        fresh=generation.current,
        clock=clock,
    )
    live.refresh()
    return live
