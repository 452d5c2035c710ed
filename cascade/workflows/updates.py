"""Changing documents of a configuration's index, and following one that others change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from cascade.catalogue import Catalogue
from cascade.config import Config, open_host, schema_of, store_of
from cascade.config.engines import log_of
from cascade.errors import (
    CascadeError,
    DocumentError,
    EngineError,
    InputError,
    NotFoundError,
    RefusedError,
)
from cascade.hosting import IndexHost
from cascade.indexing import Files, Generation, OnError, read_products
from cascade.indexing.dead_letters import Quarantine
from cascade.indexing.following import (
    Followed,
    Follower,
    FollowSettings,
    FollowState,
    begun,
    read_state,
)
from cascade.indexing.updates import Updater, UpdateReport, open_live
from cascade.schema import Document, Schema

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Changes:
    """Say what is to change.

    Attributes:
        inputs: Product files of documents to put in.
        deletes: Ids of documents to take away.
        patches: Product files of the id of a document and those keys of it that change.
        on_error: What a line that cannot be used does.
        heartbeat: Whether to say that volatile values are current, though nothing else changes.
    """

    inputs: Sequence[Path] = ()
    deletes: Sequence[str] = ()
    patches: Sequence[Path] = ()
    on_error: OnError = OnError.REFUSE
    heartbeat: bool = False


def updater_of(config: Config, host: IndexHost, schema: Schema) -> Updater:
    """Return who changes documents of a configuration's index.

    Raises:
        ConfigError: If there is no index, or its store is no folder.
    """
    log = log_of(config)
    return Updater(store_of(config), log, host, schema)


def update_index(config: Config, changes: Changes) -> UpdateReport:
    """Put documents in, change some, and take others away, in this order.

    Args:
        config: The settings.
        changes: Which. All files and ids are read and checked first, so that a bad one changes
            nothing.

    Raises:
        DocumentError: For a bad line that is refused, or an id that no document can have.
        RefusedError: If others own the index.
        NotFoundError: If no generation was built yet, or a document to be changed is not there.
        EngineError: If the live index fails; the log has what was told to it by then, and the next
            update brings it in.
    """
    engine = config.settings.engine
    if not engine.owned:
        raise RefusedError(
            f"update: the index {engine.index!r} is not ours (engine.owned = false): change it "
            "where it is written, and `cascade index follow` brings that into the catalogue"
        )
    if not (changes.inputs or changes.deletes or changes.patches or changes.heartbeat):
        raise InputError("nothing to update; give --input, --patch, --delete or --heartbeat")
    schema = schema_of(config)
    left_out = _checked(changes, schema)
    deletes = [_id_of(doc_id) for doc_id in changes.deletes]
    with closing(open_host(config, schema)) as host:
        updater = updater_of(config, host, schema)
        report = updater.update(
            _documents(changes.inputs, schema, Quarantine(OnError.SKIP)), deletes
        )
        if changes.patches:
            patches = _patches(changes.patches, schema, Quarantine(OnError.SKIP))
            report = _joined(report, updater.patch(patches))
        if changes.heartbeat:
            report = replace(report, position=updater.heartbeat())
    return replace(report, skipped=left_out.count, reasons=tuple(left_out.reasons))


@dataclass(frozen=True)
class FollowTask:
    """Say how long an index is followed, and who is told.

    Attributes:
        settings: How.
        told: Given how far it is followed, after each reading.
        on_flip: Called when others put another index in its place, with that one's name.
        once: Whether to read and reconcile once instead of going on.
        ended: Ends it from another thread.
    """

    settings: FollowSettings
    told: Callable[[FollowState], None]
    on_flip: Callable[[str], None]
    once: bool = False
    ended: threading.Event | None = None


def follow_index(config: Config, task: FollowTask) -> FollowState:
    """Follow an index that others write, until the task says otherwise.

    A server that fails for a while, or has no such index while others replace it, is asked again,
    and the log of this process says so once. When the catalogue of another index becomes live,
    that one is followed.

    Raises:
        RefusedError: If the index is ours.
        NotFoundError: If no catalogue of it was built yet; or if there is no such index, and the
            task is to read once.
        EngineError: If the server fails, and the task is to read once.
    """
    engine = config.settings.engine
    if engine.owned:
        raise RefusedError(
            f"follow: the index {engine.index!r} is ours (engine.owned = true), and changes by "
            "`cascade index update`; nothing of it is to be followed"
        )
    schema, ended = schema_of(config), task.ended or threading.Event()
    with closing(open_host(config, schema)) as host:
        generation = store_of(config).live()
        follower = _follower(config, host, schema, generation, task)
        if task.once:
            follower.poll()
            state = follower.reconcile()
            task.told(state)
            return state
        failing = ""
        while not ended.is_set():
            try:
                task.told(follower.poll())
                failing = ""
            except (EngineError, NotFoundError) as error:
                failing = _warned(engine.index, error, failing)
                task.told(follower.state)
            ended.wait(task.settings.poll_s)
            live = store_of(config).live()
            if live.name != generation.name:
                generation = live
                follower = _follower(config, host, schema, generation, task)
        return follower.state


def _follower(
    config: Config, host: IndexHost, schema: Schema, generation: Generation, task: FollowTask
) -> Follower:
    log, store = log_of(config), store_of(config)
    live = open_live(Catalogue.open(generation.catalogue, schema), log, generation)
    index = generation.manifest.get("index", {})
    state = begun(generation.place.name, str(index.get("identity", "")), generation.current)
    kept = read_state(log)
    if kept is not None and (kept.index, kept.identity) == (state.index, state.identity):
        state = kept
    return Follower(
        Followed(
            host,
            config.settings.engine.index,
            live,
            log,
            lambda name: Generation(name, store.root / name, {}).place,
        ),
        state,
        task.settings,
        task.on_flip,
        time.time,
    )


def _warned(index: str, error: CascadeError, before: str) -> str:
    """Say why an index cannot be read, unless that was said already; return what was said."""
    if str(error) != before:
        _LOG.warning("following %s goes on when it can be read again: %s", index, error)
    return str(error)


def _id_of(given: str) -> str:
    return Schema("id", ()).document({"id": given}).id


def _checked(changes: Changes, schema: Schema) -> Quarantine:
    """Read every line once, and return those that are left out.

    Raises:
        DocumentError: For the first bad line, if bad lines are refused.
    """
    quarantine = Quarantine(OnError.SKIP)
    documents = _documents(changes.inputs, schema, quarantine)
    for _ in chain(documents, _patches(changes.patches, schema, quarantine)):
        if quarantine.count and changes.on_error is OnError.REFUSE:
            break
    if quarantine.count and changes.on_error is OnError.REFUSE:
        raise DocumentError(
            f"{quarantine.reasons[0]}. Nothing was changed; --on-error skip leaves such lines out"
        )
    return quarantine


def _documents(paths: Sequence[Path], schema: Schema, quarantine: Quarantine) -> Iterator[Document]:
    for path in Files(tuple(paths)).paths:
        for place, raw in read_products(path, quarantine):
            try:
                yield schema.document(raw)
            except DocumentError as error:
                quarantine.put(place, str(error), raw)


def _patches(
    paths: Sequence[Path], schema: Schema, quarantine: Quarantine
) -> Iterator[Mapping[str, Any]]:
    plain = Schema(schema.id, ())
    for path in Files(tuple(paths)).paths:
        for place, raw in read_products(path, quarantine):
            try:
                plain.document(raw)
            except DocumentError as error:
                quarantine.put(place, str(error), raw)
            else:
                yield raw


def _joined(first: UpdateReport, then: UpdateReport) -> UpdateReport:
    return UpdateReport(
        upserts=first.upserts + then.upserts,
        deletes=first.deletes,
        position=then.position,
        generations=then.generations,
        refused=first.refused + then.refused,
        behind=then.behind,
        seconds=first.seconds + then.seconds,
    )
