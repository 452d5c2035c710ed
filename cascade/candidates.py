"""Queries and their candidates: the one batch type that goes through the whole house."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour.counters import Behaviour
from cascade.filters import EVERYTHING, AllOf
from cascade.schema import Schema

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_Value = TypeVar("_Value")

UNKNOWN = -1
# What was derived, where it was derived, and which of its rows are left: copied when it is read.
_Layers: TypeAlias = "tuple[tuple[dict[Hashable, NDArray[np.generic]], Int64 | None], ...]"


@dataclass(frozen=True, slots=True)
class Query:
    """Hold one request text with its context.

    Attributes:
        id: Names the query in logs, judgments and traces.
        text: What the shopper typed; never read as query syntax.
        filters: What every result must satisfy.
        preference: The share of each business objective, by name, or the name of an operating
            point of the business layer's policy; empty means none.
        session: Ids of the documents that the visitor has seen, the latest last.
        surface: Where the page is shown ("web", "app"), if known.
        time: Seconds since 1970 of the request, the only clock that a feature may read.
    """

    id: str
    text: str
    filters: AllOf = EVERYTHING
    preference: Mapping[str, float] | str = field(default_factory=dict)
    session: tuple[str, ...] = ()
    surface: str | None = None
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Ragged:
    """Hold n lists of different lengths: list i is `values[offsets[i]:offsets[i + 1]]`.

    Attributes:
        offsets: int64[n + 1], ascending from 0.
        values: int32[offsets[n]].
    """

    offsets: Int64
    values: Int32

    @property
    def lengths(self) -> Int64:
        """The length of each list, int64[n]."""
        return self.offsets[1:] - self.offsets[:-1]

    def owners(self) -> Int64:
        """Return which list each value belongs to, int64[offsets[n]]."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)


@dataclass(frozen=True, slots=True)
class TextStatistics:
    """Hold what BM25 needs to know of one text field, frozen with its generation.

    Attributes:
        documents: How many documents have the field.
        tokens: How many tokens the field has in all of them.
        document_frequency: int32[vocabulary], how many documents have each term in it.
    """

    documents: int
    tokens: int
    document_frequency: Int32


class Documents(Protocol):
    """Hold documents in columns; `rows` index them, and `UNKNOWN` (-1) has no values."""

    @property
    def schema(self) -> Schema:
        """The fields that the columns were made from."""
        ...

    @property
    def generation(self) -> str:
        """The name of the build these columns belong to."""
        ...

    @property
    def stale(self) -> tuple[str, ...]:
        """The fields whose values are older than they may be, and therefore read as absent."""
        ...

    @property
    def behaviour(self) -> Behaviour | None:
        """The newest counts of what shoppers did with the documents, None without any."""
        ...

    def __len__(self) -> int:
        """Return how many documents there are."""
        ...

    def ids(self, rows: Int32) -> list[str]:
        """Return the document ids of rows, "" for unknown ones."""
        ...

    def rows(self, ids: Sequence[str]) -> Int32:
        """Return the row of each document id, -1 where it is unknown."""
        ...

    def deleted(self, rows: Int32) -> NDArray[np.bool_]:
        """Return bool[n]: whether a row's document was taken away since the build.

        False for a row that another of the same document has replaced, and for unknown ones.
        """
        ...

    def numbers(self, names: Sequence[str], rows: Int32) -> Float64:
        """Return number and date columns, float64[n, len(names)], NaN where absent."""
        ...

    def keywords(self, name: str, rows: Int32) -> Ragged:
        """Return the codes of the values of a keyword field for each row."""
        ...

    def keyword_codes(self, name: str, values: Sequence[str]) -> Int32:
        """Return the code of each value of a keyword field, -1 where no document has it."""
        ...

    def keyword_values(self, name: str, codes: Int32) -> list[str]:
        """Return the values that these codes stand for, "" for -1."""
        ...

    def keyword_terms(self, name: str, codes: Int32) -> Ragged:
        """Return the term ids of the values that these codes stand for, analysed as text."""
        ...

    def tokens(self, name: str, rows: Int32) -> Ragged:
        """Return the term ids of a text field in the order of the text, for each row."""
        ...

    def vectors(self, name: str, rows: Int32) -> Float32:
        """Return a vector field, float32[n, dims], NaN where absent."""
        ...

    def analyse(self, name: str, text: str) -> Int32:
        """Return the term ids of a text as `name` (text or keyword) analyses it.

        A term that no document has is -2, -3, ...: below 0 and distinct within the text.
        """
        ...

    def statistics(self, name: str) -> TextStatistics:
        """Return the corpus statistics of a text field."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """How many distinct terms all fields have together; term ids lie below it."""
        ...


@dataclass(frozen=True)
class Candidates:
    """Hold n rows over q listings in columns; row order inside a listing is the ranking.

    Attributes:
        queries: The q queries.
        offsets: int64[q + 1]; listing i is the rows `offsets[i]` to `offsets[i + 1] - 1`.
        rows: int32[n] into `documents`, -1 where they do not have the document.
        scores: float32[n], what the present order was made from.
        columns: Further float32[n] columns by name: `engine_score`, `engine_rank`, ranker heads.
        documents: The columns of the documents themselves.
        doc_ids: object[n] of str where the engine named the documents; None where `documents`
            can name every row.
    """

    queries: tuple[Query, ...]
    offsets: Int64
    rows: Int32
    scores: Float32
    documents: Documents
    columns: Mapping[str, Float32] = field(default_factory=dict)
    doc_ids: NDArray[np.object_] | None = None
    _layers: _Layers = field(default_factory=lambda: (({}, None),), repr=False, compare=False)
    _of_queries: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> Int64:
        """The number of rows of each listing, int64[q]."""
        return self.offsets[1:] - self.offsets[:-1]

    @cached_property
    def listing(self) -> Int64:
        """The listing that each row belongs to, int64[n]."""
        if len(self.queries) == 1:
            return np.zeros(len(self), dtype=np.int64)
        return np.repeat(np.arange(len(self.queries)), self.lengths)

    @cached_property
    def ranks(self) -> Int64:
        """The 1-based rank of each row in its listing, int64[n]."""
        return np.arange(1, len(self) + 1) - np.repeat(self.offsets[:-1], self.lengths)

    @property
    def behaviour(self) -> Behaviour | None:
        """The documents' counts as they were when they were first asked for.

        They go with every selection, so that all stages of a request read the same ones.
        """
        if not len(self):
            return self.documents.behaviour
        return cast(Behaviour | None, self.derived("behaviour", _behaviour)[0])

    def ids(self) -> list[str]:
        """Return the document id of each row."""
        if self.doc_ids is not None:
            return list(self.doc_ids)
        return self.documents.ids(self.rows)

    def derived(
        self, key: Hashable, compute: Callable[[Candidates], NDArray[np.generic]]
    ) -> NDArray[np.generic]:
        """Return an array of n entries, computed once and carried along by every selection.

        `compute` must give each row a value that does not depend on the other rows, since the
        result is kept when rows are taken away.
        """
        for store, index in reversed(self._layers):
            kept = store.get(key)
            if kept is not None:
                if index is None:
                    return kept
                found = kept[index]
                break
        else:
            found = compute(self)
        self._layers[-1][0][key] = found
        return found

    def of_queries(self, key: Hashable, compute: Callable[[], _Value]) -> _Value:
        """Return what follows from the queries and documents alone, computed once.

        It is carried along by selections that leave the queries as they are, of a split by the head
        alone.
        """
        if key not in self._of_queries:
            self._of_queries[key] = compute()
        found: _Value = self._of_queries[key]
        return found

    def with_columns(self, columns: Mapping[str, Float32]) -> Candidates:
        """Return these candidates with more columns, which replace those of the same name."""
        for name, column in columns.items():
            if len(column) != len(self):
                raise ValueError(f"column {name!r} has {len(column)} rows, not {len(self)}")
        return self._with(columns={**self.columns, **columns})

    def with_scores(self, scores: Float32) -> Candidates:
        """Return these candidates in the same order with other scores."""
        if len(scores) != len(self):
            raise ValueError(f"{len(scores)} scores for {len(self)} rows")
        return self._with(scores=scores)

    def listings(self, start: int, stop: int) -> Candidates:
        """Return the listings from `start` to `stop - 1`."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        offsets = self.offsets[start : stop + 1] - first
        return self._part(slice(first, last), self.queries[start:stop], offsets)

    def take(self, index: Int64 | NDArray[np.bool_]) -> Candidates:
        """Return the rows that an index or mask selects; listings stay in their order.

        Args:
            index: int64[m] positions, ascending by listing, or bool[n].
        """
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        if len(self.queries) == 1:
            offsets = np.array([0, len(index)], dtype=np.int64)
        else:
            counts = np.bincount(self.listing[index], minlength=len(self.queries))
            offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return self._part(index, self.queries, offsets)

    def head(self, window: int) -> Candidates:
        """Return the first `window` rows of each listing."""
        return self.split(window)[0]

    def split(self, window: int) -> tuple[Candidates, Candidates | None]:
        """Return the first `window` rows of each listing and, if there are any, the others.

        What was derived goes with the head, which is what rankers score.
        """
        if not len(self) or window >= int(self.lengths.max()):
            return self, None
        if len(self.queries) == 1:
            first, last = (np.array([0, n], dtype=np.int64) for n in (window, len(self) - window))
            head = self._part(slice(0, window), self.queries, first)
            return head, self.bare()._part(slice(window, len(self)), self.queries, last)
        inside = self.ranks <= window
        return self.take(inside), self.bare().take(~inside)

    def reranked(self, scores: Float32, window: int | None = None) -> Candidates:
        """Return the candidates ordered by new scores, ties in their present order.

        Args:
            scores: float32[m] of the first `window` rows of each listing, in present order.
            window: How many head rows of each listing are reordered; None means all. The rows
                below stay where they are and keep their scores.
        """
        head, tail = (self, None) if window is None else self.split(window)
        if len(scores) != len(head):
            raise ValueError(f"{len(scores)} scores for {len(head)} rows in the window")
        if len(head.queries) == 1:
            order = np.argsort(-scores, kind="stable")
        else:
            order = np.lexsort((-scores, head.listing))
        head = head.with_scores(scores.astype(np.float32, copy=False)).take(order)
        return head if tail is None else joined(head, tail)

    def bare(self) -> Candidates:
        """Return these candidates without what was derived."""
        return self._with(layers=(({}, None),), of_queries={})

    def _part(self, part: Int64 | slice, queries: tuple[Query, ...], offsets: Int64) -> Candidates:
        """Return some rows, which are the listings of these queries."""
        index = np.arange(part.start, part.stop) if isinstance(part, slice) else part
        return Candidates(
            queries=queries,
            offsets=offsets,
            rows=self.rows[part],
            scores=self.scores[part],
            documents=self.documents,
            columns={name: column[part] for name, column in self.columns.items()},
            doc_ids=None if self.doc_ids is None else self.doc_ids[part],
            _layers=_selected(self._layers, index),
            _of_queries=self._of_queries if queries is self.queries else {},
        )

    def _with(
        self,
        *,
        columns: Mapping[str, Float32] | None = None,
        scores: Float32 | None = None,
        layers: _Layers | None = None,
        of_queries: dict[Hashable, Any] | None = None,
    ) -> Candidates:
        return Candidates(
            queries=self.queries,
            offsets=self.offsets,
            rows=self.rows,
            scores=self.scores if scores is None else scores,
            documents=self.documents,
            columns=self.columns if columns is None else columns,
            doc_ids=self.doc_ids,
            _layers=self._layers if layers is None else layers,
            _of_queries=self._of_queries if of_queries is None else of_queries,
        )


def joined(head: Candidates, tail: Candidates) -> Candidates:
    """Return each listing of `head` followed by the same listing of `tail`.

    A column that only one of them has is NaN for the rows of the other; nothing derived is kept.
    """
    order: Int64 | slice = slice(None)
    if len(head.queries) > 1:
        order = np.lexsort((np.repeat([0, 1], [len(head), len(tail)]), _both(head, tail)))
    columns = {
        name: np.concatenate([_column(head, name), _column(tail, name)])[order]
        for name in {**head.columns, **tail.columns}
    }
    named = head.doc_ids is not None or tail.doc_ids is not None
    return Candidates(
        queries=head.queries,
        offsets=head.offsets + tail.offsets,
        rows=np.concatenate([head.rows, tail.rows])[order],
        scores=np.concatenate([head.scores, tail.scores])[order],
        documents=head.documents,
        columns=columns,
        doc_ids=np.concatenate([_names(head), _names(tail)])[order] if named else None,
    )


def concatenated(parts: Sequence[Candidates]) -> Candidates:
    """Return the listings of several batches over the same documents, one after the other."""
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([part.lengths for part in parts])
    names = {name: None for part in parts for name in part.columns}
    named = any(part.doc_ids is not None for part in parts)
    return Candidates(
        queries=tuple(query for part in parts for query in part.queries),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        rows=np.concatenate([part.rows for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        documents=parts[0].documents,
        columns={n: np.concatenate([_column(part, n) for part in parts]) for n in names},
        doc_ids=np.concatenate([_names(part) for part in parts]) if named else None,
    )


def _selected(layers: _Layers, rows: Int64) -> _Layers:
    """Return the layers for a selection of rows, with one of its own on top."""
    kept = ((store, rows if index is None else index[rows]) for store, index in layers if store)
    return (*kept, ({}, None))


def _behaviour(candidates: Candidates) -> NDArray[np.generic]:
    held = np.empty(len(candidates), dtype=np.object_)
    held.fill(candidates.documents.behaviour)
    return held


def _both(head: Candidates, tail: Candidates) -> Int64:
    return np.concatenate([head.listing, tail.listing])


def _column(candidates: Candidates, name: str) -> Float32:
    column = candidates.columns.get(name)
    return np.full(len(candidates), np.nan, dtype=np.float32) if column is None else column


def _names(candidates: Candidates) -> NDArray[np.object_]:
    if candidates.doc_ids is not None:
        return candidates.doc_ids
    return np.array(candidates.ids(), dtype=object)
