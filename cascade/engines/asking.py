"""What an engine is asked, before any server's own form: words, facet groups, checks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from cascade.candidates import Query
from cascade.errors import QueryError, nearest
from cascade.filters import AllOf, without_field
from cascade.protocols import Asked
from cascade.schema import Field, Kind, Schema
from cascade.text import Analyser, analyser

MAX_QUERY_CHARS = 10_000
MAX_QUERY_TERMS = 64
MAX_FACET_SIZE = 1_000
_SURROGATES = re.compile("[\ud800-\udfff]")

Word = tuple[tuple[str, str], ...]
"""One word of a query: the term that it is in each field, as (field, term) pairs."""


def cleaned(text: str) -> str:
    """Replace lone surrogates, which no server can hold, by U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def searched_fields(schema: Schema) -> tuple[Field, ...]:
    """Return the text fields that retrieval reads."""
    return tuple(field for field in schema.of_kind(Kind.TEXT) if field.boost > 0)


def analysers_of(schema: Schema) -> dict[str, Analyser]:
    """Return the analyser of each text field by name."""
    return {
        field.name: analyser(field.analyser, field.synonyms) for field in schema.of_kind(Kind.TEXT)
    }


@dataclass(frozen=True)
class Words:
    """Find the words of a text as each field of a schema reads them.

    Attributes:
        fields: The text fields that retrieval reads.
        analysers: The analyser of each text field, by name.
    """

    fields: Sequence[Field]
    analysers: Mapping[str, Analyser]

    @classmethod
    def of(cls, schema: Schema, analysed_as: Schema) -> Words:
        """Return the words of a schema.

        Args:
            schema: Its boosts say which fields are read.
            analysed_as: Its analysers and synonyms are those that the index was made with.
        """
        return cls(searched_fields(schema), analysers_of(analysed_as))

    def terms(self, field: str, text: str) -> list[str]:
        """Return the distinct terms of a query text in a field, at most `MAX_QUERY_TERMS`."""
        tokens = self.analysers[field].tokens(cleaned(text[:MAX_QUERY_CHARS]))
        return list(dict.fromkeys(tokens))[:MAX_QUERY_TERMS]

    def variants(self, text: str, most: int = MAX_QUERY_TERMS) -> list[list[Word]]:
        """Return the words of a text; more than one list where analysers part it differently.

        Fields of one analyser share their words. Analysers that find the same number of terms
        see the same words in other forms, which are matched place by place; otherwise (a synonym
        of several words) each analyser's fields have a list of their own.

        Args:
            text: What was typed.
            most: How many distinct words of a list are kept.
        """
        groups: dict[str, tuple[list[str], list[str]]] = {}
        short = cleaned(text[:MAX_QUERY_CHARS])
        for field in self.fields:
            reader = self.analysers[field.name]
            if reader.fingerprint not in groups:
                groups[reader.fingerprint] = [], reader.tokens(short)
            groups[reader.fingerprint][0].append(field.name)
        found = [group for group in groups.values() if group[1]]
        if len({len(tokens) for _, tokens in found}) <= 1:
            places = zip(*(tokens for _, tokens in found), strict=True)
            words = [
                tuple(
                    (name, term)
                    for (names, _), term in zip(found, place, strict=True)
                    for name in names
                )
                for place in places
            ]
            return [list(dict.fromkeys(words))[:most]]
        return [
            [tuple((name, term) for name in names) for term in list(dict.fromkeys(tokens))[:most]]
            for names, tokens in found
        ]


def distinct(variants: Sequence[Sequence[Word]]) -> list[Word]:
    """Return the words of all lists, each once."""
    return list(dict.fromkeys(chain.from_iterable(variants)))


def needed(share: float, words: int) -> int:
    """Return how many of some words a document must have for a `minimum_match`."""
    return min(words, max(1, math.ceil(share * words - 1e-9)))


def facet_groups(facets: Sequence[str], filters: AllOf) -> dict[AllOf, list[str]]:
    """Return which facets are counted under which filters: each under all but its own."""
    groups: dict[AllOf, list[str]] = {}
    for field in dict.fromkeys(facets):
        groups.setdefault(without_field(filters, field), []).append(field)
    return groups


def check_asked(schema: Schema, queries: Sequence[Query], size: int, asked: Asked) -> None:
    """Refuse what no engine can answer.

    Raises:
        QueryError: If the size, a facet or the sort field cannot be used.
    """
    if size < 0:
        raise QueryError(f"size is {size}; accepted is 0 or more")
    if asked.only is not None and len(asked.only) != len(queries):
        raise QueryError(f"only names ids for {len(asked.only)} of {len(queries)} queries")
    if not 0 <= asked.facet_size <= MAX_FACET_SIZE:
        raise QueryError(f"facet_size is {asked.facet_size}; accepted is 0 to {MAX_FACET_SIZE}")
    keywords = [field.name for field in schema.of_kind(Kind.KEYWORD)]
    for name in asked.facets:
        if name not in keywords:
            raise QueryError(f"facets: {name!r} is no keyword field; " + nearest(name, keywords))
    if asked.sort is not None:
        sortable = [field.name for field in schema.of_kind(Kind.NUMBER, Kind.DATE)]
        name = asked.sort.field
        if name not in sortable:
            raise QueryError(
                f"sort: {name!r} is no number or date field; " + nearest(name, sortable)
            )


def check_highlight(schema: Schema, highlight: Sequence[str]) -> None:
    """Refuse to highlight what is no text.

    Raises:
        QueryError: If a field to highlight is no text field.
    """
    texts = {field.name for field in schema.of_kind(Kind.TEXT)}
    for name in highlight:
        if name not in texts:
            raise QueryError(f"highlight: {name!r} is no text field; " + nearest(name, texts))
