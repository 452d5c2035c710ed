"""Building the index of a configuration, and saying how it stands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.catalogue import Catalogue
from cascade.config import Config, open_engine, open_host, schema_of, store_of
from cascade.hosting import Place
from cascade.indexing import BuildReport, OnError, build
from cascade.indexing.build import BuildOptions, EngineAccess
from cascade.indexing.checksums import compare
from cascade.workflows.progress import Progress, silent

BESIDE_BYTES = 20_000_000
GZIP_RATIO = 4


def build_index(
    config: Config,
    inputs: Sequence[Path],
    *,
    on_error: OnError = OnError.REFUSE,
    swap: bool = True,
    beside: bool = False,
    progress: Progress = silent,
) -> BuildReport:
    """Build a generation of a configuration's index from product files.

    Args:
        config: The settings.
        inputs: Files of one JSON object a line.
        on_error: What a bad line does.
        swap: Whether the new generation becomes the live one.
        beside: Whether a process of its own reads and analyses, if the files are large and there
            is a core for it; the caller's main module must be one that can be imported again.
        progress: Told how many documents there are so far.

    Raises:
        DocumentError: For a bad line that is refused.
        ChecksumError: If what was written cannot be read again as it was written.
    """
    schema = schema_of(config)
    keep = config.settings.index.keep if config.settings.index is not None else 2
    return build(
        store_of(config),
        schema,
        inputs,
        EngineAccess(
            lambda folder: open_host(config, schema).open_writer(Place("", folder), schema),
            lambda generation: open_engine(config, schema, generation)[0],
        ),
        BuildOptions(on_error, swap, keep, beside and _worth_a_process(inputs)),
        lambda count: progress("index", count, None),
    )


def _worth_a_process(inputs: Sequence[Path]) -> bool:
    """Tell whether reading takes so long that starting a process pays."""
    sizes = (p.stat().st_size * (GZIP_RATIO if p.suffix == ".gz" else 1) for p in inputs)
    return (os.cpu_count() or 1) > 1 and sum(sizes) >= BESIDE_BYTES


@dataclass(frozen=True)
class IndexStatus:
    """Say how an index stands.

    Attributes:
        live: The live generation.
        documents: How many documents it has.
        generations: All whole generations.
        bytes: The size of the live one on disk.
        verified: Whether every checksum was compared.
        updated: Whether the engine took updates since the build; False if not verified.
        manifest: What the build wrote of itself.
    """

    live: str
    documents: int
    generations: list[str]
    bytes: int
    verified: bool
    updated: bool
    manifest: dict[str, Any]


def index_status(config: Config, *, verify: bool = False) -> IndexStatus:
    """Return how a configuration's index stands, after opening it.

    Args:
        config: The settings.
        verify: Compare the checksum of every file of the catalogue and the engine.

    Raises:
        NotFoundError: If none was built.
        ChecksumError: If a file is damaged.
    """
    store = store_of(config)
    live = store.live()
    catalogue = Catalogue.open(live.catalogue, schema_of(config), verify=verify)
    size = sum(p.stat().st_size for p in live.path.rglob("*") if p.is_file())
    updated = verify and compare(live.engine, live.manifest.get("engine"))
    return IndexStatus(
        live=live.name,
        documents=len(catalogue),
        generations=store.names(),
        bytes=size,
        verified=verify,
        updated=updated,
        manifest={key: value for key, value in live.manifest.items() if key != "engine"},
    )
