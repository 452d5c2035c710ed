"""A build that was killed, or lost its server, is gone on with: none lost, none doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cascade.catalogue import Catalogue
from cascade.errors import (
    DocumentError,
    EngineError,
    EngineUnavailableError,
    NotFoundError,
    RefusedError,
)
from cascade.hosting import BulkOptions, Place
from cascade.indexing import Files, IndexSource, OnError, Store, build
from cascade.indexing.build import BuildOptions
from cascade.indexing.builders import refuse_other_builders
from cascade.indexing.checkpoint import Checkpoint, Resuming
from cascade.indexing.generations import CHECKPOINT, IDENTITY
from tests.bookshop import books, schema
from tests.folder_host import FolderHost, FolderWriter

ROOT = Path(__file__).resolve().parent.parent
BATCH = BulkOptions(documents=10)


def written(folder: Path, given: list[dict]) -> Files:
    path = folder / "products.ndjson"
    path.write_text("".join(json.dumps(d) + "\n" for d in given))
    return Files((path,))


def store_of(folder: Path) -> Store:
    return Store(folder / "store", "books")


def built(folder: Path, host: FolderHost, source, **options):
    options = BuildOptions(bulk=BATCH, **options)
    return build(store_of(folder), schema(), source, host, options)


def lost(folder: Path, source, batches: int = 4) -> FolderHost:
    """Build with a server that is gone after so many batches of 10."""
    host = FolderHost(folder / "server", batches)
    with pytest.raises(EngineUnavailableError):
        built(folder, host, source)
    return host


def assert_whole(folder: Path, host: FolderHost, name: str, given: list[dict]) -> None:
    """Each document is in the index once, in the row that the catalogue gives it."""
    catalogue = Catalogue.open(folder / "store" / name / "catalogue", schema(), verify=True)
    found = host.rows(name)
    assert {doc_id: raw for doc_id, (_, raw) in found.items()} == {d["id"]: d for d in given}
    rows = catalogue.rows([d["id"] for d in given]).tolist()
    assert [found[d["id"]][0] for d in given] == rows == list(range(len(given)))


def test_the_same_build_goes_on_where_the_server_was_lost(tmp_path):
    source = written(tmp_path, books(95))
    host = FolderHost(tmp_path / "server", 4)
    message = r"node is gone\. 40 documents are in books-000001; the same build goes on"
    with pytest.raises(EngineUnavailableError, match=message):
        built(tmp_path, host, source)
    again = FolderHost(tmp_path / "server")
    report = built(tmp_path, again, source)
    assert (report.generation.name, report.documents, report.resumed) == ("books-000001", 95, 40)
    assert again.sent == list(range(40, 95))
    assert_whole(tmp_path, again, "books-000001", books(95))
    assert not list((tmp_path / "store").rglob(f"*{CHECKPOINT}"))
    assert again.target("books") == store_of(tmp_path).live_name() == "books-000001"


def test_a_build_of_other_documents_begins_anew_and_drops_what_was_left(tmp_path):
    before = lost(tmp_path, written(tmp_path, books(95))).state(Place("books-000001", tmp_path))
    report = built(tmp_path, FolderHost(tmp_path / "server"), written(tmp_path, books(60)))
    host = FolderHost(tmp_path / "server")
    assert (report.generation.name, report.documents, report.resumed) == ("books-000002", 60, 0)
    assert host.names("books") == ["books-000002"]
    assert host.state(report.generation.place).identity != before.identity
    assert report.generation.manifest["index"] == {
        "kind": "folder",
        "name": "books-000002",
        "identity": host.state(report.generation.place).identity,
    }
    assert_whole(tmp_path, host, "books-000002", books(60))


def test_a_build_with_another_schema_begins_anew(tmp_path):
    source = written(tmp_path, books(95))
    lost(tmp_path, source)
    host, fields = FolderHost(tmp_path / "server"), schema()
    fewer = type(fields)(fields.id, fields.fields[:-1])
    report = build(store_of(tmp_path), fewer, source, host, BuildOptions(bulk=BATCH))
    assert report.resumed == 0
    assert len(host.sent) == 95


def test_an_index_that_was_made_anew_is_not_gone_on_with_and_not_dropped(tmp_path):
    source = written(tmp_path, books(95))
    host = lost(tmp_path, source)
    host.drop(Place("books-000001", tmp_path))
    host.create(Place("books-000001", tmp_path), schema(), {"made_by": "others"})
    report = built(tmp_path, FolderHost(tmp_path / "server"), source)
    assert (report.generation.name, report.resumed) == ("books-000002", 0)
    assert host.state(Place("books-000001", tmp_path)).about == {"made_by": "others"}


def test_a_server_that_does_not_know_its_indexes_yet_is_asked_again(tmp_path):
    class Waking(FolderHost):
        asleep = 3

        def state(self, place):
            self.asleep -= 1
            if self.asleep >= 0:
                raise (NotFoundError, EngineError)[self.asleep % 2]("not yet")
            return super().state(place)

    source, waited = written(tmp_path, books(95)), []
    lost(tmp_path, source)
    folder = tmp_path / "store" / ".building-books-000001"
    left = Checkpoint.read(folder)
    waking = Resuming(Waking(tmp_path / "server"), source, left, waited.append)
    assert waking.resumes("books-000001", folder)
    assert waited == [1.0, 1.0, 1.0]
    gone = Resuming(FolderHost(tmp_path / "nowhere"), source, left, waited.append)
    assert not gone.resumes("books-000001", folder)
    assert len(waited) == 13


def test_a_name_that_others_took_meanwhile_is_refused_and_left_alone(tmp_path):
    class Late(FolderHost):
        def names(self, index):
            return []

    host = Late(tmp_path / "server")
    host.create(Place("books-000001", tmp_path), schema(), {"made_by": "others"})
    with pytest.raises(RefusedError, match="there already"):
        built(tmp_path, host, written(tmp_path, books(5)))
    assert host.state(Place("books-000001", tmp_path)).about == {"made_by": "others"}
    assert [p.name for p in (tmp_path / "store").iterdir() if p.name != IDENTITY] == []


def test_an_error_that_comes_again_at_the_same_place_ends_the_build_for_good(tmp_path):
    class Broken(FolderWriter):
        def finish(self):
            self.send()
            raise EngineError("the mapping is broken")

    class BrokenHost(FolderHost):
        def open_writer(self, place, schema, options):
            return Broken(self, self.root / place.name / "documents", options)

    source, host = written(tmp_path, books(25)), BrokenHost(tmp_path / "server")
    with pytest.raises(EngineError, match="goes on from there"):
        built(tmp_path, host, source)
    with pytest.raises(EngineError, match=r"the mapping is broken$"):
        built(tmp_path, host, source)
    assert host.names("books") == []
    assert [p.name for p in (tmp_path / "store").iterdir() if p.name != IDENTITY] == []


def unwanted(count: int, *rows: int) -> list[dict]:
    given = books(count)
    for row in rows:
        given[row]["title"] = f"unwanted {row}"
    return given


def letters_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_documents_that_the_server_refuses_are_dead_letters_and_do_not_count(tmp_path):
    given = unwanted(40, 3, 31)
    path = written(tmp_path, given).paths[0]
    path.write_text(path.read_text() + "{broken\n")
    host = FolderHost(tmp_path / "server")
    report = built(tmp_path, host, Files((path,)), on_error=OnError.SKIP)
    assert (report.documents, report.skipped) == (38, 3)
    assert report.letters == tmp_path / "store" / "books-000001.dead.ndjson"
    broken, *refused = sorted(
        letters_of(report.letters), key=lambda one: one["place"], reverse=True
    )
    assert broken["place"] == "products.ndjson, line 41, column 2"
    assert broken["given"] == "{broken"
    assert [(one["place"], one["given"]) for one in refused] == [
        ("products.ndjson, line 4", given[3]),
        ("products.ndjson, line 32", given[31]),
    ]
    assert refused[0]["reason"] == "the server refused 'b003': mapper: unwanted"
    manifest = report.generation.manifest
    assert (manifest["documents"], manifest["refused"]) == (40, 2)
    assert manifest["refused_rows"] == [3, 31]
    assert len(Catalogue.open(report.generation.catalogue, schema())) == 40


def test_a_document_that_the_server_refuses_ends_a_build_that_refuses(tmp_path):
    host = FolderHost(tmp_path / "server")
    with pytest.raises(DocumentError, match=r"line 32: the server refused 'b031'.*Nothing was"):
        built(tmp_path, host, written(tmp_path, unwanted(40, 31)))
    assert host.names("books") == []
    assert [p.name for p in (tmp_path / "store").iterdir() if p.name != IDENTITY] == []


def test_what_was_refused_before_a_kill_is_known_after_it(tmp_path):
    source = written(tmp_path, unwanted(95, 3, 50))
    host = FolderHost(tmp_path / "server", 4)
    with pytest.raises(EngineUnavailableError):
        built(tmp_path, host, source, on_error=OnError.SKIP)
    report = built(tmp_path, FolderHost(tmp_path / "server"), source, on_error=OnError.SKIP)
    assert (report.documents, report.skipped, report.resumed) == (93, 2, 40)
    assert report.generation.manifest["refused_rows"] == [3, 50]
    places = [one["place"] for one in letters_of(report.letters)]
    assert places == ["products.ndjson, line 4", "products.ndjson, line 51"]


def test_a_replay_begins_where_the_log_stood_at_the_first_start(tmp_path):
    source, told = written(tmp_path, books(95)), []
    with pytest.raises(EngineUnavailableError):
        built(tmp_path, FolderHost(tmp_path / "server", 4), source, log_position=7)

    def replay(place, position):
        told.append((place.name, position))
        assert Checkpoint.read(place.folder.parent).replaying

    report = built(
        tmp_path,
        FolderHost(tmp_path / "server"),
        source,
        log_position=99,
        before_publish=replay,
    )
    assert told == [("books-000001", 7)]
    assert report.generation.manifest["log_position"] == 7


def test_a_build_that_ended_in_its_replay_begins_anew(tmp_path):
    source = written(tmp_path, books(30))

    def replay(place, position):
        raise EngineUnavailableError("gone in the replay")

    with pytest.raises(EngineUnavailableError, match=r"replay$"):
        built(tmp_path, FolderHost(tmp_path / "server"), source, before_publish=replay)
    assert FolderHost(tmp_path / "server").names("books") == []
    assert built(tmp_path, FolderHost(tmp_path / "server"), source).resumed == 0


def test_an_index_is_built_from_another_in_an_order_that_stays(tmp_path):
    old = FolderHost(tmp_path / "server")
    first = built(tmp_path, old, written(tmp_path, books(95)))
    source = IndexSource(old, "books")
    host = FolderHost(tmp_path / "server", 4)
    with pytest.raises(EngineUnavailableError):
        built(tmp_path, host, source)
    # What the old index became meanwhile must not change the rows of what was brought in.
    lines = (tmp_path / "server" / first.generation.name / "documents").read_text().splitlines()
    turned = "\n".join(reversed(lines)) + "\n"
    (tmp_path / "server" / first.generation.name / "documents").write_text(turned)
    report = built(tmp_path, FolderHost(tmp_path / "server"), source)
    assert (report.generation.name, report.resumed) == ("books-000002", 40)
    assert_whole(tmp_path, host, "books-000002", books(95))
    assert not list(report.generation.path.glob("spool*"))


BUILDER = """
import sys
from pathlib import Path
from tests.test_indexing_resume import FolderHost, Files, built
folder = Path(sys.argv[1])
built(folder, FolderHost(folder / "server", delay_s=0.02), Files((folder / "products.ndjson",)))
"""


def test_a_build_killed_again_and_again_ends_whole(tmp_path):
    """Each run is killed at a moment of its own after it began to fill."""
    given, chance = books(1_000), random.Random(5)
    for number, book in enumerate(given):
        book["id"] = f"b{number:05d}"
    source, reached = written(tmp_path, given), []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path)], cwd=ROOT)
        until, folder = time.monotonic() + 30, tmp_path / "store" / ".building-books-000001"
        saved = reached[-1] if reached else 0
        while time.monotonic() < until and process.poll() is None:
            told = Checkpoint.read(folder)
            if told is not None and told.acknowledged > saved:
                break
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        told = Checkpoint.read(folder)
        if told is not None:
            reached.append(told.acknowledged)
    report = built(tmp_path, FolderHost(tmp_path / "server"), source)
    assert reached == sorted(reached)
    assert 0 < reached[0] < 1_000
    assert report.resumed == reached[-1]
    assert_whole(tmp_path, FolderHost(tmp_path / "server"), report.generation.name, given)


@pytest.mark.parametrize(
    ("age_s", "added", "refused"),
    [(3_600, 1, True), (3_600, 0, False), (1, 0, True)],
    ids=["one that grows", "one that stands still", "one that begins"],
)
def test_a_builder_on_another_machine_is_seen_by_what_it_does(tmp_path, age_s, added, refused):
    host = FolderHost(tmp_path / "server")
    started = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    about = {"made_by": "cascade", "builder": "process 7 on far", "started": started}
    host.create(Place("books-000003", tmp_path), schema(), about)

    def meanwhile(seconds):
        with (tmp_path / "server" / "books-000003" / "documents").open("a") as stream:
            stream.write('[0, "x", {}]\n' * added)

    if refused:
        with pytest.raises(RefusedError, match="runs elsewhere: books-000003, by process 7 on far"):
            refuse_other_builders(host, "books", {"books-000001"}, meanwhile)
    else:
        refuse_other_builders(host, "books", {"books-000001"}, meanwhile)


def test_generations_of_ones_own_are_not_watched(tmp_path):
    host = FolderHost(tmp_path / "server")
    host.create(Place("books-000003", tmp_path), schema(), {"made_by": "cascade"})
    refuse_other_builders(host, "books", {"books-000003"}, lambda seconds: pytest.fail("waited"))
    host.point("books", Place("books-000003", tmp_path))
    refuse_other_builders(host, "books", set(), lambda seconds: pytest.fail("waited"))


def test_a_checkpoint_is_read_as_it_was_written_or_not_at_all(tmp_path):
    checkpoint = Checkpoint("source", "schema", "folder", acknowledged=7, log_position=3)
    checkpoint.write(tmp_path)
    assert Checkpoint.read(tmp_path) == checkpoint
    assert checkpoint.builder.pid == os.getpid()
    path = tmp_path / CHECKPOINT
    path.write_text(path.read_text()[:-5])
    assert Checkpoint.read(tmp_path) is None
