"""Updates reach every index and catalogue, in order, once, whatever happens between."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from index_of_versions import SCHEMA, Versions, document

from cascade.candidates import Query
from cascade.catalogue import Op
from cascade.engines.embedded_host import EmbeddedHost
from cascade.errors import (
    CascadeError,
    ChecksumError,
    DocumentError,
    EngineError,
    NotFoundError,
)
from cascade.indexing.log import Item
from cascade.indexing.replay import target_of
from cascade.indexing.swap import rollback, swap
from cascade.indexing.updates import Updater
from cascade.pipeline import Cascade, PageRequest
from cascade.schema import Field, Kind, Schema

BASE = {f"d{i}": 0 for i in range(20)}
KILLS = int(os.environ.get("CASCADE_UPDATE_KILLS", "2"))


@pytest.fixture
def index(tmp_path):
    return Versions(tmp_path / "store", EmbeddedHost(tmp_path / "store", SCHEMA))


def log_only(index, *items):
    """Write to the log as a process does that is killed before it reaches any engine."""
    with index.log.alone() as writer:
        writer.append([Item(Op.UPSERT, d["id"], d) if isinstance(d, dict) else d for d in items], 1)


def delete(doc_id):
    return Item(Op.DELETE, doc_id)


def test_an_update_is_in_engine_and_catalogue(index):
    generation = index.build(BASE).generation
    documents = [SCHEMA.document(document(doc_id, 5)) for doc_id in ("d3", "new", "d7")]
    report = index.updater.update(documents, ["d1", "nobody", "d7"])
    assert (report.upserts, report.deletes, report.position) == (3, 3, 6)
    assert report.generations == (generation.name,)
    assert (report.refused, dict(report.behind)) == ((), {})
    expected = {**BASE, "d3": 5, "new": 5}
    del expected["d1"], expected["d7"]
    assert index.held(generation) == expected


def test_the_row_of_an_upsert_is_its_place_in_the_log(index):
    generation = index.build(BASE).generation
    index.updater.update([], ["d0"])
    index.upsert(d5=1, d6=1)
    index.upsert(d5=2)
    live = index.live(generation)
    assert live.rows(["d5", "d6", "d0", "d1"]).tolist() == [22, 21, -1, 1]
    assert index.held(generation)["d5"] == 2


def test_without_a_generation_there_is_nothing_to_update(index):
    with pytest.raises(NotFoundError, match="cascade index build"):
        index.upsert(d1=1)
    assert index.log.position == 0


def test_kept_generations_receive_updates_so_that_a_rollback_loses_none(index):
    first = index.build(BASE).generation
    index.upsert(d1=1)
    second = index.build({**BASE, "d1": 1, "d2": 1}).generation
    index.upsert(d3=2)
    index.updater.update([], ["d4"])
    rollback(index.store, index.host, index.checks)
    assert index.store.live_name() == first.name
    index.upsert(d5=3)
    both = {**BASE, "d1": 1, "d3": 2, "d5": 3}
    del both["d4"]
    assert index.held(first) == both
    assert index.held(second) == {**both, "d2": 1}


def test_a_build_receives_what_was_logged_since_it_began(index):
    index.build(BASE)
    hooks = index.updater.hooks()
    index.upsert(d1=1, d2=1)
    index.updater.update([], ["d3"])
    assert hooks.position == 0
    # This build began before the updates, and reads a file from before them.
    old = replace_hooks(index, hooks)
    report = old.build(BASE, swap=False)
    assert report.generation.manifest["log_position"] == 0
    expected = {**BASE, "d1": 1, "d2": 1}
    del expected["d3"]
    assert index.held(report.generation) == expected
    # One that begins after them has them in its file, and nothing to catch up with.
    later = index.build({"d1": 9}, swap=False).generation
    assert later.manifest["log_position"] == 3
    assert index.held(later) == {"d1": 9}


def replace_hooks(index, hooks):
    """Return the same index, whose next build takes hooks that were made earlier."""

    class Earlier(Updater):
        def hooks(self):
            return hooks

    earlier = Versions(index.root, index.host)
    earlier.updater = Earlier(index.store, index.log, index.host, SCHEMA)
    return earlier


def test_what_a_killed_process_left_in_the_log_is_made_good_by_the_next(index):
    generation = index.build(BASE).generation
    log_only(index, document("d1", 7), delete("d2"), document("d3", 7))
    index.upsert(d4=8)
    expected = {**BASE, "d1": 7, "d3": 7, "d4": 8}
    del expected["d2"]
    assert index.held(generation) == expected


def test_catching_up_is_idempotent(index):
    generation = index.build(BASE).generation
    log_only(index, document("d1", 7), delete("d1"), document("d1", 8), delete("d2"))
    index.updater.catch_up(generation)
    expected = {**BASE, "d1": 8}
    del expected["d2"]
    assert index.held(generation) == expected
    # As if the process had been killed after the engine's answer, before it wrote it down.
    target_of(generation, SCHEMA).record.unlink()
    index.updater.catch_up(generation)
    index.updater.catch_up(generation)
    assert index.held(generation) == expected


def test_what_an_index_of_the_same_name_had_applied_counts_for_no_other(index):
    first = index.build(BASE).generation
    index.upsert(d1=1)
    assert target_of(first, SCHEMA).applied().position == 1
    manifest = {**first.manifest, "index": {"identity": "another"}}
    assert target_of(replace(first, manifest=manifest), SCHEMA).applied().position == 0


def test_a_kept_generation_that_fails_holds_nothing_up_and_catches_up_later(index):
    first = index.build(BASE).generation
    second = index.build(BASE).generation
    meta = first.engine / "meta.json"
    hidden = meta.rename(meta.with_suffix(".hidden"))
    report = index.updater.update([SCHEMA.document(document("d1", 4))])
    assert report.generations == (second.name,)
    assert list(report.behind) == [first.name]
    assert index.held(second)["d1"] == 4
    hidden.rename(meta)
    index.upsert(d2=5)
    assert index.held(first) == index.held(second) == {**BASE, "d1": 4, "d2": 5}


def test_an_update_that_the_live_index_fails_is_in_the_log_and_is_not_lost(index):
    generation = index.build(BASE).generation
    meta = generation.engine / "meta.json"
    hidden = meta.rename(meta.with_suffix(".hidden"))
    with pytest.raises(CascadeError):
        index.upsert(d1=4)
    hidden.rename(meta)
    index.updater.catch_up(generation)
    assert index.held(generation) == {**BASE, "d1": 4}


def test_what_becomes_live_before_an_update_has_the_pen_must_have_it(index):
    first = index.build(BASE).generation
    second = index.build(BASE, swap=False).generation

    class Failing(EmbeddedHost):
        def apply(self, place, schema, changes, *, refresh=True):
            if place.name == second.name:
                raise EngineError("no room")
            super().apply(place, schema, changes, refresh=refresh)

    def documents():
        index.store.make_live(second.name)
        yield SCHEMA.document(document("d1", 1))

    updater = Updater(index.store, index.log, Failing(index.store.root, SCHEMA), SCHEMA)
    with pytest.raises(EngineError, match="no room"):
        updater.update(documents())
    assert index.log.position == 1
    assert index.held(first)["d1"] == 1


def test_a_generation_of_other_fields_keeps_its_own(index):
    first = index.build(BASE).generation
    schema = Schema("id", (*SCHEMA.fields, Field("colour", Kind.KEYWORD)))
    updater = Updater(index.store, index.log, index.host, schema)
    updater.update([schema.document({**document("d1", 3), "colour": "red"})])
    assert index.held(first) == {**BASE, "d1": 3}
    number = Schema(
        "id",
        tuple(Field("brand", Kind.KEYWORD) if f.name == "version" else f for f in SCHEMA.fields),
    )
    # What the fields of today accept, those of then may not: the old document stays.
    log_only(index, {"id": "d2", "title": "cup", "version": "nine"}, document("d3", 4))
    updater = Updater(index.store, index.log, index.host, number)
    updater.catch_up(first)
    assert index.held(first) == {**BASE, "d1": 3, "d3": 4}


def test_a_patch_changes_some_keys_of_a_whole_document(index):
    generation = index.build(BASE).generation
    index.upsert(d1=3)
    report = index.updater.patch(
        [{"id": "d1", "version": 4}, {"id": "d2", "brand": None}, {"id": "d1", "brand": ["x"]}]
    )
    assert (report.upserts, report.deletes) == (2, 0)
    assert index.held(generation) == {**BASE, "d1": 4}
    (found,) = [
        raw for batch in index.host.documents(generation.name) for raw in batch if raw["id"] == "d1"
    ]
    assert found == {**document("d1", 3), "version": 4, "brand": ["x"]}
    live = index.live(generation)
    rows = live.rows(["d1", "d2"])
    codes = live.keywords("brand", rows)
    assert live.keyword_values("brand", codes.values) == ["x"]
    assert codes.lengths.tolist() == [1, 0]


def test_a_patch_of_nothing_and_one_that_breaks_a_document_change_nothing(index):
    generation = index.build(BASE).generation
    with pytest.raises(NotFoundError, match="'nobody'"):
        index.updater.patch([{"id": "d1", "version": 4}, {"id": "nobody", "version": 4}])
    with pytest.raises(DocumentError, match="version"):
        index.updater.patch([{"id": "d1", "version": "cheap"}])
    assert index.log.position == 0
    assert index.held(generation) == BASE


def test_a_deletion_is_hidden_while_the_engine_still_returns_it(index):
    generation = index.build(BASE).generation
    live = index.live(generation)
    engine = index.host.engine(generation.place, SCHEMA, live)
    cascade = Cascade(engine, live, size=100)
    page = PageRequest(size=50)
    assert len(cascade.search(Query("q", "cup"), page).items) == 20
    log_only(index, delete("d3"), delete("d11"))
    live.refresh()
    found = cascade.search(Query("q", "cup"), page)
    assert {item.id for item in found.items} == BASE.keys() - {"d3", "d11"}
    assert (found.total.value, found.trace.deleted, found.trace.retrieved) == (18, 2, 18)
    assert found.next_offset is None
    # A cut list is not taken for a whole one because rows fell out of it.
    cut = replace(cascade, size=5).search(Query("q", "cup"), PageRequest(size=5))
    assert cut.next_offset is not None
    engine.close()


def test_a_process_that_serves_sees_what_another_writes(index):
    generation = index.build(BASE).generation
    live = index.live(generation)
    cascade = Cascade(index.host.engine(generation.place, SCHEMA, live), live)
    other = Versions(index.root, EmbeddedHost(index.root, SCHEMA))
    other.upsert(zebra=3)
    page = cascade.search(Query("q", "zebra"))
    # Its row was read from the log, though nobody had refreshed the catalogue.
    assert [item.id for item in page.items] == ["zebra"]
    assert page.trace.unknown == 0
    assert live.numbers(["version"], live.rows(["zebra"])).tolist() == [[3.0]]
    other.updater.update([], ["zebra"])
    assert cascade.search(Query("q", "zebra")).items == ()
    cascade.engine.close()


def test_what_no_generation_needs_is_trimmed(index):
    index.log = index.updater.log = type(index.log)(index.log.folder, segment_bytes=1)
    index.build(BASE)
    index.upsert(d1=1)
    index.upsert(d2=1)
    assert index.updater.trim() == []
    second = index.build(BASE).generation
    index.store.remove("products-000001")
    assert index.updater.trim() == ["000000000001.ndjson"]
    index.upsert(d3=1)
    assert index.held(second) == {**BASE, "d3": 1}


def test_a_lost_log_is_refused(index):
    generation = index.build(BASE).generation
    index.upsert(d1=1)
    second = index.build({**BASE, "d1": 1}).generation
    for path in index.log.folder.glob("*.ndjson"):
        path.unlink()
    with pytest.raises(ChecksumError, match="log was lost"):
        index.live(second)
    with pytest.raises(ChecksumError, match="log was lost"):
        index.updater.catch_up(generation)


def test_a_heartbeat_changes_no_document(index):
    generation = index.build(BASE).generation
    assert index.updater.heartbeat() == 1
    index.upsert(d1=1)
    assert index.held(generation) == {**BASE, "d1": 1}


def test_values_that_are_too_old_read_as_absent_until_the_feed_speaks(index):
    generation = index.build(BASE).generation
    now = [generation.created]
    live = index.live(generation)
    live = type(live)(
        live.base,
        source=index.log.tail(0),
        fresh=generation.created,
        clock=lambda: now[0],
        max_age_s={f: 10.0 for f in ("version", "brand")},
    )
    rows = live.rows(["d1"])
    assert live.stale == ()
    assert live.numbers(["version"], rows).tolist() == [[0.0]]
    now[0] += 11
    assert set(live.stale) == {"version", "brand"}
    assert str(live.numbers(["version"], rows)[0, 0]) == "nan"
    assert live.keywords("brand", rows).lengths.tolist() == [0]
    with index.log.alone() as writer:
        writer.append([Item(Op.HEARTBEAT)], now[0])
    live.refresh()
    assert live.stale == ()
    assert live.numbers(["version"], rows).tolist() == [[0.0]]


def changing(index, model, seed, count, stop=None):
    """Upsert and delete at random, and keep the model true."""
    made = random.Random(seed)
    updater = Versions(index.root, index.host).updater
    version = seed * 1_000_000
    for _ in range(count):
        documents, gone = [], []
        for _ in range(made.randint(1, 6)):
            version += 1
            doc_id = f"d{made.randrange(60)}"
            if made.random() < 0.35:
                gone.append(doc_id)
            else:
                documents.append(SCHEMA.document(document(doc_id, version)))
        # As a shop does: its own database first, so that an export is never behind the log.
        model.update({d.id: int(d.numbers["version"]) for d in documents})
        for doc_id in gone:
            model.pop(doc_id, None)
        updater.update(documents, gone)
        if stop is not None and stop.is_set():
            return


def test_none_is_lost_and_none_comes_back_through_builds_swaps_and_a_rollback(index):
    index.build(BASE)
    model, done, failed = dict(BASE), threading.Event(), []

    def run():
        try:
            changing(index, model, 1, 400, done)
        except BaseException as error:
            failed.append(error)

    feed = threading.Thread(target=run)
    feed.start()
    for _ in range(2):
        name = index.build(model, swap=False).generation.name
        swap(index.store, index.host, name, SCHEMA, index.checks)
    rollback(index.store, index.host, index.checks)
    time.sleep(0.1)
    done.set()
    feed.join(30)
    assert failed == []
    assert len(index.store.names()) == 3
    for name in index.store.names():
        assert index.held(index.store.get(name)) == model, name


FEED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from index_of_versions import SCHEMA, Versions, document
from cascade.engines.embedded_host import EmbeddedHost
root = Path(sys.argv[1])
index = Versions(root, EmbeddedHost(root, SCHEMA))
version = index.log.position
while True:
    version += 1
    documents = [SCHEMA.document(document(f"d{(version + i) % 30}", version)) for i in range(3)]
    index.updater.update(documents, [f"d{(version * 7) % 30}"])
    sys.stdout.write(f"{index.log.position}\\n")
    sys.stdout.flush()
"""


def test_an_updater_that_is_killed_at_any_moment_loses_nothing(index):
    first = index.build(BASE).generation
    second = index.build(BASE).generation
    moments = random.Random(4)
    for _ in range(KILLS):
        command = [sys.executable, "-c", FEED, str(index.root), str(Path(__file__).parent)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        acknowledged = int(process.stdout.readline())
        time.sleep(moments.random() * 0.3)
        os.kill(process.pid, signal.SIGKILL)
        lines = process.stdout.read().split("\n")
        process.stdout.close()
        process.wait()
        acknowledged = max([acknowledged, *(int(line) for line in lines[:-1])])
        assert index.log.position >= acknowledged
        report = index.updater.update()
        assert dict(report.behind) == {}
        model = dict(BASE)
        for entry in index.log.read():
            if entry.op is Op.DELETE:
                model.pop(entry.doc_id, None)
            else:
                model[entry.doc_id] = entry.document["version"]
        assert index.held(first) == index.held(second) == model
