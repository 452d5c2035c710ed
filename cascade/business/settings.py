"""Settings of objectives and rules: declared on the class, read from a table, every fault told."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias, TypeVar

from cascade.errors import FilterError, nearest
from cascade.filters import AllOf, parse
from cascade.schema import Kind, Schema

Reader: TypeAlias = Callable[[object, Schema], Any]
"""Takes what a table holds and returns the setting, or raises ValueError(what is wrong)."""

T = TypeVar("T")


def setting(read: Reader, default: Any = MISSING) -> Any:  # noqa: ANN401
    """Declare a field of a dataclass that a table may set; without a default it must."""
    return field(default=default, metadata={"read": read})


def read_settings(
    cls: type[T], raw: Mapping[str, Any], schema: Schema, path: str, problems: list[str]
) -> T | None:
    """Return an instance of a dataclass from its table, or None and a line for each problem.

    Args:
        cls: A dataclass whose fields are declared by `setting`; if it has a method
            `faults(schema) -> list[str]`, that checks what no setting shows alone.
        raw: The table, less its `kind`.
        schema: The fields that settings may name.
        path: Where the table stands in the configuration.
        problems: Takes the lines.
    """
    specs: dict[str, Field[Any]] = {spec.name: spec for spec in fields(cls)}  # type: ignore[arg-type]
    before = len(problems)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in specs:
            known = nearest(key, ["kind", *specs], most=len(specs) + 1)
            problems.append(f"{path}.{key}: unknown key; {known}")
            continue
        try:
            values[key] = specs[key].metadata["read"](value, schema)
        except ValueError as error:
            problems.append(f"{path}.{key}{error}")
    problems += [
        f"{path}.{spec.name}: is missing; {path} needs it"
        for spec in specs.values()
        if spec.default is MISSING and spec.name not in raw
    ]
    if len(problems) > before:
        return None
    made = cls(**values)
    problems += [f"{path}{fault}" for fault in getattr(made, "faults", _none)(schema)]
    return made if len(problems) == before else None


def read_text(value: object, schema: Schema) -> str:
    """Read a string that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(_refusal(value, "a string that is not empty"))
    return value


def read_texts(value: object, schema: Schema) -> tuple[str, ...]:
    """Read one string or a list of strings."""
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(v, str) and v.strip() for v in found):
        raise ValueError(_refusal(value, "a list of strings that are not empty"))
    return tuple(found)


def read_bool(value: object, schema: Schema) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(_refusal(value, "true or false"))  # noqa: TRY004 (readers raise one kind)
    return value


def whole(least: int, most: int | None = None) -> Reader:
    """Return a reader of whole numbers that are at least so large, and at most if that is given."""
    accepted = f"of {least} or more" if most is None else f"from {least} to {most}"
    limit = math.inf if most is None else most

    def read(value: object, schema: Schema) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= limit:
            return value
        raise ValueError(_refusal(value, f"a whole number {accepted}"))

    return read


def above(low: float) -> Reader:
    """Return a reader of finite numbers that are larger than `low`."""

    def read(value: object, schema: Schema) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low < value <= sys.float_info.max:  # type: ignore[operator]
            raise ValueError(_refusal(value, f"a finite number above {low:g}"))
        return float(value)  # type: ignore[arg-type]

    return read


def one_of(*names: str) -> Reader:
    """Return a reader of one of these names."""

    def read(value: object, schema: Schema) -> str:
        if value not in names:
            raise ValueError(f": is {value!r}; {nearest(str(value), names)}")
        return str(value)

    return read


def field_of(*kinds: Kind) -> Reader:
    """Return a reader of the name of a schema field of one of these kinds."""
    spoken = " or ".join(kinds)

    def read(value: object, schema: Schema) -> str:
        names = [f.name for f in schema.of_kind(*kinds)]
        if value not in names:
            known = nearest(str(value), names, most=len(names))
            raise ValueError(f": is {value!r}, which is no {spoken} field of the schema; {known}")
        return str(value)

    return read


def read_filter(value: object, schema: Schema) -> AllOf:
    """Read a filter that does not accept every document."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(_refusal(value, "a filter with at least one condition"))
    try:
        return parse(value, schema)
    except FilterError as error:
        raise ValueError(str(error).removeprefix("filters")) from None


def read_slots(value: object, schema: Schema) -> tuple[tuple[str, int], ...]:
    """Read a table from document id to slot (1 is the top), no two on one slot."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(_refusal(value, "a table of document id = slot"))
    taken: dict[int, str] = {}
    for doc_id, slot in value.items():
        if isinstance(slot, bool) or not isinstance(slot, int) or slot < 1:
            raise ValueError(f".{doc_id}" + _refusal(slot, "a slot of 1 (the top) or more"))
        if slot in taken:
            raise ValueError(f": {taken[slot]!r} and {doc_id!r} both ask for slot {slot}")
        taken[slot] = str(doc_id)
    return tuple((doc_id, slot) for slot, doc_id in taken.items())


def read_start(value: object, schema: Schema) -> float:
    """Read the first moment of a period, in seconds since 1970; a date begins at midnight, UTC."""
    moment = _moment(value)
    return _seconds(moment if isinstance(moment, datetime) else datetime.combine(moment, time()))


def read_end(value: object, schema: Schema) -> float:
    """Read the moment that ends a period, in seconds since 1970; a date is part of the period."""
    moment = _moment(value)
    if isinstance(moment, datetime):
        return _seconds(moment)
    return _seconds(datetime.combine(moment, time())) + timedelta(days=1).total_seconds()


def _moment(value: object) -> date:
    """Return a date or a date-time of TOML, or the same as a string of ISO 8601."""
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        for read in (date.fromisoformat, datetime.fromisoformat):
            try:
                return read(value)
            except ValueError:
                continue
    raise ValueError(_refusal(value, "a date, as 2026-11-27, or a moment, as 2026-11-27T08:00:00Z"))


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _refusal(value: object, accepted: str) -> str:
    shown = repr(value)
    return f": is {shown if len(shown) <= 60 else shown[:57] + '...'}; accepted is {accepted}"


def _none(schema: Schema) -> list[str]:
    return []
