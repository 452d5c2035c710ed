"""Building the index of a configuration, and saying how it stands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cascade.catalogue import Catalogue
from cascade.config import Config, open_host, schema_of, store_of
from cascade.config.engines import has_log, index_of, log_of
from cascade.errors import InputError, RefusedError
from cascade.hosting import IndexHost
from cascade.indexing import BuildReport, Files, Generation, IndexSource, OnError, build
from cascade.indexing.build import BuildOptions
from cascade.indexing.replay import position_of
from cascade.indexing.snapshot import SnapshotOptions, read_catalogue
from cascade.indexing.swap import index_problems
from cascade.indexing.verify import verify_files
from cascade.workflows.generations import begun_log, checks_of
from cascade.workflows.progress import Progress, silent
from cascade.workflows.updates import updater_of

BESIDE_BYTES = 20_000_000
GZIP_RATIO = 4


def build_index(
    config: Config,
    inputs: Sequence[Path] | str | None,
    *,
    on_error: OnError = OnError.REFUSE,
    swap: bool = True,
    beside: bool = False,
    progress: Progress = silent,
) -> BuildReport:
    """Build a generation of a configuration's index.

    Args:
        config: The settings.
        inputs: Product files, or the name of an index of the same server. None reads the
            configured index itself, which is the one way where others own it.
        on_error: What a bad line does.
        swap: Whether the new generation becomes the live one.
        beside: Whether a process of its own reads and analyses, if there is much to read and a
            core for it; the caller's main module must be one that can be imported again.
        progress: Told how many documents there are so far.

    Raises:
        DocumentError: For a bad line that is refused.
        RefusedError: If a build of this index runs, or the generation must not become live.
        ChecksumError: If what was written cannot be read again as it was written.
        EngineError: If the server fails; the next build of the same goes on from there.
    """
    schema, settings = schema_of(config), index_of(config)
    if not config.settings.engine.owned:
        return _read_catalogue(config, inputs, SnapshotOptions(on_error, swap), progress)
    if inputs is None:
        raise InputError("nothing to build from; give product files or the name of an index")
    with closing(open_host(config, schema)) as host:
        source = IndexSource(host, inputs) if isinstance(inputs, str) else Files(tuple(inputs))
        options = BuildOptions(
            on_error=on_error,
            swap=swap,
            keep=settings.keep,
            beside=beside and _worth_a_process(inputs),
            checks=checks_of(config, host, schema),
        )
        if has_log(config):
            hooks = updater_of(config, host, schema).hooks()
            options = replace(
                options, log_position=hooks.position, before_publish=hooks.before_publish
            )
        return build(store_of(config), schema, source, host, options, progress)


def _read_catalogue(
    config: Config,
    inputs: Sequence[Path] | str | None,
    options: SnapshotOptions,
    progress: Progress,
) -> BuildReport:
    """Make the catalogue of an index that others own."""
    name = config.settings.engine.index
    if inputs is not None:
        raise RefusedError(
            f"the index {name!r} is not ours (engine.owned = false), so it is not filled: leave "
            "--input and --from-index out to read its catalogue"
        )
    schema, keep = schema_of(config), index_of(config).keep
    position = log_of(config).position if has_log(config) else None
    options = replace(options, keep=keep, log_position=position)
    with closing(open_host(config, schema)) as host:
        report = read_catalogue(store_of(config), schema, host, options, progress)
        if begun_log(config) is not None:
            updater_of(config, host, schema).trim()
        return report


def _worth_a_process(inputs: Sequence[Path] | str) -> bool:
    """Tell whether reading takes so long that starting a process pays."""
    if isinstance(inputs, str):
        size = BESIDE_BYTES
    else:
        size = sum(p.stat().st_size * (GZIP_RATIO if p.suffix == ".gz" else 1) for p in inputs)
    return (os.cpu_count() or 1) > 1 and size >= BESIDE_BYTES


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
        alias: The concrete index that the index's name stands for in the engine, if any.
        problems: What is wrong in the engine.
    """

    live: str
    documents: int
    generations: list[str]
    bytes: int
    verified: bool
    updated: bool
    manifest: dict[str, Any]
    alias: str | None = None
    problems: list[str] = field(default_factory=list)


def index_status(config: Config, *, verify: bool = False) -> IndexStatus:
    """Return how a configuration's index stands, after opening it and asking the engine.

    What is wrong in the engine is no error here: `problems` tells it.

    Args:
        config: The settings.
        verify: Compare the checksum of every file of the catalogue and the engine.

    Raises:
        NotFoundError: If none was built.
        ChecksumError: If a file is damaged.
        EngineError: If the server cannot be asked.
    """
    store, schema = store_of(config), schema_of(config)
    live = store.live()
    catalogue = Catalogue.open(live.catalogue, schema)
    size = sum(p.stat().st_size for p in live.path.rglob("*") if p.is_file())
    updated = verify and verify_files(live)
    with closing(open_host(config, schema)) as host:
        alias, problems = _in_engine(config, host, live)
    return IndexStatus(
        live=live.name,
        documents=len(catalogue) - int(live.manifest.get("refused", 0)),
        generations=store.names(),
        bytes=size,
        verified=verify,
        updated=updated,
        manifest={key: value for key, value in live.manifest.items() if key != "engine"},
        alias=alias,
        problems=problems,
    )


def _in_engine(config: Config, host: IndexHost, live: Generation) -> tuple[str | None, list[str]]:
    """Return what the index's name stands for in the engine, and what is wrong there."""
    made = live.manifest.get("index", {}).get("kind", host.kind)
    if made != host.kind:
        return None, [
            f"{live.name} was built in {made}, and the configuration says engine.kind = "
            f'"{host.kind}": build the index there'
        ]
    _, problems = index_problems(host, live, _expected(config, live))
    try:
        alias = host.target(config.settings.engine.index)
    except RefusedError as error:
        return None, [*problems, str(error)]
    if alias is not None and alias != live.place.name:
        mend = "`cascade index gc` sets it right"
        if not config.settings.engine.owned:
            mend = "`cascade index build` makes a catalogue of that one"
        problems.append(
            f"in the engine {config.settings.engine.index!r} stands for {alias}, not for "
            f"{live.place.name}: {mend}"
        )
    return alias, problems


def _expected(config: Config, live: Generation) -> int | None:
    """Return how many documents the index must have; None if it has changed since the build."""
    log = begun_log(config)
    changed = log is not None and log.position != position_of(live.manifest)
    if changed or not config.settings.engine.owned:
        return None
    return int(live.manifest["documents"]) - len(live.manifest.get("refused_rows", ()))
