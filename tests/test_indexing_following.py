"""What others change in an index comes into our log, and nothing of ours goes into their index."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cascade.catalogue import Catalogue, CatalogueWriter, LiveCatalogue, Op
from cascade.engines.embedded_host import EmbeddedHost
from cascade.errors import NotFoundError
from cascade.hosting import Change, Place
from cascade.indexing.following import (
    Followed,
    Follower,
    FollowSettings,
    begun,
    read_state,
)
from cascade.indexing.log import Log
from cascade.schema import Field, Kind, Schema

SCHEMA = Schema(
    "id", (Field("title", Kind.TEXT), Field("price", Kind.NUMBER), Field("status", Kind.KEYWORD))
)
BUILT = 1_000.0


def product(doc_id, price, updated=BUILT - 500, **more):
    return {"id": doc_id, "title": f"cup {doc_id}", "price": price, "updated_at": updated, **more}


class Shop:
    """An index that others fill, change and replace behind an alias, and our catalogue of it."""

    def __init__(self, folder, settings, schema=SCHEMA):
        self.schema = schema
        self.host = EmbeddedHost(folder / "theirs", schema)
        self.now = BUILT
        self.flips = []
        first = [product("a", 1), product("b", 2), product("c", 3)]
        self.place = self.make("cups-000001", first)
        with CatalogueWriter(folder / "catalogue", schema, "ours-000001") as writer:
            for raw in first:
                writer.add(schema.document(raw))
            writer.finish()
        self.catalogue = Catalogue.open(folder / "catalogue", schema)
        self.log = Log(folder / "log")
        self.live = self.opened()
        self.begin(settings)

    def opened(self):
        tail = self.log.tail(0)
        return LiveCatalogue(self.catalogue, source=tail, fresh=BUILT, clock=lambda: self.now)

    def begin(self, settings, state=None):
        identity = self.host.state(self.place).identity
        self.follower = Follower(
            Followed(self.host, "cups", self.live, self.log, self.place_of),
            state or begun(self.place.name, identity, BUILT),
            settings,
            self.flips.append,
            lambda: self.now,
        )

    def place_of(self, name):
        return Place(name, self.host._root / name / "engine")

    def make(self, name, raws):
        place = self.place_of(name)
        self.host.create(place, self.schema, {})
        writer = self.host.open_writer(place, self.schema)
        for row, raw in enumerate(raws):
            document = self.schema.document(raw)
            writer.add(row, document, {"title": document.texts["title"][0].split()})
        writer.finish()
        self.host.point("cups", place)
        return place

    def change(self, *raws, gone=()):
        changes = [Change(raw["id"], -1, self.schema.document(raw)) for raw in raws]
        self.host.apply(self.place, self.schema, [*changes, *(Change(doc_id) for doc_id in gone)])

    def prices(self):
        rows = self.live.current().astype(np.int32)
        prices = self.live.numbers(["price"], rows)[:, 0].tolist()
        return dict(zip(self.live.ids(rows), prices, strict=True))

    def logged(self):
        return [(str(e.op), e.doc_id) for e in self.log.read()]


NEVER = FollowSettings("updated_at", overlap_s=60, reconcile_s=math.inf)


def test_what_differs_is_logged_once(tmp_path):
    shop = Shop(tmp_path, NEVER)
    shop.change(product("b", 20, BUILT + 5), product("d", 4, BUILT + 6))
    state = shop.follower.poll()
    assert sorted(shop.logged()) == [("upsert", "b"), ("upsert", "d")]
    assert shop.prices() == {"a": 1, "b": 20, "c": 3, "d": 4}
    assert (state.upserts, state.newest, state.polled) == (2, BUILT + 6, BUILT)
    # The overlap reads them again, and they are as the catalogue has them.
    shop.now += 10
    assert shop.follower.poll().upserts == 2
    assert len(shop.logged()) == 2


def test_the_overlap_finds_what_was_stamped_before_it_could_be_seen(tmp_path):
    shop = Shop(tmp_path, NEVER)
    shop.now = BUILT + 100
    shop.change(product("d", 4, BUILT + 100))
    shop.follower.poll()
    shop.change(product("e", 5, BUILT + 41), product("f", 6, BUILT + 39))
    shop.follower.poll()
    assert shop.prices() == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


def test_a_change_that_touches_no_column_is_none(tmp_path):
    shop = Shop(tmp_path, NEVER)
    shop.change(product("b", 2, BUILT + 5, note="restocked"))
    shop.follower.poll()
    assert shop.logged() == []


def test_reconciliation_finds_what_was_removed_and_what_the_times_hid(tmp_path):
    shop = Shop(tmp_path, NEVER)
    shop.follower.poll()
    shop.change(product("old", 7, BUILT - 900), gone=["c", "a"])
    shop.follower.poll()
    assert shop.prices() == {"a": 1, "b": 2, "c": 3}
    shop.now += 50
    state = shop.follower.reconcile()
    assert shop.prices() == {"b": 2, "old": 7}
    assert (state.deletes, state.reconciled) == (2, BUILT + 50)
    assert shop.live.deleted(np.array([0, 1, 2], dtype=np.int32)).tolist() == [True, False, True]
    shop.follower.reconcile()
    assert len(shop.logged()) == 3


def test_reconciliation_comes_when_it_is_time(tmp_path):
    shop = Shop(tmp_path, replace(NEVER, reconcile_s=100))
    assert shop.follower.poll().reconciled == BUILT
    shop.change(gone=["a"])
    shop.now += 99
    shop.follower.poll()
    assert "a" in shop.prices()
    shop.now += 1
    assert shop.follower.poll().reconciled == BUILT + 100
    assert "a" not in shop.prices()


def test_without_an_update_time_reconciliation_compares_everything(tmp_path):
    shop = Shop(tmp_path, FollowSettings(None, reconcile_s=0))
    shop.change(product("b", 9), product("d", 4), gone=["c"])
    state = shop.follower.poll()
    assert shop.prices() == {"a": 1, "b": 9, "d": 4}
    assert (state.upserts, state.deletes) == (2, 1)
    shop.follower.poll()
    assert len(shop.logged()) == 3


def test_a_document_that_does_not_fit_is_counted_and_the_old_one_stays(tmp_path):
    shop = Shop(tmp_path, NEVER)
    raw = product("b", "cheap", BUILT + 5)
    document = replace(shop.schema.document(product("b", 2)), raw=raw)
    shop.host.apply(shop.place, shop.schema, [Change("b", -1, document)])
    assert shop.follower.poll().refused == 1
    assert shop.prices()["b"] == 2


def test_an_index_that_takes_its_place_ends_the_reading_and_is_told_once(tmp_path):
    shop = Shop(tmp_path, replace(NEVER, reconcile_s=0))
    shop.follower.poll()
    first = shop.place
    shop.make("cups-000002", [product("x", 1, BUILT + 9)])
    shop.now += 30
    for _ in range(3):
        state = shop.follower.poll()
    assert (state.flipped, shop.flips) == ("cups-000002", ["cups-000002"])
    assert state.lag_s(shop.now) == 30
    assert shop.logged() == [("flipped", "cups-000002")]
    # Until its catalogue is built, serving processes know none of its documents.
    serving = shop.opened()
    serving.refresh()
    assert serving.rows(["a", "b"]).tolist() == [-1, -1]
    shop.host.point("cups", first)
    assert shop.follower.poll().flipped == ""
    serving.refresh()
    assert serving.rows(["a", "b"]).tolist() == [0, 1]
    assert shop.logged() == [("flipped", "cups-000002"), ("flipped", "")]


def test_an_index_made_anew_under_its_name_is_another(tmp_path):
    shop = Shop(tmp_path, NEVER)
    shop.host.drop(shop.place)
    shop.make("cups-000001", [product("x", 1)])
    assert shop.follower.poll().flipped == "cups-000001"
    assert shop.flips == ["cups-000001"]
    assert shop.logged() == [("flipped", "cups-000001")]


def test_an_index_that_is_gone_is_said(tmp_path):
    shop = Shop(tmp_path, NEVER)
    shop.host._alias("cups").unlink()
    with pytest.raises(NotFoundError, match="'cups'"):
        shop.follower.poll()


def test_another_process_goes_on_from_what_was_kept(tmp_path):
    shop = Shop(tmp_path, NEVER)
    assert read_state(shop.log) is None
    shop.now = BUILT + 100
    shop.change(product("d", 4, BUILT + 100))
    kept = shop.follower.poll()
    assert read_state(shop.log) == kept
    shop.live = shop.opened()
    shop.live.refresh()
    shop.begin(NEVER, read_state(shop.log))
    shop.change(product("e", 5, BUILT + 120), product("f", 6, BUILT + 39))
    assert shop.follower.poll().upserts == 2
    assert shop.prices() == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


def test_volatile_values_stay_fresh_while_it_follows_and_not_longer(tmp_path):
    price = replace(SCHEMA.by_name["price"], max_age_s=30.0)
    schema = Schema("id", (SCHEMA.by_name["title"], price))
    shop = Shop(tmp_path, NEVER, schema)
    for _ in range(10):
        shop.now += 10
        shop.follower.poll()
        assert shop.live.stale == ()
    assert {op for op, _ in shop.logged()} == {str(Op.HEARTBEAT)}
    shop.now += 31
    assert shop.live.stale == ("price",)
    assert math.isnan(shop.live.numbers(["price"], np.array([0], dtype=np.int32))[0, 0])


def test_a_host_that_finds_changes_by_itself_is_asked_for_them(tmp_path):
    asked = []

    class Finding(EmbeddedHost):
        def changed_since(self, name, field, since):
            asked.append((name, field, since))
            yield [product("b", 20, BUILT + 5)]

    shop = Shop(tmp_path, NEVER)
    shop.host = Finding(shop.host._root, SCHEMA)
    shop.begin(NEVER)
    shop.follower.poll()
    shop.follower.poll()
    assert asked == [
        ("cups-000001", "updated_at", BUILT - 60),
        ("cups-000001", "updated_at", BUILT - 55),
    ]
    assert shop.logged() == [("upsert", "b")]


def test_a_stamp_from_the_future_hides_no_later_change(tmp_path):
    shop = Shop(tmp_path, NEVER)
    shop.now = BUILT + 10
    shop.change(product("a", 10, BUILT + 1_000_000))
    shop.follower.poll()
    shop.now = BUILT + 200
    shop.change(product("b", 20, BUILT + 190))
    shop.follower.poll()
    assert shop.logged() == [("upsert", "a"), ("upsert", "b")]
