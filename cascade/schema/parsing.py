"""The TOML form of a schema."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade.errors import ConfigError, nearest
from cascade.schema.fields import ROLES, Field, Kind, Role
from cascade.schema.schema import Schema

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def load_schema(path: Path) -> Schema:
    """Read a schema from a TOML file.

    Raises:
        ConfigError: With every problem of the file.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), ["there is no such schema file"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from None
    return parse_schema(raw, path)


def parse_schema(raw: Mapping[str, Any], path: Path) -> Schema:
    """Return the schema of a TOML table; paths in it are relative to `path`.

    Raises:
        ConfigError: With every problem found.
    """
    problems: list[str] = []
    for key in set(raw) - {"id", "fields", "name"}:
        problems.append(f"{key}: unknown key; " + nearest(key, ["id", "fields", "name"]))
    table = raw.get("fields")
    if not isinstance(table, Mapping) or not table:
        problems.append("fields: at least one [fields.NAME] is needed")
        table = {}
    fields = []
    for name, spec in table.items():
        parsed = _parse_field(name, spec, path.parent, problems)
        if parsed is not None:
            fields.append(parsed)
    if not any(f.kind is Kind.TEXT and f.boost > 0 for f in fields) and not problems:
        problems.append("fields: at least one text field with a boost above 0 is needed")
    if problems:
        raise ConfigError(str(path), problems)
    return Schema(id=str(raw.get("id", "id")), fields=tuple(fields), source=str(path))


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "type": str,
    "source": (str, list),
    "boost": (int, float),
    "analyser": str,
    "synonyms": str,
    "dims": int,
    "strip_html": bool,
    "roles": list,
    "volatile": bool,
    "max_age": str,
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|m|h|d)\Z")
_UNIT_S: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def _parse_field(name: str, spec: object, base: Path, problems: list[str]) -> Field | None:
    before = len(problems)
    where = f"fields.{name}"
    if not isinstance(spec, Mapping):
        problems.append(f"{where}: is {spec!r}; accepted is a table with a type")
        return None
    if not _NAME.match(name) or name in ("not", "any"):
        problems.append(f"{where}: a name starts with a letter, then letters, digits or _")
    for key, value in spec.items():
        if key not in _TYPES:
            problems.append(f"{where}.{key}: unknown key; " + nearest(key, _TYPES))
        elif not isinstance(value, _TYPES[key]) or (_TYPES[key] is not bool and value is True):
            problems.append(f"{where}.{key}: is {value!r}, of the wrong type")
    kind = spec.get("type")
    if kind not in list(Kind):
        problems.append(f"{where}.type: is {kind!r}; " + nearest(str(kind), list(Kind)))
    boost = spec.get("boost", 1.0)
    if isinstance(boost, int | float) and not (math.isfinite(boost) and boost >= 0):
        problems.append(f"{where}.boost: is {boost}; accepted is a number of 0 or more")
    if kind == "vector" and not int(spec.get("dims", 0) or 0) > 0:
        problems.append(f"{where}.dims: a vector needs its length")
    if len(problems) > before:
        return None
    roles = _parse_roles(spec, where, problems)
    max_age_s = _parse_max_age(spec, where, problems)
    if len(problems) > before:
        return None
    if roles is not None and Role.SEARCHED not in roles:
        boost = 0.0 if kind == "text" else boost
    source = spec.get("source", name)
    synonyms = spec.get("synonyms")
    return Field(
        name=name,
        kind=Kind(str(kind)),
        source=tuple([source] if isinstance(source, str) else map(str, source)),
        boost=float(boost),
        analyser=str(spec.get("analyser", "english")),
        synonyms=(base / synonyms).resolve() if synonyms else None,
        dims=int(spec.get("dims", 0)),
        strip_html=bool(spec.get("strip_html", False)),
        given_roles=roles,
        max_age_s=max_age_s,
    )


def _parse_roles(
    spec: Mapping[str, Any], where: str, problems: list[str]
) -> frozenset[Role] | None:
    """Return the roles of a field that names them, None of one that does not."""
    if "roles" not in spec:
        return None
    kind, given = Kind(spec["type"]), [str(role) for role in spec["roles"]]
    accepted = [str(role) for role in Role if role in ROLES[kind]]
    for role in given:
        if role not in accepted:
            problems.append(
                f"{where}.roles: a {kind} field cannot be {role!r}; accepted are "
                f"{', '.join(accepted)}"
            )
    if Role.CATALOGUE not in given:
        problems.append(
            f"{where}.roles: lacks 'catalogue'; every field is kept there, since features, rules "
            "and volatile values are read from it"
        )
    if Role.SEARCHED in given and spec.get("boost", 1.0) == 0:
        problems.append(f"{where}.roles: 'searched' with a boost of 0; leave out one of the two")
    if kind is Kind.TEXT and Role.SEARCHED not in given and spec.get("boost", 0.0) > 0:
        problems.append(
            f"{where}.roles: a boost of {spec['boost']:g} without 'searched'; leave out the boost "
            "or add the role"
        )
    return frozenset(Role(role) for role in given if role in accepted)


def _parse_max_age(spec: Mapping[str, Any], where: str, problems: list[str]) -> float | None:
    """Return how old a volatile field's value may be, in seconds."""
    volatile, age = spec.get("volatile", False), spec.get("max_age")
    if not volatile and age is None:
        return None
    if not (volatile and age is not None):
        lacks = "max_age" if volatile else "volatile"
        problems.append(f"{where}.{lacks}: is missing; volatile = true and max_age go together")
        return None
    if spec["type"] not in (Kind.NUMBER, Kind.KEYWORD):
        problems.append(f"{where}.volatile: is for number and keyword fields")
    found = _DURATION.match(age)
    if found is None or float(found[1]) == 0:
        problems.append(
            f"{where}.max_age: is {age!r}; accepted is a time above 0 such as '500ms', '60s', "
            "'5m', '2h' or '1d'"
        )
        return None
    return float(found[1]) * _UNIT_S[found[2]]
