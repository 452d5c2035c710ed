"""The business layer from its table of the configuration, every problem told at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from cascade.business.business import MAX_DISPLACEMENT, WINDOW, Business
from cascade.business.objectives import OBJECTIVES, BaseObjective, Relevance
from cascade.business.policy import LinearBlend, check_preference
from cascade.business.rules import RULES
from cascade.business.ruleset import RuleSet, conflicts
from cascade.business.settings import Reader, read_settings, whole
from cascade.errors import ConfigError, QueryError, nearest
from cascade.schema import Schema

T = TypeVar("T")

_NUMBERS: Mapping[str, tuple[Reader, int]] = {
    "window": (whole(1), WINDOW),
    "max_displacement": (whole(0), MAX_DISPLACEMENT),
}
_KEYS = (*_NUMBERS, "preference", "objectives", "rules")


def build_business(
    raw: Mapping[str, Any], schema: Schema, source: str = "configuration", path: str = "business"
) -> Business:
    """Return the business layer that a configuration describes.

    Args:
        raw: The table `[business]`; empty means no objective and no rule.
        schema: The fields that objectives and rules may read.
        source: What the configuration is called in messages.
        path: Where the table stands in it.

    Raises:
        ConfigError: With a line for every problem: its key, what is accepted, the nearest name.
    """
    problems: list[str] = []
    if not isinstance(raw, Mapping):
        raise ConfigError(source, [f"{path}: is {raw!r}; accepted is a table"])
    for key in raw:
        if key not in _KEYS:
            problems.append(f"{path}.{key}: unknown key; " + nearest(key, _KEYS))
    numbers = {key: _number(key, raw, schema, path, problems) for key in _NUMBERS}
    objectives = _tables(raw, "objectives", OBJECTIVES, schema, path, problems)
    rules = _tables(raw, "rules", RULES, schema, path, problems)
    problems += _misnamed(objectives, f"{path}.objectives")
    problems += [f"{path}.rules: {line}" for line in conflicts(rules)]
    policy = LinearBlend(tuple(objectives))
    preference = raw.get("preference", {})
    if isinstance(preference, Mapping):
        # Each share alone, so that one mistake does not hide the next.
        for name, share in preference.items():
            try:
                check_preference({name: share}, _named(raw, objectives))
            except QueryError as error:
                problems.append(f"{path}.{error}")
    else:
        problems.append(f"{path}.preference: is {preference!r}; accepted is a table")
    if problems:
        raise ConfigError(source, problems)
    return Business(
        policy=policy,
        window=numbers["window"],
        max_displacement=numbers["max_displacement"],
        rules=RuleSet(tuple(rules)),
        default_preference={name: float(share) for name, share in preference.items()},
    )


def _number(
    key: str, raw: Mapping[str, Any], schema: Schema, path: str, problems: list[str]
) -> int:
    read, default = _NUMBERS[key]
    try:
        return int(read(raw.get(key, default), schema))
    except ValueError as error:
        problems.append(f"{path}.{key}{error}")
        return default


def _tables(
    raw: Mapping[str, Any],
    key: str,
    kinds: Mapping[str, type[T]],
    schema: Schema,
    path: str,
    problems: list[str],
) -> list[T]:
    tables = raw.get(key, [])
    if not isinstance(tables, list):
        problems.append(f"{path}.{key}: is {tables!r}; accepted is a list of tables")
        return []
    made = []
    for number, table in enumerate(tables):
        here = f"{path}.{key}[{number}]"
        if not isinstance(table, Mapping):
            problems.append(f"{here}: is {table!r}; accepted is a table")
            continue
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            given = "is missing" if kind is None else f"is {kind!r}"
            known = nearest(str(kind), kinds, most=len(kinds))
            problems.append(f"{here}.kind: {given}; {known}")
            continue
        settings = {name: value for name, value in table.items() if name != "kind"}
        found = read_settings(kinds[kind], settings, schema, here, problems)
        if found is not None:
            made.append(found)
    return made


def _misnamed(objectives: list[BaseObjective], path: str) -> list[str]:
    names = [objective.name for objective in objectives]
    twice = sorted({name for name in names if names.count(name) > 1})
    found = [f"{path}: {name!r} names more than one; give each its own name" for name in twice]
    for objective in objectives:
        if objective.name == "relevance" and not isinstance(objective, Relevance):
            found.append(
                f"{path}: 'relevance' is the name of the ranking's own score; choose another"
            )
    return found


def _named(raw: Mapping[str, Any], objectives: list[BaseObjective]) -> list[str]:
    """Return the names of all objectives, those that could not be made among them."""
    tables = raw.get("objectives", [])
    written = [t.get("name") for t in tables if isinstance(t, Mapping)] if tables else []
    return [*(o.name for o in objectives), *(name for name in written if isinstance(name, str))]
