"""A catalogue of an index that others made: read from it, with nothing written to it."""

from dataclasses import replace
from pathlib import Path

import pytest

from cascade.catalogue import Catalogue
from cascade.errors import DocumentError, NotFoundError
from cascade.hosting import BulkOptions, Place
from cascade.indexing.dead_letters import OnError
from cascade.indexing.generations import Store
from cascade.indexing.snapshot import SnapshotOptions, read_catalogue
from cascade.schema import Field, Kind, Schema
from tests.folder_host import FolderHost

SCHEMA = Schema("id", (Field("title", Kind.TEXT), Field("price", Kind.NUMBER)))
READ = SnapshotOptions()


class Shop:
    """An index `cups-v2` of others behind the alias `cups`, and a store of ours."""

    def __init__(self, folder: Path):
        self.host = FolderHost(folder / "theirs")
        self.store = Store(folder / "ours", "cups")
        self.told: list[tuple[str, int]] = []

    def fill(self, raws, name="cups-v2"):
        place = Place(name, Path())
        self.host.create(place, SCHEMA, {})
        plain = Schema("id", ())
        writer = self.host.open_writer(place, plain, BulkOptions())
        for row, raw in enumerate(raws):
            writer.add(row, plain.document(raw), {})
        writer.finish()
        self.host.point("cups", place)
        return place

    def read(self, options=READ):
        def told(step, done, total):
            self.told.append((step, done))

        return read_catalogue(self.store, SCHEMA, self.host, options, told)

    def files(self):
        """Return what their index is on disk."""
        return {p: p.read_bytes() for p in self.host.root.rglob("*") if p.is_file()}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def cup(doc_id, price=1):
    return {"id": doc_id, "title": f"Red cup {doc_id}", "price": price}


def test_a_generation_holds_their_documents_and_names_their_index(shop: Shop):
    place = shop.fill([cup("b", 2), cup("a", 1), cup("c", 3)])
    before = shop.files()
    report = shop.read()
    assert shop.files() == before
    assert (report.documents, report.skipped, report.live) == (3, 0, True)
    live = shop.store.live()
    assert (live.name, live.place.name) == ("cups-000001", "cups-v2")
    told = live.manifest["index"]
    assert told["identity"] == shop.host.state(place).identity
    # The reading began before the generation was there: changes since then are to be followed.
    assert told["read"] <= live.created
    catalogue = Catalogue.open(live.catalogue, SCHEMA, verify=True)
    rows = catalogue.rows(["a", "b", "c", "d"])
    assert sorted(rows[:3].tolist()) == [0, 1, 2]
    assert rows[3] == -1
    assert catalogue.numbers(["price"], rows[:3]).ravel().tolist() == [1.0, 2.0, 3.0]
    # What was read from the server is not kept twice.
    assert {path.name for path in live.path.iterdir()} == {"catalogue", "generation.json"}
    assert ("read", 3) in shop.told


def test_each_reading_makes_a_generation_and_the_oldest_goes(shop: Shop):
    shop.fill([cup("a")])
    for _ in range(3):
        report = shop.read(replace(READ, log_position=7))
    assert shop.store.names() == ["cups-000002", "cups-000003"]
    assert report.removed == ("cups-000001",)
    assert shop.store.live().manifest["log_position"] == 7


def test_a_generation_may_wait(shop: Shop):
    shop.fill([cup("a")])
    shop.read()
    shop.fill([cup("b")], "cups-v3")
    assert not shop.read(replace(READ, live=False)).live
    assert shop.store.live().name == "cups-000001"
    assert shop.store.get("cups-000002").place.name == "cups-v3"


def test_what_does_not_fit_is_refused_or_left_out_and_told(shop: Shop):
    shop.fill([cup("a"), cup("b", "cheap"), cup("c")])
    with pytest.raises(DocumentError, match="field 'price'"):
        shop.read()
    assert shop.store.names() == []
    report = shop.read(replace(READ, on_error=OnError.SKIP))
    assert (report.documents, report.skipped) == (2, 1)
    assert "field 'price'" in report.reasons[0]
    assert report.letters is not None
    assert '"cheap"' in report.letters.read_text()


@pytest.mark.parametrize(
    ("raws", "message"),
    [([], "'cups-v2' holds no document"), ([cup("a", "?")], "no document of 'cups-v2' can be")],
)
def test_an_index_without_a_usable_document_makes_nothing(shop: Shop, raws, message):
    shop.fill(raws)
    with pytest.raises(DocumentError, match=message):
        shop.read(replace(READ, on_error=OnError.SKIP))
    assert shop.store.names() == []


def test_the_name_of_an_index_is_resolved_once(shop: Shop):
    shop.fill([cup("new")])
    shop.fill([cup("old")], "cups-v1")
    shop.host.point("cups", Place("cups-v2", Path()))
    target = shop.host.target
    # As with swapped cores: what stands behind `cups` is called as another index is named.
    shop.host.target = {"cups": "cups-v2", "cups-v2": "cups-v1"}.get
    shop.read()
    shop.host.target = target
    catalogue = Catalogue.open(shop.store.live().catalogue, SCHEMA)
    assert catalogue.rows(["new", "old"]).tolist() == [0, -1]


def test_an_index_that_is_not_there_is_told(shop: Shop):
    shop.host.root.mkdir()
    with pytest.raises(NotFoundError, match="there is no index 'cups'"):
        shop.read()
