"""Whether settings fit together and fit what they name: the schema, features, rules, measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cascade.config.engines import schema_of
from cascade.config.settings import Config
from cascade.config.wire import (
    business_of,
    feature_definitions,
    features_of,
    measures_of,
    unknown_patterns,
)
from cascade.errors import ConfigError
from cascade.schema import Schema

# Rows of a report that are no stage's.
RESERVED = ("bm25", "business", "final", "random", "retrieval")


def check(config: Config) -> list[str]:
    """Return one line for each problem of what the settings name; feature modules are imported.

    What reads the schema is checked where there is a sound one. A configuration without an index,
    such as one of rows in SVMlight form, has none.
    """
    problems = _refusal(lambda: measures_of(config))
    if config.settings.index is None:
        return problems
    try:
        schema = schema_of(config)
    except (ConfigError, OSError) as error:
        lines = error.problems if isinstance(error, ConfigError) else [f"cannot be read: {error}"]
        file = config.settings.index.schema_
        return [*(f"index.schema: {file}: {line}" for line in lines), *problems]
    return [
        *_refusal(lambda: features_of(config, schema)),
        *_patterns(config, schema),
        *_refusal(lambda: business_of(config, schema)),
        *problems,
    ]


def stage_problems(document: Mapping[str, Any]) -> list[str]:
    """Return one line for each stage whose name is taken or whose window grows.

    Args:
        document: The file as it was read; entries that are not sound are passed over.
    """
    stages = document.get("stages")
    problems = []
    owners: dict[str, int] = {}
    above: tuple[int, object, int] | None = None
    for i, stage in enumerate(stages if isinstance(stages, list) else []):
        name, window = (
            (stage.get("name"), stage.get("window")) if isinstance(stage, Mapping) else (None, None)
        )
        if isinstance(name, str):
            if name in RESERVED:
                taken = ", ".join(RESERVED)
                problems.append(f"stages[{i}].name: {name!r} is taken; no stage is called {taken}")
            elif owners.setdefault(name, i) != i:
                problems.append(
                    f"stages[{i}].name: {name!r} is taken by stages[{owners[name]}]; "
                    "give each stage its own"
                )
        if isinstance(window, int) and not isinstance(window, bool) and window >= 1:
            if above is not None and window > above[2]:
                problems.append(
                    f"stages[{i}].window: {name!r} has window {window}, more than the {above[2]} "
                    f"of {above[1]!r} (stages[{above[0]}]) above it; "
                    "windows never grow from stage to stage"
                )
            above = (i, name, window)
    return problems


def _patterns(config: Config, schema: Schema) -> list[str]:
    """Return the patterns of stages that name no feature, whether or not it could be made."""
    names = [str(d["name"]) for d in feature_definitions(config, schema) if "name" in d]
    stages = enumerate(config.settings.stages)
    return [problem for i, stage in stages for problem in unknown_patterns(stage, i, names)]


def _refusal(make: Callable[[], object]) -> list[str]:
    try:
        make()
    except ConfigError as error:
        return list(error.problems)
    return []
