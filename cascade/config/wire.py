"""From checked settings to objects: the one place that chooses classes by name."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cascade.business import Business, build_business
from cascade.catalogue import Catalogue
from cascade.config.load import Config
from cascade.config.settings import StageSettings
from cascade.engines.embedded import EmbeddedEngine, EmbeddedWriter
from cascade.errors import ConfigError, FingerprintError, InputError, nearest
from cascade.features import Expression, Features, build_features, standard_features
from cascade.indexing import Generation, Store
from cascade.judgments import JudgmentColumns
from cascade.measures import parse_measure
from cascade.pipeline import Cascade, Stage
from cascade.protocols import Engine, Feature, IndexWriter, Measure
from cascade.registry import Registry
from cascade.schema import Schema, load_schema

_ENGINES: Mapping[str, Callable[[Generation, Schema, Catalogue], Engine]] = {
    "embedded": lambda generation, schema, catalogue: EmbeddedEngine(
        generation.engine, schema, catalogue
    ),
}
_WRITERS: Mapping[str, Callable[[Path, Schema], IndexWriter]] = {
    "embedded": EmbeddedWriter,
}


def schema_of(config: Config) -> Schema:
    """Return the schema of a configuration's index.

    Raises:
        ConfigError: If there is no index, or its schema is not sound.
    """
    index = config.settings.index
    if index is None:
        raise ConfigError(str(config.path), ["index: this command needs an [index] with a schema"])
    return load_schema(config.resolve(index.schema_))


def store_of(config: Config) -> Store:
    """Return the store of a configuration's generations."""
    index = config.settings.index
    root = index.store if index is not None else "var/indexes"
    return Store(config.resolve(root), config.settings.engine.index)


def registry_of(config: Config) -> Registry:
    """Return the model registry of a configuration."""
    return Registry(config.resolve(config.settings.models.root))


def open_writer(config: Config, schema: Schema) -> Callable[[Path], IndexWriter]:
    """Return what opens a writer of the configured engine in a folder."""
    make = _WRITERS[config.settings.engine.kind]
    return lambda folder: make(folder, schema)


def open_engine(
    config: Config, schema: Schema, generation: Generation | None = None
) -> tuple[Engine, Catalogue]:
    """Return the engine and catalogue of a generation, the live one if none is given.

    Raises:
        NotFoundError: If nothing was built yet.
        ChecksumError: If the generation is damaged.
    """
    found = generation or store_of(config).live()
    catalogue = Catalogue.open(found.catalogue, schema)
    return _ENGINES[config.settings.engine.kind](found, schema, catalogue), catalogue


def features_of(config: Config, schema: Schema) -> Features:
    """Return every feature that the configuration defines.

    Raises:
        ConfigError: With every definition that is not sound.
    """
    settings = config.settings.features
    for module in settings.modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            message = f"features.modules: cannot import {module!r}: {error}"
            raise ConfigError(str(config.path), [message]) from None
    definitions: list[Mapping[str, Any]] = (
        list(standard_features(schema)) if settings.standard else []
    )
    names = [str(d.get("name")) for d in definitions]
    unused = [p for p in settings.remove if not fnmatch.filter(names, p)]
    if unused:
        problems = [f"features.remove: {p!r} names no feature; {nearest(p, names)}" for p in unused]
        raise ConfigError(str(config.path), problems)
    kept = [d for d in definitions if not _named(str(d["name"]), settings.remove)]
    return build_features([*kept, *settings.add], schema, source=str(config.path))


def stage_features(
    config: Config, stage: StageSettings, features: Features, schema: Schema
) -> Features:
    """Return the features that a stage reads, in the order of the whole set.

    What a formula among them reads belongs to them.

    Raises:
        ConfigError: If a pattern names no feature.
    """
    problems = [
        f"stages.{stage.name}.features: {pattern!r} names no feature; "
        + nearest(pattern, features.names)
        for pattern in stage.features
        if not fnmatch.filter(features.names, pattern)
    ]
    if problems:
        raise ConfigError(str(config.path), problems)
    chosen = {name for name in features.names if _named(name, stage.features)}
    for feature in reversed(features.features):
        if isinstance(feature, Expression) and feature.name in chosen:
            chosen |= {given.name for given in feature.inputs}
    definitions = [d for d in features.definitions() if d["name"] in chosen]
    return build_features(definitions, schema, source=f"{config.path}, stage {stage.name}")


def business_of(config: Config, schema: Schema) -> Business | None:
    """Return the business layer, if one is configured.

    Raises:
        ConfigError: With every problem of the table.
    """
    raw = config.settings.business
    return None if raw is None else build_business(raw, schema, source=str(config.path))


def judgments_columns(config: Config) -> JudgmentColumns:
    """Return the columns of judgments files."""
    j = config.settings.judgments
    return JudgmentColumns(
        query=j.query, doc_id=j.doc_id, grade=j.grade, query_id=j.query_id, grades=j.grades
    )


def measures_of(config: Config) -> tuple[Measure, ...]:
    """Return the measures of the report.

    Raises:
        ConfigError: Naming each one that cannot be read.
    """
    found, problems = [], []
    for text in config.settings.evaluation.measures:
        try:
            found.append(parse_measure(text))
        except InputError as error:
            problems.append(f"evaluation.measures: {error}")
    if problems:
        raise ConfigError(str(config.path), problems)
    return tuple(found)


def open_cascade(config: Config, *, with_models: bool = True) -> Cascade:
    """Return the cascade that a configuration describes, over the live generation.

    Args:
        config: The settings.
        with_models: Whether every stage's model must be there; without, the cascade has no
            stages and gives the engine's order.

    Raises:
        ConfigError: If the settings do not fit together.
        NotFoundError: If the index or a model was not made yet.
        RefusedError: If a file is damaged, or a model was made for other features.
    """
    settings = config.settings
    schema = schema_of(config)
    business = business_of(config, schema)
    engine, catalogue = open_engine(config, schema)
    try:
        stages = _stages(config, catalogue.schema) if with_models else ()
    except BaseException:
        engine.close()
        raise
    return Cascade(
        engine=engine,
        documents=catalogue,
        stages=stages,
        business=business,
        size=settings.retrieval.size,
        minimum_match=settings.retrieval.minimum_match,
        name=settings.name,
    )


def _stages(config: Config, schema: Schema) -> tuple[Stage, ...]:
    registry = registry_of(config)
    for module in config.settings.features.modules:
        importlib.import_module(module)
    stages: list[Stage] = []
    prepared: dict[str, tuple[str, Feature]] = {}
    for stage in config.settings.stages:
        bundle = registry.load(config.settings.model_name(stage))
        ranker = bundle.ranker(schema)
        for feature in ranker.features.features:
            if feature.scope == "listing":
                other, twin = prepared.setdefault(feature.name, (stage.name, feature))
                if twin.definition() != feature.definition():
                    raise FingerprintError(
                        f"the models of stages {other!r} and {stage.name!r} define the feature "
                        f"{feature.name!r} differently; train both from one configuration"
                    )
        stages.append(
            Stage(
                name=stage.name,
                ranker=ranker,
                window=stage.window,
                budget_ms=stage.budget_ms or float("inf"),
                model=bundle.label,
                features=ranker.features,
            )
        )
    return tuple(stages)


def _named(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
