"""A shop of cups whose every document says which generation it belongs to, and its readers."""

import itertools
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from cascade.config import load_config, store_of
from cascade.indexing import BuildReport
from cascade.indexing.holds import fresh_holds
from cascade.workflows import build_index
from cascade.workflows.generations import collect_index, rollback_index, swap_index

COUNT = 40
SIZE = 10
READERS = 5
SETTLED_S = 60
SCHEMA = """
id = "id"
[fields.title]
type = "text"
[fields.build]
type = "number"
"""
CONFIG = """
name = "shop"
[index]
schema = "schema.toml"
store = "store"
"""


def write_numbered(folder: Path, engine: str = 'index = "cups"') -> Path:
    """Write the configuration of a shop without a generation, and return it."""
    (folder / "schema.toml").write_text(SCHEMA)
    path = folder / "cascade.toml"
    path.write_text(f"{CONFIG}[engine]\n{engine}\n")
    return path


def cups(number: int, count: int = COUNT, first: int = 0) -> list[dict]:
    """Return the documents of a build: all are cups, and say its number."""
    return [
        {"id": f"d{i:03d}", "title": f"cup w{i}", "build": number}
        for i in range(first, first + count)
    ]


def one(path: Path, *overrides: str):
    """Return the only configuration of the file."""
    return load_config(path, overrides)["shop"]


def build_number(
    path: Path, number: int, *overrides: str, swap: bool = True, documents=None
) -> BuildReport:
    """Build a generation; `number` is what its documents say."""
    products = path.parent / "products.ndjson"
    lines = cups(number) if documents is None else documents
    products.write_text("\n".join(map(json.dumps, lines)))
    return build_index(one(path, *overrides), [products], swap=swap)


def number_of(generation: str) -> int:
    return int(generation.rpartition("-")[2])


@contextmanager
def serving(path: Path, *overrides: str):
    """Run `cascade serve` in a process of its own, and give its address."""
    command = [sys.executable, "-m", "cascade", "serve", "--config", str(path), "--port", "0"]
    for override in overrides:
        command += ["--set", override]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told = process.stdout.readline()
        found = re.match(r"Serving .* on (http://127\.0\.0\.1:\d+) ", told)
        if not found:
            process.kill()
            raise AssertionError(f"{told}{''.join(process.communicate())}")
        yield found[1]
        process.terminate()
        _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()


class Readers:
    """Ask several services for pages at a steady rate, 50 a second in all, and keep every fault.

    A page's documents say which build they are of; all must be of the generation that the page
    names.
    """

    def __init__(self, urls: list[str], rate: float = 50.0) -> None:
        self.faults: list[str] = []
        self.pages: Counter = Counter()
        self._urls, self._pause = urls, READERS / rate
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(i,)) for i in range(READERS)]

    def __enter__(self):
        self.started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join(20)
        self.seconds = time.monotonic() - self.started

    def _read(self, offset: int) -> None:
        with httpx.Client(timeout=20) as client:
            following = time.monotonic()
            for turn in itertools.count(offset):
                following += self._pause
                if self._ended.wait(max(0.0, following - time.monotonic())):
                    return
                try:
                    self._page(client, self._urls[turn % len(self._urls)])
                except Exception as error:
                    self.faults.append(repr(error))

    def _page(self, client: httpx.Client, url: str) -> None:
        body = {"text": "cup", "size": SIZE, "budget_ms": 10_000}
        response = client.post(f"{url}/v1/search", json=body)
        page = response.json()
        if response.status_code != 200 or page["degraded"]:
            self.faults.append(response.text)
            return
        builds = [item["fields"]["build"] for item in page["items"]]
        if builds != [number_of(page["generation"])] * SIZE:
            self.faults.append(f"{page['generation']}: {builds}")
        self.pages[url, page["generation"]] += 1


def holds(config):
    store = store_of(config)
    return fresh_holds(store.objects, store.index)


def follow_swaps(path: Path, folder: Path, swaps: int) -> Readers:
    """Swap and roll back under three services with folders of their own; return their readers."""
    config = one(path)
    caches = [folder / f"cache{i}" for i in range(3)]
    with ExitStack() as running:
        urls = [
            running.enter_context(serving(path, f"index.cache={json.dumps(str(cache))}"))
            for cache in caches
        ]
        with Readers(urls) as readers:
            for number in range(2, swaps + 2):
                build_number(path, number, swap=False)
                report = swap_index(config, wait_s=SETTLED_S)
                assert (number_of(report.generation), report.replicas) == (number, 3)
                collect_index(config)
            last = report.generation
            report = rollback_index(config)
            assert report.seconds <= 1.0
            assert number_of(report.generation) == swaps
            end = time.monotonic() + SETTLED_S
            while {hold.serves for hold in holds(config)} != {report.generation}:
                assert time.monotonic() < end
                time.sleep(0.05)
        ready = [httpx.get(f"{url}/readyz").json()["cascades"]["shop"] for url in urls]
        assert {r["generation"] for r in ready} == {report.generation}
        for cache in caches:
            copies = {p.name for p in cache.iterdir() if (p / "generation.json").is_file()}
            assert {report.generation, last} <= copies
            assert len(copies) <= 4
    assert readers.faults == [], readers.faults[:5]
    assert {number_of(name) for _, name in readers.pages} == set(range(1, swaps + 2))
    # Each service has taken its word back.
    assert holds(config) == []
    return readers
