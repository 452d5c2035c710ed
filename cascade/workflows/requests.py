"""Recorded requests: a file of queries, to be asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade.candidates import Query
from cascade.errors import CascadeError, InputError, nearest
from cascade.filters import parse
from cascade.schema import Schema

_KEYS = ("text", "filters", "preference", "session", "surface", "time")


def read_requests(path: Path, schema: Schema, time: float) -> list[Query]:
    """Return the queries of a file: a text on each line, or an object as `/v1/search` takes it.

    Keys of an object that do not decide the order, such as `size`, are passed over.

    Args:
        path: The file; empty lines are skipped.
        schema: The fields that filters may name.
        time: When they are asked, in seconds since 1970, where a line does not say so.

    Raises:
        InputError: Naming the line that cannot be read, or if there is none.
    """
    queries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            queries.append(_query(str(number), line, schema, time))
        except (ValueError, TypeError, CascadeError) as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    if not queries:
        raise InputError(f"{path} has no queries; accepted is a text or a JSON object on each line")
    return queries


def _query(query_id: str, line: str, schema: Schema, time: float) -> Query:
    if not line.lstrip().startswith("{"):
        return Query(query_id, line.strip(), time=time)
    raw: dict[str, Any] = json.loads(line)
    if not isinstance(raw.get("text"), str):
        raise InputError(f"there is no text; {nearest('text', raw)} (known are {', '.join(_KEYS)})")
    return Query(
        query_id,
        raw["text"],
        filters=parse(raw.get("filters") or {}, schema),
        preference=_preference(raw.get("preference") or {}),
        session=tuple(map(str, raw.get("session") or ())),
        surface=raw.get("surface"),
        time=float(raw.get("time") or time),
    )


def _preference(raw: Mapping[str, Any] | str) -> dict[str, float] | str:
    if isinstance(raw, str):
        return raw
    return {str(name): float(share) for name, share in raw.items()}
