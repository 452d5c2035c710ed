"""What this system adds to a server's own time: 1,000 candidates, retrieved and ranked.

For each engine in one run: the very requests that our retrieval sends, replayed over a plain socket
and read no further than to their end; our retrieval; the requests of a whole search, replayed; and
our whole search, ranked, with its page. They take turns, query by query, and each query counts the
best of its rounds. A server is given by `--server KIND=URL`, or by the variables
CASCADE_TEST_ELASTICSEARCH_URL and so on; the index is made for the run and removed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from _recorder import Recorder, Replayer
from _shop import judgments, machine, products, query_texts, shop, shown

from cascade.candidates import Query
from cascade.config import Config, load_config, open_cascade, open_host
from cascade.pipeline import Cascade
from cascade.workflows.index import build_index
from cascade.workflows.train import train_config

SIZE = 1_000
ROUNDS = 3
KINDS = ("elasticsearch", "opensearch", "solr")
RETRIEVED, RETRIEVAL = "retrieval, replayed over a socket", "retrieval, ours"
SEARCHED, SEARCH = "search, its requests replayed", "search, ours, ranked, with its page"


@dataclass(frozen=True)
class Taken:
    """Hold the wall seconds of some work, and the CPU seconds of this process, not the server's."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Case:
    """Hold a query, and what is sent for its retrieval and for its search."""

    query: Query
    retrieving: Sequence[bytes]
    searching: Sequence[bytes]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--server", action="append", default=[], metavar="KIND=URL")
    asked = parser.parse_args()
    servers = dict(given.split("=", 1) for given in asked.server)
    if not servers:
        names = {kind: f"CASCADE_TEST_{kind.upper()}_URL" for kind in KINDS}
        servers = {kind: os.environ[name] for kind, name in names.items() if name in os.environ}
    if not servers:
        parser.error("give at least one --server KIND=URL, such as solr=http://localhost:8983/solr")
    embedded = shop(asked.listings)
    train(embedded)
    print(f"{SIZE:,} candidates of {asked.listings:,} listings, {asked.queries} queries")
    print(machine())
    for kind, url in servers.items():
        print(f"{kind}; load {os.getloadavg()[0]:.1f}")
        show(on_server(embedded, kind, url, asked.queries))


def train(config: Config) -> None:
    """Train the shop's models on the embedded engine, once; every engine serves them."""
    if not (config.path.parent / "ltr_models").is_dir():
        build_index(config, [products(config)])
        train_config(config, judgments(config))


def on_server(embedded: Config, kind: str, url: str, count: int) -> dict[str, list[Taken]]:
    """Index the shop on a server, and return what each query took there."""
    config = at(embedded, kind, url)
    report = build_index(config, [products(config)])
    recorder, replayer = Recorder(url), Replayer(url)
    watched, cascade = open_cascade(at(embedded, kind, recorder.url)), open_cascade(config)
    try:
        queries = [
            Query(text, text, time=report.generation.created) for text in query_texts(config, count)
        ]
        cases = [recorded(recorder, watched, query) for query in queries]
        return measured(replayer, cascade, cases)
    finally:
        replayer.close()
        watched.engine.close()
        cascade.engine.close()
        recorder.close()
        host = open_host(config)
        host.drop(report.generation.place)
        host.close()
        shutil.rmtree(config.path.parent / f"indexes-{kind}")


def at(embedded: Config, kind: str, url: str) -> Config:
    """Return the shop's configuration on a server."""
    overrides = [
        f'engine.kind="{kind}"',
        f'engine.url="{url}"',
        'engine.index="bench-overhead"',
        f'index.store="indexes-{kind}"',
        f"retrieval.size={SIZE}",
    ]
    return next(iter(load_config(embedded.path, overrides).values()))


def recorded(recorder: Recorder, watched: Cascade, query: Query) -> Case:
    """Return what a cascade that asks by the recorder sends for a query."""
    recorder.forget()
    watched.engine.retrieve([query], SIZE)
    retrieving = recorder.requests()
    recorder.forget()
    watched.search(query)
    return Case(query, retrieving, recorder.requests())


def measured(replayer: Replayer, cascade: Cascade, cases: Sequence[Case]) -> dict[str, list[Taken]]:
    """Return what each query took, the best of its rounds; a first round only warms up."""
    rounds = []
    for turn in range(ROUNDS + 1):
        taken: dict[str, list[Taken]] = {}
        for number, case in enumerate(cases):
            works = list(works_of(replayer, cascade, case).items())
            first = (number + turn) % len(works)
            for name, work in works[first:] + works[:first]:
                taken.setdefault(name, []).append(clocked(work))
        rounds.append(taken)
    return {
        name: [
            Taken(min(one.wall for one in same), min(one.cpu for one in same))
            for same in zip(*(taken[name] for taken in rounds[1:]), strict=True)
        ]
        for name in rounds[0]
    }


def works_of(
    replayer: Replayer, cascade: Cascade, case: Case
) -> Mapping[str, Callable[[], object]]:
    """Return what is measured of one query."""
    return {
        RETRIEVED: lambda: [replayer.send(request) for request in case.retrieving],
        RETRIEVAL: lambda: cascade.engine.retrieve([case.query], SIZE),
        SEARCHED: lambda: [replayer.send(request) for request in case.searching],
        SEARCH: lambda: cascade.search(case.query),
    }


def clocked(work: Callable[[], object]) -> Taken:
    """Do some work and return what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def show(seen: Mapping[str, Sequence[Taken]]) -> None:
    """Print one engine's lines."""
    for name in (RETRIEVED, RETRIEVAL, SEARCHED, SEARCH):
        cpu = statistics.median(one.cpu for one in seen[name]) * 1e3
        print(f"  {name:35} {shown([one.wall for one in seen[name]])}   CPU {cpu:6.2f} ms")
    for what, ours, raw in (("retrieval", RETRIEVAL, RETRIEVED), ("search", SEARCH, SEARCHED)):
        pairs = list(zip(seen[ours], seen[raw], strict=True))
        wall = statistics.median(one.wall - other.wall for one, other in pairs) * 1e3
        cpu = statistics.median(one.cpu - other.cpu for one, other in pairs) * 1e3
        print(f"  {what} beyond the server's time   median {wall:.2f} ms   CPU {cpu:.2f} ms")
    walls = {name: statistics.median(one.wall for one in taken) for name, taken in seen.items()}
    print(f"ratio: retrieval {walls[RETRIEVAL] / walls[RETRIEVED]:.2f} x the server's own time")


if __name__ == "__main__":
    main()
