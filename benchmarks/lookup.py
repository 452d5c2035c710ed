"""Turning 1,000 document ids into rows: the catalogue's mapped table against a Python dict.

One id in ten is unknown. The dict is what a process would hold that reads the ids at its start;
its memory is private to each process, the table's pages are shared by all that map them.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import time

import numpy as np
from _shop import FOLDER, machine, memory_kb, shown

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import CascadeError
from cascade.schema import Document, Field, Kind, Schema

ASKED = 1_000
ROUNDS = 200
SCHEMA = Schema(id="id", fields=(Field("title", Kind.TEXT),))


def id_of(number: int) -> str:
    """Return an id as marketplaces make them."""
    return f"listing-{number * 2_654_435_761 % 2**40:012x}"


def catalogue_of(count: int) -> Catalogue:
    """Return a catalogue of that many ids, made once."""
    folder = FOLDER / f"lookup-{count}"
    try:
        return Catalogue.open(folder, SCHEMA)
    except CascadeError:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
    with CatalogueWriter(folder, SCHEMA, "lookup-000001") as writer:
        for number in range(count):
            writer.add(Document(id_of(number), {}, {}, {}, {}, {}))
        writer.finish()
    return Catalogue.open(folder, SCHEMA)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=1_000_000)
    asked = parser.parse_args()
    drawn = random.Random(7)
    batches = [
        [id_of(drawn.randrange(asked.ids * 10 // 9)) for _ in range(ASKED)] for _ in range(ROUNDS)
    ]
    catalogue_of(asked.ids).rows(batches[0])
    gc.collect()
    before = memory_kb("self", "status", "RssAnon")
    catalogue = catalogue_of(asked.ids)
    for batch in batches:
        catalogue.rows(batch)
    mapped = memory_kb("self", "status", "RssAnon") - before
    before = memory_kb("self", "status", "RssAnon")
    table = {id_of(number): number for number in range(asked.ids)}
    held = memory_kb("self", "status", "RssAnon") - before
    ours, theirs = [], []
    for batch in batches:
        start = time.perf_counter()
        rows = catalogue.rows(batch)
        middle = time.perf_counter()
        found = [table.get(doc_id, -1) for doc_id in batch]
        end = time.perf_counter()
        if rows.tolist() != found:
            raise SystemExit("the two do not agree")
        ours.append(middle - start)
        theirs.append(end - middle)
    print(f"{ASKED:,} ids to rows among {asked.ids:,}; {machine()}")
    print(f"  catalogue   {shown(ours)}   private memory {mapped / 1024:6.1f} MB")
    print(f"  dict        {shown(theirs)}   private memory {held / 1024:6.1f} MB")
    times, memory = np.median(ours) / np.median(theirs), mapped / held
    print(f"ratio: {times:.1f} x the time, {memory:.3f} x the private memory (target: 0.3 ms)")


if __name__ == "__main__":
    main()
