"""From a query's words, filters and facets to the embedded engine's query objects.

No text of a user is ever parsed as a query: every clause is built from terms and values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tantivy

from cascade.engines._embedded.index import ID
from cascade.engines.asking import Word, Words, cleaned, distinct, needed
from cascade.filters import AllOf, AnyOf, Exists, Filter, In, Not, Range
from cascade.protocols import Asked, FacetValue
from cascade.schema import Schema

# How many values of a facet each segment reports: beyond any number that a field can have.
_EVERY_VALUE = 2**31
_HEAD_VALUES = 200
_MUST, _SHOULD, _MUST_NOT = tantivy.Occur.Must, tantivy.Occur.Should, tantivy.Occur.MustNot


@dataclass(frozen=True)
class QueryWriter:
    """Write queries for one index.

    Attributes:
        schema: What documents look like.
        index: The index's own schema.
        words: Finds the words of a text as each field reads them.
    """

    schema: Schema
    index: tantivy.Schema
    words: Words

    def text(self, text: str, minimum_match: float) -> tantivy.Query | None:
        """Return the query of a text, None if it has no term.

        A document's score is the sum over fields and distinct terms of boost x BM25.
        """
        variants = self.words.variants(text)
        words = distinct(variants)
        if not words:
            return None
        if minimum_match <= 0 or len(words) == 1:
            return _any([term for word in words for term in self._word(word)])
        matching = [
            tantivy.Query.boolean_query(
                [(_SHOULD, _any(self._word(word))) for word in variant],
                minimum_number_should_match=needed(minimum_match, len(variant)),
            )
            for variant in variants
        ]
        if len(matching) == 1:
            return matching[0]
        scoring = _any([term for word in words for term in self._word(word)])
        return tantivy.Query.boolean_query([(_MUST, scoring), (_MUST, _unscored(_any(matching)))])

    def whole(
        self, text: tantivy.Query | None, filters: AllOf, asked: Asked, only: Sequence[str] | None
    ) -> tantivy.Query | None:
        """Return the query of a text under filters; None if nothing can match."""
        clauses = []
        if text is not None:
            clauses.append((_SHOULD if asked.match_all else _MUST, text))
        elif not asked.match_all:
            return None
        if asked.match_all:
            clauses.append((_MUST, _unscored(tantivy.Query.all_query())))
        clauses += [(_MUST, _unscored(self._filter(part))) for part in filters.parts]
        if only is not None:
            clauses.append((_MUST, _unscored(self.ids(only))))
        return clauses[0][1] if len(clauses) == 1 else tantivy.Query.boolean_query(clauses)

    def page(self, ids: Sequence[str], filters: AllOf) -> tantivy.Query:
        """Return the query of documents by id that still pass the filters."""
        parts = [self.ids(ids), *map(self._filter, filters.parts)]
        return tantivy.Query.boolean_query([(_MUST, _unscored(part)) for part in parts])

    def ids(self, ids: Sequence[str]) -> tantivy.Query:
        """Return the query of documents by id."""
        return tantivy.Query.term_set_query(self.index, ID, [cleaned(doc_id) for doc_id in ids])

    def _word(self, word: Word) -> list[tantivy.Query]:
        clauses = []
        for name, term in word:
            clause = tantivy.Query.term_query(self.index, name, term, index_option="freq")
            boost = self.schema.by_name[name].boost
            clauses.append(clause if boost == 1 else tantivy.Query.boost_query(clause, boost))
        return clauses

    def _filter(self, part: Filter) -> tantivy.Query:
        query = tantivy.Query
        match part:
            case In(field, values):
                exact = [cleaned(v) if isinstance(v, str) else v + 0.0 for v in values]
                found = query.term_set_query(self.index, field, exact)
            case Range():
                found = self._range(part)
            case Exists(field):
                found = query.exists_query(field)
            case Not(inner):
                everything = (_MUST, query.all_query())
                found = query.boolean_query([everything, (_MUST_NOT, self._filter(inner))])
            case AnyOf(parts):
                found = _any([self._filter(one) for one in parts])
            case AllOf(()):
                found = query.all_query()
            case AllOf(parts):
                found = query.boolean_query([(_MUST, self._filter(one)) for one in parts])
        return found

    def _range(self, part: Range) -> tantivy.Query:
        lower = [
            (b + 0.0, not_equal) for b, not_equal in ((part.gte, 0), (part.gt, 1)) if b is not None
        ]
        upper = [(b + 0.0, -below) for b, below in ((part.lte, 0), (part.lt, 1)) if b is not None]
        if not lower and not upper:
            return tantivy.Query.exists_query(part.field)
        low, above = max(lower, default=(None, 0))
        high, below = min(upper, default=(None, 0))
        return tantivy.Query.range_query(
            self.index,
            part.field,
            tantivy.FieldType.Float,
            lower_bound=low,
            upper_bound=high,
            include_lower=not above,
            include_upper=not below,
        )


def count_facets(
    searcher: tantivy.Searcher, query: tantivy.Query, fields: Sequence[str], size: int
) -> dict[str, tuple[FacetValue, ...]]:
    """Return the `size` most frequent values of keyword fields, then by value.

    Reading every value of a field that has tens of thousands is slow. In one segment the head of
    its values is enough, unless the values at the cut tie with the end of that head.
    """
    counted: dict[str, tuple[FacetValue, ...]] = {}
    head = max(_HEAD_VALUES, 4 * size)
    if searcher.num_segments == 1:
        for field, values in _counted(searcher, query, fields, (head, head)).items():
            if len(values) < head or values[size - 1].count > values[-1].count:
                counted[field] = values[:size]
    rest = [field for field in fields if field not in counted]
    if rest:
        counted |= _counted(searcher, query, rest, (size, _EVERY_VALUE))
    return counted


def _counted(
    searcher: tantivy.Searcher, query: tantivy.Query, fields: Sequence[str], most: tuple[int, int]
) -> dict[str, tuple[FacetValue, ...]]:
    size, per_segment = most
    request = {
        field: {"terms": {"field": field, "size": size, "segment_size": per_segment}}
        for field in fields
    }
    answer = searcher.aggregate(query, request)
    return {field: _values(answer[field]["buckets"]) for field in fields}


def _values(buckets: Sequence[Mapping[str, Any]]) -> tuple[FacetValue, ...]:
    found = [FacetValue(bucket["key"], int(bucket["doc_count"])) for bucket in buckets]
    return tuple(sorted(found, key=lambda value: (-value.count, value.value)))


def _any(queries: list[tantivy.Query]) -> tantivy.Query:
    if len(queries) == 1:
        return queries[0]
    return tantivy.Query.boolean_query([(_SHOULD, query) for query in queries])


def _unscored(query: tantivy.Query) -> tantivy.Query:
    return tantivy.Query.const_score_query(query, 0.0)
