"""What this system adds to a server's own time: 1,000 candidates, retrieved and ranked.

For each engine in one run: the very requests that a search sends, replayed over a plain socket; our
retrieval; and our whole search with its page. The three take turns, query by query. A server is
given by `--server KIND=URL`, or by the variables CASCADE_TEST_ELASTICSEARCH_URL and so on.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass, field

from _recorder import Recorder, Replayer
from _shop import machine, products, query_texts, shop, shown

from cascade.candidates import Query
from cascade.config import Config, load_config, open_cascade, open_host
from cascade.protocols import NEVER
from cascade.workflows.index import build_index
from cascade.workflows.train import train_config

SIZE = 1_000
KINDS = ("elasticsearch", "opensearch", "solr")


@dataclass
class Times:
    """Seconds of each query."""

    raw_retrieve: list[float] = field(default_factory=list)
    raw_search: list[float] = field(default_factory=list)
    retrieve: list[float] = field(default_factory=list)
    search: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--server", action="append", default=[], metavar="KIND=URL")
    asked = parser.parse_args()
    servers = dict(given.split("=", 1) for given in asked.server)
    for kind in KINDS:
        if url := os.environ.get(f"CASCADE_TEST_{kind.upper()}_URL"):
            servers.setdefault(kind, url)
    if not servers:
        parser.error("give at least one --server KIND=URL, such as solr=http://localhost:8983/solr")
    embedded = shop(asked.listings)
    models(embedded)
    print(f"{SIZE:,} candidates of {asked.listings:,} listings; {machine()}")
    for kind, url in servers.items():
        show(kind, measured(embedded, kind, url, asked.queries))


def models(config: Config) -> None:
    """Train the shop's models on the embedded engine, once; every engine serves them."""
    judged = config.path.parent / "shop" / "judgments.tsv"
    if not (config.path.parent / "ltr_models").is_dir():
        build_index(config, [products(config)])
        train_config(config, judged)


def on_server(embedded: Config, kind: str, url: str) -> Config:
    """Return the shop's configuration on a server."""
    overrides = [
        f'engine.kind="{kind}"',
        f'engine.url="{url}"',
        'engine.index="bench-overhead"',
        f'index.store="indexes-{kind}"',
        f"retrieval.size={SIZE}",
    ]
    return next(iter(load_config(embedded.path, overrides).values()))


def measured(embedded: Config, kind: str, url: str, count: int) -> Times:
    """Return the times of one engine."""
    direct = on_server(embedded, kind, url)
    report = build_index(direct, [products(direct)])
    recorder = Recorder(url)
    watched, cascade = open_cascade(on_server(embedded, kind, recorder.url)), open_cascade(direct)
    replayer, times = Replayer(url), Times()
    try:
        for turn in range(2):
            for text in query_texts(direct, count):
                query = Query(text, text, time=report.generation.created)
                recorder.forget()
                watched.engine.retrieve([query], SIZE)
                retrieving = recorder.requests()
                recorder.forget()
                watched.search(query)
                searching = recorder.requests()
                taken = Times()
                timed(taken.raw_retrieve, lambda: [replayer.send(r) for r in retrieving])  # noqa: B023
                timed(taken.retrieve, lambda: cascade.engine.retrieve([query], SIZE))  # noqa: B023
                timed(taken.raw_search, lambda: [replayer.send(r) for r in searching])  # noqa: B023
                timed(taken.search, lambda: cascade.search(query, deadline=NEVER))  # noqa: B023
                if turn:
                    for name, seconds in vars(taken).items():
                        getattr(times, name).extend(seconds)
    finally:
        replayer.close()
        watched.engine.close()
        cascade.engine.close()
        recorder.close()
        host = open_host(direct)
        host.drop(report.generation.place)
        host.close()
    return times


def timed(into: list[float], work: object) -> None:
    """Add the seconds that a call takes."""
    start = time.perf_counter()
    work()  # type: ignore[operator]
    into.append(time.perf_counter() - start)


def show(kind: str, times: Times) -> None:
    """Print one engine's lines."""

    def beyond(ours: list[float], raw: list[float]) -> float:
        return statistics.median(a - b for a, b in zip(ours, raw, strict=True)) * 1e3

    print(f"{kind}")
    print(f"  retrieval, replayed over a socket   {shown(times.raw_retrieve)}")
    print(f"  retrieval, ours                     {shown(times.retrieve)}")
    print(f"  search, its requests replayed       {shown(times.raw_search)}")
    print(f"  search, ours, ranked, with its page {shown(times.search)}")
    retrieve = beyond(times.retrieve, times.raw_retrieve)
    search = beyond(times.search, times.raw_search)
    print(f"  beyond the server's time, median    retrieval {retrieve:.2f}, search {search:.2f} ms")
    ratio = statistics.median(times.retrieve) / statistics.median(times.raw_retrieve)
    print(f"ratio: retrieval {ratio:.2f} x the server's own time")


if __name__ == "__main__":
    main()
