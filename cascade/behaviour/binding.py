"""Counts for the rows of a catalogue: which of a snapshot's documents each row is."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour.counters import normal_text
from cascade.behaviour.snapshot import DOCUMENTS, PAIRS, QUERIES, Snapshot, UInt64, hashes
from cascade.errors import QueryError

_CHUNK_ROWS = 100_000
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


class Lists(Protocol):
    """Hold lists of codes: list i is `values[offsets[i]:offsets[i + 1]]`."""

    @property
    def offsets(self) -> Int64:
        """Where each list begins."""
        ...

    @property
    def values(self) -> Int32:
        """The codes."""
        ...


class Named(Protocol):
    """Name documents, and the values of their keyword fields, by row."""

    def __len__(self) -> int:
        """Return how many rows there are."""
        ...

    def ids(self, rows: Int32) -> list[str]:
        """Return the document ids of rows."""
        ...

    def keywords(self, name: str, rows: Int32) -> Lists:
        """Return the codes of the values of a keyword field for each row.

        Raises:
            QueryError: If there is no such field.
        """
        ...

    def keyword_values(self, name: str, codes: Int32) -> list[str]:
        """Return the values that these codes stand for."""
        ...


class Counts(Protocol):
    """Give the counts that somebody else writes."""

    def newer(self, documents: Named) -> BoundCounts | None:
        """Return the newest counts for these documents, None if they were given before."""
        ...


class NoCounts:
    """Give no counts."""

    def newer(self, documents: Named) -> BoundCounts | None:
        """Return None."""
        return None


class BoundCounts:
    """Give the counts of a snapshot for the rows of documents; it implements `Behaviour`.

    Rows that the documents take in later are found when they are first asked for. Readers take
    no lock.

    Args:
        snapshot: The counts.
        documents: Whose rows are meant.
        max_age_s: How old counts may be at the time of a query, seconds.
    """

    def __init__(self, snapshot: Snapshot, documents: Named, max_age_s: float = math.inf) -> None:
        self.snapshot = snapshot
        self.as_of = snapshot.as_of
        self.counters = snapshot.counters
        self.totals = snapshot.totals
        self.columns = {counter.name: at for at, counter in enumerate(snapshot.counters)}
        self._by_row = np.array([c.by != QUERIES for c in snapshot.counters], dtype=np.bool_)
        self._documents = documents
        self._max_age_s = max_age_s
        self._tables = snapshot.tables
        self._lock = threading.Lock()
        self._own = threading.local()
        keys = {n: DOCUMENTS if n == PAIRS else n for n in self._tables if n != QUERIES}
        self._keyed = tuple(dict.fromkeys(keys.values()))
        self._key_of = {name: self._keyed.index(key) for name, key in keys.items()}
        # int32[rows, keys]: of each row, the place of its document or value among the keys. Behind
        # the rows there is room for more, which leads to the counts of what was never seen, as does
        # row -1.
        self._slots = self._unseen(1)
        self._known = 0
        self._learn()

    def usable(self, time: float) -> bool:
        """Return whether a query of this time may read the counts."""
        return not time or 0 <= time - self.as_of <= self._max_age_s

    def values(self, texts: Sequence[str], listing: Int64, rows: Int32) -> Float32:
        """Return every counter for rows of listings, float32[n, counters]."""
        # Without a sign, row -1 is the largest: one look finds it and rows that came later.
        if len(rows) and int(np.maximum.reduce(rows.view(np.uint32))) >= self._known:
            return self._partly_known(texts, listing, rows)
        return self._read(texts, listing, rows).T

    def _partly_known(self, texts: Sequence[str], listing: Int64, rows: Int32) -> Float32:
        """Return `values` of rows of which some are unknown, or were."""
        if int(rows.max()) >= self._known:
            self._learn()
        rows = np.where(rows < self._known, rows, -1).astype(np.int32)
        found = self._read(texts, listing, rows)
        found[np.ix_(self._by_row, rows < 0)] = np.nan
        return found.T

    def _read(self, texts: Sequence[str], listing: Int64, rows: Int32) -> Float32:
        """Return every counter, float32[counters, n], that of what was never seen for row -1."""
        arrays, keys = self.snapshot.arrays, self._hashes(texts)
        found = np.empty((len(self.counters), len(rows)), dtype=np.float32)
        slots = self._slots.take(rows, axis=0, mode="wrap").T.astype(np.intp, order="C")
        for name, columns in self._tables.items():
            values = arrays[f"{name}.values"]
            if name == QUERIES:
                counts = values.take(_found(arrays["query.keys"], keys), axis=0).T
                found[columns] = counts if len(texts) == 1 else counts.take(listing, axis=1)
                continue
            places = slots[self._key_of[name]]
            if name == PAIRS:
                self._read_pairs(found[columns], keys, listing, places)
            else:
                found[columns] = values.take(places, axis=0, mode="clip").T
        return found

    def _hashes(self, texts: Sequence[str]) -> UInt64:
        if PAIRS in self._tables or QUERIES in self._tables:
            return hashes(map(normal_text, texts), len(texts))
        return np.empty(0, dtype=np.uint64)

    def _read_pairs(self, found: Float32, keys: UInt64, listing: Int64, slots: Int64) -> None:
        """Write the counters of each row's pair into float32[counters, n]."""
        arrays, place_of = self.snapshot.arrays, self._places()
        offsets, counted, values = (arrays[f"pair.{n}"] for n in ("offsets", "slots", "values"))
        texts = _found(arrays["pair.keys"], keys).tolist()
        bounds = [0, len(slots)]
        if len(texts) != 1:
            bounds = listing.searchsorted(np.arange(len(texts) + 1)).tolist()
        for text, start, stop in zip(texts, bounds[:-1], bounds[1:], strict=True):
            if text == len(offsets) - 1:
                found[:, start:stop] = 0
                continue
            of_text = slice(offsets[text], offsets[text + 1])
            part, asked = counted[of_text], slots[start:stop]
            # A sparse set: whatever stands in the places that are not of this part, the comparison
            # below refuses. Briggs and Torczon 1993, LOPLAS 2(1-4).
            place_of[part] = np.arange(len(part), dtype=np.int32)
            at = place_of.take(asked, mode="clip")
            counted_too = part.take(at, mode="clip") == asked
            # Counts are finite and not below 0: times 0 they are 0.
            counts = values[of_text].take(at, axis=0, mode="clip").T
            np.multiply(counts, counted_too, out=found[:, start:stop])

    def _places(self) -> Int32:
        """Return room for a number for each document, this thread's own."""
        room: Int32 | None = getattr(self._own, "places", None)
        if room is None:
            room = np.empty(len(self.snapshot.arrays["document.keys"]), dtype=np.int32)
            self._own.places = room
        return room

    def _learn(self) -> None:
        """Find the rows that the documents have taken in since the last time."""
        with self._lock:
            first, last = self._known, len(self._documents)
            if last <= first:
                return
            if last >= len(self._slots):
                more = self._unseen(last + last // 8 - first + 1)
                self._slots = np.concatenate([self._slots[:first], more])
            for start in range(first, last, _CHUNK_ROWS):
                rows = np.arange(start, min(start + _CHUNK_ROWS, last), dtype=np.int32)
                for column, name in enumerate(self._keyed):
                    self._slots[start : start + len(rows), column] = self._slots_of(name, rows)
            self._known = last

    def _unseen(self, rows: int) -> Int32:
        ends = [len(self.snapshot.arrays[f"{name}.keys"]) for name in self._keyed]
        return np.tile(np.array(ends, dtype=np.int32), (rows, 1))

    def _slots_of(self, table: str, rows: Int32) -> Int32:
        keys = self.snapshot.arrays[f"{table}.keys"]
        if table == DOCUMENTS:
            return _found(keys, hashes(self._documents.ids(rows), len(rows))).astype(np.int32)
        field = table.partition("=")[2]
        slots = np.full(len(rows), len(keys), dtype=np.int32)
        try:
            lists = self._documents.keywords(field, rows)
        except QueryError:
            return slots  # counted when the schema had the field; no feature can read it
        filled = np.flatnonzero(np.diff(lists.offsets))
        codes, of = np.unique(lists.values[lists.offsets[filled]], return_inverse=True)
        values = self._documents.keyword_values(field, codes.astype(np.int32))
        slots[filled] = _found(keys, hashes(values, len(values)))[of]
        return slots


def _found(keys: UInt64, asked: UInt64) -> NDArray[Any]:
    """Return the place of each hash among ascending keys, their number where it is none."""
    at = keys.searchsorted(asked)
    if len(keys):
        at[keys.take(at, mode="clip") != asked] = len(keys)
    return at
