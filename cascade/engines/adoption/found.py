"""What is found in an index and in the search that a team has: plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cascade.schema import Kind

QUERY = "{{query}}"
"""What stands for the text in a search of a team's own."""

_OTHER = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class FoundQuery:
    """Hold what a team's search says.

    Attributes:
        boosts: The weight of each field that it searches, by its path on the server.
        template: The search, with `{{query}}` where the text stood.
        mentions: Every string in it, to tell which other fields it uses.
        hints: Settings that would say nearly the same without the template.
        notes: What was not understood, or needs a look.
    """

    boosts: Mapping[str, float]
    template: Mapping[str, Any]
    mentions: frozenset[str] = frozenset()
    hints: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundAnalysis:
    """Hold what is known of how a server analyses a text.

    Attributes:
        analyser: The nearest of ours.
        synonyms: Lines in Solr's form.
        notes: What ours does otherwise.
    """

    analyser: str = "plain"
    synonyms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundField:
    """Hold one field for the schema.

    Attributes:
        name: Its name there.
        kind: What it holds.
        sources: The document's keys.
        boost: Its weight in retrieval; None for what is no text.
        analysis: How the server analyses it, for a text.
        dims: The length of a vector.
        notes: What was not understood.
    """

    name: str
    kind: Kind
    sources: tuple[str, ...]
    boost: float | None = None
    analysis: FoundAnalysis | None = None
    dims: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """Hold all that was read.

    Attributes:
        id_key: The key of a document, as the host gives it, that holds the id.
        fields: The fields, in the index's order.
        notes: What of the index cannot be taken over.
        copies: The keywords in doc values that may hold a copy of the id.
    """

    id_key: str
    fields: tuple[FoundField, ...]
    notes: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


def schema_name(path: str, taken: set[str]) -> str:
    """Return a name that a schema accepts for a field, and remember it in `taken`."""
    name = _OTHER.sub("_", path).strip("_") or "field"
    if not name[0].isalpha() or name in ("not", "any"):
        name = f"field_{name}"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique
