"""The engine on a real Solr keeps the contract of all engines, and what is its own."""

import uuid
from math import nan

import pytest
from contracts.engine import SCHEMA, EngineContract, UpdateContract, query

from cascade.candidates import Query
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.engines.connection import Connection, IndexShape, Matching
from cascade.engines.solr import View, open_host
from cascade.errors import ConfigError, DocumentError, NotFoundError
from cascade.filters import parse
from cascade.hosting import BulkOptions, Place
from cascade.protocols import Asked, Capability
from cascade.schema import Field, Kind, Schema

pytestmark = pytest.mark.full

NEVER_BY_ITSELF = IndexShape(refresh_s=3600.0)
MATCHING, VIEW = Matching(), View()
SMALL = BulkOptions(documents=100)


class Builder:
    """Build indexes on a server and open engines over them; `close` removes them."""

    def __init__(self, url, folder):
        self.url = url
        self.folder = folder
        self.opened = []

    def __call__(self, documents, schema=SCHEMA, matching=MATCHING, view=VIEW):
        name = f"contract-{uuid.uuid4().hex[:8]}-000001"
        place = Place(name, self.folder / name)
        host = open_host(Connection((self.url,), pool=4), matching, NEVER_BY_ITSELF)
        self.opened.append((host, place))
        host.create(place, schema, {"generation": name})
        writer = host.open_writer(place, schema, SMALL)
        with CatalogueWriter(place.folder, schema, name) as catalogue:
            for row, raw in enumerate(documents):
                document = schema.document(raw)
                writer.add(row, document, catalogue.add(document))
            catalogue.finish()
        writer.finish()
        catalogue = Catalogue.open(place.folder, schema)
        return host.engine(place, schema, catalogue, view)

    def close(self):
        for host, place in self.opened:
            host.drop(place)
            host.close()


@pytest.fixture(scope="class")
def make_engine(solr_server, tmp_path_factory):
    builder = Builder(solr_server.url, tmp_path_factory.mktemp("solr"))
    yield builder
    builder.close()


def ids(engine, text, **asked):
    return engine.retrieve([query(text)], 20, Asked(**asked)).candidates.ids()


class TestContract(EngineContract):
    pass


class TestUpdates(UpdateContract):
    pass


SHOES = [
    {"id": "near", "title": "red wool shoe", "price": 5},
    {"id": "far", "title": "red wool and an oak lamp and a tiny shoe", "price": 1},
    {"id": "apart", "title": "red lamp", "text": "a shoe", "price": 3},
    {"id": "typo", "title": "rad sho", "price": 4},
    {"id": "macro", "title": "c0 generation x", "brand": "${c0}"},
]


class TestOwn:
    def test_capabilities(self, make_engine):
        engine = make_engine(SHOES)
        assert engine.kind == "solr"
        assert engine.capabilities == {
            *(Capability.FACETS, Capability.HIGHLIGHT, Capability.SORT, Capability.UPDATE),
            *(Capability.MINIMUM_MATCH, Capability.PHRASES, Capability.TYPOS),
            *(Capability.TEMPLATE, Capability.DOC_VALUES),
        }

    def test_parameters_of_a_request_are_never_put_into_a_text(self, make_engine):
        engine = make_engine(SHOES)
        assert ids(engine, "${generation}") == ["macro"]  # the word, not what stands behind it
        found = engine.retrieve([query("red", {"brand": "${c0}"})], 9)
        assert found.totals[0].value == 0
        found = engine.retrieve([query("generation", {"brand": "${c0}"})], 9)
        assert found.candidates.ids() == ["macro"]

    def test_words_side_by_side_count_more_with_a_phrase_boost(self, make_engine):
        plain = make_engine(SHOES)
        boosted = make_engine(SHOES, matching=Matching(phrase_boost=5.0, phrase_slop=0))
        assert set(ids(plain, "red wool shoe")) == set(ids(boosted, "red wool shoe"))
        before = plain.retrieve([query("wool shoe")], 9).candidates
        after = boosted.retrieve([query("wool shoe")], 9).candidates
        gain = dict(zip(after.ids(), after.scores, strict=True))
        for doc_id, score in zip(before.ids(), before.scores, strict=True):
            assert (gain[doc_id] > score * 2) == (doc_id == "near"), doc_id
        wide = make_engine(SHOES, matching=Matching(phrase_boost=5.0, phrase_slop=9))
        scores = wide.retrieve([query("wool shoe")], 9).candidates
        assert dict(zip(scores.ids(), scores.scores, strict=True))["far"] > gain["far"]

    def test_typos_are_off_until_they_are_asked_for(self, make_engine):
        assert ids(make_engine(SHOES), "wooll") == []
        found = ids(make_engine(SHOES, matching=Matching(typos=True)), "wooll shoe")
        assert set(found) == {"near", "far", "apart", "typo"}
        assert found[0] == "near"
        engine = make_engine(SHOES, matching=Matching(typos=True))
        assert set(ids(engine, "wooll shoe", minimum_match=1.0)) == {"near", "far"}

    def test_a_template_searches_as_a_team_does(self, make_engine):
        template = (
            '{"query": {"edismax": {"qf": "title", "query": "{{query}}", "mm": "100%"}},'
            ' "filter": ["price:[2 TO *]"], "limit": 1}'
        )
        engine = make_engine(SHOES, matching=Matching(template=template))
        assert Capability.MINIMUM_MATCH not in engine.capabilities
        assert ids(engine, "red -shoe") == ["near"]
        found = engine.retrieve([query("red", {"price": {"lt": 4}})], 9, Asked(facets=("brand",)))
        assert found.candidates.ids() == ["apart"]
        assert set(ids(engine, "red", match_all=True)) == {"near", "apart", "typo"}
        assert ids(engine, "") == []

    def test_a_total_is_counted_up_to_its_cap(self, make_engine):
        documents = [{"id": f"d{i}", "title": "cup " * (1 + i % 50)} for i in range(5_000)]
        engine = make_engine(documents, matching=Matching(total_cap=10))
        total = engine.retrieve([query("cup")], 5).totals[0]
        assert (total.relation, 10 <= total.value <= 5_000) == ("gte", True)
        exact = make_engine(documents[:9], matching=Matching(total_cap=10))
        assert exact.retrieve([query("cup")], 5).totals[0].value == 9

    def test_two_schemas_share_a_configset(self, make_engine):
        # Here `brand` is a text and `price` a keyword; the core is made from the same configset.
        other = Schema(
            "id",
            (
                Field("title", Kind.TEXT),
                Field("brand", Kind.TEXT, boost=2.0),
                Field("price", Kind.KEYWORD),
            ),
        )
        first = make_engine([{"id": "1", "title": "cup", "brand": "Oak & Wool", "price": 5}])
        second = make_engine(
            [{"id": "1", "title": "x", "brand": "Oak & Wool", "price": "5"}], other
        )
        assert ids(first, "wool") == []
        assert ids(second, "wool") == ["1"]
        filters = parse({"price": "5"}, other)
        asked = Asked(facets=("price",))
        found = second.retrieve([Query("q", "oak", filters)], 5, asked)
        assert found.candidates.ids() == ["1"]
        assert [(v.value, v.count) for v in found.facets[0]["price"]] == [("5", 1)]
        second.upsert([other.document({"id": "1", "brand": "tin"})])
        second.refresh()
        assert (ids(second, "oak"), ids(second, "tin")) == ([], ["1"])

    def test_values_come_along_as_columns(self, make_engine):
        documents = [
            {"id": "a", "title": "cup", "price": 2.5, "added": "1970-01-01T00:01:00.5Z"},
            {"id": "b", "title": "cup"},
        ]
        engine = make_engine(documents, view=View(columns=("added", "price")))
        found = engine.retrieve([query("cup"), query("none")], 5).candidates
        assert found.ids() == ["a", "b"]
        assert found.columns["engine_price"].tolist() == pytest.approx([2.5, nan], nan_ok=True)
        assert found.columns["engine_added"].tolist() == pytest.approx([60.5, nan], nan_ok=True)
        with pytest.raises(ConfigError, match="brand: is no number or date field"):
            make_engine(documents, view=View(columns=("brand",)))

    def test_nearest_vectors_are_fused_with_the_words(self, make_engine):
        schema = Schema("id", (Field("title", Kind.TEXT), Field("v", Kind.VECTOR, dims=2)))
        documents = [
            {"id": "word", "title": "cup", "v": [0, 1]},
            {"id": "near", "title": "mug", "v": [1, 0.1]},
            {"id": "both", "title": "cup and a saucer of tin", "v": [1, 0]},
            {"id": "none", "title": "mug", "v": [-1, 0]},
        ]
        engine = make_engine(
            documents, schema, Matching(vector_field="v"), View(encoder=lambda _: [1.0, 0.0])
        )
        assert Capability.VECTORS in engine.capabilities
        found = engine.retrieve([Query("q", "cup")], 3)
        # both: 1/62 + 1/61; near: 1/62; word: 1/61 + 1/63
        assert found.candidates.ids() == ["both", "word", "near"]
        expected = [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62]
        assert found.candidates.scores.tolist() == pytest.approx(expected, rel=1e-6)
        assert found.totals[0].value == 2

    def test_a_document_that_the_server_refuses_is_told_and_the_rest_is_kept(self, make_engine):
        engine = make_engine([{"id": "1", "title": "cup"}])
        bad = SCHEMA.document({"id": "x" * 40_000, "title": "cup"})
        good = [SCHEMA.document({"id": f"g{i}", "title": "cup"}) for i in range(5)]
        with pytest.raises(DocumentError, match="refused 1 of 6 documents"):
            engine.upsert([*good[:2], bad, *good[2:]])
        engine.refresh()
        assert set(ids(engine, "cup")) == {"1", "g0", "g1", "g2", "g3", "g4"}

    def test_an_index_that_is_gone_is_an_error(self, make_engine):
        engine = make_engine([{"id": "1", "title": "cup"}])
        host, place = make_engine.opened[-1]
        host.drop(place)
        assert not engine.healthy()
        with pytest.raises(NotFoundError, match=place.name):
            engine.retrieve([query("cup")], 5)


class TestCloud(EngineContract):
    """The whole contract once more, in cloud mode."""

    @pytest.fixture(scope="class")
    @classmethod
    def make_engine(cls, solr_cloud_server, tmp_path_factory):
        builder = Builder(solr_cloud_server.url, tmp_path_factory.mktemp("cloud"))
        yield builder
        builder.close()


class TestCloudUpdates(UpdateContract):
    """Updates of a collection."""

    @pytest.fixture(scope="class")
    @classmethod
    def make_engine(cls, solr_cloud_server, tmp_path_factory):
        builder = Builder(solr_cloud_server.url, tmp_path_factory.mktemp("cloud"))
        yield builder
        builder.close()
