"""From a TOML file to checked settings: every error at once, with its key path."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cascade.config.check import check, stage_problems
from cascade.config.settings import CascadeSettings, Config
from cascade.errors import ConfigError, nearest

# What stands for a required key of a stage while the rest of the file is checked.
_STAND_INS: Mapping[str, object] = {"name": "unnamed", "ranker": "linear", "window": 1}


def load_config(path: Path, overrides: Sequence[str] = ()) -> dict[str, Config]:
    """Read a TOML file into one configuration for each cascade that it names.

    `[cascades.NAME]` tables are laid over the rest of the file, each making one more cascade. What
    the settings name is checked as well: the schema's file, feature modules (which are imported),
    features, business rules and measures.

    Args:
        path: The file.
        overrides: `key.path=value` with the value as TOML, or as a plain string.

    Raises:
        ConfigError: With every problem found.
    """
    raw = _read(path)
    for override in overrides:
        _override(raw, override)
    variants = raw.pop("cascades", {})
    if not isinstance(variants, Mapping):
        raise ConfigError(str(path), ["cascades: accepted are tables [cascades.NAME]"])
    documents = [("", raw)]
    for name, table in variants.items():
        if not isinstance(table, Mapping):
            raise ConfigError(str(path), [f"cascades.{name}: accepted is a table"])
        documents.append((f"cascades.{name}.", _laid_over(raw, {"name": name, **table})))
    problems: list[str] = []
    configs: dict[str, Config] = {}
    for prefix, document in documents:
        settings, found = _settings_of(document)
        config = Config(settings, path.resolve())
        found += stage_problems(document)
        # Cascades of one file differ in little; what an earlier one had is checked already.
        if not any(_same(settings, other.settings) for other in configs.values()):
            found += check(config)
        problems += [prefix + p for p in found if p not in problems]
        if settings.name in configs:
            problems.append(f"cascades.{settings.name}: two cascades have this name")
        configs[settings.name] = config
    if problems:
        raise ConfigError(str(path), problems)
    return configs


def _same(one: CascadeSettings, other: CascadeSettings) -> bool:
    """Return whether what `check` reads is the same in both."""
    parts = ("index", "features", "stages", "business", "evaluation")
    return all(getattr(one, part) == getattr(other, part) for part in parts)


def _settings_of(document: Mapping[str, Any]) -> tuple[CascadeSettings, list[str]]:
    """Return the settings of a document without what is not sound, and the problems of that."""
    problems: list[str] | None = None
    sound = copy.deepcopy(dict(document))
    while True:
        try:
            return CascadeSettings.model_validate(sound), problems or []
        except ValidationError as error:
            if problems is None:
                problems = problems_of(error, CascadeSettings)
            _mend(sound, [(e["loc"], e["type"]) for e in error.errors()])


def _mend(document: dict[str, Any], errors: Sequence[tuple[tuple[int | str, ...], str]]) -> None:
    """Take out what is wrong, so that what is left can be checked further."""
    places: list[tuple[int | str, ...]] = []
    for loc, kind in errors:
        if kind == "missing" and loc[0] == "stages":
            document["stages"][loc[1]][loc[-1]] = _STAND_INS[str(loc[-1])]
        else:
            places.append(loc[:-1] if kind == "missing" else loc)
    outer = {p for p in places if not any(p[:n] in places for n in range(1, len(p)))}
    # From the end of each list, so that the places before stay where they are.
    for place in reversed([p for p in dict.fromkeys(places) if p in outer]):
        *parents, last = _written(document, place)
        at: Any = document
        for part in parents:
            at = at[part]
        if parents == ["stages"]:
            at[last] = {}
        else:
            del at[last]


def _written(document: Mapping[str, Any], place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the part of a place that the document has: one value may stand for a list of one."""
    at: Any = document
    for depth, part in enumerate(place[:-1]):
        at = at[part]
        if not isinstance(at, dict | list):
            return place[: depth + 1]
    return place


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each error: key path, what was given, what is accepted."""
    return [_problem(e["loc"], e["type"], e["msg"], e["input"], model) for e in error.errors()]


def _problem(
    loc: tuple[int | str, ...], kind: str, message: str, given: object, model: type[BaseModel]
) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    if kind == "extra_forbidden":
        return f"{path}: unknown key; {nearest(str(loc[-1]), _keys(model, loc[:-1]))}"
    if kind == "missing":
        return f"{path}: is missing and has no default"
    if kind == "literal_error":
        accepted = message.removeprefix("Input should be ")
        values = [v.strip(" '") for v in accepted.replace(" or ", ",").split(",")]
        return f"{path}: is {given!r}; {nearest(str(given), values)}"
    if kind == "value_error":
        return f"{path}: {message.removeprefix('Value error, ')}".lstrip(": ")
    return f"{path}: is {_shown(given)}; {message[0].lower()}{message[1:]}"


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at `loc` may have."""
    at: Any = model
    for part in loc:
        if isinstance(part, int) or at is None:
            continue
        found = next((f for n, f in at.model_fields.items() if (f.alias or n) == part), None)
        at = _model_in(found.annotation) if found is not None else None
    return [] if at is None else [f.alias or name for name, f in at.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            str(path), ["there is no such file; --config names it, `cascade demo` writes one"]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [f"is not valid TOML: {error}"]) from None


def _override(raw: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError("--set", [f"{text!r} is not of the form key.path=value"])
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    at: Any = raw
    *parents, last = key.strip().split(".")
    for name in [*parents, last]:
        if isinstance(at, list):
            if not name.isdigit() or int(name) >= len(at):
                raise ConfigError(
                    "--set", [f"{key}: {name!r} is no index of a list of {len(at)} entries"]
                )
        elif not isinstance(at, dict):
            raise ConfigError("--set", [f"{key}: {name!r} lies below a value that is no table"])
        if name is last:
            break
        at = at[int(name)] if isinstance(at, list) else at.setdefault(name, {})
    at[int(last) if isinstance(at, list) else last] = parsed


def _laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(below, value) if both else value  # type: ignore[arg-type]
    return merged
