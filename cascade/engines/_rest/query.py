"""From a query's words and filters to search bodies for Elasticsearch and OpenSearch.

No text of a user is ever parsed as a query: every clause is built from terms and values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade.engines._rest.filters import (
    EVERYTHING,
    NOTHING,
    Clause,
    any_of,
    filter_clauses,
)
from cascade.engines._rest.template import Template
from cascade.engines._server.fields import IndexFields, held_by
from cascade.engines._server.limits import MAX_CLAUSES, TYPO_WEIGHT, clauses_a_word, most_words
from cascade.engines.asking import (
    MAX_QUERY_CHARS,
    Word,
    Words,
    cleaned,
    distinct,
    needed,
)
from cascade.engines.connection import Matching
from cascade.filters import AllOf
from cascade.hosting import RAW_FIELD
from cascade.protocols import Asked, Sort

MAX_TYPO_VARIANTS = 50
MAX_NEAREST = 10_000
"""How many candidates a search for nearest vectors may look at."""
EXACT_FACET_VALUES = 10_000
"""From how many values each of several shards reports its counts."""

_TYPO = {"fuzziness": "AUTO", "prefix_length": 1}


@dataclass(frozen=True, slots=True)
class Matched:
    """Hold what a search body says of matching.

    Attributes:
        body: Its keys.
        scored: Whether there is a text, so that hits differ in their scores.
    """

    body: Mapping[str, Any]
    scored: bool


@dataclass(frozen=True, slots=True)
class Nearest:
    """Ask for the documents whose vectors are nearest.

    Attributes:
        path: The vector field.
        vector: What they are near to.
        filters: What every one must satisfy.
        size: How many.
    """

    path: str
    vector: Sequence[float]
    filters: Sequence[Clause]
    size: int

    def as_option(self) -> Matched:
        """Return it as Elasticsearch has it, beside the query."""
        option = {
            "field": self.path,
            "query_vector": list(self.vector),
            "k": self.size,
            "num_candidates": min(MAX_NEAREST, max(100, 2 * self.size)),
            **({"filter": list(self.filters)} if self.filters else {}),
        }
        return Matched({"knn": option}, scored=True)

    def as_query(self) -> Matched:
        """Return it as OpenSearch has it, a query among others."""
        near = {
            "vector": list(self.vector),
            "k": self.size,
            **({"filter": {"bool": {"filter": list(self.filters)}}} if self.filters else {}),
        }
        return Matched({"query": {"knn": {self.path: near}}}, scored=True)


@dataclass(frozen=True)
class QueryWriter:
    """Write queries for one index.

    Attributes:
        words: Finds the words of a text.
        fields: What holds the schema's fields in the index.
        matching: What must match and what that counts.
        id_field: The keyword field that holds ids, None where only `_id` does.
        template: The query body of a team's own, if there is one.
        named: Whether each field's part of the score is asked for by its name.
    """

    words: Words
    fields: IndexFields
    matching: Matching
    id_field: str | None = None
    template: Template | None = None
    named: bool = False

    def text(self, text: str, minimum_match: float) -> Clause | None:
        """Return the query of a text, None if it has no term.

        A document's score is the sum over fields and distinct terms of boost x BM25, and what
        phrases and typing errors are set to count beside.
        """
        if self.matching.analysed == "server":
            return self._analysed_there(cleaned(text[:MAX_QUERY_CHARS]), minimum_match)
        variants = self.words.variants(text, most_words(self.words, self.fields))
        words = distinct(variants)
        if not words:
            return None
        if minimum_match <= 0 or len(words) == 1:
            matching: Clause = self._scoring(words)
        else:
            parts: list[Clause] = [
                {
                    "bool": {
                        "should": [any_of(self._word(word)) for word in variant],
                        "minimum_should_match": needed(minimum_match, len(variant)),
                    }
                }
                for variant in variants
            ]
            if len(parts) == 1 and not self.named:
                matching = parts[0]
            else:
                matching = {"bool": {"must": [self._scoring(words)], "filter": [any_of(parts)]}}
        return self._with_phrases(matching, text) if len(words) > 1 else matching

    def whole(
        self, text: Clause | None, filters: AllOf, asked: Asked, only: Sequence[str] | None
    ) -> Clause | None:
        """Return the query of a text under filters; None if nothing can match."""
        clauses = self._filters(filters, only)
        if text is None:
            return {"bool": {"filter": clauses or [EVERYTHING]}} if asked.match_all else None
        if asked.match_all:
            return {"bool": {"should": [text], "filter": clauses or [EVERYTHING]}}
        return {"bool": {"must": [text], "filter": clauses}} if clauses else text

    def matched(
        self, text: str, filters: AllOf, asked: Asked, only: Sequence[str] | None
    ) -> Matched | None:
        """Return what a search body says of matching; None if nothing can match."""
        if self.template is None or not text.strip():
            clause = self.text(text, asked.minimum_match)
            query = self.whole(clause, filters, asked, only)
            return None if query is None else Matched({"query": query}, clause is not None)
        clauses = self._filters(filters, only)
        filled = self.template.filled(cleaned(text[:MAX_QUERY_CHARS]), clauses)
        if asked.match_all:
            should = [filled["query"]] if "query" in filled else []
            filter_ = clauses or [EVERYTHING]
            filled["query"] = {"bool": {"should": should, "filter": filter_}}
        return Matched(filled, scored=True)

    def nearest(
        self, vector: Sequence[float], filters: AllOf, size: int, only: Sequence[str] | None
    ) -> Nearest:
        """Return what asks for the documents whose vectors are nearest.

        Raises:
            QueryError: If the index has no such field.
        """
        path = held_by(self.fields, self.matching.vector_field or "")[0].path
        return Nearest(path, vector, self._filters(filters, only), size)

    def page(self, ids: Sequence[str], filters: AllOf) -> Clause:
        """Return the query of documents by id that still pass the filters."""
        return {"bool": {"filter": [self.ids(ids), *filter_clauses(self.fields, filters)]}}

    def ids(self, ids: Sequence[str]) -> Clause:
        """Return the query of documents by id."""
        values = [cleaned(doc_id) for doc_id in ids]
        if self.id_field is None:
            return {"ids": {"values": values}}
        return {"terms": {self.id_field: values}} if values else NOTHING

    def _filters(self, filters: AllOf, only: Sequence[str] | None) -> list[Clause]:
        clauses = filter_clauses(self.fields, filters)
        return clauses if only is None else [*clauses, self.ids(only)]

    def _scoring(self, words: Sequence[Word]) -> Clause:
        if not self.named:
            return any_of([clause for word in words for clause in self._word(word)])
        by_field: dict[str, list[Clause]] = {}
        for name, term in dict.fromkeys(pair for word in words for pair in word):
            by_field.setdefault(name, []).extend(self._term(name, term))
        return any_of(
            [{"bool": {"should": part, "_name": name}} for name, part in by_field.items()]
        )

    def _word(self, word: Word) -> list[Clause]:
        return [clause for name, term in word for clause in self._term(name, term)]

    def _term(self, name: str, term: str) -> list[Clause]:
        boost = self._boost(name)
        clauses: list[Clause] = []
        for field in self.fields[name]:
            exact = {"term": {field.path: {"value": term, "boost": boost}}}
            if self.matching.typos:
                typed = {"value": term, "boost": boost * TYPO_WEIGHT, **_TYPO}
                typed["max_expansions"] = self._variants()
                clauses.append({"dis_max": {"queries": [exact, {"fuzzy": {field.path: typed}}]}})
            else:
                clauses.append(exact)
        return clauses

    def _variants(self) -> int:
        """Return how many spellings a word may have, so that all together are not too many."""
        each = clauses_a_word(self.words, self.fields)
        return max(1, min(MAX_TYPO_VARIANTS, MAX_CLAUSES // (2 * each)))

    def _boost(self, name: str) -> float:
        return next(field.boost for field in self.words.fields if field.name == name)

    def _with_phrases(self, matching: Clause, text: str) -> Clause:
        if self.matching.phrase_boost <= 0:
            return matching
        phrases = [
            {
                "match_phrase": {
                    path: {
                        "query": cleaned(text[:MAX_QUERY_CHARS]),
                        "slop": self.matching.phrase_slop,
                        "boost": boost * self.matching.phrase_boost,
                    }
                }
            }
            for path, boost, _ in self._paths()
        ]
        return {"bool": {"must": [matching], "should": phrases}}

    def _analysed_there(self, text: str, minimum_match: float) -> Clause | None:
        """Return the query of a text that the server analyses."""
        if not text.strip():
            return None
        typos = _TYPO if self.matching.typos else {}
        parts: list[Clause] = []
        for path, boost, name in self._paths():
            named = {"_name": name} if self.named else {}
            parts.append({"match": {path: {"query": text, "boost": boost, **typos, **named}}})
        matching = any_of(parts)
        if minimum_match > 0:
            enough: dict[str, Any] = {
                "query": text,
                "fields": [path for path, _, _ in self._paths()],
                "minimum_should_match": f"{minimum_match:.0%}",
            }
            # Words are counted over all fields together, unless each may be typed wrongly.
            enough |= typos or {"type": "cross_fields"}
            matching = {"bool": {"must": [matching], "filter": [{"multi_match": enough}]}}
        return self._with_phrases(matching, text)

    def _paths(self) -> list[tuple[str, float, str]]:
        """Return the path, boost and name of everything that is searched."""
        return [
            (held.path, field.boost, field.name)
            for field in self.words.fields
            for held in self.fields[field.name]
        ]


def ranked(asked: Asked, by_score: bool, fields: IndexFields, tie: str) -> list[Clause]:
    """Return the order of hits: the last is what parts equal ones.

    Args:
        asked: A sort by a field.
        by_score: Whether scores order them if no field does.
        fields: What holds the schema's fields.
        tie: The field that parts equal ones.
    """
    last: Clause = {tie: {"order": "asc"}}
    if not tie.startswith("_"):
        last[tie]["missing"] = "_last"
    if asked.sort is not None:
        return [_by(asked.sort, fields), last]
    return [{"_score": {"order": "desc"}}, last] if by_score else [last]


def _by(sort: Sort, fields: IndexFields) -> Clause:
    path = held_by(fields, sort.field)[0].path
    return {path: {"order": "desc" if sort.descending else "asc", "missing": "_last"}}


def counting(
    matching: Mapping[str, Any], facets: Mapping[str, str], size: int, shards: int
) -> dict[str, Any]:
    """Return the search body that counts the `size` most frequent values, then by value.

    Args:
        matching: What a search body says of matching.
        facets: The field of the index by the name of each facet.
        size: How many values, at least 1.
        shards: How many shards the index has; each of several reports more than are asked for.
    """
    per_shard = {} if shards == 1 else {"shard_size": max(EXACT_FACET_VALUES, size)}
    order = [{"_count": "desc"}, {"_key": "asc"}]
    return {
        **matching,
        "size": 0,
        "track_total_hits": False,
        "aggs": {
            name: {"terms": {"field": path, "size": size, "order": order, **per_shard}}
            for name, path in facets.items()
        },
    }


def shown(managed: bool, with_vectors: bool) -> Any:  # noqa: ANN401 - a JSON value
    """Return what is asked of a document's source for a page.

    Args:
        managed: Whether the index is ours, and keeps the document as it was given.
        with_vectors: Whether the server must be told to give vectors too.
    """
    if managed:
        return [RAW_FIELD]
    return {"exclude_vectors": False} if with_vectors else True
