"""Swap, rollback, removal and proof of a configuration's generations."""

from __future__ import annotations

from contextlib import closing, nullcontext

from cascade.candidates import Documents
from cascade.catalogue import Catalogue
from cascade.config import Config, open_host, schema_of, store_of
from cascade.config.engines import has_log, index_of, log_of
from cascade.errors import NotFoundError, RefusedError
from cascade.hosting import IndexHost
from cascade.indexing.generations import Generation
from cascade.indexing.log import Log
from cascade.indexing.swap import Checks, Collected, SwapReport, repair
from cascade.indexing.swap import collect as collect_generations
from cascade.indexing.swap import rollback as roll_back
from cascade.indexing.swap import swap as swap_in
from cascade.indexing.updates import open_live
from cascade.indexing.verify import SAMPLE, VerifyReport
from cascade.indexing.verify import verify as compare
from cascade.schema import Schema
from cascade.workflows.updates import updater_of


def swap_index(config: Config, name: str | None = None, *, wait_s: float = 0.0) -> SwapReport:
    """Make a generation the live one, after checks.

    Args:
        config: The settings.
        name: The generation; None takes the newest.
        wait_s: How long the alias waits for serving processes, seconds.

    Raises:
        RefusedError: If a check fails, or others own the index.
        NotFoundError: If there is no such generation.
    """
    schema, store = schema_of(config), store_of(config)
    with closing(_owned(config, schema, "swap")) as host:
        names = store.names()
        if name is None and not names:
            raise NotFoundError(
                f"there is no generation of {store.index!r} in {store.objects.label}; "
                "`cascade index build` makes one (from product files: --input FILE)"
            )
        checks = checks_of(config, host, schema, wait_s=wait_s)
        return swap_in(store, host, name or names[-1], schema, checks)


def rollback_index(config: Config) -> SwapReport:
    """Make the generation before the live one the live one again.

    Raises:
        RefusedError: If there is none to go back to, or others own the index.
        NotFoundError: If nothing was built yet.
    """
    schema = schema_of(config)
    with closing(_owned(config, schema, "rollback")) as host:
        return roll_back(store_of(config), host, checks_of(config, host, schema))


def collect_index(config: Config, keep: int | None = None) -> Collected:
    """Set the alias right, then remove the generations and indexes that nothing needs.

    Args:
        config: The settings.
        keep: How many of the newest stay; None takes `index.keep`.

    Raises:
        RefusedError: If others own the index.
    """
    schema, store = schema_of(config), store_of(config)
    with closing(_owned(config, schema, "gc")) as host:
        repair(store, host)
        collected = collect_generations(store, host, keep or index_of(config).keep)
        if has_log(config):
            updater_of(config, host, schema).trim()
        return collected


def verify_index(config: Config, name: str | None = None, *, sample: int = SAMPLE) -> VerifyReport:
    """Compare the engine and the catalogue of a generation, while no update comes in between.

    Args:
        config: The settings.
        name: The generation; None takes the live one.
        sample: How many documents to compare field by field.

    Raises:
        CascadeError: If a file is damaged, or the engine fails.
        NotFoundError: If there is no such generation.
    """
    schema, store = schema_of(config), store_of(config)
    generation = store.live() if name is None else store.get(name)
    with closing(open_host(config, schema)) as host:
        log = begun_log(config)
        ours = log is not None and config.settings.engine.owned
        updater = updater_of(config, host, schema) if ours else None
        with nullcontext() if updater is None else updater.settled(generation):
            documents = _opened(schema, generation, log)
            return compare(generation, host, schema, documents, sample)


def checks_of(config: Config, host: IndexHost, schema: Schema, *, wait_s: float = 0.0) -> Checks:
    """Return what a generation of a configuration must satisfy before it becomes live."""
    index, log = index_of(config), begun_log(config)
    return Checks(
        canaries=tuple(index.canaries),
        overlap=index.canary_overlap,
        wait_s=wait_s,
        open_documents=None if log is None else lambda found: _opened(schema, found, log),
        settle=None if log is None else updater_of(config, host, schema).settled,
    )


def begun_log(config: Config) -> Log | None:
    """Return the log of updates, if there ever was one."""
    if not has_log(config):
        return None
    log = log_of(config)
    return log if log.folder.is_dir() else None


def _opened(schema: Schema, generation: Generation, log: Log | None) -> Documents:
    catalogue = Catalogue.open(generation.catalogue, schema)
    return catalogue if log is None else open_live(catalogue, log, generation)


def _owned(config: Config, schema: Schema, doing: str) -> IndexHost:
    """Return who holds the indexes.

    Raises:
        RefusedError: If others own the index.
    """
    engine = config.settings.engine
    if not engine.owned:
        raise RefusedError(
            f"{doing}: the index {engine.index!r} is not ours (engine.owned = false): whoever "
            "builds it swaps it, and `cascade index follow` follows"
        )
    return open_host(config, schema)
