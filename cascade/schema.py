"""The schema: which fields a document has, and how each is read, indexed and kept in columns."""

from __future__ import annotations

import fnmatch
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from cascade.errors import ConfigError, DocumentError, nearest

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_SURROGATES = re.compile("[\ud800-\udfff]")
_TAG = re.compile(r"<[A-Za-z/!][^<>]*>")


class Kind(StrEnum):
    """Say what a field holds."""

    TEXT = "text"
    KEYWORD = "keyword"
    NUMBER = "number"
    DATE = "date"
    VECTOR = "vector"


class Role(StrEnum):
    """Say what a field is there for."""

    SEARCHED = "searched"
    FILTERED = "filtered"
    FACETED = "faceted"
    SHOWN = "shown"
    CATALOGUE = "catalogue"


@dataclass(frozen=True, slots=True)
class Field:
    """Describe one field.

    Attributes:
        name: The field's name in queries, features and filters.
        kind: What it holds.
        source: The document's keys that feed it; a key may be a pattern such as `attr_t_*`.
            Default: its own name.
        boost: The weight of its BM25 in retrieval; 0 keeps a text field out of retrieval.
        analyser: The name of the analyser of a text field, as `text.ANALYSERS` lists them.
        synonyms: A file of synonyms in Solr's form, for a text field.
        dims: The length of a vector.
        strip_html: Whether markup is removed from a text before it is analysed.
        given_roles: What the field is there for, beside being searched, which its boost says;
            None takes all that its kind can be.
        max_age_s: How old a volatile number or keyword may be, in seconds; None if it keeps.
    """

    name: str
    kind: Kind
    source: tuple[str, ...] = ()
    boost: float = 1.0
    analyser: str = "english"
    synonyms: Path | None = None
    dims: int = 0
    strip_html: bool = False
    given_roles: frozenset[Role] | None = None
    max_age_s: float | None = None

    @property
    def roles(self) -> frozenset[Role]:
        """What the field is there for."""
        roles = _ROLES[self.kind] if self.given_roles is None else self.given_roles
        searched = self.kind is Kind.TEXT and self.boost > 0
        return roles | {Role.SEARCHED} if searched else roles - {Role.SEARCHED}


_ROLES: Mapping[Kind, frozenset[Role]] = {
    Kind.TEXT: frozenset({Role.SEARCHED, Role.SHOWN, Role.CATALOGUE}),
    Kind.KEYWORD: frozenset({Role.FILTERED, Role.FACETED, Role.SHOWN, Role.CATALOGUE}),
    Kind.NUMBER: frozenset({Role.FILTERED, Role.SHOWN, Role.CATALOGUE}),
    Kind.DATE: frozenset({Role.FILTERED, Role.SHOWN, Role.CATALOGUE}),
    Kind.VECTOR: frozenset({Role.SHOWN, Role.CATALOGUE}),
}
"""What a field of each kind can be, and is where its schema does not say."""


@dataclass(frozen=True, slots=True)
class Document:
    """Hold one document, checked and split by kind; absent fields have no key.

    Numbers and dates (seconds since 1970) are finite floats, keywords are tuples of distinct
    strings in the order given, texts are tuples of strings.
    """

    id: str
    texts: dict[str, tuple[str, ...]]
    keywords: dict[str, tuple[str, ...]]
    numbers: dict[str, float]
    vectors: dict[str, tuple[float, ...]]
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Schema:
    """Name the fields of an index, in order, and the document key that holds the id."""

    id: str
    fields: tuple[Field, ...]
    source: str = field(default="schema", compare=False)

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """All fields by name."""
        return {f.name: f for f in self.fields}

    @cached_property
    def filterable(self) -> Mapping[str, Field]:
        """The fields that filters and sorting may name, by name."""
        return self._having(Role.FILTERED)

    @cached_property
    def faceted(self) -> Mapping[str, Field]:
        """The fields whose values may be counted, by name."""
        return self._having(Role.FACETED)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The keys of a document, or patterns of keys, that only fields read that are not shown."""
        shown: set[str] = {self.id}
        hidden: set[str] = set()
        for spec in self.fields:
            keys = shown if Role.SHOWN in spec.roles else hidden
            keys.update(spec.source or (spec.name,))
        return frozenset(hidden - shown)

    def shown(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a document as pages show it: as it was given, less the hidden keys."""
        if not self.hidden:
            return raw
        plain = {key for key in self.hidden if "*" not in key}
        patterns = self.hidden - plain
        return {
            key: value
            for key, value in raw.items()
            if key not in plain and not any(fnmatch.fnmatchcase(key, p) for p in patterns)
        }

    def _having(self, role: Role) -> Mapping[str, Field]:
        return {f.name: f for f in self.fields if role in f.roles}

    def of_kind(self, *kinds: Kind) -> tuple[Field, ...]:
        """Return the fields of these kinds, in order."""
        return tuple(f for f in self.fields if f.kind in kinds)

    @cached_property
    def _readers(self) -> tuple[tuple[_Read, Field, str], ...]:
        """For each field what reads it, and its key if it is fed by a single one."""
        return tuple((_READERS[f.kind], f, _only_key(f)) for f in self.fields)

    def document(self, raw: Mapping[str, Any]) -> Document:
        """Check a raw document and split it by kind.

        Raises:
            DocumentError: If the id is missing or a value does not fit its field's kind.
        """
        if not isinstance(raw, Mapping):
            raise DocumentError(f"a document is a JSON object, not {type(raw).__name__}")
        doc_id = raw.get(self.id)
        if isinstance(doc_id, bool) or not isinstance(doc_id, str | int) or doc_id == "":
            raise DocumentError(
                f"the id field {self.id!r} is {doc_id!r}; accepted is a non-empty string "
                f"(the document has {', '.join(sorted(map(str, raw))[:8])})"
            )
        document = Document(_clean(str(doc_id)), {}, {}, {}, {}, raw)
        for read, spec, key in self._readers:
            try:
                read(document, spec, raw.get(key) if key else _values(raw, spec))
            except (TypeError, ValueError, OverflowError) as error:
                message = f"document {document.id!r}, field {spec.name!r} {error}"
                raise DocumentError(message) from None
        return document

    def definition(self) -> dict[str, Any]:
        """Return the schema as plain data, for manifests and fingerprints."""
        return {
            "id": self.id,
            "fields": [
                {
                    "name": f.name,
                    "kind": str(f.kind),
                    "source": list(f.source),
                    "boost": f.boost,
                    "analyser": f.analyser if f.kind is Kind.TEXT else None,
                    "synonyms": f.synonyms.name if f.synonyms else None,
                    "dims": f.dims,
                    "strip_html": f.strip_html,
                }
                | ({} if f.given_roles is None else {"roles": sorted(f.roles)})
                for f in self.fields
            ],
        }


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
    accepted = [str(role) for role in Role if role in _ROLES[kind]]
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


def _only_key(spec: Field) -> str:
    """Return the one key that feeds a field, "" if there are several or a pattern."""
    sources = spec.source or (spec.name,)
    return sources[0] if len(sources) == 1 and "*" not in sources[0] else ""


def _values(raw: Mapping[str, Any], spec: Field) -> list[Any]:
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
_Read = Callable[[Document, Field, Any], None]


def _put_text(document: Document, spec: Field, value: object) -> None:
    if type(value) is str and not spec.strip_html:
        if value:
            document.texts[spec.name] = (_clean(value),)
    elif value is not None and (values := _given(value)):
        document.texts[spec.name] = tuple([_text(v, spec.strip_html) for v in values])


def _put_keyword(document: Document, spec: Field, value: object) -> None:
    if type(value) is str:
        if value:
            document.keywords[spec.name] = (_clean(value),)
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


_READERS: Mapping[Kind, _Read] = {
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
        return _clean(_TAG.sub(" ", value) if strip_html else value)
    if isinstance(value, int | float):
        return str(value)
    raise TypeError(f"is {type(value).__name__}; accepted is a string or a list of strings")


def _clean(text: str) -> str:
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
