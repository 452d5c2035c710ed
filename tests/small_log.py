"""Write event logs from rows, and count in them by hand: a plain reference for joins."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cascade.behaviour import Counter, normal_text
from cascade.events.tables import EVENTS, SEARCHES, EventLog

DAY = 86_400.0
_TYPES = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "INTEGER": pa.int32(),
    "VARCHAR[]": pa.list_(pa.string()),
    "DOUBLE[]": pa.list_(pa.float64()),
}
_SEARCH = ("query_id", "text", "time", "session", "results")
_EVENT = ("query_id", "action", "doc_id", "time", "rank", "session", "value")


def write_log(root: Path, searches: list[tuple], events: list[tuple]) -> EventLog:
    """Write rows of `_SEARCH` and `_EVENT`, the last values of which may be left out."""
    for table, columns, names, rows in (
        ("searches", SEARCHES, _SEARCH, searches),
        ("events", EVENTS, _EVENT, events),
    ):
        (root / table).mkdir(parents=True)
        dicts = [dict(zip(names, row, strict=False)) for row in rows]
        schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
        pq.write_table(pa.Table.from_pylist(dicts, schema), root / table / "1.parquet")
    return EventLog(root, threads=1, memory_mb=256)


def values_of(field: dict[str, str]) -> pa.Table:
    """Return the values of a keyword field."""
    return pa.table(
        {"doc_id": pa.array(field, pa.string()), "value": pa.array(field.values(), pa.string())}
    )


class Reference:
    """Count one moment after the other."""

    def __init__(
        self, searches: list[tuple], events: list[tuple], field: dict[str, str] | None = None
    ) -> None:
        self.texts = {row[0]: normal_text(row[1]) for row in searches}
        self.field = field or {}
        logged = {row[0] for row in events if row[1] == "impression"}
        shown = [
            (row[0], "impression", doc, row[2])
            for row in searches
            if row[0] not in logged
            for doc in row[4]
        ]
        self.moments = [*shown, *(row[:4] for row in events)]

    def key(self, counter: Counter, query_id: str | None, doc_id: str | None) -> tuple | None:
        """Return what a counter keeps a row's counts for, None where it keeps none."""
        parts = {
            "document": (doc_id,),
            "query": (self.texts.get(query_id),),
            "pair": (self.texts.get(query_id), doc_id),
            "group": (self.field.get(doc_id),),
        }[counter.by]
        return None if None in parts else parts

    def tally(self, counter: Counter, at: float) -> dict[tuple, float]:
        """Return the count of each key strictly before a time."""
        found: dict[tuple, float] = {}
        for query_id, action, doc_id, time in self.moments:
            key = self.key(counter, query_id, doc_id)
            if action != counter.action or key is None or time >= at:
                continue
            if time >= at - counter.window_days * DAY:
                age = (at - time) / DAY
                found[key] = found.get(key, 0.0) + 0.5 ** (age / counter.half_life_days)
        return found


def random_log(seed: int, searches: int = 60) -> tuple[list[tuple], list[tuple], dict[str, str]]:
    """Draw a log on a coarse clock, so that many times are equal, over three years."""
    rng = np.random.default_rng(seed)
    docs = [f"d{number}" for number in range(12)]
    found, events = [], []
    for number in range(searches):
        query_id, at = f"q{number}", 1.7e9 + float(rng.integers(0, 60)) * 18.25 * DAY
        text = ["Red  Dress", "red dress", "Ring", "straße", "STRASSE"][rng.integers(5)]
        page = list(rng.permutation(docs)[: rng.integers(0, 7)])
        session = f"s{rng.integers(6)}"
        found.append((query_id, text, at, session, page))
        for rank, doc in enumerate(page, start=1):
            if number % 3 == 0:
                events.append((query_id, "impression", doc, at, rank, session))
            for action in ("click", "favourite", "cart", "purchase"):
                if rng.random() < 0.25:
                    late = float(rng.integers(0, 3)) * 18.25 * DAY
                    worth = 9.5 if action == "purchase" else None
                    events.append((query_id, action, doc, at + late, rank, session, worth))
    for number in range(30):
        events.append((None, "click", docs[number % 14 % 12], 1.7e9 + number * 36.5 * DAY))
    events.append(("unheard", "click", "d0", 1.7e9 + 5))
    return found, events, {doc: f"seller {at % 4}" for at, doc in enumerate(docs[:10])}


COUNTERS = tuple(
    Counter(by, action, window, half_life, "seller" if by == "group" else "")
    for by in ("document", "query", "pair", "group")
    for action in ("impression", "click", "purchase")
    for window, half_life in ((math.inf, math.inf), (73.0, math.inf), (73.0, 20.0), (math.inf, 0.5))
)
