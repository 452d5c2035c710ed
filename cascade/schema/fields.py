"""What a field is, and what a document holds once it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


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
        roles = ROLES[self.kind] if self.given_roles is None else self.given_roles
        searched = self.kind is Kind.TEXT and self.boost > 0
        return roles | {Role.SEARCHED} if searched else roles - {Role.SEARCHED}


ROLES: Mapping[Kind, frozenset[Role]] = {
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
