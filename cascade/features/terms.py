"""The terms of queries, as the analysers of the fields make them.

A query is read up to its first `MAX_TERMS` tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Documents, Int32, Int64, Query

MAX_TERMS = 32
NO_TERM = -1
"""Fills the place of a term that a query does not have; terms of no document lie below it."""

Analysis = tuple[str, Path | None]


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """Hold the analysed text of q queries, as T distinct terms and their order.

    Attributes:
        terms: int32[q, T], the distinct terms in order of appearance; -1 fills the rest, terms
            that no document has lie below it.
        order: int8[q, L], the query's tokens as indices into its terms; -1 fills the rest.
        pairs: int8[q, T, T], the index of each pair of terms that stand next to each other in
            the query; -1 for all others.
        sizes: int64[4, q], how many distinct terms, tokens, distinct pairs and terms that any
            document has.
        known: For each query the terms that any document has, ascending, and their indices.
    """

    terms: Int32
    order: NDArray[np.int8]
    pairs: NDArray[np.int8]
    sizes: Int64
    known: tuple[tuple[Int32, Int64], ...]

    @property
    def counts(self) -> Int64:
        """How many distinct terms each query has, int64[q]."""
        counts: Int64 = self.sizes[0]
        return counts

    @property
    def width(self) -> int:
        """T, the number of distinct terms of the query that has most, at least 1."""
        return int(self.terms.shape[1])


class AnalysedQueries:
    """Analyse the queries of candidates once for each analyser, however many fields have it."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    def analysis(self, field: str) -> Analysis:
        """Return what a field is analysed by; fields of one analysis have one set of terms."""
        spec = self._candidates.documents.schema.by_name[field]
        return spec.analyser, spec.synonyms

    def terms(self, field: str) -> QueryTerms:
        """Return the queries' terms as a text or keyword field analyses them."""
        asked = self._candidates
        return asked.of_queries(
            ("query terms", *self.analysis(field)),
            lambda: query_terms(asked.documents, field, asked.queries),
        )


def query_terms(documents: Documents, field: str, queries: Sequence[Query]) -> QueryTerms:
    """Return the terms of queries as a text or keyword field analyses them."""
    texts = [documents.analyse(field, query.text)[:MAX_TERMS].tolist() for query in queries]
    distinct = [list(dict.fromkeys(tokens)) for tokens in texts]
    width = max(1, *map(len, distinct)) if distinct else 1
    length = max(1, *map(len, texts)) if texts else 1
    terms = np.full((len(texts), width), NO_TERM, dtype=np.int32)
    order = np.full((len(texts), length), -1, dtype=np.int8)
    pairs = np.full((len(texts), width, width), -1, dtype=np.int8)
    sizes = np.zeros((4, len(texts)), dtype=np.int64)
    known: list[tuple[Int32, Int64]] = []
    for i, (tokens, own) in enumerate(zip(texts, distinct, strict=True)):
        index = {term: j for j, term in enumerate(own)}
        codes = [index[token] for token in tokens]
        terms[i, : len(own)] = own
        order[i, : len(codes)] = codes
        for pair, (left, right) in enumerate(dict.fromkeys(pairwise(codes))):
            pairs[i, left, right] = pair
            sizes[2, i] = pair + 1
        sizes[0, i], sizes[1, i] = len(own), len(tokens)
        sizes[3, i] = sum(term >= 0 for term in own)
        ascending = sorted((term, j) for j, term in enumerate(own) if term >= 0)
        known.append(
            (
                np.array([term for term, _ in ascending], dtype=np.int32),
                np.array([j for _, j in ascending], dtype=np.int64),
            )
        )
    return QueryTerms(terms, order, pairs, sizes, tuple(known))
