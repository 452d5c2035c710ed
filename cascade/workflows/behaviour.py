"""Counts of behaviour: from the event log to what features read, without building an index."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cascade.behaviour import Counter, snapshot_of
from cascade.candidates import Documents, Int32
from cascade.catalogue import Catalogue
from cascade.catalogue.live import LiveCatalogue
from cascade.config import Config, features_of, registry_of, schema_of
from cascade.config.engines import (
    behaviour_store_of,
    has_log,
    index_of,
    log_of,
    store_of,
)
from cascade.errors import InputError, NotFoundError, OptionalDependencyError
from cascade.events.counting import counted
from cascade.events.tables import EventLog
from cascade.features import build_features, counters_of
from cascade.indexing.updates import open_live

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 100_000


@dataclass(frozen=True)
class BehaviourReport:
    """Tell what counts there are, and what features lack.

    Attributes:
        snapshot: The live snapshot, None if there is none.
        as_of: Up to which moment was counted, in seconds since 1970.
        age_s: How long ago that was.
        usable: Whether queries of this moment may read it.
        counters: What is counted, by the counters' names: the sum of each.
        counts: How many documents, texts, pairs and values have counts.
        lacking: Counters that configured features or models read and nobody counted.
        kept: The snapshots that are kept, the oldest first.
        seconds: How long an update took, 0 if there was none.
    """

    snapshot: str | None
    as_of: float | None
    age_s: float | None
    usable: bool
    counters: Mapping[str, float]
    counts: Mapping[str, int]
    lacking: Sequence[str]
    kept: Sequence[str]
    seconds: float = 0.0


def sharing(config: Config, configs: Iterable[Config]) -> list[Config]:
    """Return a configuration and the others that are over the same index."""

    def key(each: Config) -> tuple[str, str]:
        return store_of(each).objects.label, each.settings.engine.index

    over = [c for c in configs if c.settings.index is not None and c is not config]
    index_of(config)
    return [config, *(each for each in over if key(each) == key(config))]


def update_behaviour(configs: Sequence[Config], as_of: float | None = None) -> BehaviourReport:
    """Count what the features of cascades over one index read, and make it live.

    Args:
        configs: Of the cascades over the index, the first of which says where the log is.
        as_of: The moment up to which is counted, in seconds since 1970; None is the present.

    Raises:
        InputError: If no feature reads counts.
        NotFoundError: If there is no index or no event log.
        OptionalDependencyError: If what reads logs is not installed.
    """
    start, config = time.perf_counter(), configs[0]
    counters = needed_counters(configs)
    if not counters:
        raise InputError(
            f"{config.path}: no feature and no model reads counts; add one of the kind rate or "
            "count to features.add"
        )
    moment = time.time() if as_of is None else as_of
    log = EventLog(config.resolve(config.settings.events.path))
    groups = groups_of(config, counters)
    counts = counted(log, counters, moment, groups)
    behaviour_store_of(config).install(snapshot_of(moment, counts))
    report = behaviour_status(configs)
    return replace(report, seconds=time.perf_counter() - start)


def behaviour_status(configs: Sequence[Config], now: float | None = None) -> BehaviourReport:
    """Return what counts of an index are live.

    Raises:
        ConfigError: If the settings do not fit together.
        ChecksumError: If the counts are damaged.
    """
    config, store = configs[0], behaviour_store_of(configs[0])
    needed, name = needed_counters(configs), store.live()
    if name is None:
        lacking = [counter.name for counter in needed]
        return BehaviourReport(None, None, None, False, {}, {}, lacking, store.names())
    snapshot = store.open(name)
    age_s = (time.time() if now is None else now) - snapshot.as_of
    names = [counter.name for counter in snapshot.counters]
    return BehaviourReport(
        snapshot=name,
        as_of=snapshot.as_of,
        age_s=age_s,
        usable=0 <= age_s <= config.settings.behaviour.max_age_s,
        counters=dict(zip(names, snapshot.totals, strict=True)),
        counts=snapshot.counts(),
        lacking=[c.name for c in needed if c not in snapshot.counters],
        kept=store.names(),
    )


def needed_counters(configs: Sequence[Config]) -> tuple[Counter, ...]:
    """Return what the configured features and the models in use read, without repetition.

    Raises:
        ConfigError: If the definitions of features are not sound.
    """
    found: dict[Counter, None] = {}
    for config in configs:
        schema = schema_of(config)
        found |= dict.fromkeys(counters_of(features_of(config, schema).features))
        for stage in config.settings.stages:
            found |= dict.fromkeys(_model_counters(config, config.settings.model_name(stage)))
    return tuple(found)


def groups_of(config: Config, counters: Sequence[Counter]) -> dict[str, pa.Table]:
    """Return the first value of each document, for each field that counters group by.

    Raises:
        NotFoundError: If there is no index.
        OptionalDependencyError: If pyarrow is not installed.
    """
    fields = list(dict.fromkeys(counter.field for counter in counters if counter.field))
    if not fields:
        return {}
    generation = store_of(config).live()
    base = Catalogue.open(generation.catalogue, schema_of(config))
    # Without the counts that are live, which may be what has to be counted again.
    documents = (
        open_live(base, log_of(config), generation) if has_log(config) else LiveCatalogue(base)
    )
    rows = documents.current().astype(np.int32)
    return {field: _first_values(documents, field, rows) for field in fields}


def _first_values(documents: Documents, field: str, rows: Int32) -> pa.Table:
    try:
        import pyarrow as pa
    except ImportError:
        raise OptionalDependencyError("pyarrow", "logs") from None
    ids: list[str] = []
    values: list[str] = []
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        lists = documents.keywords(field, part)
        filled = np.flatnonzero(lists.lengths)
        codes = lists.values[lists.offsets[filled]]
        ids += documents.ids(part[filled])
        values += documents.keyword_values(field, codes)
    return pa.table({"doc_id": pa.array(ids, pa.string()), "value": pa.array(values, pa.string())})


def _model_counters(config: Config, reference: str) -> tuple[Counter, ...]:
    """Return what every version reads that a bundle's aliases or the reference itself name."""
    registry, (name, _, which) = registry_of(config), reference.partition("@")
    found: list[Counter] = []
    for version in sorted({*map(str, registry.aliases(name).values()), which} - {""}):
        with suppress(NotFoundError):  # what refers to it says so when it is opened
            bundle = registry.load(f"{name}@{version}")
            definitions, schema = bundle.manifest.features, schema_of(config)
            found += counters_of(build_features(definitions, schema, bundle.label).features)
    return tuple(found)
