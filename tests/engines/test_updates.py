"""Updates on real servers: none lost, none resurrected, whatever is built and swapped meanwhile."""

import json
import os
import random
import secrets
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from index_of_versions import SCHEMA, Versions, document

from cascade.candidates import Query
from cascade.catalogue import Op
from cascade.cli.updates import follow
from cascade.config import load_config, open_host
from cascade.hosting import Change
from cascade.indexing.log import Item
from cascade.indexing.swap import rollback, swap
from cascade.pipeline import Cascade, PageRequest
from cascade.workflows import build_index

pytestmark = pytest.mark.full
BASE = {f"d{i}": 0 for i in range(2_000)}
CHANGES = int(os.environ.get("CASCADE_UPDATE_CHANGES", "10000"))
CHUNK = 50
CONFIG = """
name = "cups"
[engine]
kind = "{kind}"
url = "{url}"
index = "{index}"
refresh_s = 3600.0
[index]
schema = "schema.toml"
store = "indexes"
keep = 3
"""
FIELDS = """
id = "id"
[fields.title]
type = "text"
[fields.brand]
type = "keyword"
[fields.version]
type = "number"
"""


@pytest.fixture
def config(server, tmp_path):
    """A configuration of an index of its own, which is gone afterwards."""
    index = f"updates-{secrets.token_hex(4)}"
    (tmp_path / "schema.toml").write_text(FIELDS)
    path = tmp_path / "cascade.toml"
    path.write_text(CONFIG.format(kind=server.kind, url=server.url, index=index))
    config = load_config(path)["cups"]
    yield config
    host = open_host(config)
    for name in host.names(index):
        host.drop(Versions(tmp_path, host, index).place_of(name))
    host.close()


@pytest.fixture
def index(config, tmp_path):
    host = open_host(config)
    yield Versions(tmp_path / "indexes", host, config.settings.engine.index)
    host.close()


class Feed(threading.Thread):
    """Write many changes, and keep a model of what must be there in the end."""

    def __init__(self, index, config):
        super().__init__()
        self.index = Versions(index.root, open_host(config), index.store.index)
        self.model = dict(BASE)
        self.done = 0
        self.error = None

    def run(self):
        try:
            self._write()
        except BaseException as error:
            self.error = error
        finally:
            self.index.host.close()

    def _write(self):
        made = random.Random(11)
        while self.done < CHANGES:
            put, gone = {}, []
            for at in range(CHUNK):
                doc_id = f"d{made.randrange(3_000)}"
                if made.random() < 0.4:
                    gone.append(doc_id)
                else:
                    put[doc_id] = self.done + at + 1
            # As a shop does: its own database first, so that an export is never behind the log.
            self.model.update(put)
            for doc_id in gone:
                self.model.pop(doc_id, None)
            documents = [SCHEMA.document(document(*pair)) for pair in put.items()]
            report = self.index.updater.update(documents, gone)
            assert (report.refused, dict(report.behind)) == ((), {})
            self.done += CHUNK

    def reach(self, share):
        while self.done < share * CHANGES and self.is_alive():
            time.sleep(0.01)


def test_ten_thousand_changes_through_a_build_a_swap_and_a_rollback(index, config):
    first = index.build(BASE).generation
    feed = Feed(index, config)
    feed.start()
    feed.reach(0.1)
    at_start = feed.done
    built = index.build(feed.model, swap=False).generation
    assert feed.done > at_start
    feed.reach(0.4)
    swap(index.store, index.host, built.name, SCHEMA, index.checks)
    feed.reach(0.7)
    assert rollback(index.store, index.host, index.checks).generation == first.name
    feed.join()
    assert feed.error is None
    assert index.log.position >= CHANGES * 0.95
    for generation in (first, built):
        assert index.held(generation) == feed.model


def test_a_deletion_is_hidden_at_once_and_an_upsert_seen_with_its_features(index):
    generation = index.build(BASE).generation
    live = index.live(generation)
    engine = index.host.engine(generation.place, SCHEMA, live)
    cascade = Cascade(engine, live, size=100)
    page = PageRequest(size=5)
    # The server has not heard of it yet, and goes on returning the document.
    with index.log.alone() as writer:
        writer.append([Item(Op.DELETE, "d7")], 1.0)
    live.refresh()
    found = cascade.search(Query("q", "d7"), page)
    assert "d7" not in [item.id for item in found.items]
    assert found.trace.deleted == 1
    index.upsert(zebra=9)
    found = cascade.search(Query("q", "zebra"), page)
    assert [item.id for item in found.items] == ["zebra"]
    assert (found.trace.unknown, found.trace.deleted) == (0, 0)
    assert live.numbers(["version"], live.rows(["zebra"])).tolist() == [[9.0]]
    found = cascade.search(Query("q", "d7"), page)
    assert (found.total.value, found.trace.deleted) == (0, 0)
    report = index.updater.patch([{"id": "zebra", "version": 10}])
    assert report.upserts == 1
    assert index.held(generation) == {k: v for k, v in BASE.items() if k != "d7"} | {"zebra": 10}
    engine.close()


def test_an_index_that_others_write_is_followed(config, index, tmp_path):
    products = tmp_path / "products.ndjson"
    base = {f"d{i}": 0 for i in range(50)}
    products.write_text("\n".join(json.dumps(document(*pair)) for pair in base.items()))
    generation = build_index(config, [products]).generation
    theirs = {"d3": 5, "new": 1}
    changes = [Change(i, -1, SCHEMA.document(document(i, v))) for i, v in theirs.items()]
    index.host.apply(generation.place, SCHEMA, [*changes, Change("d4")])
    arguments = ["--config", str(config.path), "--set", "engine.owned=false", "--once", "--json"]
    done = CliRunner().invoke(follow, arguments)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["upserts"], told["deletes"], told["flipped"]) == (2, 1, "")
    live = index.live(generation)
    rows = live.current().astype(np.int32)
    versions = live.numbers(["version"], rows)[:, 0].astype(int).tolist()
    expected = {**base, **theirs}
    del expected["d4"]
    assert dict(zip(live.ids(rows), versions, strict=True)) == expected
