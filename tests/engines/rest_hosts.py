"""What holders of indexes on Elasticsearch and OpenSearch must do beyond the contract of all.

`RestHostContract` needs the fixtures `recorder`, a recording client of the server, and
`dialect`.
"""

import re
import secrets
import threading
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from contracts.engine import CORPUS, EVERYTHING, query
from contracts.host import (
    SCHEMA,
    SMALL,
    HostContract,
    add,
    all_of,
    by_id,
    corpus_catalogue,
    fill,
    index_of,
)

from cascade.engines._rest.host import RestHost, rest_host
from cascade.engines._rest.scan import Reading
from cascade.engines.connection import IndexShape, Matching
from cascade.errors import DocumentError, EngineError, InputError, NotFoundError, RefusedError
from cascade.hosting import BulkOptions, Change, Place
from cascade.schema import Field, Kind, Schema

__all__ = ["RecordingClient", "RestHostContract", "corpus_catalogue"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "privileges.md"
SHAPE = IndexShape(shards=2, replicas=0, refresh_s=1.5)
MANY = 20_000


class RecordingClient:
    """Pass requests on and note them, method and path."""

    def __init__(self, connect, requests=None):
        self._connect = connect
        self._client = connect()
        self.kind = self._client.kind
        self.requests = [] if requests is None else requests

    def another(self):
        """Return another client of the server, which notes its requests in the same list."""
        return RecordingClient(self._connect, self.requests)

    def request(self, method, path, **more):
        self.requests.append((method, path))
        return self._client.request(method, path, **more)

    def close(self):
        self._client.close()

    def during(self, work):
        """Return the distinct requests that some work makes."""
        self.requests.clear()
        work()
        return set(self.requests)


class RestHostContract(HostContract):
    """Hold the tests of both servers."""

    @pytest.fixture(scope="class")
    @classmethod
    def prefix(cls):
        return f"host-{secrets.token_hex(4)}-"

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, recorder, dialect, prefix):
        host = rest_host(recorder.another, dialect, SHAPE, Matching())
        yield host
        host.close()
        found = orjson.loads(recorder.request("GET", f"/{prefix}*/_alias").body)
        for name in found:
            recorder.request("DELETE", f"/{name}")
        recorder.close()

    @pytest.fixture(scope="class")
    @classmethod
    def make_place(cls, prefix, tmp_path_factory):
        folder = tmp_path_factory.mktemp("unused")
        return lambda index, number: Place(f"{prefix}{index}-{number:06d}", folder)

    @pytest.fixture
    def foreign(self, recorder, make_place):
        """An index that others made, with two documents and an alias."""
        place = make_place(f"foreign{secrets.token_hex(2)}", 1)
        body = {"mappings": {"_meta": {"made_by": "someone"}}}
        recorder.request("PUT", f"/{place.name}", body=orjson.dumps(body))
        for doc_id, source in (("a", {"id": 1, "x": [1.5, None]}), ("b", {"id": 2})):
            path = f"/{place.name}/_doc/{doc_id}"
            params = {"refresh": "true"}
            recorder.request("PUT", path, params=params, body=orjson.dumps(source))
        path = f"/{place.name}/_alias/{index_of(place)}"
        recorder.request("PUT", path)
        return place

    def settings(self, recorder, place):
        found = orjson.loads(recorder.request("GET", f"/{place.name}/_settings").body)
        return found[place.name]["settings"]["index"]

    def test_an_index_is_filled_without_refreshes_and_then_laid_out(
        self, host, recorder, make_place, dialect
    ):
        place = make_place("shaped", 1)
        copied = RestHost(recorder, dialect, replace(SHAPE, replicas=1), lambda *_: None)
        copied.create(place, SCHEMA, {"generation": "g"})
        settings = self.settings(recorder, place)
        assert settings["refresh_interval"] == "-1"
        assert (settings["number_of_replicas"], settings["number_of_shards"]) == ("0", "2")
        state = host.state(place)
        assert (state.documents, state.failed_shards) == (0, 0)
        assert state.about == {"generation": "g"}
        writer = copied.open_writer(place, SCHEMA, SMALL)
        add(writer, CORPUS)
        writer.finish()
        settings = self.settings(recorder, place)
        assert (settings["refresh_interval"], settings["number_of_replicas"]) == ("1500ms", "1")

    def test_an_index_whose_parts_do_not_answer_says_so(self, host, recorder, make_place):
        place = make_place("parted", 1)
        nobody = {"index.routing.allocation.require._name": "nobody", "number_of_replicas": 0}
        body = orjson.dumps({"settings": {"number_of_shards": 3, **nobody}})
        params = {"wait_for_active_shards": "0"}
        recorder.request("PUT", f"/{place.name}", params=params, body=body)
        state = host.state(place)
        assert (state.documents, state.failed_shards) == (0, 3)

    def test_twenty_thousand_documents_arrive_and_come_back(self, host, make_place):
        place = make_place("twenty", 1)
        raws = [
            {"id": f"doc-{i}", "title": f"red cup {i % 977}", "tags": ["a", f"t{i % 50}"], "n": i}
            for i in range(MANY)
        ]
        writer = fill(host, place, raws, options=BulkOptions())
        assert (writer.acknowledged, len(writer.rejected)) == (MANY, 0)
        assert host.state(place).documents == MANY
        assert by_id(all_of(host.documents(place.name, 5_000))) == by_id(raws)
        assert set(all_of(host.ids(place.name))) == {raw["id"] for raw in raws}

    def test_what_does_not_fit_the_mapping_is_refused_by_name(self, host, make_place):
        place = make_place("refused", 1)
        host.create(place, Schema("id", (Field("size", Kind.NUMBER),)), {})
        words = Schema("id", (Field("size", Kind.KEYWORD),))
        writer = host.open_writer(place, words, BulkOptions(documents=100))
        for row in range(1_000):
            size = "large" if row in (3, 500, 999) else "12"
            writer.add(row, words.document({"id": f"d{row}", "size": size}), {})
        writer.finish()
        assert [(r.doc_id, r.row) for r in writer.rejected] == [
            ("d3", 3),
            ("d500", 500),
            ("d999", 999),
        ]
        assert all("size" in r.reason and "large" in r.reason for r in writer.rejected)
        assert writer.acknowledged == 1_000
        assert host.state(place).documents == 997
        changes = [
            Change("d3", 3, words.document({"id": "d3", "size": "small"})),
            Change("d4"),
            Change("d3x", -1, words.document({"id": "d3x", "size": "1"})),
        ]
        with pytest.raises(DocumentError, match=r"refused 1 of 3 changes(.|\n)*'d3': .*small"):
            host.apply(place, words, changes)
        assert host.state(place).documents == 997
        ids = set(all_of(host.ids(place.name)))
        assert {"d3x"} <= ids and not {"d3", "d4"} & ids

    def test_readers_of_an_alias_see_one_whole_index_while_it_moves(
        self, host, recorder, make_place
    ):
        one, two = make_place("swapped", 1), make_place("swapped", 2)
        fill(host, one, CORPUS[:30])
        fill(host, two, CORPUS[:60])
        alias = index_of(one)
        host.point(alias, one)
        counts, failures, stop = set(), [], threading.Event()

        def read():
            while not stop.is_set():
                try:
                    answer = recorder.request("GET", f"/{alias}/_count")
                    counts.add(orjson.loads(answer.body)["count"])
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(20):
            host.point(alias, (two, one)[i % 2])
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert counts == {30, 60}

    def test_of_two_who_point_at_once_none_leaves_two_indexes(self, host, make_place):
        places = [make_place("raced", n) for n in (1, 2, 3)]
        for place in places:
            fill(host, place, CORPUS[:1])
        alias = index_of(places[0])
        host.point(alias, places[0])
        refused, failures = [], []

        def move(offset):
            for i in range(15):
                try:
                    host.point(alias, places[(i + offset) % 3])
                except RefusedError as error:
                    refused.append(str(error))
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=move, args=(n,)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert host.target(alias) in [place.name for place in places]
        assert all("was moved by another" in message for message in refused)

    def test_several_indexes_behind_an_alias_are_refused(self, host, recorder, make_place):
        places = [make_place("several", n) for n in (1, 2)]
        for place in places:
            fill(host, place, CORPUS[:1])
            recorder.request("PUT", f"/{place.name}/_alias/{index_of(place)}")
        alias = index_of(places[0])
        with pytest.raises(RefusedError, match=r"stands for 2 indexes \(.*000001, .*000002\)"):
            host.target(alias)
        with pytest.raises(RefusedError, match="stands for 2 indexes"):
            host.state(Place(alias, places[0].folder))
        host.point(alias, places[1])  # this is the way out
        assert host.target(alias) == places[1].name

    def test_an_index_of_others_is_read(self, host, foreign):
        documents = sorted(all_of(host.documents(foreign.name)), key=lambda one: one["_id"])
        assert documents == [{"_id": "a", "id": 1, "x": [1.5, None]}, {"_id": "b", "id": 2}]
        assert sorted(all_of(host.ids(foreign.name, 1))) == ["a", "b"]
        assert sorted(all_of(host.ids(index_of(foreign)))) == ["a", "b"]
        state = host.state(foreign)
        assert (state.documents, state.about) == (2, {})
        assert host.target(index_of(foreign)) == foreign.name

    def test_what_others_changed_since_is_found(self, host, recorder, foreign):
        mapping = {"properties": {"at": {"type": "date"}, "count": {"type": "long"}}}
        path, params = f"/{foreign.name}/_mapping", {"refresh": "true"}
        recorder.request("PUT", path, body=orjson.dumps(mapping))
        for doc_id, at in (("c", "1970-01-01T00:16:39.999Z"), ("d", "1970-01-01T00:16:40Z")):
            path = f"/{foreign.name}/_doc/{doc_id}"
            body = orjson.dumps({"at": at, "count": 1})
            recorder.request("PUT", path, params=params, body=body)

        def since(field):
            return sorted(
                one["_id"] for one in all_of(host.changed_since(foreign.name, field, 1e3))
            )

        assert since("at") == ["a", "b", "d"]  # the first two have no such date
        assert since("count") == since("nowhere") == ["a", "b", "c", "d"]

    def test_an_index_of_others_is_never_touched(self, host, recorder, foreign, make_place):
        own = make_place("own", 1)
        fill(host, own, CORPUS[:1])
        alias = index_of(foreign)
        for work in (
            lambda: host.drop(foreign),
            lambda: host.open_writer(foreign, SCHEMA),
            lambda: host.apply(foreign, SCHEMA, [Change("a")]),
            lambda: host.point(f"{alias}-more", foreign),
            lambda: host.point(alias, own),
        ):
            with pytest.raises(RefusedError, match="this system"):
                work()
        with pytest.raises(RefusedError, match="already"):
            host.create(foreign, SCHEMA, {})
        assert host.state(foreign).documents == 2
        assert host.target(alias) == foreign.name
        assert host.target(f"{alias}-more") is None

    def test_an_alias_is_no_place(self, host, make_place):
        place = make_place("no-place", 1)
        fill(host, place, CORPUS[:2])
        host.point(index_of(place), place)
        alias = Place(index_of(place), place.folder)
        for work in (
            lambda: host.drop(alias),
            lambda: host.open_writer(alias, SCHEMA),
            lambda: host.apply(alias, SCHEMA, [Change("a")]),
            lambda: host.point("another", alias),
        ):
            with pytest.raises(RefusedError, match=f"is an alias; name the index.*{place.name}"):
                work()
        with pytest.raises(RefusedError, match="already exists as alias"):
            host.create(alias, SCHEMA, {})
        assert host.state(place).documents == 2

    @pytest.mark.parametrize(
        "name", ["*", "_all", "a,b", "a*", "", "-x", "..", "a/b", "<a>", "a b"]
    )
    def test_a_name_that_may_stand_for_more_is_refused(self, host, tmp_path, name):
        for work in (
            lambda: host.drop(Place(name, tmp_path)),
            lambda: host.create(Place(name, tmp_path), SCHEMA, {}),
            lambda: host.target(name),
            lambda: host.documents(name),
        ):
            with pytest.raises(InputError, match="can be no index's name"):
                work()

    def test_an_index_without_sources_cannot_be_read(self, host, recorder, make_place):
        place = make_place("sourceless", 1)
        body = {"mappings": {"_source": {"enabled": False}}}
        recorder.request("PUT", f"/{place.name}", body=orjson.dumps(body))
        path = f"/{place.name}/_doc/1"
        recorder.request("PUT", path, params={"refresh": "true"}, body=b'{"x":1}')
        with pytest.raises(EngineError, match="does not store its documents"):
            all_of(host.documents(place.name))
        assert all_of(host.ids(place.name)) == ["1"]

    def test_a_server_without_views_is_read_by_scrolling(self, recorder, dialect, host, make_place):
        place = make_place("scrolled", 1)
        fill(host, place)
        without = replace(dialect, reading=Reading("_no_such_view", "/_none", "id"))
        scrolling = RestHost(recorder, without, SHAPE, lambda *_: None)
        recorder.requests.clear()
        assert by_id(all_of(scrolling.documents(place.name, 70))) == by_id(CORPUS)
        assert len(all_of(scrolling.ids(place.name, 100))) == len(CORPUS)
        assert ("POST", "/_search/scroll") in recorder.requests
        assert recorder.requests.count(("DELETE", "/_search/scroll")) == 2

    def test_a_view_is_closed_also_by_who_stops_reading(self, host, recorder, dialect, make_place):
        place = make_place("closed", 1)
        fill(host, place)
        recorder.requests.clear()
        reading = host.documents(place.name, 10)
        next(reading)
        reading.close()
        all_of(host.ids(place.name))
        opened = ("POST", f"/{place.name}/{dialect.reading.open}")
        assert recorder.requests.count(opened) == 2
        assert recorder.requests.count(("DELETE", dialect.reading.close)) == 2

    def test_the_mapping_is_given_as_the_server_has_it(self, host, make_place, dialect):
        place = make_place("mapped", 1)
        fill(host, place, CORPUS[:1])
        found = host.mapping(place.name)
        rendered = dialect.render(SCHEMA, SHAPE, {})
        assert found["mappings"]["properties"].keys() == rendered["mappings"]["properties"].keys()
        assert found["mappings"]["dynamic"] == "false"
        assert found["settings"]["analysis"].keys() == rendered["settings"]["analysis"].keys()
        with pytest.raises(NotFoundError, match="there is no index"):
            host.mapping(f"{place.name}0")

    def test_requests_are_those_that_the_page_on_privileges_lists(
        self, host, recorder, make_place, corpus_catalogue
    ):
        place, other = make_place("asked", 1), make_place("asked", 2)
        alias = index_of(place)
        fill(host, other, CORPUS[:1])
        host.point(alias, other)
        writers, engines = [], []

        def write():
            add(writers[0], CORPUS)
            writers[0].finish()

        page = (query("red"), [str(CORPUS[0]["id"])], None, ["title"])
        operations = {
            "create": lambda: host.create(place, SCHEMA, {}),
            "open_writer": lambda: writers.append(host.open_writer(place, SCHEMA, SMALL)),
            "the writer": write,
            "state": lambda: host.state(place),
            "names": lambda: host.names(alias),
            "target": lambda: host.target(alias),
            "point": lambda: host.point(alias, place),
            "documents, ids": lambda: (
                all_of(host.documents(place.name, 200)),
                all_of(host.ids(place.name)),
            ),
            "apply": lambda: host.apply(place, SCHEMA, [Change("unknown")]),
            "mapping": lambda: host.mapping(place.name),
            "engine": lambda: engines.append(host.engine(place, SCHEMA, corpus_catalogue)),
            "engine: retrieve": lambda: (
                engines[0].retrieve([query("red")], 10, replace(EVERYTHING, facets=("brand",))),
                engines[0].retrieve([query("red"), query("hat")], 10),
            ),
            "engine: fetch": lambda: engines[0].fetch(*page),
            "engine: healthy": lambda: [engine.healthy() for engine in engines],
            "engine: upsert, delete, refresh": lambda: (
                engines[0].upsert([SCHEMA.document({"id": "x", "title": "red"})]),
                engines[0].delete(["x"]),
                engines[0].refresh(),
            ),
            "drop": lambda: host.drop(place),
        }
        made = {name: recorder.during(work) for name, work in operations.items()}
        engines[0].close()
        replaced = {place.name: "{index}", other.name: "{index}", alias: "{alias}"}
        for name, requests in made.items():
            made[name] = {f"{method} {pattern(path, replaced)}" for method, path in requests}
        assert {k: sorted(v) for k, v in made.items()} == listed(host.kind)


def pattern(path, replaced):
    """Return a path with its names replaced, the longest first."""
    for name in sorted(replaced, key=len, reverse=True):
        path = path.replace(name, replaced[name])
    return path


def listed(kind):
    """Return the requests of each operation in the page on privileges, for one server."""
    text = PAGE.read_text(encoding="utf-8").partition("## What each request needs")[0]
    column = {"elasticsearch": 1, "opensearch": 2}[kind]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and "`" in cells[1]:
            requests = re.findall(r"`((?:GET|PUT|POST|DELETE|HEAD) [^`]+)`", cells[column])
            found[cells[0].replace("`", "")] = sorted(requests)
    return found
