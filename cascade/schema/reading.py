"""How the values of a raw document are read into the checked one, by the kind of their field."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cascade.schema.fields import Document, Field, Kind

_SURROGATES = re.compile("[\ud800-\udfff]")
_TAG = re.compile(r"<[A-Za-z/!][^<>]*>")


def only_key(spec: Field) -> str:
    """Return the one key that feeds a field, "" if there are several or a pattern."""
    sources = spec.source or (spec.name,)
    return sources[0] if len(sources) == 1 and "*" not in sources[0] else ""


def values_of(raw: Mapping[str, Any], spec: Field) -> list[Any]:
    """Return what all keys of a field hold; what an absent key would hold is None."""
    found: list[Any] = []
    for source in spec.source or (spec.name,):
        keys = fnmatch.filter(raw, source) if "*" in source else (source,)
        for value in map(raw.get, keys):
            if isinstance(value, list):
                found.extend(value)
            else:
                found.append(value)
    return found


def _given(value: object) -> list[Any]:
    """Return the values that are there: absent and empty ones are none."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if v is not None and v != ""]


# A reader gets the value of a field's key, or the list of those of its keys. The shapes that most
# documents have come first in each: a build calls one per field and document.
Read = Callable[[Document, Field, Any], None]


def _put_text(document: Document, spec: Field, value: object) -> None:
    if type(value) is str and not spec.strip_html:
        if value:
            document.texts[spec.name] = (clean(value),)
    elif value is not None and (values := _given(value)):
        document.texts[spec.name] = tuple([_text(v, spec.strip_html) for v in values])


def _put_keyword(document: Document, spec: Field, value: object) -> None:
    if type(value) is str:
        if value:
            document.keywords[spec.name] = (clean(value),)
    elif value is not None and (values := _given(value)):
        document.keywords[spec.name] = tuple(dict.fromkeys([_text(v) for v in values]))


def _put_vector(document: Document, spec: Field, value: object) -> None:
    if not (values := _given(value)):
        return
    if len(values) != spec.dims:
        raise ValueError(f"has {len(values)} numbers; its schema says {spec.dims}")
    document.vectors[spec.name] = tuple(_number(v) for v in values)


def _put_number(document: Document, spec: Field, value: object) -> None:
    if isinstance(value, (float, int)) and math.isfinite(value):
        document.numbers[spec.name] = float(value)
    elif value is not None and (values := _given(value)):
        document.numbers[spec.name] = _number(_only(values))


def _put_date(document: Document, spec: Field, value: object) -> None:
    if type(value) is str and value:
        document.numbers[spec.name] = _seconds(value)
    elif value is not None and (values := _given(value)):
        document.numbers[spec.name] = _seconds(_only(values))


READERS: Mapping[Kind, Read] = {
    Kind.TEXT: _put_text,
    Kind.KEYWORD: _put_keyword,
    Kind.NUMBER: _put_number,
    Kind.DATE: _put_date,
    Kind.VECTOR: _put_vector,
}


def _only(values: list[Any]) -> object:
    if len(values) > 1:
        raise ValueError(f"has {len(values)} values; accepted is one")
    return values[0]


def _text(value: object, strip_html: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return clean(_TAG.sub(" ", value) if strip_html else value)
    if isinstance(value, int | float):
        return str(value)
    raise TypeError(f"is {type(value).__name__}; accepted is a string or a list of strings")


def clean(text: str) -> str:
    """Replace lone surrogates, which neither UTF-8 nor an engine can hold."""
    return text if text.isascii() else _SURROGATES.sub("�", text)


def _number(value: object) -> float:
    if isinstance(value, bool | int | float):
        number = float(value)
    elif isinstance(value, str):
        number = float(value.strip())
    else:
        raise TypeError(f"is {type(value).__name__}; accepted is a number")
    if not math.isfinite(number):
        raise ValueError(f"is {value!r}; accepted is a finite number")
    return number


def _seconds(value: object) -> float:
    if not isinstance(value, str):
        return _number(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"is {value!r}; accepted is an ISO 8601 date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
