"""Swap, rollback, removal and proof of a configuration's generations."""

from __future__ import annotations

from contextlib import closing

from cascade.candidates import Documents
from cascade.config import Config, open_engine, open_host, schema_of, store_of
from cascade.errors import NotFoundError, RefusedError
from cascade.hosting import IndexHost
from cascade.indexing.generations import Generation
from cascade.indexing.swap import Checks, Collected, OpenDocuments, SwapReport
from cascade.indexing.swap import collect as collect_generations
from cascade.indexing.swap import rollback as roll_back
from cascade.indexing.swap import swap as swap_in
from cascade.indexing.verify import SAMPLE, VerifyReport
from cascade.indexing.verify import verify as compare


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
    host, store = _owned(config, "swap"), store_of(config)
    with closing(host):
        names = store.names()
        if name is None and not names:
            raise NotFoundError(
                f"there is no generation of {store.index!r} in {store.objects.label}; "
                "`cascade index build --input FILE` makes one"
            )
        checks = checks_of(config, wait_s=wait_s)
        return swap_in(store, host, name or names[-1], schema_of(config), checks)


def rollback_index(config: Config) -> SwapReport:
    """Make the generation before the live one the live one again.

    Raises:
        RefusedError: If there is none to go back to, or others own the index.
        NotFoundError: If nothing was built yet.
    """
    with closing(_owned(config, "rollback")) as host:
        return roll_back(store_of(config), host, checks_of(config))


def collect_index(config: Config, keep: int | None = None) -> Collected:
    """Remove the generations and indexes that nothing needs.

    Args:
        config: The settings.
        keep: How many of the newest stay; None takes `index.keep`.

    Raises:
        RefusedError: If others own the index.
    """
    if keep is None:
        keep = config.settings.index.keep if config.settings.index is not None else 2
    with closing(_owned(config, "gc")) as host:
        return collect_generations(store_of(config), host, keep)


def verify_index(config: Config, name: str | None = None, *, sample: int = SAMPLE) -> VerifyReport:
    """Compare the engine and the catalogue of a generation.

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
    engine, documents = open_engine(config, schema, generation)
    engine.close()
    with closing(open_host(config, schema)) as host:
        return compare(generation, host, schema, documents, sample)


def checks_of(config: Config, *, wait_s: float = 0.0) -> Checks:
    """Return what a generation of a configuration must satisfy before it becomes live."""
    index = config.settings.index
    if index is None:
        return Checks(wait_s=wait_s)
    return Checks(tuple(index.canaries), index.canary_overlap, wait_s, _opens(config))


def _opens(config: Config) -> OpenDocuments:
    """Return what opens a generation's catalogue as a serving process would."""
    schema = schema_of(config)

    def opened(generation: Generation) -> Documents:
        engine, documents = open_engine(config, schema, generation)
        engine.close()
        return documents

    return opened


def _owned(config: Config, doing: str) -> IndexHost:
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
    return open_host(config)
