"""Behaviour features of 1,000 candidates, six counters: mapped columns against dicts by id.

Two counters are by document, two by pair of query and document, one by query, one by seller; the
query has counts with 300 of its candidates. The dicts hold the same counts and are asked by row.
Where the two take turns, the dicts have emptied the processor's caches of what the columns read.
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from typing import Any

import numpy as np
from _shop import FOLDER, machine, shown

from cascade.behaviour import (
    BoundCounts,
    Counted,
    Counter,
    open_snapshot,
    snapshot_of,
    write_snapshot,
)
from cascade.candidates import Candidates, Float32, Query
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.catalogue.live import LiveCatalogue
from cascade.errors import CascadeError
from cascade.features import build_features, counters_of
from cascade.schema import Document, Field, Kind, Schema

ASKED, ROUNDS, QUERIES, SELLERS, COUNTED_PAIRS = 1_000, 200, 20_000, 5_000, 300
TARGET_MS = 0.2
SCHEMA = Schema("id", (Field("title", Kind.TEXT), Field("seller", Kind.KEYWORD)))
HOUR = {"kind": "hour", "name": "hour"}
DEFINITIONS: list[dict[str, Any]] = [
    {"kind": "rate", "name": "ctr", "by": "document", "of": "click"},
    {"kind": "rate", "name": "pair_ctr", "by": "pair", "of": "click"},
    {"kind": "count", "name": "asked", "by": "query", "action": "impression"},
    {"kind": "count", "name": "sold", "by": "group", "field": "seller", "action": "purchase"},
]


def catalogue_of(count: int) -> Catalogue:
    """Return a catalogue of that many documents with a seller each, made once."""
    folder = FOLDER / f"sellers-{count}"
    try:
        return Catalogue.open(folder, SCHEMA)
    except CascadeError:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
    with CatalogueWriter(folder, SCHEMA, "sellers-000001") as writer:
        for number in range(count):
            seller = {"seller": (f"seller {number % SELLERS}",)}
            writer.add(Document(f"listing-{number}", {}, seller, {}, {}, {}))
        writer.finish()
    return Catalogue.open(folder, SCHEMA)


def counts_of(counters: tuple[Counter, ...], documents: int) -> dict[Counter, Counted]:
    """Return drawn counts: half of the documents, every query and seller, pairs of each query."""
    random = np.random.default_rng(7)

    def drawn(names: list[str], texts: list[str] | None = None) -> Counted:
        keyed = None if texts is None else np.array(texts, dtype=object)
        values = random.integers(1, 100, len(names or texts or [])).astype(np.float64)
        return Counted(keyed, np.array(names, dtype=object) if names else None, values)

    found = {}
    for counter in counters:
        if counter.by == "document":
            found[counter] = drawn([f"listing-{i}" for i in range(0, documents, 2)])
        elif counter.by == "query":
            found[counter] = drawn([], [f"query {i}" for i in range(QUERIES)])
        elif counter.by == "group":
            found[counter] = drawn([f"seller {i}" for i in range(SELLERS)])
        else:
            pairs = [(q, d) for q in range(ROUNDS) for d in _rows(q, documents)[:COUNTED_PAIRS]]
            pairs += [(q, q * 31 % documents) for q in range(ROUNDS, QUERIES)]
            names = [f"listing-{d}" for _, d in pairs]
            found[counter] = drawn(names, [f"query {q}" for q, _ in pairs])
    return found


def _rows(query: int, documents: int) -> list[int]:
    drawn = np.random.default_rng(query).choice(documents, ASKED, replace=False)
    return [int(row) for row in drawn]


def _request(query: int, documents: int, catalogue: LiveCatalogue) -> Candidates:
    return Candidates(
        queries=(Query(str(query), f"Query  {query}", time=2.0),),
        offsets=np.array([0, ASKED], dtype=np.int64),
        rows=np.array(_rows(query, documents), dtype=np.int32),
        scores=np.zeros(ASKED, dtype=np.float32),
        documents=catalogue,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200_000)
    documents = parser.parse_args().documents
    catalogue = LiveCatalogue(catalogue_of(documents))
    features = build_features([HOUR, *DEFINITIONS], SCHEMA)
    without = build_features([HOUR], SCHEMA)
    counters = counters_of(features.features)
    counts = counts_of(counters, documents)
    path = FOLDER / "benchmark.counts"
    write_snapshot(path, snapshot_of(1.0, counts))
    begun = time.perf_counter()
    snapshot = open_snapshot(path)
    opened = time.perf_counter()
    catalogue.behaviour = BoundCounts(snapshot, catalogue)
    bound = time.perf_counter()
    tables = [_table(counted) for counted in counts.values()]
    prior = sum(tables[0].values()) / sum(tables[1].values())
    pair_prior = sum(tables[2].values()) / sum(tables[3].values())
    requests = [_request(query, documents, catalogue) for query in range(ROUNDS)]

    def added(candidates: Candidates) -> tuple[float, Float32]:
        """Return the seconds that the features add to a set of one other, and their values."""
        start = time.perf_counter()
        without.matrix(candidates.bare())
        middle = time.perf_counter()
        matrix = features.matrix(candidates.bare())
        return time.perf_counter() - middle - (middle - start), matrix[:, 1:]

    for candidates in requests:
        added(candidates)
    following = [added(candidates)[0] for candidates in requests]
    ours, theirs = [], []
    for candidates in requests:
        ids = [f"listing-{row}" for row in candidates.rows]
        sellers = [f"seller {row % SELLERS}" for row in candidates.rows]
        seconds, matrix = added(candidates)
        start = time.perf_counter()
        text = " ".join(candidates.queries[0].text.casefold().split())
        asked = math.log1p(tables[4].get(text, 0.0))
        expected = [
            (
                (tables[0].get(i, 0.0) + 20 * prior) / (tables[1].get(i, 0.0) + 20),
                (tables[2].get((text, i), 0.0) + 20 * pair_prior)
                / (tables[3].get((text, i), 0.0) + 20),
                asked,
                math.log1p(tables[5].get(seller, 0.0)),
            )
            for i, seller in zip(ids, sellers, strict=True)
        ]
        held = np.array(expected, dtype=np.float32)
        theirs.append(time.perf_counter() - start)
        if not np.allclose(matrix, held, rtol=1e-5):
            raise SystemExit("the two do not agree")
        ours.append(seconds)
    print(f"{ASKED:,} candidates, 6 counters, {documents:,} documents; {machine()}")
    print("added to a set of one other feature:")
    print(f"  columns, one request after the other   {shown(following)}")
    print(f"  columns, in turns with the dicts       {shown(ours)}")
    print(f"  dicts                                  {shown(theirs)}")
    print(
        f"  the snapshot, {path.stat().st_size / 1e6:.0f} MB, is checked and mapped in "
        f"{opened - begun:.2f} s and bound to the catalogue in {bound - opened:.2f} s"
    )
    ratio = np.median(ours) / np.median(theirs)
    print(f"ratio: {ratio:.2f} x the time (target: {TARGET_MS} ms in all)")


def _table(counted: Counted) -> dict[Any, float]:
    texts, names = counted.texts, counted.names
    if texts is None or names is None:
        keys: Any = names if texts is None else texts
    else:
        keys = zip(texts, names, strict=True)
    return dict(zip(keys, counted.values.tolist(), strict=True))


if __name__ == "__main__":
    main()
