"""Builds on real servers, killed again and again: none lost, none doubled, every row right.

The edition of `scripts/test --full` is small. The large one is run by hand:

    CASCADE_CRASH_DOCUMENTS=200000 CASCADE_CRASH_KILLS=10 CASCADE_CRASH_NODE_KILLS=3 \\
        pytest tests/engines/test_build.py -k killed
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cascade.candidates import Query
from cascade.catalogue import Catalogue
from cascade.config import load_config, open_host, schema_of, store_of
from cascade.errors import EngineError, EngineUnavailableError, NotFoundError
from cascade.filters import parse
from cascade.hosting import BulkOptions, Place
from cascade.indexing import Files, OnError, build
from cascade.indexing.build import BuildOptions
from cascade.indexing.checkpoint import Checkpoint
from cascade.protocols import Asked
from cascade.workflows import build_index
from tests.bookshop import SCHEMA
from tests.engines import processes
from tests.engines.assembly import UnavailableError
from tests.engines.servers import VERSIONS

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = int(os.environ.get("CASCADE_CRASH_DOCUMENTS", "20000"))
KILLS = int(os.environ.get("CASCADE_CRASH_KILLS", "2"))
NODE_KILLS = int(os.environ.get("CASCADE_CRASH_NODE_KILLS", "1"))
KINDS = ("elasticsearch", "opensearch", "solr")
WORDS = ("river", "winter", "garden", "silver", "night", "road", "salt", "stone")


def configured(folder: Path, kind: str, url: str):
    """Return a configuration with an index of its own."""
    index = f"build-{os.getpid()}-{random.randrange(10**6)}"
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "cascade.toml").write_text(
        f'name = "books"\n[engine]\nkind = "{kind}"\nurl = "{url}"\n'
        f'index = "{index}"\n[index]\nschema = "schema.toml"\nstore = "indexes"\n'
    )
    return load_config(folder / "cascade.toml")["books"]


@pytest.fixture
def config(tmp_path, server):
    """A configuration whose index is gone at the end."""
    made = configured(tmp_path, server.kind, server.url)
    index = made.settings.engine.index
    yield made
    host = open_host(made)
    for name in host.names(index):
        host.drop(Place(name, tmp_path))
    host.close()


def document(number: int) -> dict:
    return {
        "id": f"b{number}",
        "title": f"{WORDS[number % 8]} stories {number}",
        "blurb": f"a book about the {WORDS[number // 8 % 8]}",
        "genre": ["crime", "travel"][: number % 3],
        "seller": f"s{number % 10}",
        "price": number / 4,
    }


def write(path: Path, count: int, *extra: dict) -> Path:
    with path.open("w") as stream:
        stream.writelines(json.dumps(document(i)) + "\n" for i in range(count))
        stream.writelines(json.dumps(one) + "\n" for one in extra)
    return path


def assert_whole(config, generation, count: int) -> None:
    """Compare ids, documents and rows, one by one, with what was given."""
    schema = schema_of(config)
    catalogue = Catalogue.open(generation.catalogue, schema, verify=True)
    host = open_host(config, schema)
    try:
        ids = [doc_id for batch in host.ids(generation.place.name) for doc_id in batch]
        assert len(ids) == len(set(ids)) == count == host.state(generation.place).documents
        assert set(ids) == {f"b{i}" for i in range(count)}
        found = (raw for batch in host.documents(generation.place.name) for raw in batch)
        assert sum(raw == document(int(raw["id"][1:])) for raw in found) == count
        assert catalogue.rows([f"b{i}" for i in range(count)]).tolist() == list(range(count))
        assert_rows(host, generation, schema, catalogue, count)
    finally:
        host.close()


def assert_rows(host, generation, schema, catalogue, count: int) -> None:
    """Every document of the index has the row that the catalogue gives its id."""
    engine, seen, step = host.engine(generation.place, schema, catalogue), 0, 8_000
    try:
        for low in range(0, count, step):
            between = {"price": {"gte": low / 4, "lt": (low + step) / 4}}
            query = Query("all", "", filters=parse(between, schema))
            found = engine.retrieve([query], step, Asked(match_all=True)).candidates
            ids = found.ids()
            assert found.rows.tolist() == [int(doc_id[1:]) for doc_id in ids]
            seen += len(set(ids))
    finally:
        engine.close()
    assert seen == count


def test_a_build_whose_process_is_killed_again_and_again_ends_whole(config, tmp_path):
    path, chance = write(tmp_path / "products.ndjson", DOCUMENTS), random.Random(DOCUMENTS)
    store, reached = store_of(config), [0]
    command = [sys.executable, "-m", "cascade", "index", "build", "--json", "--config"]
    command += [str(tmp_path / "cascade.toml"), "--input", str(path)]
    for kill in range(KILLS):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        # Random moments that leave something for the runs that follow.
        left = DOCUMENTS * 0.6 - reached[-1]
        until = reached[-1] + max(0, left) * chance.random() / (KILLS - kill)
        while process.poll() is None and _acknowledged(store) <= until:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
        reached.append(_acknowledged(store))
    assert reached[1] > 0
    assert reached == sorted(reached)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["documents"], told["resumed"]) == (DOCUMENTS, reached[-1])
    assert_whole(config, store.live(), DOCUMENTS)
    host = open_host(config)
    assert host.names(store.index) == [told["generation"]] == [host.target(store.index)]
    host.close()


class Node:
    """A server that is killed, and started again on its data."""

    def __init__(self, kind, process):
        self.kind, self.process = kind, process

    def kill(self):
        processes.kill(self.process)

    def revive(self):
        self.process = processes.revive(self.process)


@pytest.fixture(scope="module", params=KINDS)
def node(request):
    """A server of its own, which may be killed."""
    try:
        started = processes.start(request.param, VERSIONS[request.param])
    except UnavailableError as error:
        pytest.skip(str(error))
    held = Node(request.param, started)
    yield held
    processes.stop(held.process)


def test_a_build_whose_node_is_killed_ends_whole(node, tmp_path):
    """The builder outlives the node: it tries again until that is back, or is started again."""
    config, chance = configured(tmp_path, node.kind, node.process.url), random.Random(DOCUMENTS)
    path, store = write(tmp_path / "products.ndjson", DOCUMENTS), store_of(config)
    command = [sys.executable, "-m", "cascade", "index", "build", "--json", "--config"]
    command += [str(tmp_path / "cascade.toml"), "--input", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    for kill in range(NODE_KILLS):
        until = DOCUMENTS * 0.6 * (kill + chance.random()) / NODE_KILLS
        while process.poll() is None and _acknowledged(store) <= until:
            time.sleep(0.01)
        node.kill()
        assert process.poll() is None, "it ended before the node was killed"
        time.sleep(chance.random() * 3)
        node.revive()
        if process.poll() is not None:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    if process.wait() != 0:
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    assert_whole(config, store.live(), DOCUMENTS)


def test_a_node_that_stays_away_ends_the_build_and_the_next_goes_on(node, tmp_path):
    config = configured(tmp_path, node.kind, node.process.url)
    source = Files((write(tmp_path / "products.ndjson", DOCUMENTS),))
    store, schema, host = store_of(config), schema_of(config), open_host(config)
    killed = []

    def kill_midway(step, count, total):
        if not killed and _acknowledged(store) > DOCUMENTS / 10:
            node.kill()
            killed.append(count)

    short = BuildOptions(bulk=BulkOptions(documents=500, retries=1))
    with pytest.raises(EngineError, match=r"documents are in .*; the same build goes on"):
        build(store, schema, source, host, short, kill_midway)
    host.close()
    acknowledged = _acknowledged(store)
    assert DOCUMENTS / 10 < acknowledged < DOCUMENTS
    node.revive()
    report = build_index(config, source.paths)
    assert report.resumed == acknowledged
    assert_whole(config, report.generation, DOCUMENTS)


def test_what_a_killed_node_took_is_there_before_a_writer_ends(node, tmp_path):
    """Solr ignores commits while it replays its log, and answers as if it had carried them out."""
    config = configured(tmp_path, node.kind, node.process.url)
    schema, host = schema_of(config), open_host(config)
    place = Place(f"{config.settings.engine.index}-000001", tmp_path)
    host.create(place, schema, {"made_by": "cascade"})
    most = DOCUMENTS // 500 * 500  # what is less than a request is sent at the end alone
    documents = [schema.document(document(number)) for number in range(most)]
    first = host.open_writer(place, schema, BulkOptions(documents=500))
    for row, one in enumerate(documents):
        first.add(row, one, {})
    until = time.monotonic() + 120
    while first.acknowledged < most and time.monotonic() < until:
        time.sleep(0.01)
    assert first.acknowledged == most
    node.kill()
    first.abandon()
    node.revive()
    second = _once_loaded(lambda: host.open_writer(place, schema, BulkOptions(skip=most)))
    for row, one in enumerate(documents):
        second.add(row, one, {})
    second.finish()
    assert host.state(place).documents == most
    host.drop(place)
    host.close()


def _once_loaded(ask):
    """Return an answer of a server that has just come up and may still load its indexes."""
    for _ in range(600):
        try:
            return ask()
        except (EngineUnavailableError, NotFoundError):
            time.sleep(0.1)
    return ask()


def _acknowledged(store) -> int:
    """Return how far the build that runs, or was killed, came."""
    found = [Checkpoint.read(path) for path in store.root.glob(".building-*")]
    return max((c.acknowledged for c in found if c is not None), default=0)


def test_documents_that_the_server_refuses_are_dead_letters(config, tmp_path):
    refused = document(7) | {"id": "x" * 40_000}
    path = write(tmp_path / "products.ndjson", 300, refused)
    report = build_index(config, [path], on_error=OnError.SKIP)
    assert (report.documents, report.skipped) == (300, 1)
    (letter,) = map(json.loads, report.letters.read_text().splitlines())
    assert letter["place"] == "products.ndjson, line 301"
    assert letter["given"] == refused
    assert report.generation.manifest["refused_rows"] == [300]
    assert_whole_but_one(config, report.generation)


def assert_whole_but_one(config, generation) -> None:
    assert store_of(config).live_name() == generation.name
    host = open_host(config)
    assert host.state(generation.place).documents == 300
    host.close()


def test_an_index_is_built_from_another_of_the_server(config, tmp_path):
    path = write(tmp_path / "products.ndjson", 2_500)
    build_index(config, [path])
    report = build_index(config, config.settings.engine.index)
    assert report.generation.name.endswith("-000002")
    assert report.documents == 2_500
    host = open_host(config)
    documents = [raw for batch in host.documents(report.generation.place.name) for raw in batch]
    host.close()
    assert sorted(documents, key=lambda raw: int(raw["id"][1:])) == [
        document(i) for i in range(2_500)
    ]


def test_a_build_that_must_not_leave_anything_drops_its_index(config, tmp_path):
    path = write(tmp_path / "products.ndjson", 50, document(3))
    schema, host = schema_of(config), open_host(config)
    with pytest.raises(Exception, match="was given to a document before"):
        build(store_of(config), schema, Files((path,)), host, BuildOptions())
    assert host.names(config.settings.engine.index) == []
    host.close()
