"""Building an index: documents a second and memory, against tantivy alone on the same documents.

Each build runs in a process of its own, whose anonymous memory is sampled. The peer parses the
same file and writes the same text, keyword and number fields by tantivy's own defaults: its
English analysis, its number of threads, no catalogue, no checks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import tantivy
from _shop import FOLDER, machine, memory_kb, products, shop

from cascade.config import schema_of
from cascade.schema import Kind, Schema
from cascade.workflows.index import build_index

QUOTED_IN_README = True

SAMPLE_S = 0.02


class PeakMemory:
    """Sample the anonymous memory of this process and its children, until asked for the peak."""

    def __init__(self) -> None:
        self._peak = _anonymous_kb()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._peak = max(self._peak, _anonymous_kb())

    def mb(self) -> float:
        """Return the peak in MB."""
        self._stop.set()
        self._thread.join()
        return self._peak / 1024


def _anonymous_kb() -> int:
    total = memory_kb("self", "status", "RssAnon")
    for child in multiprocessing.active_children():
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            total += memory_kb(str(child.pid), "status", "RssAnon")
    return total


def ours(listings: int) -> None:
    """Build by `cascade index build`'s own workflow."""
    config = shop(listings)
    build_index(config, [products(config)], beside=True)


def tantivy_alone(listings: int) -> None:
    """Write the documents by the plain binding."""
    config = shop(listings)
    schema = schema_of(config)
    folder = FOLDER / f"tantivy-{listings}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    plain = plain_schema(schema)
    writer = tantivy.Index(plain, str(folder)).writer()
    with products(config).open("rb") as stream:
        for line in stream:
            given = plain_document(schema, orjson.loads(line))
            writer.add_document(tantivy.Document.from_dict(given, plain))
    writer.commit()
    writer.wait_merging_threads()


def plain_schema(schema: Schema) -> tantivy.Schema:
    """Return the schema's fields as tantivy's defaults would have them."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    for field in schema.of_kind(Kind.TEXT):
        builder.add_text_field(field.name, stored=True, tokenizer_name="en_stem")
    for field in schema.of_kind(Kind.KEYWORD):
        builder.add_text_field(field.name, stored=True, fast=True, tokenizer_name="raw")
    for field in schema.of_kind(Kind.NUMBER):
        builder.add_float_field(field.name, stored=True, indexed=True, fast=True)
    return builder.build()


def plain_document(schema: Schema, raw: dict[str, Any]) -> dict[str, Any]:
    """Return what `from_dict` takes: no None, numbers as floats."""
    given: dict[str, Any] = {"id": raw["id"]}
    for field in schema.fields:
        value = raw.get(field.source[0] if field.source else field.name)
        if value is None or field.kind is Kind.DATE:
            continue
        given[field.name] = float(value) if field.kind is Kind.NUMBER else value
    return given


WAYS = {"cascade": ours, "tantivy": tantivy_alone}


def measured(way: str, listings: int) -> dict[str, float]:
    """Run one way in a process of its own and return its seconds and MB."""
    command = [sys.executable, str(Path(__file__)), "--listings", str(listings), "--way", way]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(answer)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2, help="Builds of each; the best counts.")
    parser.add_argument("--way", choices=sorted(WAYS), help="Build once, in this process.")
    asked = parser.parse_args()
    if asked.way:
        peak = PeakMemory()
        start = time.perf_counter()
        WAYS[asked.way](asked.listings)
        seconds = time.perf_counter() - start
        spent = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        used = sum(u.ru_utime + u.ru_stime for u in spent)
        print(json.dumps({"seconds": seconds, "cpu": used, "mb": peak.mb()}))
        return
    shop(asked.listings)
    best: dict[str, dict[str, float]] = {}
    for _ in range(asked.rounds):
        for way in WAYS:
            found = measured(way, asked.listings)
            if way not in best or found["seconds"] < best[way]["seconds"]:
                best[way] = found
    print(f"building an index of {asked.listings:,} listings; {machine()}")
    for way, found in best.items():
        print(
            f"  {way:<10} {asked.listings / found['seconds']:8,.0f} documents/s   "
            f"{found['seconds']:6.1f} s ({found['cpu']:.1f} s CPU)   "
            f"peak anonymous memory {found['mb']:5.0f} MB"
        )
    one, other = best["cascade"], best["tantivy"]
    print(
        f"ratio: {one['seconds'] / other['seconds']:.2f} x the time, "
        f"{one['mb'] / other['mb']:.2f} x the memory of tantivy alone "
        "(targets: 8,000 documents/s; 500 MB at 1,000,000)"
    )


if __name__ == "__main__":
    main()
