"""Index builds: whole or not at all, bad lines named, generations counted and pruned."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cascade.catalogue import Catalogue
from cascade.config import load_config, store_of
from cascade.engines._embedded.writer import EmbeddedWriter
from cascade.engines.embedded import EmbeddedEngine
from cascade.engines.embedded_host import EmbeddedHost
from cascade.errors import (
    CascadeError,
    ChecksumError,
    DocumentError,
    EngineError,
    NotFoundError,
    RefusedError,
)
from cascade.indexing import BuildReport, Files, OnError, Store, build
from cascade.indexing.build import BuildOptions
from cascade.indexing.checksums import compare
from cascade.indexing.generations import IDENTITY
from cascade.workflows import build_index
from tests.bookshop import books, schema
from tests.small_shop import write_shop

POINTERS = ("books.alias.json", "books.live.json")


def lines(folder: Path, *texts: str) -> Path:
    path = folder / "products.ndjson"
    path.write_text("\n".join(texts) + "\n")
    return path


def documents(count: int = 20) -> list[str]:
    return [json.dumps(book) for book in books(count)]


def built(folder: Path, *paths: Path, **options: object) -> BuildReport:
    return made(folder, EmbeddedHost(folder / "store", schema()), *paths, **options)


def made(folder: Path, host: EmbeddedHost, *paths: Path, **options: object) -> BuildReport:
    store = Store(folder / "store", "books")
    return build(store, schema(), Files(paths), host, BuildOptions(**options))


def left_in(folder: Path) -> list[str]:
    store = folder / "store"
    found = sorted(p.name for p in store.iterdir()) if store.is_dir() else []
    return [name for name in found if name != IDENTITY]


def test_a_build_makes_a_live_generation(tmp_path):
    report = built(tmp_path, lines(tmp_path, *documents()))
    assert report.generation.name == "books-000001"
    assert report.documents == 20
    store = Store(tmp_path / "store", "books")
    assert store.live().manifest["documents"] == 20
    assert len(Catalogue.open(store.live().catalogue, schema())) == 20
    assert left_in(tmp_path) == ["books-000001", *POINTERS]


def test_gzipped_files_are_read(tmp_path):
    path = tmp_path / "products.ndjson.gz"
    path.write_bytes(gzip.compress("\n".join(documents()).encode()))
    assert built(tmp_path, path).documents == 20


def test_a_broken_line_refuses_the_build_with_line_and_column(tmp_path):
    path = lines(tmp_path, *documents(2), '{"id": "x", "title": }', *documents(1))
    with pytest.raises(
        DocumentError, match=r"products\.ndjson, line 3, column 22.*Nothing was built"
    ):
        built(tmp_path, path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"title": "no id"}', "the id field 'id' is None"),
        ('["a", "list"]', "a document is a JSON object, not list"),
        ('{"id": "x", "price": "cheap"}', "field 'price'"),
        ('{"id": "x", "price": [1, 2]}', "2 values; accepted is one"),
        ('{"id": "x", "released": "soon"}', "'soon'; accepted is an ISO 8601 date"),
        ('{"id": "x", "title": {"en": "a"}}', "is dict; accepted is a string"),
        (json.dumps(books(1)[0]), "'b000'"),
    ],
)
def test_a_document_that_cannot_be_used_is_named_or_left_out(tmp_path, line, reason):
    path = lines(tmp_path, *documents(3), line)
    with pytest.raises(DocumentError) as caught:
        built(tmp_path, path)
    assert "line 4" in str(caught.value)
    assert reason in str(caught.value)
    report = built(tmp_path, path, on_error=OnError.SKIP)
    assert (report.documents, report.skipped) == (3, 1)
    assert reason in report.reasons[0]


def test_a_document_without_any_optional_field_is_indexed(tmp_path):
    report = built(tmp_path, lines(tmp_path, '{"id": "bare"}', *documents(1)))
    catalogue = Catalogue.open(report.generation.catalogue, schema())
    (row,) = catalogue.rows(["bare"])
    assert catalogue.tokens("title", catalogue.rows(["bare"])).lengths.tolist() == [0]
    assert row == 0


def test_a_truncated_file_refuses_the_build(tmp_path):
    path = tmp_path / "products.ndjson.gz"
    whole = gzip.compress("\n".join(documents(100)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DocumentError, match="cannot be read after line"):
        built(tmp_path, path)
    assert left_in(tmp_path) == []


def test_a_file_with_damaged_bytes_refuses_the_build(tmp_path):
    path = tmp_path / "products.ndjson.gz"
    content = bytearray(gzip.compress("\n".join(documents(200)).encode()))
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"cannot be read after line|not valid JSON"):
        built(tmp_path, path)
    assert left_in(tmp_path) == []


def test_files_without_a_usable_document_refuse_the_build(tmp_path):
    with pytest.raises(DocumentError, match="no document can be used"):
        built(tmp_path, lines(tmp_path, "{}"), on_error=OnError.SKIP)
    assert left_in(tmp_path) == []


def test_a_failed_build_leaves_the_live_generation(tmp_path):
    built(tmp_path, lines(tmp_path, *documents()))
    with pytest.raises(DocumentError):
        built(tmp_path, lines(tmp_path, "broken"))
    assert Store(tmp_path / "store", "books").live().name == "books-000001"
    assert left_in(tmp_path) == ["books-000001", *POINTERS]


def test_generations_count_up_and_old_ones_go(tmp_path):
    path = lines(tmp_path, *documents())
    assert [built(tmp_path, path).generation.name for _ in range(2)][-1] == "books-000002"
    assert built(tmp_path, path, keep=2).removed == ("books-000001",)
    assert Store(tmp_path / "store", "books").names() == ["books-000002", "books-000003"]


def test_dead_letters_go_with_their_generation(tmp_path):
    path = lines(tmp_path, *documents(), "{broken")
    for number in range(1, 4):
        report = built(tmp_path, path, on_error=OnError.SKIP)
        assert report.letters == tmp_path / "store" / f"books-00000{number}.dead.ndjson"
    assert report.removed == ("books-000001",)
    found = sorted(p.name for p in (tmp_path / "store").glob("*.dead.ndjson"))
    assert found == ["books-000002.dead.ndjson", "books-000003.dead.ndjson"]


def test_without_a_swap_the_live_generation_stays(tmp_path):
    path = lines(tmp_path, *documents())
    built(tmp_path, path)
    built(tmp_path, path, swap=False)
    store = Store(tmp_path / "store", "books")
    assert (store.live_name(), store.names()[-1]) == ("books-000001", "books-000002")


def test_indexes_share_a_store_by_name(tmp_path):
    fields, path = schema(), lines(tmp_path, *documents())
    for index in ("a", "b"):
        store = Store(tmp_path / "store", index)
        build(store, fields, Files((path,)), EmbeddedHost(store.root, fields))
        assert store.live().name == f"{index}-000001"


def test_an_index_that_was_never_built_says_how_to(tmp_path):
    with pytest.raises(NotFoundError, match="`cascade index build` makes one"):
        Store(tmp_path, "books").live()


def test_a_half_written_generation_is_refused(tmp_path):
    report = built(tmp_path, lines(tmp_path, *documents()))
    (report.generation.path / "generation.json").unlink()
    with pytest.raises(ChecksumError, match="missing or half-written; build the index again"):
        Store(tmp_path / "store", "books").live()


def test_every_file_of_a_catalogue_is_missed_when_it_is_gone(tmp_path):
    report = built(tmp_path, lines(tmp_path, *documents()))
    for path in sorted(report.generation.catalogue.iterdir()):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(CascadeError, match=path.name.replace(".", r"\.")):
            Catalogue.open(report.generation.catalogue, schema())
        path.write_bytes(content)
    Catalogue.open(report.generation.catalogue, schema(), verify=True)


class Harmed(EmbeddedWriter):
    """Write an index whose build is harmed, by `harm(folder of the engine)`, when it ends."""

    def __init__(self, folder, fields, harm):
        super().__init__(folder, fields)
        self.folder, self.harm, self.abandoned = folder, harm, 0

    def finish(self):
        super().finish()
        self.harm(self.folder)

    def abandon(self):
        self.abandoned += 1
        super().abandon()


class HarmingHost(EmbeddedHost):
    """Open writers that do harm, and keep them."""

    def __init__(self, folder, harm, writer=Harmed):
        super().__init__(folder / "store", schema())
        self.harm, self.writer, self.opened = harm, writer, []

    def open_writer(self, place, schema, options=None):
        self.opened.append(self.writer(place.folder, schema, self.harm))
        return self.opened[-1]


def harmed(folder: Path, path: Path, harm) -> None:
    made(folder, HarmingHost(folder, harm), path)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def test_one_flipped_bit_in_a_staged_file_is_found_before_the_generation_is_live(tmp_path):
    long = [json.dumps({"id": str(i), "blurb": "river winter road " * 300}) for i in range(300)]
    path = lines(tmp_path, *long)
    built(tmp_path, path)

    # The third 64 KiB block of 17 is none of those that are sampled whenever it is opened.
    def harm(engine):
        tokens = engine.parent / "catalogue" / "blurb.tokens"
        assert tokens.stat().st_size > 16 * 65_536
        flip(tokens, 2 * 65_536)
        Catalogue.open(tokens.parent, schema())

    with pytest.raises(ChecksumError, match=r"blurb\.tokens is not what its manifest promises"):
        harmed(tmp_path, path, harm)
    assert left_in(tmp_path) == ["books-000001", *POINTERS]
    assert Store(tmp_path / "store", "books").live_name() == "books-000001"


def test_an_engine_that_cannot_be_opened_is_not_published(tmp_path):
    with pytest.raises(ChecksumError, match="damaged"):
        harmed(
            tmp_path, lines(tmp_path, *documents()), lambda at: (at / "meta.json").write_text("{")
        )
    assert left_in(tmp_path) == []


def test_a_writer_that_fails_to_finish_is_abandoned_and_its_error_told(tmp_path):
    class Failing(Harmed):
        def finish(self):
            raise EngineError("the disk is full")

    host = HarmingHost(tmp_path, None, Failing)
    with pytest.raises(EngineError, match=r"the disk is full$"):
        made(tmp_path, host, lines(tmp_path, *documents()))
    assert [w.abandoned for w in host.opened] == [1]
    assert left_in(tmp_path) == []


def test_a_writer_is_abandoned_when_the_catalogue_fails_to_finish(tmp_path):
    class Blocking(Harmed):
        def add(self, row, document, tokens):
            super().add(row, document, tokens)
            # The catalogue cannot take its place: something lies there.
            (self.folder.parent / "catalogue" / "x").mkdir(parents=True, exist_ok=True)

    host = HarmingHost(tmp_path, None, Blocking)
    with pytest.raises(OSError, match="not empty"):
        made(tmp_path, host, lines(tmp_path, *documents()))
    assert [w.abandoned for w in host.opened] == [1]
    assert left_in(tmp_path) == []


def test_a_generation_promises_the_files_of_its_engine(tmp_path):
    found = built(tmp_path, lines(tmp_path, *documents())).generation
    promised = found.manifest["engine"]
    assert {"engine.json", "meta.json"} < set(promised)
    assert compare(found.engine, promised) is False
    for name in promised:
        flip(found.engine / name, -1)
        with pytest.raises(ChecksumError, match=re.escape(name)):
            compare(found.engine, promised)
        flip(found.engine / name, -1)
    (found.engine / "meta.json").unlink()
    with pytest.raises(ChecksumError, match=r"meta\.json is missing"):
        compare(found.engine, promised)


def test_a_manifest_without_the_engines_files_is_not_verified(tmp_path):
    with pytest.raises(ChecksumError, match="promises no checksums"):
        compare(tmp_path, None)


def test_updates_are_told_and_damage_is_found_after_them(tmp_path):
    found = built(tmp_path, lines(tmp_path, *documents())).generation
    promised = found.manifest["engine"]
    catalogue = Catalogue.open(found.catalogue, schema())
    engine = EmbeddedEngine(found.engine, schema(), catalogue)
    engine.delete([books(1)[0]["id"]])
    engine.refresh()
    engine.close()
    assert compare(found.engine, promised) is True
    (store,) = (name for name in promised if name.endswith(".store"))
    flip(found.engine / store, 10)
    with pytest.raises(ChecksumError, match=re.escape(store)):
        compare(found.engine, promised)


def test_a_second_build_of_an_index_is_refused_while_the_first_runs(tmp_path):
    path, told = lines(tmp_path, *documents()), []

    def second(_):
        with pytest.raises(RefusedError, match=r"'books' runs: books-000001, by process") as caught:
            built(tmp_path, path)
        told.append(str(caught.value))

    harmed(tmp_path, path, second)
    assert f"by process {os.getpid()} on " in told[0]
    assert left_in(tmp_path) == ["books-000001", *POINTERS]
    assert built(tmp_path, path).generation.name == "books-000002"


def test_indexes_of_one_store_are_built_at_once(tmp_path):
    path = lines(tmp_path, *documents())
    store = Store(tmp_path / "store", "others")

    def second(_):
        build(store, schema(), Files((path,)), EmbeddedHost(store.root, schema()))

    harmed(tmp_path, path, second)
    assert store.names() == ["others-000001"]


def test_the_folder_of_a_build_that_runs_is_kept_and_a_left_one_removed(tmp_path):
    root = tmp_path / "store"
    (root / ".building-books-000007").mkdir(parents=True)
    (root / ".building-books-000007" / "half").write_text("x")
    (root / ".building-other-000001").mkdir()
    store = Store(root, "books")
    with store.stage() as (first, kept):
        assert first == "books-000001"
        assert not (root / ".building-books-000007").exists()
        with pytest.raises(RefusedError, match="books-000001"), store.stage():
            pass
        assert kept.is_dir()
    assert left_in(tmp_path) == [".building-other-000001"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_interrupted_or_killed_is_in_nobodys_way(tmp_path, sent):
    config = write_shop(tmp_path)
    store = store_of(load_config(config)["plain"]).root
    before = sorted(p.name for p in store.iterdir())
    pipe = tmp_path / "pipe.ndjson"
    os.mkfifo(pipe)
    # A shell may have told its children to ignore the interrupt.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from cascade.cli import main; main()"
    )
    arguments = ["index", "build", "--config", str(config), "--input", str(pipe)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True
    )
    held = os.open(pipe, os.O_RDWR)  # the build waits for lines that never come
    try:
        until = time.monotonic() + 30
        while not list(store.glob(".building-*/engine/meta.json")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(sent)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
        os.close(held)
    assert "Traceback" not in told
    if sent == signal.SIGKILL:
        assert list(store.glob(".building-*"))
    else:
        assert process.returncode == 130
        assert "Interrupted" in told
        assert sorted(p.name for p in store.iterdir()) == before
    build_index(load_config(config)["plain"], [tmp_path / "products.ndjson"])
    assert not list(store.glob(".building-*"))
