"""Building a generation: one streaming pass fills the catalogue and the engine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cascade.catalogue import CatalogueWriter
from cascade.errors import DocumentError
from cascade.indexing.generations import Generation, Store
from cascade.indexing.products import OnError, Quarantine, read_products
from cascade.protocols import IndexWriter
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
class BuildOptions:
    """Say how to build.

    Attributes:
        on_error: What a bad line does.
        swap: Whether the new generation becomes the live one.
        keep: How many generations stay.
    """

    on_error: OnError = OnError.REFUSE
    swap: bool = True
    keep: int = 2


def build(
    store: Store,
    schema: Schema,
    inputs: Sequence[Path],
    open_writer: Callable[[Path], IndexWriter],
    options: BuildOptions,
    progress: Progress | None = None,
) -> BuildReport:
    """Build a generation from product files; it is there whole or not at all.

    Args:
        store: Where it goes.
        schema: The fields.
        inputs: Files of one JSON object a line.
        open_writer: Opens the engine's writer in a folder.
        options: How.
        progress: Told the number of documents so far.

    Raises:
        DocumentError: For a bad line that is refused, or when no document is left.
    """
    start = time.perf_counter()
    quarantine = Quarantine(options.on_error)
    name, staged = store.stage()
    try:
        with CatalogueWriter(staged / "catalogue", schema, name) as catalogue:
            writer = open_writer(staged / "engine")
            try:
                count = _fill(catalogue, writer, schema, inputs, quarantine, progress)
            except BaseException:
                writer.abandon()
                raise
            catalogue.finish()
            writer.finish()
        manifest = {"documents": count, "skipped": quarantine.count, "schema": schema.definition()}
        generation = store.publish(name, staged, manifest)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    removed: list[str] = []
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


def _fill(
    catalogue: CatalogueWriter,
    writer: IndexWriter,
    schema: Schema,
    inputs: Sequence[Path],
    quarantine: Quarantine,
    progress: Progress | None,
) -> int:
    count = 0
    for path in inputs:
        for place, raw in read_products(path, quarantine):
            try:
                document = schema.document(raw)
                tokens = catalogue.add(document)
            except DocumentError as error:
                quarantine.put(f"{place}: {error}")
                continue
            writer.add(count, document, tokens)
            count += 1
            if progress is not None and count % REPORT_EVERY == 0:
                progress(count)
    if count == 0:
        raise DocumentError(
            f"{', '.join(map(str, inputs))}: no document can be used"
            + "".join(f"\n  {reason}" for reason in quarantine.reasons)
        )
    return count
