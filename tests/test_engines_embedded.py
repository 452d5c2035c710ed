"""The embedded engine keeps the contract of all engines, and what is its own."""

import math
import os
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tantivy
from contracts.engine import (
    CHECKED,
    CORPUS,
    EVERYTHING,
    SCHEMA,
    EngineContract,
    UpdateContract,
    query,
)

from cascade.candidates import Query
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.engines._embedded.index import is_in_row_order, row_ranges
from cascade.engines._embedded.writer import EmbeddedWriter
from cascade.engines.embedded import EmbeddedEngine
from cascade.errors import ChecksumError, EngineError, NotFoundError
from cascade.protocols import Asked, Sort
from cascade.schema import Field, Kind, Schema


def build(folder, documents, schema=SCHEMA, **settings):
    """Write an index and its catalogue into a new folder."""
    with CatalogueWriter(folder / "catalogue", schema, "g1") as catalogue:
        writer = EmbeddedWriter(folder / "engine", schema, **settings)
        for row, raw in enumerate(documents):
            document = schema.document(raw)
            writer.add(row, document, catalogue.add(document))
        catalogue.finish()
        writer.finish()


def opened(folder, schema=SCHEMA):
    catalogue = Catalogue.open(folder / "catalogue", schema)
    return EmbeddedEngine(folder / "engine", schema, catalogue)


@pytest.fixture(scope="class")
def make_engine(tmp_path_factory):
    engines = []

    def make(documents, schema=SCHEMA):
        folder = tmp_path_factory.mktemp("index")
        build(folder, documents, schema)
        engines.append(opened(folder, schema))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sound index of a few documents: copied, never changed."""
    folder = tmp_path_factory.mktemp("sound")
    build(folder, CORPUS[:20])
    return folder


class TestContract(EngineContract):
    pass


class TestUpdates(UpdateContract):
    pass


def test_says_what_it_can_do(folder):
    engine = opened(folder)
    assert engine.kind == "embedded"
    able = {"facets", "highlight", "sort", "minimum_match", "update"}
    assert {str(capability) for capability in engine.capabilities} == able


def bm25(documents, field, terms):
    """Score documents by the formula of Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75.

    The inverse document frequency is Lucene's, ln(1 + (N - n + 1/2) / (n + 1/2)); the numerator
    keeps its factor k1 + 1; the mean length is over all documents, also those without the field.
    """
    texts = [" ".join(doc.texts.get(field, ())).split() for doc in documents]
    mean = sum(map(len, texts)) / len(texts)
    scores = np.zeros(len(texts))
    for term in terms:
        n = sum(term in text for text in texts)
        idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        for row, text in enumerate(texts):
            tf = text.count(term)
            scores[row] += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(text) / mean))
    return scores


@pytest.mark.parametrize("share", [0.0, 0.6])
@pytest.mark.parametrize("words", [["red"], ["shoe", "lamp"], ["oak", "ring", "cup", "hat", "red"]])
def test_score_is_the_boosted_sum_of_bm25_over_fields(make_engine, words, share):
    engine = make_engine(CORPUS)
    expected = 3.0 * bm25(CHECKED, "title", words) + 1.5 * bm25(CHECKED, "text", words)
    asked = Asked(minimum_match=share)
    found = engine.retrieve([query(" ".join(words))], len(CORPUS), asked).candidates
    np.testing.assert_allclose(found.scores, expected[found.rows], rtol=2e-5)
    if not share:
        assert sorted(found.rows) == np.flatnonzero(expected).tolist()


def test_boosts_are_those_of_the_schema_it_is_opened_with(tmp_path):
    build(tmp_path, [{"id": "1", "title": "cup"}, {"id": "2", "text": "cup"}])
    fields = tuple(replace(f, boost=9.0) if f.name == "text" else f for f in SCHEMA.fields)
    assert opened(tmp_path).retrieve([query("cup")], 2).candidates.ids() == ["1", "2"]
    heavy = opened(tmp_path, replace(SCHEMA, fields=fields))
    assert heavy.retrieve([query("cup")], 2).candidates.ids() == ["2", "1"]


def test_ties_are_ordered_over_segments(make_engine, tmp_path):
    # Updates make segments of their own, so the order of the index is not that of the rows.
    documents = [{"id": f"d{i}", "title": "cup", "price": (1, 2, None)[i % 3]} for i in range(400)]
    engine = make_engine(documents)
    rng = random.Random(2)
    for _ in range(4):
        changed = rng.sample(documents, k=60)
        engine.upsert([SCHEMA.document(raw) for raw in changed])
        engine.refresh()
    for size in (1, 50, 399):
        found = engine.retrieve([query("cup")], size).candidates
        assert found.rows.tolist() == list(range(size))
        found = engine.retrieve([query("cup")], size, Asked(sort=Sort("price"))).candidates
        assert found.rows.tolist() == sorted(range(400), key=lambda row: row % 3)[:size]
        assert engine.retrieve([query()], size, EVERYTHING).candidates.rows.tolist() == [
            *range(size)
        ]


def test_ties_are_ordered_over_the_segments_of_a_build(tmp_path):
    # Many distinct words fill the least memory that there is several times.
    documents = [
        {
            "id": f"d{i}",
            "title": "cup",
            "text": " ".join(f"w{i}x{j}" for j in range(60)),
            "brand": f"b{i % 1000}",
        }
        for i in range(3000)
    ]
    build(tmp_path, documents, memory_mb=15)
    engine = opened(tmp_path)
    ranges = row_ranges(tmp_path / "engine", tantivy.Index.open(str(tmp_path / "engine")))
    assert len(ranges) > 1
    assert is_in_row_order(ranges)
    assert not is_in_row_order(ranges[::-1])
    for size in (1, 900, 2000, 2999, 3000):
        found = engine.retrieve([query("cup")], size)
        assert found.candidates.rows.tolist() == list(range(size))
    facets = engine.retrieve([query("cup")], 0, Asked(facets=("brand",), facet_size=3)).facets
    counted = [(v.value, v.count) for v in facets[0]["brand"]]
    assert counted == [("b0", 3), ("b1", 3), ("b10", 3)]


TWO_LANGUAGES = Schema(
    "id",
    (
        Field("title", Kind.TEXT, analyser="english"),
        Field("titel", Kind.TEXT, analyser="german"),
        Field("code", Kind.TEXT, analyser="plain"),
    ),
)


def test_each_field_reads_the_query_by_its_own_analyser(make_engine):
    documents = [
        {"id": "en", "title": "running houses"},
        {"id": "de", "titel": "laufende Häuser"},
        {"id": "code", "code": "running"},
        {"id": "both", "title": "run", "code": "houses"},
    ]
    engine = make_engine(documents, TWO_LANGUAGES)

    def ids(text, share=0.0):
        asked = Asked(minimum_match=share)
        return sorted(engine.retrieve([Query("q", text)], 9, asked).candidates.ids())

    assert ids("run") == ["both", "en"]
    assert ids("running") == ["both", "code", "en"]
    assert ids("Haus") == ["de"]
    # A word counts once, in whichever form a field knows it.
    assert ids("running houses", 1.0) == ["both", "en"]
    assert ids("laufenden Haus", 1.0) == ["de"]


def test_a_synonym_of_several_words_leaves_each_analyser_its_own_count(make_engine, tmp_path):
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("tv, television set\n")
    schema = Schema(
        "id",
        (
            Field("title", Kind.TEXT, synonyms=synonyms),
            Field("code", Kind.TEXT, analyser="plain"),
        ),
    )
    documents = [
        {"id": "a", "title": "big television set"},
        {"id": "b", "title": "tv"},
        {"id": "c", "code": "television set"},
        {"id": "d", "code": "set"},
    ]
    engine = make_engine(documents, schema)
    text = Query("q", "television set")
    assert sorted(engine.retrieve([text], 9).candidates.ids()) == ["a", "b", "c", "d"]
    found = engine.retrieve([text], 9, Asked(minimum_match=1.0)).candidates
    assert sorted(found.ids()) == ["a", "b", "c"]
    assert engine.fetch(Query("q", "television set"), ["b"], None, ["title"])[0].highlights == {
        "title": "<em>tv</em>"
    }


def test_a_document_with_broken_text_is_kept(make_engine):
    raw = {"id": "1", "title": "cup \ud800", "brand": "x\udfff", "count": 2**70, "odd": "\ud83d"}
    engine = make_engine([raw])
    assert engine.retrieve([query("cup", {"brand": "x\ufffd"})], 5).candidates.ids() == ["1"]
    fields = engine.fetch(query(), ["1"])[0].fields
    assert fields["title"] == "cup \ufffd"
    assert fields["odd"] == "\ufffd"


def test_no_index_is_not_found(tmp_path, folder):
    catalogue = Catalogue.open(folder / "catalogue", SCHEMA)
    for missing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(NotFoundError, match=r"there is no index in .*cascade index build"):
            EmbeddedEngine(missing, SCHEMA, catalogue)


def copied(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_half_written_index_is_refused(tmp_path, folder):
    catalogue = Catalogue.open(folder / "catalogue", SCHEMA)
    writer = EmbeddedWriter(tmp_path / "half", SCHEMA)
    writer.add(0, CHECKED[0], {"title": ["red"]})
    with pytest.raises(ChecksumError, match="half-written"):
        EmbeddedEngine(tmp_path / "half", SCHEMA, catalogue)
    writer.finish()


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("meta.json", lambda path: path.write_text('{"seg')),
        ("*.term", lambda path: os.truncate(path, 10)),
        ("*.fast", lambda path: path.unlink()),
        ("engine.json", lambda path: path.write_text("[]")),
        ("engine.json", lambda path: path.write_text("{")),
    ],
)
def test_a_damaged_index_is_refused(tmp_path, folder, pattern, damage):
    copy = copied(folder, tmp_path)
    for path in (copy / "engine").glob(pattern):
        damage(path)
    with pytest.raises(ChecksumError, match="damaged"):
        opened(copy)


def test_an_index_of_another_format_is_refused(tmp_path, folder):
    copy = copied(folder, tmp_path)
    sealed = copy / "engine" / "engine.json"
    sealed.write_text(sealed.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(ChecksumError, match="has format 9, this version reads 1"):
        opened(copy)


def test_an_index_of_another_schema_is_refused(folder):
    catalogue = Catalogue.open(folder / "catalogue", SCHEMA)
    fields = tuple(replace(f, analyser="german") if f.name == "title" else f for f in SCHEMA.fields)
    with pytest.raises(ChecksumError, match="field 'title' was text, english, searched, the sch"):
        EmbeddedEngine(folder / "engine", replace(SCHEMA, fields=fields), catalogue)
    with pytest.raises(ChecksumError, match="field 'added' was date, the schema says absent"):
        EmbeddedEngine(folder / "engine", replace(SCHEMA, fields=SCHEMA.fields[:-1]), catalogue)


def test_an_index_of_another_catalogue_is_refused(tmp_path, folder):
    build(tmp_path, CORPUS[:15])
    small = Catalogue.open(tmp_path / "catalogue", SCHEMA)
    with pytest.raises(ChecksumError, match="5 documents beyond the 15 rows of its catalogue"):
        EmbeddedEngine(folder / "engine", SCHEMA, small)


def test_a_writer_wants_a_new_folder(folder):
    with pytest.raises(EngineError, match="is not empty"):
        EmbeddedWriter(folder / "engine", SCHEMA)


def test_updates_survive_a_new_start_and_unseen_ones_do_not(tmp_path):
    build(tmp_path, CORPUS[:5])
    engine = opened(tmp_path)
    engine.upsert([SCHEMA.document({"id": "new", "title": "zebra"})])
    engine.refresh()
    engine.upsert([SCHEMA.document({"id": "unseen", "title": "zebra"})])
    engine.close()
    again = opened(tmp_path)
    assert again.retrieve([query("zebra")], 5).candidates.ids() == ["new"]
    again.close()


def test_two_updating_engines_do_not_share_an_index(tmp_path):
    build(tmp_path, CORPUS[:5])
    first, second = opened(tmp_path), opened(tmp_path)
    first.delete(["x"])
    with pytest.raises(EngineError, match=r"failed to delete.*already an `IndexWriter`"):
        second.delete(["x"])
    first.close()
    with pytest.raises(EngineError, match="closed"):
        first.delete(["x"])
    second.close()
