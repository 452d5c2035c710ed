"""Building a generation: one streaming pass fills the catalogue and the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import CascadeError, ChecksumError, DocumentError
from cascade.indexing.checksums import checksums
from cascade.indexing.generations import Generation, Store
from cascade.indexing.products import OnError, Quarantine
from cascade.indexing.reading import Analysed, read_analysed
from cascade.protocols import Engine, IndexWriter
from cascade.schema import Schema

Progress = Callable[[int], None]
REPORT_EVERY = 1_000


@dataclass(frozen=True)
class BuildReport:
    """Tell what a build did.

    Attributes:
        generation: What was built.
        documents: How many documents it has.
        skipped: How many lines were left out.
        reasons: Why, for the first of them.
        seconds: How long it took.
        removed: Older generations that went.
    """

    generation: Generation
    documents: int
    skipped: int
    reasons: tuple[str, ...]
    seconds: float
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineAccess:
    """Say how the engine of a build is written and opened.

    Attributes:
        open_writer: Opens its writer in a folder.
        open_engine: Opens what was written, in a generation that is not published yet.
    """

    open_writer: Callable[[Path], IndexWriter]
    open_engine: Callable[[Generation], Engine]


@dataclass(frozen=True)
class BuildOptions:
    """Say how to build.

    Attributes:
        on_error: What a bad line does.
        swap: Whether the new generation becomes the live one.
        keep: How many generations stay.
        beside: Whether a process of its own reads and analyses, as `read_analysed` says.
    """

    on_error: OnError = OnError.REFUSE
    swap: bool = True
    keep: int = 2
    beside: bool = False


def build(
    store: Store,
    schema: Schema,
    inputs: Sequence[Path],
    engine: EngineAccess,
    options: BuildOptions,
    progress: Progress | None = None,
) -> BuildReport:
    """Build a generation from product files; it is there whole or not at all.

    Every checksum of the catalogue is compared, and the engine opened, before it is published.

    Args:
        store: Where it goes.
        schema: The fields.
        inputs: Files of one JSON object a line.
        engine: How the engine is written and opened.
        options: How.
        progress: Told the number of documents so far.

    Raises:
        DocumentError: For a bad line that is refused, or when no document is left.
        ChecksumError: If what was written cannot be read again as it was written.
    """
    start = time.perf_counter()
    quarantine = Quarantine(options.on_error)
    removed: list[str] = []
    with store.stage() as (name, staged):
        with (
            closing(read_analysed(inputs, schema, quarantine, beside=options.beside)) as documents,
            CatalogueWriter(staged / "catalogue", schema, name) as catalogue,
        ):
            writer = engine.open_writer(staged / "engine")
            try:
                count = _fill(catalogue, writer, documents, quarantine, progress)
                catalogue.finish()
                writer.finish()
            except BaseException:
                with suppress(CascadeError):  # what failed first is what matters
                    writer.abandon()
                raise
        manifest = {"documents": count, "skipped": quarantine.count, "schema": schema.definition()}
        _verify(Generation(name, staged, manifest), schema, engine)
        manifest["engine"] = checksums(staged / "engine")
        with store.alone():
            generation = store.publish(name, staged, manifest)
            if options.swap:
                store.make_live(name)
                removed = store.prune(options.keep)
    return BuildReport(
        generation=generation,
        documents=count,
        skipped=quarantine.count,
        reasons=tuple(quarantine.reasons),
        seconds=time.perf_counter() - start,
        removed=tuple(removed),
    )


def _verify(generation: Generation, schema: Schema, engine: EngineAccess) -> None:
    """Open what was written as a serving process would, with every checksum."""
    Catalogue.open(generation.catalogue, schema, verify=True)
    opened = engine.open_engine(generation)
    try:
        if not opened.healthy():
            raise ChecksumError(f"the index in {generation.engine} does not answer; build it again")
    finally:
        opened.close()


def _fill(
    catalogue: CatalogueWriter,
    writer: IndexWriter,
    documents: Iterable[Analysed],
    quarantine: Quarantine,
    progress: Progress | None,
) -> int:
    count = 0
    for found in documents:
        try:
            catalogue.add(found.document, found.tokens)
        except DocumentError as error:
            quarantine.put(f"{found.place}: {error}")
            continue
        writer.add(count, found.document, found.tokens)
        count += 1
        if progress is not None and count % REPORT_EVERY == 0:
            progress(count)
    if count == 0:
        raise DocumentError(
            "no document can be used" + "".join(f"\n  {reason}" for reason in quarantine.reasons)
        )
    return count
