"""The catalogue of a build, and what was put in and taken away since."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour import Behaviour, Counts, NoCounts
from cascade.candidates import Float32, Float64, Int32, Int64, Ragged, TextStatistics
from cascade.catalogue._additions import Additions, State
from cascade.catalogue._delta import GrowingRows, merged
from cascade.catalogue.entries import CHANGES, Entry, NoEntries, Op, Source
from cascade.catalogue.reader import Catalogue
from cascade.errors import CascadeError, ChecksumError, DocumentError, QueryError, nearest
from cascade.schema import Document, Kind, Schema

_CURRENT, _REPLACED, _DELETED = range(3)
_ABSENT = -2
_Value = TypeVar("_Value")


class LiveCatalogue:
    """Hold the documents of a build and those of the log since; it implements `Documents`.

    The k-th upsert after the build (k from 0) has row `len(base) + k`, whatever its id: a row
    never changes, so requests under way keep what they began with. Readers take no lock.

    Args:
        base: The build's columns.
        position: The place in the log from which the build does not know the entries.
        source: Reads the entries after `position`; None if there is no log.
        fresh: When the build's values were current, in seconds since 1970.
        clock: Gives the present, in seconds since 1970.
        max_age_s: How old the values of a field may be, by field; None takes the schema's word.
    """

    def __init__(
        self,
        base: Catalogue,
        *,
        position: int = 0,
        source: Source | None = None,
        fresh: float = 0.0,
        clock: Callable[[], float] = time.time,
        max_age_s: Mapping[str, float] | None = None,
    ) -> None:
        self.base = base
        self.schema: Schema = base.schema
        self.generation: str = base.generation
        self._source: Source = NoEntries() if source is None else source
        self.refused = 0
        self.flipped = ""
        self._position = position
        self._fresh = fresh
        self._clock = clock
        self._lock = threading.RLock()
        self._start = len(base)
        self._added = Additions(base)
        self._ids: list[str] = []
        self._previous: list[int] = []
        self._current: dict[str, int] = {}
        self._flags = GrowingRows(np.zeros(self._start, dtype=np.uint8))
        self._shown = self._flags.view()
        self._deletions = False
        self._volatile = _ages(base.schema) if max_age_s is None else max_age_s
        self._counts: Counts = NoCounts()
        self.behaviour: Behaviour | None = None

    def __len__(self) -> int:
        """Return how many rows there are, those included that the log has at this moment.

        What an engine returns is in the log before, so a row of its answer lies below.
        """
        if self._source.pending():
            self._keep_up()
        return self._start + self._added.state.rows

    @property
    def position(self) -> int:
        """The place in the log of the last entry that is in."""
        return self._position

    @property
    def stale(self) -> tuple[str, ...]:
        """The fields whose values are older than they may be, and therefore read as absent."""
        if not self._volatile:
            return ()
        age = self._clock() - self._fresh
        return tuple(name for name, most in self._volatile.items() if age > most)

    def follow_counts(self, counts: Counts) -> None:
        """Take the newest counts from here, at once and whenever `freshen` is called."""
        self._counts = counts
        self.freshen()

    def freshen(self) -> bool:
        """Take in the newest counts, if they are others; return whether they were.

        Raises:
            ChecksumError: If they are damaged; those that were taken before stay.
        """
        newer = self._counts.newer(self)
        if newer is not None:
            self.behaviour = newer
        return newer is not None

    @property
    def vocabulary_size(self) -> int:
        """How many distinct terms all fields have together."""
        return self._added.state.vocabulary

    def refresh(self) -> int:
        """Take in what the log has; return how many entries that were.

        Raises:
            ChecksumError: If the log is damaged, or lacks entries that this needs.
        """
        with self._lock:
            count = 0
            while entries := self._source.read():
                self.apply(entries)
                count += len(entries)
            return count

    def apply(self, entries: Sequence[Entry]) -> None:
        """Take in entries in order; those that are in already change nothing.

        An upsert that this schema does not accept takes a row and changes nothing else.

        Raises:
            ChecksumError: If an entry between is missing.
        """
        with self._lock:
            entries = [entry for entry in entries if entry.seq > self._position]
            for at, entry in enumerate(entries, self._position + 1):
                if entry.seq != at:
                    raise ChecksumError(
                        f"after entry {at - 1} of the log comes {entry.seq}: entries are lost; "
                        "build the index again"
                    )
            if not entries:
                return
            upserts = [e for e in entries if e.op is Op.UPSERT]
            documents = [self._checked(e) for e in upserts]
            self._ids += [d.id if d is not None else "" for d in documents]
            row = self._start + self._added.state.rows
            self._flags.widen(len(documents))
            self._shown = self._flags.view()
            self._added.add(documents)
            rows = dict(zip((e.seq for e in upserts), range(row, row + len(upserts)), strict=True))
            self._settle(entries, rows)
            self._position = entries[-1].seq
            self._fresh = max(self._fresh, entries[-1].time)

    def deleted(self, rows: Int32) -> NDArray[np.bool_]:
        """Return bool[n]: whether a row's document was taken away since the build.

        A row that even the log does not know counts as taken away, since nothing can name it.
        """
        self._reach(rows)
        flags = self._shown
        if not self._deletions and (not len(rows) or int(rows.max()) < len(flags)):
            return np.zeros(len(rows), dtype=np.bool_)
        inside = (rows >= 0) & (rows < len(flags))
        gone: NDArray[np.bool_] = rows >= len(flags)
        gone[inside] = flags[rows[inside]] == _DELETED
        return gone

    def current(self) -> Int64:
        """Return the row of every document that is there, ascending."""
        return np.flatnonzero(self._shown == _CURRENT)

    def ids(self, rows: Int32) -> list[str]:
        """Return the document ids of rows, "" for unknown ones."""
        state, later = self._split(rows)
        if later is None:
            return self.base.ids(rows)
        found = self.base.ids(np.where(later, -1, rows).astype(np.int32))
        for at in np.flatnonzero(later & (rows < self._start + state.rows)).tolist():
            found[at] = self._ids[int(rows[at]) - self._start]
        return found

    def rows(self, ids: Sequence[str]) -> Int32:
        """Return the present row of each document id, -1 where there is none.

        While others serve another index than this one was read from, no id has a row.
        """
        if self.flipped:
            return np.full(len(ids), -1, dtype=np.int32)
        return self._rows(ids)

    def _rows(self, ids: Sequence[str]) -> Int32:
        found = self.base.rows(ids)
        if self._current:
            get = self._current.get
            later = np.fromiter((get(i, _ABSENT) for i in ids), dtype=np.int32, count=len(ids))
            np.copyto(found, later, where=later != _ABSENT)
        return found

    def numbers(self, names: Sequence[str], rows: Int32) -> Float64:
        """Return number and date columns, float64[n, len(names)], NaN where absent or stale."""
        found = self._numbers(names, rows)
        if self._volatile and (stale := self.stale):
            found[:, [name in stale for name in names]] = np.nan
        return found

    def keywords(self, name: str, rows: Int32) -> Ragged:
        """Return the codes of the values of a keyword field for each row; none where stale."""
        if self._volatile and name in self.stale:
            rows = np.full(len(rows), -1, dtype=np.int32)
        return self._keywords(name, rows)

    def keyword_codes(self, name: str, values: Sequence[str]) -> Int32:
        """Return the code of each value of a keyword field, -1 where no document has it."""
        found = self.base.keyword_codes(name, values)
        own = self._added.codes[name]
        if own:
            known = self.base.keyword_count(name) + self._added.state.values(name)
            for at in np.flatnonzero(found < 0).tolist():
                code = own.get(values[at], -1)
                found[at] = code if code < known else -1
        return found

    def keyword_values(self, name: str, codes: Int32) -> list[str]:
        """Return the values that these codes stand for, "" for -1."""
        start = self._keyword_start(name)
        if not len(codes) or int(codes.max()) < start:
            return self.base.keyword_values(name, codes)
        found = self.base.keyword_values(name, np.where(codes < start, codes, -1).astype(np.int32))
        for at in np.flatnonzero(codes >= start).tolist():
            found[at] = self._added.values[name][int(codes[at]) - start]
        return found

    def keyword_terms(self, name: str, codes: Int32) -> Ragged:
        """Return the term ids of the values that these codes stand for."""
        start = self._keyword_start(name)
        if not len(codes) or int(codes.max()) < start:
            return self.base.keyword_terms(name, codes)
        base = self.base.keyword_terms(name, np.where(codes < start, codes, -1).astype(np.int32))
        return merged(base, self._added.state.terms[name], codes, start)

    def tokens(self, name: str, rows: Int32) -> Ragged:
        """Return the term ids of a text field in the order of the text, for each row."""
        state, later = self._split(rows)
        if later is None:
            return self.base.tokens(name, rows)
        base = self.base.tokens(name, np.where(later, -1, rows).astype(np.int32))
        return merged(base, state.texts[name], rows, self._start)

    def vectors(self, name: str, rows: Int32) -> Float32:
        """Return a vector field, float32[n, dims], NaN where absent."""
        state, later = self._split(rows)
        if later is None:
            return self.base.vectors(name, rows)
        found = self.base.vectors(name, np.where(later, -1, rows).astype(np.int32))
        known = later & (rows < self._start + state.rows)
        found[known] = state.vectors[name][rows[known] - self._start]
        return found

    def analyse(self, name: str, text: str) -> Int32:
        """Return the term ids of a text as a field analyses it; unknown terms are -2, -3, ..."""
        state = self._added.state
        if not self._added.vocabulary:
            return self.base.analyse(name, text)
        tokens = _at(self._added.analysers, name, "text or keyword", self.schema).tokens(text)
        terms = self.base.terms(tokens)
        numbered: dict[str, int] = {}
        for i in np.flatnonzero(terms < 0).tolist():
            term = self._added.vocabulary.get(tokens[i], state.vocabulary)
            if term >= state.vocabulary:
                term = numbered.setdefault(tokens[i], -2 - len(numbered))
            terms[i] = term
        return terms

    def statistics(self, name: str) -> TextStatistics:
        """Return the corpus statistics of a text field: those of the build."""
        return _at(self._added.state.statistics, name, "text", self.schema)

    def same(self, document: Document) -> bool:
        """Return whether the columns of this id hold what the document says."""
        row = self._rows([document.id])
        if row[0] < 0:
            return False
        names = tuple(self._added.numeric)
        numbers = np.array([[document.numbers.get(name, np.nan) for name in names]])
        if not np.array_equal(self._numbers(names, row), numbers, equal_nan=True):
            return False
        for field in self.schema.of_kind(Kind.KEYWORD):
            held = self.keyword_values(field.name, self._keywords(field.name, row).values)
            if tuple(held) != document.keywords.get(field.name, ()):
                return False
        for field in self.schema.of_kind(Kind.VECTOR):
            given = document.vectors.get(field.name, (np.nan,) * field.dims)
            vector = np.array([given], dtype=np.float64).astype(np.float32)
            if not np.array_equal(self.vectors(field.name, row), vector, equal_nan=True):
                return False
        for field in self.schema.of_kind(Kind.TEXT):
            texts = document.texts.get(field.name, ())
            terms = [self.analyse(field.name, text) for text in texts]
            joined = np.concatenate([np.empty(0, dtype=np.int32), *terms])
            if not np.array_equal(self.tokens(field.name, row).values, joined):
                return False
        return True

    def _checked(self, entry: Entry) -> Document | None:
        try:
            document = self.schema.document(entry.document or {})
        except DocumentError:
            document = None
        if document is None or document.id != entry.doc_id:
            self.refused += 1
            return None
        return document

    def _settle(self, entries: Sequence[Entry], rows: Mapping[int, int]) -> None:
        """Let ids lead to their rows, and mark what was replaced or taken away."""
        touched = list(dict.fromkeys(e.doc_id for e in entries if e.op in CHANGES))
        present = dict(zip(touched, self._rows(touched).tolist(), strict=True))
        flags = self._shown
        for entry in entries:
            if entry.op is Op.FLIPPED:
                self.flipped = entry.doc_id
            if entry.op not in CHANGES:
                continue
            before, row = present[entry.doc_id], rows.get(entry.seq, -1)
            if row < 0:
                self._delete(entry.doc_id, before)
                present[entry.doc_id] = -1
                continue
            if not self._ids[row - self._start]:
                self._previous.append(-1)
                flags[row] = _REPLACED
                continue
            self._previous.append(before)
            if before >= 0:
                flags[before] = _REPLACED
            present[entry.doc_id] = row
            self._current[entry.doc_id] = row

    def _delete(self, doc_id: str, row: int) -> None:
        """Mark a document's row and all that it replaced: an engine may still return any."""
        if row < 0:
            return
        self._deletions = True
        self._current[doc_id] = -1
        while row >= 0 and self._shown[row] != _DELETED:
            self._shown[row] = _DELETED
            row = self._previous[row - self._start] if row >= self._start else -1

    def _keep_up(self) -> None:
        """Read on in the midst of a request, which a log that fails must not end."""
        with suppress(CascadeError, OSError):
            self.refresh()

    def _reach(self, rows: Int32) -> State:
        """Return a state that holds these rows, if the log has them."""
        state = self._added.state
        if len(rows) and int(rows.max()) >= self._start + state.rows:
            self._keep_up()
            state = self._added.state
        return state

    def _split(self, rows: Int32) -> tuple[State, NDArray[np.bool_] | None]:
        """Return a state that holds these rows, and which are later than the build, if any."""
        if not len(rows) or int(rows.max()) < self._start:
            return self._added.state, None
        return self._reach(rows), rows >= self._start

    def _numbers(self, names: Sequence[str], rows: Int32) -> Float64:
        state, later = self._split(rows)
        if later is None:
            return self.base.numbers(names, rows)
        found = self.base.numbers(names, np.where(later, -1, rows).astype(np.int32))
        known = later & (rows < self._start + state.rows)
        columns = [self._added.numeric[name] for name in names]
        found[known] = state.numbers[rows[known] - self._start][:, columns]
        return found

    def _keywords(self, name: str, rows: Int32) -> Ragged:
        state, later = self._split(rows)
        if later is None:
            return self.base.keywords(name, rows)
        base = self.base.keywords(name, np.where(later, -1, rows).astype(np.int32))
        return merged(base, state.codes[name], rows, self._start)

    def _keyword_start(self, name: str) -> int:
        return self.base.keyword_count(name)


def _ages(schema: Schema) -> Mapping[str, float]:
    return {f.name: f.max_age_s for f in schema.fields if f.max_age_s is not None}


def _at(table: Mapping[str, _Value], name: str, kind: str, schema: Schema) -> _Value:
    try:
        return table[name]
    except KeyError:
        message = f"there is no {kind} field {name!r}; {nearest(name, schema.by_name)}"
        raise QueryError(message) from None
