"""The holder of indexes on a real Solr keeps the contract of all, and what is its own."""

import json
import threading
import urllib.request
import uuid

import pytest
from contracts.engine import query
from contracts.host import SCHEMA, HostContract, all_of, corpus_catalogue, fill, index_of

from cascade.candidates import Query
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.engines.connection import Connection, IndexShape, Matching
from cascade.engines.solr import open_host
from cascade.errors import CascadeError, EngineError, NotFoundError, RefusedError
from cascade.filters import parse
from cascade.hosting import Change, Place
from cascade.protocols import Asked, Capability, Sort
from cascade.schema import Field, Kind, Schema

__all__ = ["corpus_catalogue"]

pytestmark = pytest.mark.full
NEVER_BY_ITSELF = IndexShape(refresh_s=3600.0)


def opened(server, shape=NEVER_BY_ITSELF):
    host = open_host(Connection((server.url,), pool=4), shape=shape)
    host.server = server
    return host


def ask(url, body=None):
    """Ask a server, aside from what is tested."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="class")
def host(solr_server):
    host = opened(solr_server)
    yield host
    host.close()


@pytest.fixture(scope="class")
def make_place(host, tmp_path_factory):
    prefix, made = f"host{uuid.uuid4().hex[:8]}-", []

    def make(index, number):
        name = f"{prefix}{index}-{number:06}"
        made.append(Place(name, tmp_path_factory.getbasetemp() / name))
        return made[-1]

    yield make
    for place in made:
        host.drop(place)


class TestContract(HostContract):
    def test_one_alias_leaves_the_others_alone(self, host, make_place):
        # A core has one name, so that an index can have one alias.
        place, other = make_place("many", 1), make_place("many", 2)
        fill(host, place, [])
        fill(host, other, [])
        index = place.name[:-7]
        host.point(f"{index}-a", place)
        with pytest.raises(RefusedError, match="has one name"):
            host.point(f"{index}-b", place)
        host.point(f"{index}-b", other)
        assert host.target(f"{index}-a") == place.name
        assert host.target(f"{index}-b") == other.name


class TestCloud(HostContract):
    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, solr_cloud_server):
        host = opened(solr_cloud_server, IndexShape(shards=2, refresh_s=3600.0))
        yield host
        host.close()


def numbered(number):
    """Return documents of one generation: every title says which."""
    return [{"id": f"d{i}", "title": f"cup g{number}", "price": number} for i in range(30)]


@pytest.fixture
def catalogue_of(tmp_path):
    def make(name, documents):
        with CatalogueWriter(tmp_path / name, SCHEMA, name) as catalogue:
            for raw in documents:
                catalogue.add(SCHEMA.document(raw))
            catalogue.finish()
        return Catalogue.open(tmp_path / name, SCHEMA)

    return make


class TestSwaps:
    """What SWAP does to names, and that nobody who reads or writes an index notices."""

    def test_readers_and_a_writer_of_three_generations_under_swaps(
        self, host, make_place, catalogue_of
    ):
        places = [make_place("live", n) for n in (1, 2, 3)]
        engines, failures, counts = [], [], [0, 0, 0]
        for number, place in enumerate(places):
            documents = numbered(number)
            fill(host, place, documents)
            engines.append(host.engine(place, SCHEMA, catalogue_of(place.name, documents)))
        stop = threading.Event()

        def read(at):
            asked = Asked(facets=("brand",))
            while not stop.is_set():
                try:
                    found = engines[at].retrieve([query("cup")], 30, asked)
                    pages = engines[at].fetch(query("cup", {"price": at}), ["d3", "d9"])
                    titles = [page and page.fields["title"] for page in pages]
                    assert found.candidates.rows.tolist() == list(range(30))
                    assert titles == [f"cup g{at}"] * 2
                    counts[at] += 1
                except (CascadeError, AssertionError) as error:
                    failures.append(error)

        def write():
            for turn in range(40):
                place = places[turn % 3]
                raw = {"id": "d29", "title": f"cup g{turn % 3}", "price": turn % 3}
                host.apply(place, SCHEMA, [Change("d29", 29, SCHEMA.document(raw))])

        threads = [threading.Thread(target=read, args=(at,)) for at in range(3)]
        threads.append(threading.Thread(target=write))
        for thread in threads:
            thread.start()
        mover = opened(host.server)  # another process moves the alias
        alias = index_of(places[0])
        for turn in range(60):
            mover.point(alias, places[turn % 3])
        threads[-1].join()
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert min(counts) > 5
        assert mover.target(alias) == places[59 % 3].name
        for number, place in enumerate(places):
            assert mover.state(place).documents == 30
            found = all_of(mover.documents(place.name))
            assert {raw["price"] for raw in found} == {number}
        for one in [*engines, mover]:
            one.close()

    def test_what_is_removed_is_the_index_and_not_the_name(self, host, make_place):
        one, two, three = (make_place("removed", n) for n in (1, 2, 3))
        alias = index_of(one)
        for number, place in enumerate((one, two, three)):
            fill(host, place, numbered(number))
            host.point(alias, place)
        # The core of the first is called as the second was, that of the second as the third.
        host.drop(two)
        assert host.names(alias) == [one.name, three.name]
        assert (host.target(alias), host.target(one.name)) == (three.name, one.name)
        with pytest.raises(NotFoundError):
            host.state(two)
        fill(host, two, numbered(7))  # its name may be taken by the core of another
        assert {raw["price"] for raw in all_of(host.documents(two.name))} == {7}
        assert {raw["price"] for raw in all_of(host.documents(one.name))} == {0}
        host.point(alias, one)
        assert host.target(alias) == one.name
        assert {raw["price"] for raw in all_of(host.documents(three.name))} == {2}

    def test_an_alias_may_end_as_an_index_does(self, host, make_place):
        one, two = make_place("shop-123456", 1), make_place("shop-123456", 2)
        for number, place in enumerate((one, two)):
            fill(host, place, numbered(number))
            host.point(index_of(one), place)
            assert host.target(index_of(one)) == place.name
        assert {raw["price"] for raw in all_of(host.documents(one.name))} == {0}
        with pytest.raises(RefusedError, match="has one name"):
            host.point(f"{index_of(one)}-b", two)

    def test_a_first_alias_leaves_nothing_behind(self, host, make_place):
        place = make_place("first", 1)
        fill(host, place, numbered(1))
        host.point(index_of(place), place)
        status = ask(f"{host.server.url}/admin/cores?action=STATUS&indexInfo=false")["status"]
        mine = [name for name in status if name.startswith(index_of(place))]
        assert mine == [index_of(place)]

    def test_indexes_of_several_schemas_made_at_once_survive_a_reload(self, host, make_place):
        # Solr reads the file of the shared configset anew: no field may be lost from it.
        unique = uuid.uuid4().hex[:6]
        schemas = [
            Schema("id", (Field(f"t{unique}{i}", Kind.TEXT), Field("title", Kind.TEXT)))
            for i in range(4)
        ]
        places = [make_place("schemas", i) for i in range(4)]
        failures = []

        def make(place, schema):
            try:
                host.create(place, schema, {})
            except CascadeError as error:
                failures.append(error)

        threads = [
            threading.Thread(target=make, args=pair) for pair in zip(places, schemas, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for place, schema in zip(places, schemas, strict=True):
            ask(f"{host.server.url}/admin/cores?action=RELOAD&core={place.name}")
            raw = {"id": "1", schema.fields[0].name: "cup"}
            host.apply(place, schema, [Change("1", 0, schema.document(raw))])
            assert host.state(place).documents == 1


FIELDS = [
    {"name": "sku", "type": "string", "stored": True},
    {"name": "name_t", "type": "theirs_text", "stored": True},
    {"name": "maker_s", "type": "string", "stored": True, "multiValued": True},
    {"name": "cost_d", "type": "theirs_double", "stored": True},
    {"name": "seen_dt", "type": "theirs_date", "stored": True},
]
TYPES = [
    {
        "name": "theirs_text",
        "class": "solr.TextField",
        "analyzer": {
            "tokenizer": {"name": "standard"},
            "filters": [{"name": "lowercase"}, {"name": "porterStem"}],
        },
    },
    {"name": "theirs_double", "class": "solr.DoublePointField", "docValues": True},
    {"name": "theirs_date", "class": "solr.DatePointField", "docValues": True},
]
THEIR_SCHEMA = Schema(
    "id",
    (
        Field("title", Kind.TEXT, source=("name_t",), boost=2.0),
        Field("maker", Kind.KEYWORD, source=("maker_s",)),
        Field("cost", Kind.NUMBER, source=("cost_d",)),
        Field("seen", Kind.DATE, source=("seen_dt",)),
    ),
)
THEIRS = [
    {"id": "b", "name_t": "Running shoes", "maker_s": ["x", "y"], "cost_d": 5, "sku": "1"},
    {"id": "a", "name_t": "Running shoes", "maker_s": ["x"], "seen_dt": "2024-05-01T00:00:00Z"},
    {"id": "c", "name_t": "A hat (for running) and shoes & more", "cost_d": -1},
]


class TestOfOthers:
    """A core that others made is read and never changed."""

    @pytest.fixture(scope="class")
    @classmethod
    def core(cls, solr_server):
        name = f"theirs{uuid.uuid4().hex[:8]}"
        admin = f"{solr_server.url}/admin/cores"
        ask(f"{admin}?action=CREATE&name={name}&instanceDir={name}_v1&configSet=_default")
        known = ask(f"{solr_server.url}/{name}/schema")["schema"]
        have = {one["name"] for one in [*known["fieldTypes"], *known["fields"]]}
        commands = {
            "add-field-type": [one for one in TYPES if one["name"] not in have],
            "add-field": [one for one in FIELDS if one["name"] not in have],
        }
        ask(f"{solr_server.url}/{name}/schema", commands)
        ask(f"{solr_server.url}/{name}/update?commit=true", THEIRS)
        yield name
        ask(f"{admin}?action=UNLOAD&core={name}&deleteInstanceDir=true")

    @pytest.fixture
    def engine(self, solr_server, core, tmp_path):
        with CatalogueWriter(tmp_path / "c", THEIR_SCHEMA, "g1") as catalogue:
            for raw in THEIRS[:2]:
                catalogue.add(THEIR_SCHEMA.document(raw))
            catalogue.finish()
        matching = Matching(analysed="server")
        host = open_host(Connection((solr_server.url,)), matching)
        documents = Catalogue.open(tmp_path / "c", THEIR_SCHEMA)
        engine = host.engine(Place(core, tmp_path), THEIR_SCHEMA, documents)
        yield engine
        engine.close()
        host.close()

    def found(self, engine, text, raw=None, size=9, **asked):
        question = Query("q", text, parse(raw, THEIR_SCHEMA))
        return engine.retrieve([question], size, Asked(**asked))

    def test_it_is_searched_by_its_own_fields(self, engine):
        found = self.found(engine, "runs SHOE", facets=("maker",)).candidates
        assert found.ids() == ["a", "b", "c"]  # equal scores by id
        assert found.rows.tolist() == [1, 0, -1]
        assert found.scores[0] == found.scores[1] > found.scores[2] > 0
        only = self.found(engine, "shoe", {"maker": "y", "cost": {"gt": 1}}).candidates
        assert only.ids() == ["b"]
        assert (
            self.found(engine, "", {"seen": {"exists": True}}, match_all=True).totals[0].value == 1
        )
        assert self.found(engine, "hat shoe", minimum_match=1.0).candidates.ids() == ["c"]

    def test_facets_and_order_by_a_field(self, engine):
        facets = self.found(engine, "shoe", {"maker": "y"}, facets=("maker",)).facets[0]
        assert [(v.value, v.count) for v in facets["maker"]] == [("x", 2), ("y", 1)]
        for descending, expected in ((False, ["c", "b", "a"]), (True, ["b", "c", "a"])):
            found = self.found(engine, "shoe", sort=Sort("cost", descending)).candidates
            assert found.ids() == expected  # without a value comes last

    @pytest.mark.parametrize(
        "text", ["shoe OR *:*", "(shoe", '"shoe', "-shoe", "{!term f=id}a", "+shoe*"]
    )
    def test_what_is_typed_is_no_syntax(self, engine, text):
        words = " ".join("".join(c if c.isalnum() else " " for c in text).lower().split())
        found = self.found(engine, text).candidates.ids()
        assert found == self.found(engine, words).candidates.ids()
        assert found
        # To the server's tokenizer this is one word, and to us no field.
        assert self.found(engine, "name_t:hat").candidates.ids() == []

    def test_what_others_changed_since_is_found(self, host, core):
        def since(field, seconds):
            found = all_of(host.changed_since(core, field, seconds))
            return sorted(one["id"] for one in found)

        seen = 1_714_521_600.0  # 2024-05-01
        assert since("seen_dt", seen) == ["a", "b", "c"]  # the last two have no such date
        assert since("seen_dt", seen + 0.001) == ["b", "c"]
        assert since("cost_d", seen) == since("nowhere", seen) == ["a", "b", "c"]

    def test_its_documents_are_shown_as_it_stores_them(self, engine, host, core):
        page = engine.fetch(Query("q", "running"), ["c", "gone", "b"], None, ["title"])
        assert page[1] is None
        assert page[0].fields == THEIRS[2]
        assert page[0].highlights["title"].startswith("A hat (for <em>running</em>)")
        assert page[2].fields["maker_s"] == ["x", "y"]
        assert all_of(host.documents(core, 2)) == [THEIRS[1], THEIRS[0], THEIRS[2]]
        assert all_of(host.ids(core, 2)) == ["a", "b", "c"]
        assert "name_t" in {field["name"] for field in host.mapping(core)["fields"]}

    def test_it_is_not_changed(self, engine, host, core, make_place, tmp_path):
        place = Place(core, tmp_path)
        assert Capability.UPDATE not in engine.capabilities
        with pytest.raises(EngineError, match="not made by this system"):
            engine.delete(["a"])
        for act in (
            lambda: host.drop(place),
            lambda: host.apply(place, SCHEMA, [Change("a")]),
            lambda: host.open_writer(place, SCHEMA),
            lambda: host.create(place, SCHEMA, {}),
        ):
            with pytest.raises(RefusedError):
                act()
        own = make_place("own", 1)
        fill(host, own, [])
        with pytest.raises(RefusedError):
            host.point(core, own)
        state = host.state(place)
        assert (state.documents, state.about) == (3, {})
        assert state.identity
        assert host.target(core) == f"{core}_v1"


class TestCloudSwap:
    def test_dropping_the_index_of_an_alias_takes_the_alias_away(self, solr_cloud_server, tmp_path):
        host = opened(solr_cloud_server)
        place = Place(f"cloud{uuid.uuid4().hex[:8]}-000001", tmp_path)
        fill(host, place, numbered(1))
        host.point(index_of(place), place)
        host.drop(place)
        assert host.target(index_of(place)) is None
        assert host.names(index_of(place)) == []
        host.close()
