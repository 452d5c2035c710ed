"""Stores elsewhere: what is published there is pulled whole, verified, or not at all."""

import json
import threading
import time
import uuid

import pytest
from numbered_shop import build_number, one, write_numbered

from cascade.catalogue import Catalogue
from cascade.config import open_host, schema_of, store_of
from cascade.engines.embedded_host import EmbeddedHost
from cascade.errors import (
    CascadeError,
    ChecksumError,
    InputError,
    NotFoundError,
    OptionalDependencyError,
    RefusedError,
)
from cascade.hosting import Change
from cascade.indexing import Files, Store, build
from cascade.indexing.holds import Hold, drop_hold, fresh_holds, held, put_hold, sweep_holds
from cascade.indexing.objects import FolderObjects, RemoteObjects
from cascade.indexing.replica import CachedStore, open_store
from cascade.indexing.swap import collect, rollback, swap


@pytest.fixture(params=["folder", "memory"])
def objects(request, tmp_path):
    """A folder, and an object store that has neither folders nor renaming."""
    if request.param == "folder":
        yield FolderObjects(tmp_path / "objects")
        return
    made = RemoteObjects(f"memory://{uuid.uuid4().hex}/shop")
    yield made
    made.remove("")


@pytest.fixture
def shop(tmp_path):
    return write_numbered(tmp_path)


def there(folder):
    return sorted(p.name for p in folder.iterdir())


def test_files_are_written_read_listed_and_removed(objects, tmp_path):
    assert objects.read("a/b") is None
    assert objects.keys("a") == []
    assert objects.folders() == []
    objects.write("a/b", b"one")
    objects.write("a/c/d", b"two")
    objects.write("top", b"three")
    objects.write("a/b", b"four")
    assert objects.read("a/b") == b"four"
    assert objects.keys("a") == ["a/b", "a/c/d"]
    assert objects.folders() == ["a"]
    assert objects.download("a/c/d", tmp_path / "x" / "y")
    assert (tmp_path / "x" / "y").read_bytes() == b"two"
    assert not objects.download("a/none", tmp_path / "z")
    objects.upload(tmp_path / "x" / "y", "e/f")
    assert objects.read("e/f") == b"two"
    objects.remove("a")
    objects.remove("a")
    assert (objects.keys("a"), objects.folders()) == ([], ["e"])


def test_one_at_a_time_is_alone(objects):
    inside, most = [0], [0]

    def enter():
        with objects.alone("cups"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == ([0], [1])


def test_the_lease_of_a_process_that_ended_is_taken():
    objects = RemoteObjects(f"memory://{uuid.uuid4().hex}")
    objects.write("locks/cups.json", json.dumps({"owner": "x", "time": time.time() - 61}).encode())
    with objects.alone("cups"):
        assert json.loads(objects.read("locks/cups.json"))["owner"] != "x"
    assert objects.read("locks/cups.json") is None


def test_a_lease_that_another_took_meanwhile_stays_the_others():
    objects = RemoteObjects(f"memory://{uuid.uuid4().hex}")
    others = json.dumps({"owner": "x", "time": time.time()}).encode()
    with objects.alone("cups"):
        objects.write("locks/cups.json", others)
    assert objects.read("locks/cups.json") == others


def test_holds_are_fresh_stale_or_taken_back(objects):
    now = 1_700_000_000.0
    put_hold(objects, "cups", Hold("a", "cups-000002", ("cups-000002", "cups-000001"), now))
    put_hold(objects, "cups", Hold("b", "cups-000001", ("cups-000001",), now - 59))
    put_hold(objects, "cups", Hold("c", "cups-000000", ("cups-000000",), now - 61))
    put_hold(objects, "mugs", Hold("a", "mugs-000001", ("mugs-000001",), now))
    found = held(objects, "cups", now)
    assert found == {"cups-000002": ["a"], "cups-000001": ["a", "b"]}
    sweep_holds(objects, "cups", now)
    assert len(objects.keys("holds")) == 3
    drop_hold(objects, "cups", "a")
    assert [hold.replica for hold in fresh_holds(objects, "cups", now)] == ["b"]


def machine(objects, shop, cache):
    """Return a store with a cache of its own, and who holds its indexes."""
    return CachedStore(objects, "cups", cache), EmbeddedHost(cache, schema_of(one(shop)))


def publish(store, host, shop, number, **options):
    """Build in a store as a builder's machine does."""
    products = shop.parent / "products.ndjson"
    cups = [{"id": f"d{i}", "title": f"cup w{i}", "build": number} for i in range(20)]
    products.write_text("\n".join(map(json.dumps, cups)))
    return build(store, schema_of(one(shop)), Files((products,)), host, **options)


def test_a_generation_is_built_published_and_pulled_by_another_machine(objects, shop, tmp_path):
    schema = schema_of(one(shop))
    store, host = machine(objects, shop, tmp_path / "builder")
    assert publish(store, host, shop, 1).generation.name == "cups-000001"
    reader = CachedStore(objects, "cups", tmp_path / "reader")
    assert reader.names() == ["cups-000001"]
    assert not (tmp_path / "reader").exists()
    live = reader.live()
    assert there(tmp_path / "reader") == ["cups-000001"]
    documents = Catalogue.open(live.catalogue, schema, verify=True)
    assert len(documents) == 20
    assert EmbeddedHost(tmp_path / "reader", schema).engine(live.place, schema, documents).healthy()
    before = (live.catalogue / "manifest.json").stat().st_mtime_ns
    assert reader.live().path == live.path
    assert (live.catalogue / "manifest.json").stat().st_mtime_ns == before


def test_swap_rollback_and_gc_work_in_a_store_elsewhere(objects, shop, tmp_path):
    store, host = machine(objects, shop, tmp_path / "builder")
    for number in (1, 2, 3):
        publish(store, host, shop, number)
    assert store.names() == ["cups-000002", "cups-000003"]
    assert rollback(store, host).generation == "cups-000002"
    assert swap(store, host, "cups-000003", schema_of(one(shop))).previous == "cups-000002"
    publish(store, host, shop, 4)
    assert objects.folders() == ["cups-000003", "cups-000004"]
    # Another machine goes back to what it does not have yet.
    store, host = machine(objects, shop, tmp_path / "other")
    assert rollback(store, host).generation == "cups-000003"
    assert collect(store, host, 1).removed == ()
    assert there(tmp_path / "other") == ["cups-000003", "cups.alias.json"]


def test_a_builder_without_copies_gives_the_next_number(objects, shop, tmp_path):
    for folder in ("one", "two"):
        store, host = machine(objects, shop, tmp_path / folder)
        publish(store, host, shop, 1)
    assert store.names() == ["cups-000001", "cups-000002"]


def test_a_name_that_another_machine_published_is_refused(objects, shop, tmp_path):
    store, host = machine(objects, shop, tmp_path / "one")
    publish(store, host, shop, 1)
    staged = tmp_path / "staged"
    staged.mkdir()
    with pytest.raises(RefusedError, match=r"cups-000001 is in .* already, by another"):
        CachedStore(objects, "cups", tmp_path / "two").publish("cups-000001", staged, {})


@pytest.mark.parametrize("harmed", ["catalogue/numbers", "catalogue/manifest.json", "engine"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_damaged_generation_is_not_pulled(objects, shop, tmp_path, harmed, how):
    store, host = machine(objects, shop, tmp_path / "builder")
    publish(store, host, shop, 1)
    key = next(key for key in objects.keys("cups-000001") if f"/{harmed}" in f"/{key}")
    if harmed == "engine":
        key = next(k for k in objects.keys("cups-000001/engine") if k.endswith(".store"))
    content = bytearray(objects.read(key))
    content[len(content) // 2] ^= 1
    if how == "changed":
        objects.write(key, bytes(content))
    else:
        objects.remove(key)
    with pytest.raises(ChecksumError, match="cups-000001 cannot be pulled from"):
        CachedStore(objects, "cups", tmp_path / "reader").live()
    assert there(tmp_path / "reader") == []


def test_a_half_published_generation_is_none(objects, shop, tmp_path):
    store, host = machine(objects, shop, tmp_path / "builder")
    publish(store, host, shop, 1)
    objects.remove("cups-000001/generation.json")
    assert store.names() == []
    with pytest.raises(ChecksumError, match="missing or half-written"):
        store.live()
    # Its number is not given again: files of both would lie in one folder.
    assert publish(store, host, shop, 2).generation.name == "cups-000002"


def test_an_index_made_anew_under_the_same_name_is_pulled_anew(objects, shop, tmp_path):
    reader = CachedStore(objects, "cups", tmp_path / "reader")
    identities = set()
    for folder in ("one", "two"):
        store, host = machine(objects, shop, tmp_path / folder)
        publish(store, host, shop, 1)
        identities.add(json.dumps(reader.live().manifest["index"]))
        about = (reader.live().path / "engine.about.json").read_text()
        assert json.loads(about)["identity"] == reader.live().manifest["index"]["identity"]
        objects.remove("cups-000001")
        objects.remove("cups.live.json")
    assert len(identities) == 2


def test_an_index_that_took_updates_is_pulled_with_them(shop, tmp_path):
    build_number(shop, 1)
    config = one(shop)
    store, host, schema = store_of(config), open_host(config), schema_of(config)
    host.apply(store.live().place, schema, [Change("d001")])
    pulled = open_store(store.root, "cups", tmp_path / "reader").live()
    ids = [i for batch in EmbeddedHost(tmp_path / "reader", schema).ids(pulled.name) for i in batch]
    assert len(ids) == 39
    assert "d001" not in ids


def test_copies_that_are_not_wanted_go(objects, shop, tmp_path):
    store, host = machine(objects, shop, tmp_path / "builder")
    for number in (1, 2):
        publish(store, host, shop, number)
    (tmp_path / "builder" / "other-000001").mkdir()
    store.trim({"cups-000002"})
    assert "cups-000001" not in there(tmp_path / "builder")
    assert {"cups-000002", "other-000001"} <= set(there(tmp_path / "builder"))
    assert store.names() == ["cups-000001", "cups-000002"]


def test_many_processes_may_pull_into_one_folder_at_once(objects, shop, tmp_path):
    store, host = machine(objects, shop, tmp_path / "builder")
    publish(store, host, shop, 1)
    faults = []

    def pull():
        try:
            live = CachedStore(objects, "cups", tmp_path / "reader").live()
            assert len(Catalogue.open(live.catalogue, schema_of(one(shop)), verify=True)) == 20
        except (CascadeError, AssertionError) as error:
            faults.append(error)

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_place_makes_a_store(tmp_path):
    assert type(open_store(tmp_path, "cups", None)) is Store
    assert type(open_store(f"file://{tmp_path}", "cups", None)) is Store
    cached = open_store(f"file://{tmp_path}", "cups", tmp_path / "cache")
    assert (type(cached), cached.root, cached.objects.label) == (
        CachedStore,
        tmp_path / "cache",
        str(tmp_path),
    )
    with pytest.raises(InputError, match=r"give index\.cache"):
        open_store("memory://shop", "cups", None)
    with pytest.raises(CascadeError, match="the store nowhere://shop cannot be reached"):
        open_store("nowhere://shop", "cups", tmp_path)
    with pytest.raises(NotFoundError, match="`cascade index build` makes one"):
        open_store("memory://nothing", "cups", tmp_path).live()


def test_an_object_store_without_its_package_says_which(tmp_path):
    try:
        import s3fs  # noqa: F401
    except ImportError:
        with pytest.raises(OptionalDependencyError, match=r"s3fs.*'aws'"):
            open_store("s3://bucket/shop", "cups", tmp_path)
    else:
        assert open_store("s3://bucket/shop", "cups", tmp_path).objects.label == "s3://bucket/shop"
