"""Naming 1,000 hits of 10 KB documents on 5 shards: by `_id`, by doc values, by row alone.

The three ways ask the same query of one index and take turns: `_id`, for which a server opens every
stored document; the id's doc values without stored fields; and this system's order by score and
row, whose sort values are all that is read. A server is given by `--server KIND=URL`, or by the
variables CASCADE_TEST_ELASTICSEARCH_URL and CASCADE_TEST_OPENSEARCH_URL.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from _shop import machine, shown

from cascade.engines._rest.client import RestClient
from cascade.engines._rest.host import ELASTICSEARCH, OPENSEARCH, RestHost
from cascade.engines.connection import Connection, IndexShape
from cascade.engines.elasticsearch import ElasticsearchClient
from cascade.engines.opensearch import OpenSearchClient
from cascade.hosting import ID_FIELD, ROW_FIELD, BulkOptions, Place
from cascade.schema import Field, Kind, Schema

SIZE = 1_000
SHARDS = 5
SCHEMA = Schema("id", (Field("title", Kind.TEXT),))
WORDS = [f"word{i}" for i in range(40)]
SERVERS = {
    "elasticsearch": (ElasticsearchClient, ELASTICSEARCH),
    "opensearch": (OpenSearchClient, OPENSEARCH),
}
BY_SCORE: dict[str, Any] = {"_source": False}
WAYS: dict[str, tuple[Mapping[str, Any], str]] = {
    "_id": (BY_SCORE, "_id,hits.hits._score"),
    "doc values of the id": (
        {**BY_SCORE, "stored_fields": "_none_", "docvalue_fields": [ID_FIELD]},
        "fields,hits.hits._score",
    ),
    "row, as sorted by": (
        {
            **BY_SCORE,
            "stored_fields": "_none_",
            "sort": [{"_score": "desc"}, {ROW_FIELD: {"order": "asc", "missing": "_last"}}],
        },
        "sort",
    ),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=20_000)
    parser.add_argument("--kilobytes", type=int, default=10)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--server", action="append", default=[], metavar="KIND=URL")
    asked = parser.parse_args()
    servers = dict(given.split("=", 1) for given in asked.server)
    for kind in SERVERS:
        if url := os.environ.get(f"CASCADE_TEST_{kind.upper()}_URL"):
            servers.setdefault(kind, url)
    if not set(servers) & set(SERVERS):
        parser.error("give at least one --server elasticsearch=URL or opensearch=URL")
    print(f"{SIZE:,} of {asked.listings:,} documents of {asked.kilobytes} KB; {machine()}")
    for kind, (client_class, dialect) in SERVERS.items():
        if kind in servers:
            client = client_class(Connection(urls=(servers[kind],)))
            host = RestHost(client, dialect, IndexShape(shards=SHARDS), None)
            place = Place(f"bench-{secrets.token_hex(4)}-000001", Path())
            try:
                fill(host, place, asked.listings, asked.kilobytes)
                show(kind, measured(client, place.name, asked.queries))
            finally:
                host.drop(place)
                host.close()


def fill(host: RestHost, place: Place, listings: int, kilobytes: int) -> None:
    """Make the index: short titles, and long texts that are only stored."""
    host.create(place, SCHEMA, {})
    writer = host.open_writer(place, SCHEMA, BulkOptions())
    rng = random.Random(5)
    for row in range(listings):
        title = " ".join(rng.choices(WORDS, k=4))
        about = rng.randbytes(512 * kilobytes).hex()
        raw = {"id": f"document-{row:08}", "title": title, "about": about}
        writer.add(row, SCHEMA.document(raw), {})
    writer.finish()


def measured(client: RestClient, name: str, queries: int) -> dict[str, list[float]]:
    """Return the seconds of each query, the answer's decoding included, by way."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    decoder = msgspec.json.Decoder()
    for turn in range(2):
        for text in texts(queries):
            for way, (body, wanted) in WAYS.items():
                query = {"match": {"title": text}}
                data = json.dumps({"query": query, "size": SIZE, **body}).encode()
                params = {"filter_path": f"hits.hits.{wanted}"}
                start = time.perf_counter()
                answer = client.request("POST", f"/{name}/_search", params=params, body=data)
                hits = decoder.decode(answer.body)["hits"]["hits"]
                if turn:
                    times[way].append(time.perf_counter() - start)
                assert len(hits) == SIZE, "give more --listings"
    return times


def texts(count: int) -> Iterator[str]:
    """Yield queries of two words."""
    rng = random.Random(7)
    for _ in range(count):
        yield " ".join(rng.sample(WORDS, k=2))


def show(kind: str, times: Mapping[str, list[float]]) -> None:
    """Print the times of a server, and what the first way takes against the others."""
    print(f"{kind}, {SHARDS} shards")
    for way, seconds in times.items():
        print(f"  {way:22} {shown(seconds)}")
    slow, values, row = (statistics.median(seconds) for seconds in times.values())
    print(f"ratio of {kind}: _id takes {slow / values:.2f} x doc values, {slow / row:.2f} x row")


if __name__ == "__main__":
    main()
