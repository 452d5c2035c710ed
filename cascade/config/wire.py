"""From checked settings to the objects of a cascade."""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cascade.business import Business, build_business
from cascade.business.learned import PolicyBundle
from cascade.catalogue.live import LiveCatalogue
from cascade.config.engines import open_engine, schema_of, store_of
from cascade.config.settings import Config
from cascade.config.stage_settings import StageSettings
from cascade.errors import ConfigError, FingerprintError, InputError, nearest
from cascade.features import Expression, Features, build_features, stage_column, standard_features
from cascade.judgments import JudgmentColumns
from cascade.measures import parse_measure
from cascade.pipeline import Cascade, Exploration, Stage
from cascade.protocols import Engine, Feature, Measure
from cascade.rankers import OnnxRanker
from cascade.registry import Bundle, Models, Registry
from cascade.schema import Schema


def registry_of(config: Config) -> Registry:
    """Return the model registry of a configuration."""
    return Registry(config.resolve(config.settings.models.root))


def model_references(config: Config, models: Models = "live") -> list[str]:
    """Return the bundle of each stage as `name@version`, all of them as of one moment.

    Args:
        config: The settings.
        models: With "candidate", a stage that has a candidate means that one. A stage whose
            setting names an alias or version keeps to it.

    Raises:
        NotFoundError: If a stage has no model.
    """
    settings = config.settings
    named = [settings.model_name(stage) for stage in settings.stages]
    return registry_of(config).resolved(named, models)


def features_of(config: Config, schema: Schema) -> Features:
    """Return every feature that the configuration defines.

    Raises:
        ConfigError: With every definition that is not sound.
    """
    source = str(config.path)
    missing = _import_modules(config)
    definitions = feature_definitions(config, schema)
    problems = missing + _unused_removals(config, schema)
    # Without a module, the kinds that it defines would all be told to be unknown.
    if not missing:
        try:
            features = build_features(definitions, schema, source=source)
        except ConfigError as error:
            own = len(definitions) - len(config.settings.features.add)
            problems += [_with_key_path(problem, own) for problem in error.problems]
    if problems:
        raise ConfigError(source, problems)
    return features


def feature_definitions(config: Config, schema: Schema) -> list[Mapping[str, Any]]:
    """Return the definitions of standard features that are kept, then of those added."""
    settings = config.settings.features
    standard = standard_features(schema) if settings.standard else ()
    kept = [d for d in standard if not _named(str(d["name"]), settings.remove)]
    return [*kept, *settings.add]


def _unused_removals(config: Config, schema: Schema) -> list[str]:
    settings = config.settings.features
    names = [str(d["name"]) for d in standard_features(schema)] if settings.standard else []
    return [
        f"features.remove: {pattern!r} names no feature; {nearest(pattern, names)}"
        for pattern in settings.remove
        if not _matching(names, pattern)
    ]


def _import_modules(config: Config) -> list[str]:
    problems = []
    for module in config.settings.features.modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # Whatever a module of another author raises.
            what = f"{type(error).__name__}: {error}"
            problems.append(f"features.modules: cannot import {module!r}: {what}")
    return problems


def _with_key_path(problem: str, standard: int) -> str:
    """Return a problem whose `features[i]` counts as the configuration does."""

    def place(found: re.Match[str]) -> str:
        number = int(found[1]) - standard
        return "features.standard" if number < 0 else f"features.add[{number}]"

    return re.sub(r"\bfeatures\[(\d+)\]", place, problem)


def unknown_patterns(stage: StageSettings, number: int, names: Sequence[str]) -> list[str]:
    """Return a problem for each pattern of a stage that names none of these features."""
    return [
        f"stages[{number}].features: {pattern!r} of stage {stage.name!r} names no feature; "
        + nearest(pattern, names)
        for pattern in stage.features
        if not _matching(names, pattern)
    ]


def stage_features(
    config: Config, stage: StageSettings, features: Features, schema: Schema
) -> Features:
    """Return the features that a stage reads, in the order of the whole set.

    What a formula among them reads belongs to them, and so do the scores of earlier stages, which
    stand at the end.

    Raises:
        ConfigError: If a pattern names no feature.
    """
    number = config.settings.stages.index(stage)
    problems = unknown_patterns(stage, number, features.names)
    if problems:
        raise ConfigError(str(config.path), problems)
    chosen = {name for name in features.names if _named(name, stage.features)}
    for feature in reversed(features.features):
        if isinstance(feature, Expression) and feature.name in chosen:
            chosen |= {given.name for given in feature.inputs}
    definitions = [d for d in features.definitions() if d["name"] in chosen]
    definitions += earlier_scores(config, stage)
    return build_features(definitions, schema, source=f"{config.path}, stage {stage.name}")


def earlier_scores(config: Config, stage: StageSettings) -> list[dict[str, Any]]:
    """Return the definitions of the earlier stages' scores, if the stage reads them."""
    stages = config.settings.stages
    before = stages[: stages.index(stage)] if stage.earlier_scores else []
    return [
        {"kind": "stage_score", "name": stage_column(earlier.name), "stage": earlier.name}
        for earlier in before
    ]


def policy_reference(config: Config, models: Models = "live") -> str | None:
    """Return the bundle of the business layer's policy as `name@version`, None without one.

    Args:
        config: The settings.
        models: As for `model_references`.

    Raises:
        NotFoundError: If there is no such model.
    """
    named = (config.settings.business or {}).get("model")
    if not isinstance(named, str):
        return None
    return registry_of(config).resolved([named], models)[0]


def business_of(config: Config, schema: Schema, models: Models | None = None) -> Business | None:
    """Return the business layer, if one is configured.

    Args:
        config: The settings.
        schema: The fields of the documents.
        models: Which version of the policy's model is meant; with None none is loaded, and the
            policy is the linear blend.

    Raises:
        ConfigError: With every problem of the table.
        NotFoundError: If the policy's model was not made yet.
        RefusedError: If it is damaged, or was made for other inputs or objectives.
    """
    return business_with(
        config, schema, None if models is None else policy_reference(config, models)
    )


def business_with(config: Config, schema: Schema, reference: str | None) -> Business | None:
    """Return the business layer with the policy of one bundle, if a layer is configured.

    Args:
        config: The settings.
        schema: The fields of the documents.
        reference: The bundle, as `name@version`; None means the linear blend.

    Raises:
        ConfigError: With every problem of the table.
        NotFoundError: If there is no such bundle.
        RefusedError: If it is damaged, or was made for other inputs or objectives.
    """
    raw = config.settings.business
    if raw is None:
        return None
    learned = None
    if reference is not None:
        bundle = registry_of(config).load(reference)
        learned = PolicyBundle.of(bundle.label, bundle.model, bundle.files)
    return build_business(raw, schema, source=str(config.path), learned=learned)


def exploration_of(config: Config) -> Exploration | None:
    """Return the swaps of neighbours at the end of a request, None where there are none."""
    settings = config.settings.exploration
    return Exploration(settings.swap_share, settings.head) if settings.swap_share else None


def judgments_columns(config: Config) -> JudgmentColumns:
    """Return the columns of judgments files."""
    j = config.settings.judgments
    return JudgmentColumns(
        query=j.query,
        doc_id=j.doc_id,
        grade=j.grade,
        query_id=j.query_id,
        grades=j.grades,
        frequency=j.frequency,
        format=j.format,
        texts=None if j.texts is None else config.resolve(j.texts),
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


def open_cascade(config: Config, models: Models = "live", *, with_models: bool = True) -> Cascade:
    """Return the cascade that a configuration describes, over the live generation.

    Args:
        config: The settings.
        models: With "candidate", a stage that has a candidate uses it in place of the live one.
        with_models: Whether every stage's model must be there; without, the cascade has no
            stages and gives the engine's order.

    Raises:
        ConfigError: If the settings do not fit together.
        NotFoundError: If the index or a model was not made yet.
        RefusedError: If a file is damaged, or a model was made for other features.
    """
    shared = _Shared()
    try:
        return _cascade(config, shared, models if with_models else None)
    except BaseException:
        shared.close()
        raise


def open_cascades(configs: Mapping[str, Config], models: Models = "live") -> dict[str, Cascade]:
    """Return the cascades of configurations; what they have in common is opened once.

    Cascades over one generation share its engine and catalogue, and stages with one model its
    ranker. An engine may therefore be closed through any of its cascades, and closing it again
    does nothing.

    Args:
        configs: By name, as `load_config` returns them.
        models: With "candidate", a stage that has a candidate uses it in place of the live one.

    Raises:
        ConfigError: If the settings do not fit together.
        NotFoundError: If the index or a model was not made yet.
        RefusedError: If a file is damaged, or a model was made for other features.
    """
    shared = _Shared()
    try:
        return {name: _cascade(config, shared, models) for name, config in configs.items()}
    except BaseException:
        shared.close()
        raise


def open_stages(config: Config, schema: Schema, models: Models = "live") -> tuple[Stage, ...]:
    """Return the stages that a configuration describes, over the documents of a schema.

    Raises:
        NotFoundError: If a model was not made yet.
        RefusedError: If a file is damaged, or a model was made for other features.
    """
    return _stages(config, schema, _Shared(), models)


@dataclass(frozen=True)
class _Shared:
    """Hold what is opened so far: engines by kind, generation and schema, rankers by bundle."""

    engines: dict[tuple[str, Path, Schema], tuple[Engine, LiveCatalogue]] = field(
        default_factory=dict
    )
    rankers: dict[tuple[Path, Schema], OnnxRanker] = field(default_factory=dict)

    def engine(self, config: Config, schema: Schema) -> tuple[Engine, LiveCatalogue]:
        generation = store_of(config).live()
        key = (config.settings.engine.kind, generation.path, schema)
        if key not in self.engines:
            self.engines[key] = open_engine(config, schema, generation)
        return self.engines[key]

    def ranker(self, bundle: Bundle, schema: Schema) -> OnnxRanker:
        key = (bundle.path, schema)
        if key not in self.rankers:
            self.rankers[key] = bundle.ranker(schema)
        return self.rankers[key]

    def close(self) -> None:
        for engine, _ in self.engines.values():
            engine.close()


def _cascade(config: Config, shared: _Shared, models: Models | None) -> Cascade:
    schema = schema_of(config)
    business = business_of(config, schema, models)
    engine, catalogue = shared.engine(config, schema)
    return Cascade(
        engine=engine,
        documents=catalogue,
        stages=_stages(config, catalogue.schema, shared, models) if models else (),
        business=business,
        exploration=exploration_of(config),
        size=config.settings.retrieval.size,
        minimum_match=config.settings.retrieval.minimum_match,
        name=config.settings.name,
    )


def _stages(config: Config, schema: Schema, shared: _Shared, models: Models) -> tuple[Stage, ...]:
    registry = registry_of(config)
    if problems := _import_modules(config):
        raise ConfigError(str(config.path), problems)
    stages: list[Stage] = []
    prepared: dict[str, tuple[str, Feature]] = {}
    for stage, reference in zip(
        config.settings.stages, model_references(config, models), strict=True
    ):
        bundle = registry.load(reference)
        ranker = shared.ranker(bundle, schema)
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


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _named(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
