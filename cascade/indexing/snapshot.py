"""A generation over an index that others build: the catalogue alone, read from it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import DocumentError
from cascade.hosting import IndexHost, Place
from cascade.indexing.build import LETTERS, BuildReport, Progress
from cascade.indexing.dead_letters import DeadLetters, OnError, Quarantine
from cascade.indexing.generations import Generation, Store
from cascade.indexing.reading import read_analysed
from cascade.indexing.sources import SPOOL, IndexSource
from cascade.schema import Schema

REPORT_EVERY = 1_000


@dataclass(frozen=True)
class SnapshotOptions:
    """Say how an index of others is read.

    Attributes:
        on_error: What a document that does not fit the schema does.
        live: Whether the new generation becomes the live one.
        keep: How many generations stay.
        log_position: Where the log of updates stands as the reading begins, if there is a log.
    """

    on_error: OnError = OnError.REFUSE
    live: bool = True
    keep: int = 2
    log_position: int | None = None


def read_catalogue(
    store: Store,
    schema: Schema,
    host: IndexHost,
    options: SnapshotOptions,
    progress: Progress,
) -> BuildReport:
    """Make a generation of the index behind `store.index`; nothing is written to the server.

    Args:
        store: Where it goes.
        schema: The fields.
        host: Who holds the index.
        options: How.
        progress: Told the steps "read" and "index", in documents.

    Raises:
        NotFoundError: If there is no such index or alias.
        DocumentError: For a document that is refused, or when none is left.
        EngineError: If the server fails; then nothing was made.
    """
    start, begun = time.perf_counter(), time.time()
    source = IndexSource(host, store.index)
    concrete = source.identity().removeprefix("index ")
    with store.stage() as (name, staged):
        identity = host.state(Place(concrete, staged)).identity
        files = (_spooled(host, concrete, staged / SPOOL, progress),)
        with DeadLetters(staged / LETTERS) as letters:
            quarantine = Quarantine(options.on_error, letters)
            with (
                closing(read_analysed(files, schema, quarantine)) as documents,
                CatalogueWriter(staged / "catalogue", schema, name) as catalogue,
            ):
                count = 0
                for count, found in enumerate(documents, 1):
                    catalogue.add(found.document, found.tokens)
                    if count % REPORT_EVERY == 0:
                        progress("index", count, None)
                catalogue.finish()
        if not count:
            raise DocumentError(_why_none(concrete, quarantine))
        (staged / SPOOL).unlink(missing_ok=True)
        Catalogue.open(staged / "catalogue", schema, verify=True)
        manifest: dict[str, Any] = {
            "documents": count,
            "skipped": quarantine.count,
            "schema": schema.definition(),
            "log_position": options.log_position,
            "index": {"kind": host.kind, "name": concrete, "identity": identity, "read": begun},
        }
        kept = _kept_letters(store, name, staged)
        with store.alone():
            generation: Generation = store.publish(name, staged, manifest)
            removed: list[str] = []
            if options.live:
                store.make_live(name)
                removed = store.prune(options.keep)
    return BuildReport(
        generation=generation,
        documents=count,
        skipped=quarantine.count,
        reasons=tuple(quarantine.reasons),
        seconds=time.perf_counter() - start,
        removed=tuple(removed),
        live=options.live,
        letters=kept,
    )


def _spooled(host: IndexHost, concrete: str, path: Path, progress: Progress) -> Path:
    """Write the documents of a concrete index to a file.

    Its name is not resolved once more: where cores were swapped, it is the name of another as well.
    """
    count = 0
    with path.open("wb") as stream:
        for batch in host.documents(concrete):
            stream.writelines(orjson.dumps(raw, default=dict) + b"\n" for raw in batch)
            count += len(batch)
            progress("read", count, None)
    return path


def _why_none(name: str, quarantine: Quarantine) -> str:
    if not quarantine.count:
        return f"the index {name!r} holds no document; build again when it does"
    reasons = "".join(f"\n  {reason}" for reason in quarantine.reasons)
    return f"no document of {name!r} can be used{reasons}"


def _kept_letters(store: Store, name: str, staged: Path) -> Path | None:
    written, kept = staged / LETTERS, store.root / f"{name}.{LETTERS}"
    if not written.is_file():
        return None
    written.replace(kept)
    return kept
