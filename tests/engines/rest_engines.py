"""What engines on Elasticsearch and OpenSearch must do beyond the contract of all.

`Builder` makes indexes through the host, each under a name of its own, and takes them away;
`RestEngineContract` holds the tests and needs the fixtures `builder` and `url`.
"""

import http.client
import json
import math
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import orjson
import pytest
from contracts.engine import CHECKED, CORPUS, SCHEMA, query
from memory_documents import MemoryDocuments

from cascade.candidates import Documents, Query
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.engines._rest.engine import RestEngine
from cascade.engines._rest.host import RestHost
from cascade.engines._rest.search import View
from cascade.engines.connection import Connection, IndexShape, Matching
from cascade.errors import (
    ConfigError,
    DeadlineError,
    EngineError,
    EngineUnavailableError,
    NotFoundError,
    QueryError,
)
from cascade.filters import parse
from cascade.hosting import BulkOptions, Place
from cascade.protocols import NEVER, Asked, Capability, Deadline, Sort
from cascade.schema import Field, Kind, Schema

OURS = Matching()
SOON_MS = 1_500


class Builder:
    """Build indexes and their catalogues on one server."""

    def __init__(self, client_class, dialect, url, tmp_path_factory):
        self.client_class = client_class
        self.url = url
        self.client = self.connect()
        self.dialect = dialect
        self.folders = tmp_path_factory
        self.prefix = f"engine-{secrets.token_hex(4)}"
        self.count = 0
        self.engines = []

    def connect(self, url=None):
        return self.client_class(Connection(urls=(url or self.url,)))

    def name(self) -> str:
        self.count += 1
        return f"{self.prefix}-{self.count:06d}"

    def build(self, documents, schema=SCHEMA, **shape) -> tuple[str, Documents]:
        """Return the name of a new index and its catalogue."""
        place = Place(self.name(), Path())
        host = RestHost(self.client, self.dialect, IndexShape(refresh_s=3600, **shape), None)
        host.create(place, schema, {})
        writer = host.open_writer(place, schema, BulkOptions())
        folder = self.folders.mktemp("catalogue") / "catalogue"
        with CatalogueWriter(folder, schema, "g1") as catalogue:
            for row, raw in enumerate(documents):
                document = schema.document(raw)
                writer.add(row, document, catalogue.add(document))
            catalogue.finish()
            writer.finish()
        return place.name, Catalogue.open(folder, schema)

    def open(self, name, catalogue, schema=SCHEMA, matching=OURS, **more):
        client = self.connect(more.pop("url", None))
        engine = RestEngine(client, name, schema, catalogue, matching, **more)
        self.engines.append(engine)
        return engine

    def make(self, documents, schema=SCHEMA, **shape):
        return self.open(*self.build(documents, schema, **shape), schema)

    def foreign(self, mapping, documents) -> str:
        """Return the name of a new index as others make them."""
        name = self.name()
        self.client.request("PUT", f"/{name}", body=orjson.dumps(mapping))
        lines = b"".join(
            b'{"index":{"_id":%b}}\n%b\n' % (orjson.dumps(doc_id), orjson.dumps(raw))
            for doc_id, raw in documents.items()
        )
        path, params = f"/{name}/_bulk", {"refresh": "true"}
        answer = self.client.request("POST", path, params=params, body=lines, ndjson=True)
        assert b'"errors":false' in answer.body, answer.body
        return name

    def close(self):
        for engine in self.engines:
            engine.close()
        for number in range(1, self.count + 1):
            path = f"/{self.prefix}-{number:06d}"
            self.client.request("DELETE", path, allow=frozenset({404}))
        self.client.close()


class Proxy:
    """Pass HTTP on to a server; hold back what `waits` says, until it is stopped.

    Attributes:
        waits: How many seconds the answer to a request is held back, from its body.
        bodies: Every body that was passed on.
    """

    def __init__(self, url):
        target = urlsplit(url)
        self.waits = lambda body: 0.0
        self.bodies = []
        self.stopped = False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if proxy.stopped:
                    self.close_connection = True
                    return
                proxy.bodies.append(body)
                behind = http.client.HTTPConnection(target.hostname, target.port)
                behind.request(self.command, self.path, body, dict(self.headers))
                answer = behind.getresponse()
                data = answer.read()
                behind.close()
                time.sleep(proxy.waits(body))
                self.send_response(answer.status)
                for name in ("content-type", "x-elastic-product"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *args):
                pass

        class Listener(ThreadingHTTPServer):
            def handle_error(self, request, address):
                """A client that went away is what some tests are about."""

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.stopped = True
        self._server.shutdown()
        self._server.server_close()


def bm25(documents, field, terms):
    """Score documents as Lucene does: k1 = 1.2, b = 0.75, without the factor k1 + 1.

    Documents without the field count neither for the frequency nor for the mean length.
    """
    texts = [" ".join(doc.texts.get(field, ())).split() for doc in documents]
    lengths = [len(text) for text in texts if text]
    mean = sum(lengths) / len(lengths)
    scores = np.zeros(len(texts))
    for term in terms:
        n = sum(term in text for text in texts)
        idf = math.log(1 + (len(lengths) - n + 0.5) / (n + 0.5))
        for row, text in enumerate(texts):
            tf = text.count(term)
            scores[row] += idf * tf / (tf + 1.2 * (0.25 + 0.75 * len(text) / mean))
    return scores


class RestEngineContract:
    """Hold the tests of both servers."""

    @pytest.fixture(scope="class")
    @classmethod
    def built(cls, builder):
        """An index of `CORPUS`, and its catalogue."""
        return builder.build(CORPUS)

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, builder, built):
        return builder.open(*built)

    @pytest.fixture
    def proxy(self, builder):
        proxy = Proxy(builder.url)
        yield proxy
        proxy.stop()

    def test_says_what_it_can_do(self, engine, builder):
        assert engine.kind == builder.client.kind
        assert engine.capabilities == set(Capability) - {Capability.VECTORS}

    def test_score_is_the_boosted_sum_of_bm25_over_fields(self, engine):
        words = ["oak", "ring", "cup"]
        expected = 3.0 * bm25(CHECKED, "title", words) + 1.5 * bm25(CHECKED, "text", words)
        found = engine.retrieve([query(" ".join(words))], len(CORPUS)).candidates
        ratio = found.scores / expected[found.rows]
        # Some majors keep a constant factor that others leave out.
        np.testing.assert_allclose(ratio, ratio[0], rtol=2e-5)
        assert sorted(found.rows) == np.flatnonzero(expected).tolist()

    def test_several_shards_give_what_one_gives(self, builder, engine):
        several = builder.make(CORPUS, shards=3)
        asked = Asked(facets=("brand", "tags"), facet_size=100)
        for text in ("red", "red shoe hat", "wool ring cup oak"):
            for size in (1, 7, 60, len(CORPUS)):
                one = engine.retrieve([query(text)], size, asked)
                other = several.retrieve([query(text)], size, asked)
                assert other.candidates.rows.tolist() == one.candidates.rows.tolist()
                assert other.candidates.scores == pytest.approx(one.candidates.scores, rel=1e-6)
                assert (other.totals, other.facets) == (one.totals, one.facets)
        assert several.healthy()

    def test_hundreds_of_queries_are_each_what_it_is_alone(self, engine):
        texts = [f"{one} {other}" for one in ("red", "oak", "") for other in ("cup", "hat", "x")]
        queries = [query(text) for text in texts * 14]
        found = engine.retrieve(queries, 4)
        for i in (0, 4, 49, 50, 51, 99, 100, 125):
            alone = engine.retrieve([queries[i]], 4)
            assert found.candidates.listings(i, i + 1).ids() == alone.candidates.ids()
            assert found.totals[i] == alone.totals[0]

    def test_totals_are_counted_up_to_a_cap(self, builder, built):
        capped = builder.open(*built, matching=Matching(total_cap=5))
        total = capped.retrieve([query("red shoe")], 3).totals[0]
        assert total.relation == "gte"
        assert 5 <= total.value < len(CORPUS)

    def test_more_than_a_server_gives_is_refused(self, engine):
        with pytest.raises(QueryError, match="size is 10001; accepted is 0 to 10000"):
            engine.retrieve([query("red")], 10_001)

    def test_many_words_over_many_fields_are_no_error(self, builder):
        fields = tuple(Field(f"t{i}", Kind.TEXT) for i in range(40))
        schema = Schema("id", fields)
        name, catalogue = builder.build([{"id": "1", "t7": "cup"}], schema)
        text = "cup " + " ".join(f"word{i}" for i in range(200))
        for matching in (OURS, Matching(typos=True), Matching(phrase_boost=1.0)):
            engine = builder.open(name, catalogue, schema, matching)
            for share in (0.0, 0.01):
                asked = Asked(minimum_match=share)
                assert engine.retrieve([query(text)], 5, asked).candidates.ids() == ["1"]

    def test_dates_beyond_all_time_are_no_error(self, engine):
        every = {doc.id for doc in CHECKED if "added" in doc.numbers}
        asked = Asked(match_all=True)
        for raw, expected in (
            ({"gt": -1e300, "lt": 1e300}, every),
            ({"gte": 1e300}, set()),
            ({"lte": -1e18}, set()),
            ({"lt": "0001-01-01T00:00:00Z"}, set()),
        ):
            found = engine.retrieve([query("", {"added": raw})], len(CORPUS), asked)
            assert set(found.candidates.ids()) == expected, raw

    def test_dates_are_kept_to_the_millisecond(self, builder):
        moments = [1_700_000_000.122, 1_700_000_000.123, 1_700_000_000.124]
        engine = builder.make([{"id": str(i), "added": at} for i, at in enumerate(moments)])

        def found(condition):
            listing = engine.retrieve([query("", {"added": condition})], 9, Asked(match_all=True))
            return listing.candidates.rows.tolist()

        assert found({"gte": moments[1]}) == [1, 2]
        assert found({"gt": moments[1]}) == [2]
        assert found({"lt": moments[1]}) == [0]
        assert found({"gt": moments[0] + 0.0005, "lte": moments[2] - 0.0005}) == [1]
        assert found(moments[1]) == [1]
        assert found([moments[0], moments[2], *(float(i) for i in range(100))]) == [0, 2]

    def test_a_document_newer_than_the_catalogue_keeps_its_name(self, builder):
        name, catalogue = builder.build([{"id": str(i), "title": "cup"} for i in range(4)])
        schema = SCHEMA
        older = MemoryDocuments({"title": "text"}, [{"id": "0"}, {"id": "1"}])
        older.schema = schema
        found = builder.open(name, older).retrieve([query("cup")], 9).candidates
        assert found.rows.tolist() == [0, 1, -1, -1]
        assert sorted(found.ids()) == ["0", "1", "2", "3"]
        assert len(catalogue) == 4

    # What a text may match beside its words

    def test_words_side_by_side_count_more(self, builder):
        far = {"id": "far", "title": "red hat with a blue and very warm shoe"}
        near = {"id": "near", "title": "red shoe with a blue and very warm hat"}
        name, catalogue = builder.build([far, near])
        plain = builder.open(name, catalogue).retrieve([query("red shoe")], 2).candidates
        assert plain.ids() == ["far", "near"]  # a tie
        boosted = builder.open(name, catalogue, matching=Matching(phrase_boost=2.0))
        found = boosted.retrieve([query("red shoe")], 2).candidates
        assert found.ids() == ["near", "far"]
        assert found.scores[1] == plain.scores[0]
        apart = builder.open(name, catalogue, matching=Matching(phrase_boost=2.0, phrase_slop=9))
        both = apart.retrieve([query("red shoe")], 2).candidates
        assert both.scores.min() > plain.scores[0]

    def test_typos_match_only_if_asked_for_and_count_less(self, builder):
        name, catalogue = builder.build(
            [{"id": "1", "title": "lamb"}, {"id": "2", "title": "lamp"}]
        )
        strict = builder.open(name, catalogue).retrieve([query("lamc")], 5).candidates
        assert len(strict) == 0
        lenient = builder.open(name, catalogue, matching=Matching(typos=True))
        assert set(lenient.retrieve([query("lamc")], 5).candidates.ids()) == {"1", "2"}
        found = lenient.retrieve([query("lamp")], 5).candidates
        assert found.ids()[0] == "2"
        asked = Asked(minimum_match=1.0)
        assert len(lenient.retrieve([query("lamc red")], 5, asked).candidates) == 0

    # Templates

    def test_a_template_of_a_team_matches_by_its_own_rules(self, builder, built, engine):
        body = {
            "query": {"bool": {"must": [{"match": {"title": "{{query}}"}}]}},
            "size": 3,
            "sort": ["price"],
        }
        placed = {
            "query": {
                "bool": {
                    "must": [{"match": {"title": {"query": "{{query}}", "operator": "and"}}}],
                    "filter": [{"exists": {"field": "title"}}, "{{filters}}"],
                }
            }
        }
        words = {doc.id: set(" ".join(doc.texts.get("title", ())).split()) for doc in CHECKED}
        raw = {"brand": ["acme", "zoë"], "price": {"lt": 100}}
        passing = engine.retrieve([query("", raw)], 999, Asked(match_all=True)).candidates.ids()
        for template, wanted in ((body, any), (placed, all)):
            own = builder.open(*built, matching=Matching(template=json.dumps(template)))
            assert Capability.MINIMUM_MATCH not in own.capabilities
            for filters in (None, raw):
                found = own.retrieve([query("red shoe", filters)], len(CORPUS))
                expected = {
                    doc_id
                    for doc_id, has in words.items()
                    if wanted(word in has for word in ("red", "shoe"))
                    and (filters is None or doc_id in passing)
                }
                assert set(found.candidates.ids()) == expected
                pairs = zip(-found.candidates.scores, found.candidates.rows, strict=True)
                assert list(pairs) == sorted(
                    zip(-found.candidates.scores, found.candidates.rows, strict=True)
                )

    def test_what_is_typed_stays_data_in_a_template(self, builder, built):
        template = {"query": {"match": {"title": "{{query}}"}}}
        own = builder.open(*built, matching=Matching(template=json.dumps(template)))
        for typed in ('red"}}, "size": 0', "{{filters}}", '\\"', "\ud800", "red\x00"):
            found = own.retrieve([query(typed)], 5)
            assert len(found.candidates) == (5 if "red" in typed else 0)
        assert len(own.retrieve([query("")], 5).candidates) == 0

    def test_a_template_may_rescore(self, builder, built, engine):
        rescored = {
            "query": {"match": {"title": "{{query}}"}},
            "rescore": {
                "window_size": 500,
                "query": {
                    "rescore_query": {"term": {"tags": "a"}},
                    "query_weight": 0,
                    "rescore_query_weight": 1,
                },
            },
        }
        own = builder.open(*built, matching=Matching(template=json.dumps(rescored)))
        asked = Asked(facets=("brand",))
        found = own.retrieve([query("red")], len(CORPUS), asked)
        tagged = ["a" in CHECKED[row].keywords.get("tags", ()) for row in found.candidates.rows]
        assert tagged == sorted(tagged, reverse=True)
        assert 0 < sum(tagged) < len(tagged)
        rows = found.candidates.rows[: sum(tagged)].tolist()
        assert rows == sorted(rows)  # they tie
        assert found.facets[0]["brand"]
        by_price = own.retrieve([query("red")], 5, Asked(sort=Sort("price"))).candidates
        assert len(by_price) == 5

    # Teams without a catalogue

    def test_values_and_named_scores_come_as_columns(self, builder, built, engine):
        view = View(columns=("price", "added"), named=True)
        columns = builder.open(*built, view=view)
        for asked in (Asked(), Asked(minimum_match=0.6)):
            found = columns.retrieve([query("red shoe hat"), query("oak")], 50, asked).candidates
            plain = engine.retrieve([query("red shoe hat"), query("oak")], 50, asked).candidates
            assert found.rows.tolist() == plain.rows.tolist()
            parts = found.columns["engine_title"] + found.columns["engine_text"]
            assert parts == pytest.approx(found.scores, rel=1e-6)
            for name in ("price", "added"):
                numbers = [CHECKED[row].numbers.get(name, np.nan) for row in found.rows]
                got = found.columns[f"engine_{name}"]
                assert got == pytest.approx(np.array(numbers, np.float32), nan_ok=True)

    def test_named_queries_of_a_template_are_columns(self, builder, built):
        template = {
            "query": {
                "bool": {
                    "must": [{"match": {"text": {"query": "{{query}}", "_name": "body"}}}],
                    "should": [{"term": {"tags": {"value": "a", "_name": "tagged"}}}],
                }
            }
        }
        matching = Matching(template=json.dumps(template))
        engine = builder.open(*built, matching=matching, view=View(named=True))
        found = engine.retrieve([query("red")], 200).candidates
        has = ["a" in CHECKED[row].keywords.get("tags", ()) for row in found.rows]
        assert (found.columns["engine_tagged"] > 0).tolist() == has
        assert found.columns["engine_body"].min() > 0

    # Indexes of others

    @pytest.fixture(scope="class")
    @classmethod
    def others(cls, builder):
        """An index as a team makes one, without anything of ours."""
        keyword = {"fields": {"raw": {"type": "keyword", "ignore_above": 256}}}
        mapping = {
            "mappings": {
                "properties": {
                    "sku": {"type": "keyword"},
                    "name": {"type": "text", **keyword},
                    "maker": {"type": "text", **keyword},
                    "cost": {"type": "float"},
                    "since": {"type": "date"},
                }
            }
        }
        rows = {
            "a1": {"sku": "S1", "name": "red shoe", "maker": "Acme", "cost": 10},
            "a2": {"sku": "S2", "name": "red shoe", "maker": "Zoë", "since": "2024-05-01"},
            "a3": {"sku": "S3", "name": "blue hat, red", "maker": "Acme", "cost": 3.5},
            "a4": {"sku": "S4", "name": "lamp"},
        }
        return builder.foreign(mapping, rows), rows

    def catalogue(self, schema, ids):
        documents = MemoryDocuments(
            {f.name: str(f.kind) for f in schema.fields}, [{"id": one} for one in ids]
        )
        documents.schema = schema
        return documents

    def schema_of_others(self, id_key):
        return Schema(
            id_key,
            (
                Field("title", Kind.TEXT, source=("name",), boost=2.0),
                Field("brand", Kind.KEYWORD, source=("maker",)),
                Field("price", Kind.NUMBER, source=("cost",)),
                Field("added", Kind.DATE, source=("since",)),
                Field("colour", Kind.KEYWORD),
            ),
        )

    @pytest.mark.parametrize(("id_key", "prefix"), [("_id", "a"), ("sku", "S")])
    def test_an_index_of_others_is_read_as_it_is(self, builder, others, id_key, prefix):
        name, rows = others
        schema = self.schema_of_others(id_key)
        ids = [f"{prefix}{i}" for i in (1, 2, 3)]
        matching = Matching(analysed="server", phrase_boost=0.5)
        engine = builder.open(
            name, self.catalogue(schema, ids[::-1]), schema, matching, view=View(managed=False)
        )
        assert Capability.UPDATE not in engine.capabilities

        def find(text, raw=None, **asked):
            asks = Query("q", text, parse(raw, schema))
            return engine.retrieve([asks], 10, Asked(facets=("brand",), **asked))

        found = find("RED shoe")
        assert found.candidates.ids() == ids
        assert found.candidates.rows.tolist() == [2, 1, 0]
        assert {v.value: v.count for v in found.facets[0]["brand"]} == {"Acme": 2, "Zoë": 1}
        assert find("red shoe", minimum_match=1.0).candidates.ids() == ids[:2]
        assert find("red", {"brand": "Acme", "price": {"gt": 3.5}}).candidates.ids() == ids[:1]
        assert find("red", {"added": {"gte": "2024-05-01"}}).candidates.ids() == [ids[1]]
        assert find("red", sort=Sort("price")).candidates.ids() == [ids[2], ids[0], ids[1]]
        lamp = find("lamp").candidates
        assert (lamp.ids(), lamp.rows.tolist()) == ([f"{prefix}4"], [-1])
        with pytest.raises(QueryError, match="no field that holds 'colour'"):
            find("red", {"colour": "red"})
        asks = Query("q", "shoes red", parse({"brand": "Acme"}, schema))
        pages = engine.fetch(asks, [f"{prefix}1", f"{prefix}2"], highlight=["title"])
        assert pages[1] is None
        assert dict(pages[0].fields) == {id_key: f"{prefix}1", **rows["a1"]}
        assert pages[0].highlights == {"title": "<em>red</em> <em>shoe</em>"}
        with pytest.raises(EngineError, match="belongs to others"):
            engine.delete(ids)

    def test_an_index_without_a_searched_field_is_refused(self, builder, others):
        schema = Schema("_id", (Field("titel", Kind.TEXT),))
        view = View(managed=False)
        with pytest.raises(ConfigError, match="holds none of the searched fields titel"):
            builder.open(others[0], self.catalogue(schema, []), schema, view=view)
        with pytest.raises(ConfigError, match=r"colour: the index .* has no field"):
            schema = self.schema_of_others("_id")
            columns = View(managed=False, columns=("colour",))
            builder.open(others[0], self.catalogue(schema, []), schema, view=columns)

    # What goes wrong

    def test_no_index_is_an_error_and_so_is_one_that_went(self, builder):
        with pytest.raises(NotFoundError, match="no such index"):
            builder.open(builder.name(), self.catalogue(SCHEMA, []))
        name, catalogue = builder.build(CORPUS[:3])
        engine = builder.open(name, catalogue)
        builder.client.request("DELETE", f"/{name}")
        for text in ("red", "red shoe"):
            with pytest.raises(NotFoundError, match="no such index"):
                engine.retrieve([query(text), query("hat")], 5, Asked(facets=("brand",)))
        with pytest.raises(NotFoundError, match="no such index"):
            engine.fetch(query(), ["x"])
        assert not engine.healthy()

    def test_a_server_that_is_gone_is_unavailable(self, builder, built, proxy):
        engine = builder.open(*built, url=proxy.url)
        assert engine.healthy()
        proxy.stop()
        for _ in range(2):
            with pytest.raises(EngineUnavailableError, match="cannot be reached"):
                engine.retrieve([query("red")], 5)
        assert not engine.healthy()
        with pytest.raises(EngineUnavailableError, match="cannot be reached"):
            builder.open(*built, url=proxy.url)

    def test_late_facets_are_left_out_and_said(self, builder, built, proxy):
        engine = builder.open(*built, url=proxy.url)
        asked = Asked(facets=("brand", "tags"))
        whole = engine.retrieve([query("red")], 5, asked)
        assert whole.missing == ()
        proxy.waits = lambda body: 2 * SOON_MS / 1000 if b'"aggs"' in body else 0.0
        start = time.monotonic()
        found = engine.retrieve([query("red")], 5, asked, Deadline.after_ms(SOON_MS))
        assert time.monotonic() - start < 1.5 * SOON_MS / 1000
        assert found.candidates.ids() == whole.candidates.ids()
        assert found.facets == ({},)
        assert found.missing == ("facets: they were not counted before the deadline",)

    def test_a_late_page_is_an_error_in_time(self, builder, built, proxy):
        engine = builder.open(*built, url=proxy.url)
        proxy.waits = lambda body: 1.0
        start = time.monotonic()
        for queries in ([query("red")], [query("red"), query("hat")]):
            with pytest.raises(DeadlineError, match="did not answer"):
                engine.retrieve(queries, 5, Asked(), Deadline.after_ms(200))
        assert time.monotonic() - start < 0.9

    def test_ids_and_scores_alone_are_asked_for(self, builder, built, proxy):
        engine = builder.open(*built, url=proxy.url)
        proxy.bodies.clear()
        engine.retrieve([query("red")], 5, Asked(), NEVER)
        (body,) = map(json.loads, proxy.bodies)
        assert (body["_source"], body["stored_fields"]) == (False, "_none_")
        assert body["track_total_hits"] == 10_000
        assert "docvalue_fields" not in body

    def test_the_engine_closes_its_client(self, builder, built):
        client = builder.connect()
        engine = RestEngine(client, built[0], SCHEMA, built[1])
        assert client.request("GET", f"/{built[0]}/_count").status == 200
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            client.request("GET", f"/{built[0]}/_count")
