"""From settings to hosts and engines: the one place that chooses an engine's classes by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing

from cascade.catalogue import Catalogue
from cascade.catalogue.live import LiveCatalogue
from cascade.config.settings import AuthSettings, Config, IndexSettings
from cascade.engines.connection import Auth, Connection, IndexShape, Matching
from cascade.engines.embedded_host import EmbeddedHost
from cascade.errors import ConfigError, RefusedError
from cascade.hosting import IndexHost
from cascade.indexing import Generation, Store
from cascade.indexing.behaviour import BehaviourStore, LiveCounts
from cascade.indexing.log import Log
from cascade.indexing.replica import open_store
from cascade.indexing.updates import log_folder, open_live
from cascade.protocols import Capability, Engine
from cascade.schema import Schema, load_schema


def _embedded(config: Config, schema: Schema) -> IndexHost:
    return EmbeddedHost(store_of(config).root, schema)


def _elasticsearch(config: Config, schema: Schema) -> IndexHost:
    from cascade.engines._rest.host import ELASTICSEARCH, rest_host
    from cascade.engines.elasticsearch import ElasticsearchClient

    connection = connection_of(config)
    shape, matching = shape_of(config), matching_of(config)
    return rest_host(lambda: ElasticsearchClient(connection), ELASTICSEARCH, shape, matching)


def _opensearch(config: Config, schema: Schema) -> IndexHost:
    from cascade.engines._rest.host import OPENSEARCH, rest_host
    from cascade.engines.opensearch import OpenSearchClient

    connection = connection_of(config)
    shape, matching = shape_of(config), matching_of(config)
    return rest_host(lambda: OpenSearchClient(connection), OPENSEARCH, shape, matching)


def _solr(config: Config, schema: Schema) -> IndexHost:
    from cascade.engines.solr import open_host as make

    return make(connection_of(config), matching_of(config), shape_of(config))


_HOSTS: Mapping[str, Callable[[Config, Schema], IndexHost]] = {
    "embedded": _embedded,
    "elasticsearch": _elasticsearch,
    "opensearch": _opensearch,
    "solr": _solr,
}


def index_of(config: Config) -> IndexSettings:
    """Return the settings of a configuration's index.

    Raises:
        ConfigError: If there is no index.
    """
    index = config.settings.index
    if index is None:
        raise ConfigError(str(config.path), ["index: this command needs an [index] with a schema"])
    return index


def schema_of(config: Config) -> Schema:
    """Return the schema of a configuration's index.

    Raises:
        ConfigError: If there is no index, or its schema is not sound.
    """
    return load_schema(config.resolve(index_of(config).schema_))


def store_of(config: Config) -> Store:
    """Return the store of a configuration's generations.

    Raises:
        ConfigError: If there is no index.
    """
    index = index_of(config)
    remote = "://" in index.store
    return open_store(
        index.store if remote else config.resolve(index.store),
        config.settings.engine.index,
        None if index.cache is None else config.resolve(index.cache),
    )


def behaviour_store_of(config: Config) -> BehaviourStore:
    """Return where the counts of a configuration's index are kept.

    Raises:
        ConfigError: If there is no index.
    """
    return BehaviourStore(store_of(config))


def has_log(config: Config) -> bool:
    """Return whether the store can hold a log of updates: an object store takes whole files."""
    return "://" not in index_of(config).store.removeprefix("file://")


def log_of(config: Config) -> Log:
    """Return the log of a configuration's index: a folder of the store.

    Raises:
        ConfigError: If there is no index, or its store is no folder.
    """
    store = index_of(config).store.removeprefix("file://")
    if not has_log(config):
        problem = (
            f"index.store: {store} cannot hold the log of updates, which is appended to; "
            "give a folder that all machines share"
        )
        raise ConfigError(str(config.path), [problem])
    return Log(log_folder(config.resolve(store), config.settings.engine.index))


def connection_of(config: Config) -> Connection:
    """Return how the server of a configuration is reached.

    Raises:
        ConfigError: If the environment lacks the secret that the settings name.
    """
    engine = config.settings.engine
    return Connection(
        urls=tuple(engine.url),
        auth=None if engine.auth is None else _auth(config, engine.auth),
        ca_file=None if engine.ca_file is None else config.resolve(engine.ca_file),
        verify=engine.verify,
        cloud_id=engine.cloud_id,
        timeout_s=engine.timeout_s,
        pool=engine.pool,
    )


def _auth(config: Config, auth: AuthSettings) -> Auth:
    secret = ""
    if auth.secret_env is not None:
        secret = os.environ.get(auth.secret_env, "")
        if not secret:
            problem = f"engine.auth.secret_env: {auth.secret_env} is not set in the environment"
            raise ConfigError(str(config.path), [problem])
    elif auth.kind != "sigv4":
        problem = f'engine.auth: kind = "{auth.kind}" needs secret_env, the variable that holds it'
        raise ConfigError(str(config.path), [problem])
    return Auth(auth.kind, auth.user, secret, auth.region, auth.service)


def matching_of(config: Config) -> Matching:
    """Return what a text must match on the server.

    Raises:
        ConfigError: If the template's file cannot be read.
    """
    retrieval = config.settings.retrieval
    template = None
    if retrieval.template is not None:
        path = config.resolve(retrieval.template)
        try:
            template = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problem = f"retrieval.template: {path} cannot be read: {error}"
            raise ConfigError(str(config.path), [problem]) from None
    return Matching(
        phrase_boost=retrieval.phrase_boost,
        phrase_slop=retrieval.phrase_slop,
        typos=retrieval.typos,
        template=template,
        total_cap=retrieval.total_cap,
        vector_field=retrieval.vector,
        analysed=retrieval.analysed,
        id_field=config.settings.engine.id_field,
    )


def shape_of(config: Config) -> IndexShape:
    """Return how an index of ours is laid out."""
    engine = config.settings.engine
    return IndexShape(engine.shards, engine.replicas, engine.refresh_s, engine.config_set)


def open_host(config: Config, schema: Schema | None = None) -> IndexHost:
    """Return who holds the indexes of a configuration.

    Raises:
        ConfigError: If the settings do not fit together.
        OptionalDependencyError: If the server's client is not installed.
    """
    make = _HOSTS[config.settings.engine.kind]
    return make(config, schema_of(config) if schema is None else schema)


def open_engine(
    config: Config, schema: Schema, generation: Generation | None = None
) -> tuple[Engine, LiveCatalogue]:
    """Return the engine and catalogue of a generation, the live one if none is given.

    What the log of updates has by then is in the catalogue, and the newest counts of behaviour
    that can be read; `refresh` and `freshen` take in what comes later.

    Raises:
        NotFoundError: If nothing was built yet.
        ChecksumError: If the generation is damaged.
        ConfigError: If the settings ask for what this engine cannot do.
        RefusedError: If the generation's index is in another engine.
    """
    found = generation or store_of(config).live()
    _refuse_other(config, found)
    base = Catalogue.open(found.catalogue, schema)
    catalogue = (
        open_live(base, log_of(config), found)
        if has_log(config)
        else LiveCatalogue(base, fresh=found.current)
    )
    catalogue.follow_counts(
        LiveCounts(behaviour_store_of(config), config.settings.behaviour.max_age_s)
    )
    with closing(open_host(config, schema)) as host:
        engine = host.engine(found.place, schema, catalogue)
    problems = _beyond(config, engine)
    if problems:
        engine.close()
        raise ConfigError(str(config.path), problems)
    return engine, catalogue


def _refuse_other(config: Config, generation: Generation) -> None:
    """Refuse a generation whose index is in an engine of another kind."""
    kind = config.settings.engine.kind
    made = generation.manifest.get("index", {}).get("kind", kind)
    if made != kind:
        raise RefusedError(
            f"the live generation {generation.name} was built in {made}, the configuration says "
            f'engine.kind = "{kind}": build the index there, or give each engine an index.store '
            "of its own"
        )


def _beyond(config: Config, engine: Engine) -> list[str]:
    """Return a problem for each setting that asks for what the engine cannot do."""
    retrieval = config.settings.retrieval
    asked = {
        "minimum_match": (retrieval.minimum_match > 0, Capability.MINIMUM_MATCH),
        "phrase_boost": (retrieval.phrase_boost > 0, Capability.PHRASES),
        "typos": (retrieval.typos, Capability.TYPOS),
        "template": (retrieval.template is not None, Capability.TEMPLATE),
        "vector": (retrieval.vector is not None, Capability.VECTORS),
    }
    return [
        f"retrieval.{name}: the engine ({engine.kind}) has no capability {capability.value!r}"
        for name, (wanted, capability) in asked.items()
        if wanted and capability not in engine.capabilities
    ]
