"""Building the index of a configuration, and saying how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.catalogue import Catalogue
from cascade.config import Config, open_writer, schema_of, store_of
from cascade.indexing import BuildReport, OnError, build
from cascade.indexing.build import BuildOptions
from cascade.workflows.progress import Progress, silent


def build_index(
    config: Config,
    inputs: Sequence[Path],
    *,
    on_error: OnError = OnError.REFUSE,
    swap: bool = True,
    progress: Progress = silent,
) -> BuildReport:
    """Build a generation of a configuration's index from product files.

    Raises:
        DocumentError: For a bad line that is refused.
    """
    schema = schema_of(config)
    keep = config.settings.index.keep if config.settings.index is not None else 2
    return build(
        store_of(config),
        schema,
        inputs,
        open_writer(config, schema),
        BuildOptions(on_error=on_error, swap=swap, keep=keep),
        lambda count: progress("index", count, None),
    )


@dataclass(frozen=True)
class IndexStatus:
    """Say how an index stands.

    Attributes:
        live: The live generation.
        documents: How many documents it has.
        generations: All whole generations.
        bytes: The size of the live one on disk.
        verified: Whether every checksum was compared.
        manifest: What the build wrote of itself.
    """

    live: str
    documents: int
    generations: list[str]
    bytes: int
    verified: bool
    manifest: dict[str, Any]


def index_status(config: Config, *, verify: bool = False) -> IndexStatus:
    """Return how a configuration's index stands, after opening it.

    Args:
        config: The settings.
        verify: Compare the checksum of every file of the catalogue.

    Raises:
        NotFoundError: If none was built.
        ChecksumError: If a file is damaged.
    """
    store = store_of(config)
    live = store.live()
    catalogue = Catalogue.open(live.catalogue, schema_of(config), verify=verify)
    size = sum(p.stat().st_size for p in live.path.rglob("*") if p.is_file())
    return IndexStatus(live.name, len(catalogue), store.names(), size, verify, dict(live.manifest))
