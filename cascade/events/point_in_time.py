"""Work through a point-in-time join in portions.

The log is read once, in batches, and put aside on disk: for each kind of key in parts of whole
keys, and in blocks of searches. Each part is counted and each block gathered alone, so that memory
stays flat however long the log is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour import Counter
from cascade.events.coding import NO_RANK, Coded, Columns
from cascade.events.counting import DAY_S
from cascade.events.scratch import Scratch, spread
from cascade.events.tables import ACTIONS, IMPRESSION
from cascade.events.windows import Past, ordered_pairs

if TYPE_CHECKING:
    import pyarrow as pa

OUTCOMES = tuple(action for action in ACTIONS if action != IMPRESSION)
# A part of this many rows and a block of this many take some 100 MB while they are worked on.
PART_ROWS = 500_000
BLOCK_ROWS = 200_000
_MOST_PARTS = 4_096

Family = tuple[Counter, ...]
Int64 = NDArray[np.int64]
Rows = NDArray[np.void]
Chosen = NDArray[np.bool_]
_MOMENT = np.dtype([("key", "f8"), ("time", "f8"), ("action", "i1")])
_ASKED = np.dtype([("key", "f8"), ("time", "f8"), ("row", "i8"), ("search", "i4")])
_SHOWN = np.dtype([("row", "i8"), ("search", "i4"), ("rank", "i4"), ("doc", "i4")])
_DONE = np.dtype([("search", "i4"), ("doc", "i4"), ("action", "i1"), ("value", "f8")])


@dataclass(frozen=True)
class Joining:
    """Say what is joined, and in which portions.

    Attributes:
        counters: A column each, named `counter.name`, and one of the sum, `counter.total_name`.
        groups: For each field of a counter by group, string columns `doc_id` and `value` with at
            most one row a document.
        part_rows: Roughly how many rows of the log are counted at once.
        block_rows: Roughly how many joined rows a batch has.
    """

    counters: tuple[Counter, ...] = ()
    groups: Mapping[str, pa.Table] = field(default_factory=dict)
    part_rows: int = PART_ROWS
    block_rows: int = BLOCK_ROWS

    @cached_property
    def families(self) -> dict[str, Family]:
        """The counters by what they are kept for, such as `pair` and `group=seller`."""
        found: dict[str, list[Counter]] = {}
        for counter in dict.fromkeys(self.counters):
            found.setdefault(counter.table, []).append(counter)
        return {name: tuple(members) for name, members in found.items()}


class PointInTime:
    """Put the log aside, count by key, gather by search.

    Attributes:
        unknown: How many impressions had no usable search, once `batches` is through.
    """

    def __init__(self, log: Coded, joining: Joining, scratch: Scratch, threads: int) -> None:
        self.log, self.scratch, self.threads = log, scratch, threads
        self.families = joining.families
        # Each impression is counted, and asks for the counts before it.
        self.parts = min(1 + 2 * log.moments // joining.part_rows, _MOST_PARTS)
        share = joining.block_rows / max(log.moments, 1)
        self.step = max(int(log.searches * share), log.searches // _MOST_PARTS, 1)
        self.rows = 0
        self.unknown = 0

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""
        import pyarrow as pa

        columns = {"query_id": pa.string(), "text": pa.string(), "doc_id": pa.string()}
        columns |= {"rank": pa.int32(), "time": pa.float64()}
        columns |= {"session": pa.string(), "surface": pa.string()}
        columns |= {**dict.fromkeys(OUTCOMES, pa.int32()), "value": pa.float64()}
        for family in self.families.values():
            columns |= dict.fromkeys((c.name for c in family), pa.float32())
            columns |= dict.fromkeys((c.total_name for c in family), pa.float32())
        return pa.schema([*columns.items()])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the joined rows, a block of searches at a time."""
        for columns in self.log.stream():
            self._put_aside(columns)
        if "query" in self.families:
            self._ask_for_searches(list(self.families).index("query"))
        with ThreadPoolExecutor(self.threads) as pool:
            for number, family in enumerate(self.families.values()):
                # As many parts in memory as threads, and one thread that writes.
                for begin in range(0, self.parts, self.threads):
                    parts = range(begin, min(begin + self.threads, self.parts))
                    for searches, found in pool.map(partial(self._count, number, family), parts):
                        self.scratch.add(f"counts{number}", self.blocks(searches), found)
        totals = self._totals()
        doc_ids = self.log.doc_ids()
        for begin in range(0, self.log.searches, self.step):
            block = _Block(self, begin, min(begin + self.step, self.log.searches))
            if len(block.shown):
                yield block.batch(doc_ids, totals)

    def _put_aside(self, columns: Columns) -> None:
        action, search = columns["action"], columns["search"]
        shown = (action == ACTIONS.index(IMPRESSION)) & (columns["doc"] >= 0)
        rows = shown & (search >= 0)
        self.unknown += int(np.count_nonzero(shown & ~rows))
        columns = {**columns, "row": self.rows + np.cumsum(rows) - 1}
        self.rows += int(np.count_nonzero(rows))
        for number, (name, family) in enumerate(self.families.items()):
            keys = self._keys(name, columns)
            counted = np.isin(action, [ACTIONS.index(counter.action) for counter in family])
            self._add(f"moments{number}", _MOMENT, keys, columns, counted)
            if name != "query":
                asked = {**columns, "time": columns["searched"]}
                self._add(f"asked{number}", _ASKED, keys, asked, rows)
        done = (action != ACTIONS.index(IMPRESSION)) & (search >= 0) & (columns["doc"] >= 0)
        for pile, dtype, chosen in (("shown", _SHOWN, rows), ("done", _DONE, done)):
            at = np.flatnonzero(chosen)
            self.scratch.add(pile, self.blocks(search[at]), _rows(dtype, columns, at))

    def _ask_for_searches(self, number: int) -> None:
        for columns in self.log.search_codes():
            keys = columns["text"].astype(np.int64)
            given = {**columns, "row": columns["search"]}
            self._add(f"asked{number}", _ASKED, keys, given, keys >= 0)

    def _keys(self, name: str, columns: Columns) -> Int64:
        """Return the code of each moment's key in a family, negative where it has none."""
        text, doc = columns["text"].astype(np.int64), columns["doc"].astype(np.int64)
        if name == "pair":
            return np.where((text < 0) | (doc < 0), -1, text * self.log.documents + doc)
        if name in ("document", "query"):
            return doc if name == "document" else text
        place = self.log.fields.index(name.removeprefix("group="))
        return columns[f"group{place}"].astype(np.int64)

    def _add(
        self, pile: str, dtype: np.dtype[np.void], keys: Int64, columns: Columns, chosen: Chosen
    ) -> None:
        at = np.flatnonzero(chosen & (keys >= 0))
        rows = _rows(dtype, {**columns, "key": keys}, at)
        self.scratch.add(pile, spread(keys[at], self.parts), rows)

    def _count(self, number: int, family: Family, part: int) -> tuple[NDArray[np.int32], Rows]:
        """Return the searches of those who ask for a part of a family's keys, and the counts."""
        moments = self.scratch.take(f"moments{number}", part, _MOMENT)
        asked = self.scratch.take(f"asked{number}", part, _ASKED)
        asked = asked[np.argsort(ordered_pairs(asked["key"], asked["time"]))]
        keys, times = np.ascontiguousarray(asked["key"]), np.ascontiguousarray(asked["time"])
        found = np.empty(len(asked), counts_of(family))
        found["row"] = asked["row"]
        for action in {counter.action for counter in family}:
            mine = moments[moments["action"] == ACTIONS.index(action)]
            places = [at for at, counter in enumerate(family) if counter.action == action]
            past = Past(mine["key"], mine["time"])
            counts = past.counts(keys, times, [_span(family[at]) for at in places])
            for at, values in zip(places, counts, strict=True):
                found["counts"][:, at] = values
        return asked["search"], found

    def _totals(self) -> dict[Counter, Past]:
        """Return the past of each counter over all its keys, minute by minute."""
        counters = [counter for family in self.families.values() for counter in family]
        half_lives = [_span(counter)[1] for counter in counters]
        found = self.log.minutes(counters, half_lives)
        return {
            counter: Past(np.zeros(len(minutes)), minutes, weights)
            for counter, (minutes, weights) in zip(counters, found, strict=True)
        }

    def blocks(self, searches: NDArray[np.int32]) -> Int64:
        """Return the block of each search."""
        return searches.astype(np.int64) // self.step


class _Block:
    """Gather a block of searches: what each showed, what came of it, and the counts."""

    def __init__(self, work: PointInTime, begin: int, end: int) -> None:
        self.work, self.begin, self.end = work, begin, end
        self.shown = work.scratch.take("shown", begin // work.step, _SHOWN)

    def batch(self, doc_ids: pa.Array, totals: Mapping[Counter, Past]) -> pa.RecordBatch:
        """Return the rows of the block."""
        import pyarrow as pa

        kept = _once(self.shown)
        shown = self.shown[kept]
        local = shown["search"].astype(np.int64) - self.begin
        searched = self.work.log.searched(self.begin, self.end)
        moment = np.floor(searched.column("time").to_numpy() / 60.0) * 60.0
        rows = searched.take(pa.array(local))
        columns = {name: rows.column(name).combine_chunks() for name in rows.column_names}
        columns["doc_id"] = doc_ids.take(pa.array(shown["doc"]))
        columns["rank"] = pa.array(shown["rank"], mask=shown["rank"] == NO_RANK)
        done = self.work.scratch.take("done", self.begin // self.work.step, _DONE)
        found: dict[str, NDArray[Any]] = _outcomes(shown, done, self.work.log.documents)
        for number, family in enumerate(self.work.families.values()):
            counts = self._counts(number, family, kept, local)
            for at, counter in enumerate(family):
                found[counter.name] = np.ascontiguousarray(counts[:, at])
                past, everything = totals[counter], np.zeros(len(moment))
                total = past.counts(everything, moment, [_span(counter)])[0]
                found[counter.total_name] = total.astype(np.float32)[local]
        columns |= {name: pa.array(values) for name, values in found.items()}
        schema = self.work.schema
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)

    def _counts(
        self, number: int, family: Family, kept: Int64, local: Int64
    ) -> NDArray[np.float32]:
        pile, block = f"counts{number}", self.begin // self.work.step
        found = self.work.scratch.take(pile, block, counts_of(family))
        by_search = family[0].by == "query"
        length = self.end - self.begin if by_search else len(self.shown)
        counts = np.zeros((length, len(family)), np.float32)
        if by_search:
            counts[found["row"] - self.begin] = found["counts"]
            return counts[local]
        counts[np.searchsorted(self.shown["row"], found["row"])] = found["counts"]
        return counts[kept]


def counts_of(family: Family) -> np.dtype[np.void]:
    """Return the row that holds the counts of a family."""
    return np.dtype([("row", "i8"), ("counts", "f4", (len(family),))])


def _span(counter: Counter) -> tuple[float, float]:
    return counter.window_days * DAY_S, counter.half_life_days * DAY_S


def _rows(dtype: np.dtype[np.void], columns: Columns, at: Int64) -> Rows:
    rows = np.empty(len(at), dtype)
    for name in dtype.names or ():
        rows[name] = columns[name][at]
    return rows


def _once(shown: Rows) -> Int64:
    """Return rows by search and rank, each document of a search once, where it ranks best."""
    order: Int64 = np.lexsort((shown["doc"], shown["rank"], shown["search"]))
    pairs = np.sort(ordered_pairs(shown["search"], shown["doc"]))
    if not (pairs[1:] == pairs[:-1]).any():
        return order
    listed = ordered_pairs(shown["search"][order], shown["doc"][order])
    _, first = np.unique(listed, return_index=True)
    return order[np.sort(first)]


def _outcomes(shown: Rows, done: Rows, documents: int) -> dict[str, NDArray[Any]]:
    """Return how often each outcome came of each row, and what its purchases brought."""
    pairs = done["search"].astype(np.int64) * documents + done["doc"]
    keys, of = np.unique(pairs, return_inverse=True)
    mine = shown["search"].astype(np.int64) * documents + shown["doc"]
    hit = np.flatnonzero(np.isin(mine, keys))
    at = np.searchsorted(keys, mine[hit])
    found: dict[str, NDArray[Any]] = {}
    for name in OUTCOMES:
        sums = np.bincount(of[done["action"] == ACTIONS.index(name)], minlength=len(keys))
        found[name] = np.zeros(len(shown), np.int32)
        found[name][hit] = sums[at]
    bought = done["action"] == ACTIONS.index("purchase")
    value = np.bincount(of[bought], done["value"][bought], minlength=len(keys))
    found["value"] = np.zeros(len(shown))
    found["value"][hit] = value[at]
    return found
