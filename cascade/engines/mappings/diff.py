"""Where an index differs from what its schema renders to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MISSING = object()


def differences(rendered: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Return, one line each, what an index has otherwise than its schema says.

    A server tells more than it was told (its defaults), gives numbers and booleans as strings, and
    leaves out what is empty; none of these is a difference. A field that the schema lacks is one.

    Args:
        rendered: What a schema renders to: the body of an index, or the commands for Solr.
        live: `mappings` and `settings.analysis` of the index, or the schema as Solr tells it; its
            own fields and those of its configset cannot be told apart, so none is too many there.
    """
    if "add-field" in rendered:
        return [
            line
            for part, theirs in (("field-type", "fieldTypes"), ("field", "fields"))
            for line in _differ(
                part, _by_name(rendered[f"add-{part}"]), _by_name(live.get(theirs, ()))
            )
        ]
    wanted, have = rendered["mappings"], live.get("mappings", {})
    found = list(_differ("mappings.dynamic", wanted["dynamic"], have.get("dynamic", _MISSING)))
    properties = have.get("properties", {})
    found += _differ("fields", wanted["properties"], properties)
    found += [
        f"fields.{name}: is in the index and not in the schema"
        for name in properties
        if name not in wanted["properties"]
    ]
    analysis = live.get("settings", {}).get("analysis", {})
    return [*found, *_differ("analysis", rendered["settings"]["analysis"], analysis)]


def _differ(where: str, wanted: object, have: object) -> Iterator[str]:
    if have is _MISSING:
        if wanted not in ({}, [], ()):
            yield f"{where}: is missing in the index"
    elif isinstance(wanted, Mapping) and isinstance(have, Mapping):
        for key, value in wanted.items():
            yield from _differ(f"{where}.{key}", value, have.get(key, _MISSING))
    elif isinstance(wanted, list) and isinstance(have, list):
        yield from _differ_lists(where, wanted, have)
    elif _plain(wanted) != _plain(have):
        yield f"{where}: is {have!r} in the index, {wanted!r} in the schema"


def _differ_lists(where: str, wanted: list[Any], have: list[Any]) -> Iterator[str]:
    """Tell what two lists of words or rules do not share; of equal ones, that the order differs."""
    ours, theirs = list(map(_plain, wanted)), list(map(_plain, have))
    if ours == theirs:
        return
    added = [value for value in ours if value not in set(theirs)]
    gone = [value for value in theirs if value not in set(ours)]
    if not added and not gone:
        yield f"{where}: has another order in the index"
        return
    for text, values in (("lacks", added), ("has besides", gone)):
        if values:
            more = f" and {len(values) - 3} more" if len(values) > 3 else ""
            yield f"{where}: the index {text} {', '.join(map(repr, values[:3]))}{more}"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _by_name(specs: object) -> Mapping[str, Mapping[str, Any]]:
    return {str(spec["name"]): spec for spec in specs} if isinstance(specs, list | tuple) else {}
