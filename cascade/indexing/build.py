"""Building a generation: one streaming pass fills the catalogue and the engine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import (
    CascadeError,
    ChecksumError,
    DeadlineError,
    EngineError,
    EngineUnavailableError,
    InputError,
    NotFoundError,
    RefusedError,
)
from cascade.hosting import BulkOptions, IndexHost, IndexState, Place
from cascade.indexing.builders import MADE_BY, refuse_other_builders
from cascade.indexing.checkpoint import Checkpoint, Resuming, place_in, schema_digest
from cascade.indexing.checksums import checksums
from cascade.indexing.dead_letters import DeadLetters, OnError, Quarantine
from cascade.indexing.filling import Filling
from cascade.indexing.generations import CHECKPOINT, Generation, Store
from cascade.indexing.meter import Meter
from cascade.indexing.reading import read_analysed
from cascade.indexing.sources import SPOOL, Source
from cascade.indexing.swap import Checks, collect, refuse_foreign, swap
from cascade.schema import Schema

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told the step's name, how much of it is done, and how much there is (None: unknown)."""
LETTERS = "dead.ndjson"
# A node that restarts is away for about half a minute: these are a minute and more of waiting.
BULK = BulkOptions()
CHECKS = Checks()


@dataclass(frozen=True)
class BuildReport:
    """Tell what a build did.

    Attributes:
        generation: What was built.
        documents: How many documents it has.
        skipped: How many lines and documents were left out.
        reasons: Why, for the first of them.
        seconds: How long it took.
        removed: Older generations that went.
        live: Whether it became the live one.
        resumed: How many documents an earlier run of this build had brought into the index.
        letters: The file of all that was left out.
    """

    generation: Generation
    documents: int
    skipped: int
    reasons: tuple[str, ...]
    seconds: float
    removed: tuple[str, ...] = ()
    live: bool = False
    resumed: int = 0
    letters: Path | None = None


@dataclass(frozen=True)
class BuildOptions:
    """Say how to build.

    Attributes:
        on_error: What a bad line does.
        swap: Whether the new generation becomes the live one.
        keep: How many generations stay.
        beside: Whether a process of its own reads and analyses, as `read_analysed` says.
        bulk: How the index is filled.
        checks: What the generation must satisfy to become the live one.
        log_position: Where the log of updates stands as the build begins, if there is a log.
        before_publish: Called when the index is filled and checked, with its place and the log's
            position at the first start of this build, which may be an earlier run's: it brings
            what was logged since then into the index.
    """

    on_error: OnError = OnError.REFUSE
    swap: bool = True
    keep: int = 2
    beside: bool = False
    bulk: BulkOptions = BULK
    checks: Checks = CHECKS
    log_position: int | None = None
    before_publish: Callable[[Place, int | None], None] | None = None


DEFAULT = BuildOptions()


def build(
    store: Store,
    schema: Schema,
    source: Source,
    host: IndexHost,
    options: BuildOptions = DEFAULT,
    progress: Progress | None = None,
) -> BuildReport:
    """Build a generation from documents; it is there whole or not at all.

    Where a build of the same documents and fields was killed, or lost its server, this one goes
    on with the index that it left, from the last document that the server had acknowledged.
    Every checksum of the catalogue is compared, and the index counted and opened, before it is
    published.

    Args:
        store: Where it goes.
        schema: The fields.
        source: The documents.
        host: Who holds the index.
        options: How.
        progress: Told the steps "read" (of an index) and "index", in documents.

    Raises:
        DocumentError: For a bad line that is refused, or when no document is left.
        RefusedError: If a build of this index runs, or it must not become live: then it is
            published, and what was live stays.
        ChecksumError: If what was written cannot be read again as it was written.
        EngineError: If the server fails; the next build of the same goes on from there.
    """
    start = time.perf_counter()
    digest = schema_digest(schema)
    begun = Checkpoint(source.identity(), digest, host.kind, log_position=options.log_position)
    if options.swap:
        refuse_foreign(store, host)
    with store.stage(Resuming(host, source, begun), host.names(store.index)) as (name, staged):
        refuse_other_builders(host, store.index, {*store.names(), name})
        one = _Build(store, schema, source, host, options, progress or _silent)
        one.begin(name, staged, begun)
        try:
            return one.run(start)
        except BaseException as error:
            one.end(error)
            raise


@dataclass
class _Build:
    """Hold what one build passes from step to step."""

    store: Store
    schema: Schema
    source: Source
    host: IndexHost
    options: BuildOptions
    progress: Progress
    staged: Path = field(init=False)
    place: Place = field(init=False)
    begun: Checkpoint = field(init=False)
    checkpoint: Checkpoint = field(init=False)
    resumed: int = field(init=False)

    def begin(self, name: str, staged: Path, begun: Checkpoint) -> None:
        """Take the folder, and what an earlier run left in it."""
        self.staged, self.place, self.begun = staged, place_in(name, staged), begun
        self.checkpoint = begun
        left = Checkpoint.read(staged)
        if left is not None:
            self._save(replace(left, builder=begun.builder))
            # It is written anew: it takes the same rows from the same documents.
            shutil.rmtree(staged / "catalogue", ignore_errors=True)
        self.resumed = self.checkpoint.acknowledged

    def run(self, start: float) -> BuildReport:
        """Fill, verify, publish and swap."""
        tell = self.progress
        files = self.source.files(self.staged, lambda count: tell("read", count, None))
        if not self.checkpoint.identity:
            self._create()
        with DeadLetters(self.staged / LETTERS) as letters:
            quarantine = Quarantine(self.options.on_error, letters)
            filling = self._fill(files, quarantine)
        documents = filling.count - len(filling.refused)
        manifest: dict[str, Any] = {
            "documents": filling.count,
            "skipped": quarantine.count,
            "schema": self.schema.definition(),
            "refused": len(filling.refused),
            "refused_rows": sorted(filling.refused),
            "log_position": self.checkpoint.log_position,
        }
        state = self._verify(documents)
        manifest["index"] = {
            "kind": self.host.kind,
            "name": self.place.name,
            "identity": state.identity,
        }
        self._replay()
        kept = self._keep_letters()
        manifest["engine"] = checksums(self.staged / "engine")
        generation = self._publish(manifest)
        removed = self._swap()
        return BuildReport(
            generation=generation,
            documents=documents,
            skipped=quarantine.count,
            reasons=tuple(quarantine.reasons),
            seconds=time.perf_counter() - start,
            removed=removed,
            live=self.options.swap,
            resumed=self.resumed,
            letters=kept,
        )

    def end(self, error: BaseException) -> None:
        """Leave what can be gone on with, and nothing otherwise.

        Raises:
            EngineError: With what can be done about it, if the server failed.
        """
        left = Checkpoint.read(self.staged)
        if left is not None and left.acknowledged and not self._is_final(error, left):
            if isinstance(error, EngineError):
                raise type(error)(
                    f"{error}. {left.acknowledged:,} documents are in {self.place.name}; the same "
                    "build goes on from there"
                ) from error
            return
        with suppress(CascadeError):  # what failed first is what matters
            Resuming(self.host, self.source, self.begun).release(self.place.name, self.staged)
            (self.staged / CHECKPOINT).unlink(missing_ok=True)

    def _is_final(self, error: BaseException, left: Checkpoint) -> bool:
        """Tell whether going on would end in the same error."""
        if left.replaying or isinstance(error, InputError | RefusedError):
            return True
        stuck = self.resumed >= left.acknowledged
        passing = isinstance(error, EngineUnavailableError | DeadlineError)
        return stuck and isinstance(error, EngineError) and not passing

    def _fill(self, files: Sequence[Path], quarantine: Quarantine) -> Filling:
        bulk = replace(
            self.options.bulk,
            skip=self.checkpoint.acknowledged,
            skip_refused=len(self.checkpoint.refused),
        )
        meter = Meter(files)
        reading = read_analysed(
            files, self.schema, quarantine, meter=meter, beside=self.options.beside
        )
        with (
            closing(reading) as documents,
            CatalogueWriter(self.staged / "catalogue", self.schema, self.place.name) as catalogue,
        ):
            writer = self.host.open_writer(self.place, self.schema, bulk)
            backlog = bulk.documents * (bulk.in_flight + 2)
            filling = Filling(catalogue, writer, quarantine, self.checkpoint, self._save, backlog)
            try:
                filling.run(
                    documents,
                    lambda count: self.progress("index", count, meter.expected(count)),
                )
            except BaseException:
                with suppress(CascadeError):  # what failed first is what matters
                    writer.abandon()
                raise
        return filling

    def _save(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        checkpoint.write(self.staged)

    def _create(self) -> None:
        # Written before the index is made, so that whoever finds the folder knows whose it is.
        self.checkpoint.write(self.staged)
        builder = self.checkpoint.builder
        about = {
            "generation": self.place.name,
            "made_by": MADE_BY,
            "schema": self.checkpoint.schema,
            "build": self.checkpoint.build,
            "store": self.store.identity(),
            "builder": f"process {builder.pid} on {builder.host}",
            "started": builder.started,
        }
        self.host.create(self.place, self.schema, about)
        # An engine that cannot say how an empty index stands has nothing to go on with either.
        with suppress(NotFoundError, ChecksumError):
            identity = self.host.state(self.place).identity
            self._save(replace(self.checkpoint, identity=identity))

    def _verify(self, documents: int) -> IndexState:
        """Open what was written as a serving process would, with every checksum and count."""
        catalogue = Catalogue.open(self.staged / "catalogue", self.schema, verify=True)
        state = self.host.state(self.place)
        if state.failed_shards:
            raise EngineError(f"{state.failed_shards} parts of {self.place.name} do not answer")
        if state.documents != documents:
            raise ChecksumError(
                f"{self.place.name} has {state.documents:,} documents; {documents:,} were brought "
                "into it; does another write to it? Build it again"
            )
        engine = self.host.engine(self.place, self.schema, catalogue)
        try:
            if not engine.healthy():
                raise EngineUnavailableError(f"the index {self.place.name} does not answer")
        finally:
            engine.close()
        return state

    def _replay(self) -> None:
        """Bring in what was logged since the build began."""
        if self.options.before_publish is not None:
            self._save(replace(self.checkpoint, replaying=True))
            self.options.before_publish(self.place, self.checkpoint.log_position)

    def _keep_letters(self) -> Path | None:
        """Put the dead letters beside the generation, if there are any."""
        written, kept = self.staged / LETTERS, self.store.root / f"{self.place.name}.{LETTERS}"
        if not written.is_file():
            kept.unlink(missing_ok=True)
            return None
        written.replace(kept)
        return kept

    def _publish(self, manifest: Mapping[str, Any]) -> Generation:
        (self.staged / SPOOL).unlink(missing_ok=True)
        with self.store.alone():
            generation = self.store.publish(self.place.name, self.staged, manifest)
        (generation.path / CHECKPOINT).unlink(missing_ok=True)
        return generation

    def _swap(self) -> tuple[str, ...]:
        """Make it live, and remove what nothing needs any more."""
        if not self.options.swap:
            return ()
        swap(self.store, self.host, self.place.name, self.schema, self.options.checks)
        removed = collect(self.store, self.host, self.options.keep).removed
        for name in removed:
            (self.store.root / f"{name}.{LETTERS}").unlink(missing_ok=True)
        return removed


def _silent(step: str, done: int, total: int | None) -> None:
    """Tell nobody."""
