"""Feature sets: order, matrix, preparation, chunks, fingerprint and difference."""

import hashlib
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.candidates import Query
from cascade.features import (
    BaseFeature,
    Bm25,
    Column,
    EngineScore,
    Expression,
    Features,
    Log,
    Number,
    Percentile,
    Surface,
    build_features,
    difference,
)
from cascade.features import set as feature_set
from cascade.protocols import Feature, FeatureSet
from cascade.schema import Field, Kind, Schema

DOCUMENTS = MemoryDocuments(
    {"title": "text", "price": "number"},
    [{"title": f"red {'shoes ' * (i % 3)}", "price": float(i)} for i in range(6)],
)
SCHEMA = DOCUMENTS.schema
MIXED = [
    {"kind": "bm25", "name": "match", "field": "title"},
    {"kind": "percentile", "name": "cheap", "field": "price"},
    {"kind": "column", "name": "p_click"},
    {"kind": "expression", "name": "kept", "formula": "match * 2"},
    {"kind": "expression", "name": "mixed", "formula": "kept + cheap + p_click"},
]


def test_the_set_fulfils_its_protocol():
    features: FeatureSet = build_features(MIXED, SCHEMA)
    assert features.names == ("match", "cheap", "p_click", "kept", "mixed")
    assert all(isinstance(feature, Feature) for feature in features.features)
    assert features.engine_bound == ("p_click", "mixed")
    assert features.fields == ("price", "title")


def test_the_matrix_holds_the_features_in_order():
    features = build_features(MIXED, SCHEMA)
    batch = candidates(DOCUMENTS, ("red", [5, 1, -1]), columns={"p_click": [0.5, 0.25, 0.5]})
    matrix = features.matrix(batch)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    for column, feature in zip(matrix.T, features.features, strict=True):
        np.testing.assert_array_equal(column, feature.values(batch))
    np.testing.assert_allclose(matrix[:2, 4], matrix[:2, 0] * 2 + [0.75, 0.25] + [0.5, 0.25])


def test_listing_features_keep_the_value_of_the_retrieved_listing():
    features = build_features(MIXED, SCHEMA)
    whole = candidates(DOCUMENTS, ("red", [0, 1, 2, 3]))
    prepared = features.prepared(whole)
    assert set(prepared.columns) == {"cheap"}
    cut = prepared.take(np.array([3, 1]))
    assert features.matrix(cut)[:, 1].tolist() == [0.875, 0.375]
    assert features.matrix(whole.take(np.array([3, 1])))[:, 1].tolist() == [0.75, 0.25]
    # The expression reads the prepared column too.
    found = features.features[4].values(cut.with_columns({"p_click": np.zeros(2, np.float32)}))
    assert found.tolist() == (features.matrix(cut)[:, 3] + [0.875, 0.375]).astype("f4").tolist()


def test_a_set_without_listing_features_prepares_nothing():
    whole = candidates(DOCUMENTS, ("red", [0]))
    assert Features([Number(name="n", field="price")]).prepared(whole) is whole


def test_row_features_are_computed_once_and_columns_are_read_anew():
    @dataclass(frozen=True, kw_only=True)
    class Counted(BaseFeature):
        calls: ClassVar[list[int]] = []

        def values(self, candidates):
            self.calls.append(len(candidates))
            return candidates.rows.astype(np.float32)

    features = Features([Counted(name="row"), Column(name="p_click")])
    whole = candidates(DOCUMENTS, ("red", [4, 2, 0]))
    assert np.isnan(features.matrix(whole)[:, 1]).all()
    later = whole.with_columns({"p_click": np.array([1, 2, 3], np.float32)})
    later = later.reranked(np.array([0, 1, 2], np.float32)).head(2)
    assert features.matrix(later).tolist() == [[0, 3], [2, 2]]
    assert Counted.calls == [3]


def test_the_matrix_belongs_to_the_caller():
    features = build_features(MIXED, SCHEMA)
    batch = candidates(DOCUMENTS, ("red", [5, 1]))
    first = features.matrix(batch)
    expected = first.copy()
    first[:] = 7
    np.testing.assert_array_equal(features.matrix(batch), expected)


def test_chunks_are_whole_listings():
    listings = [("red", [0, 1, 2]), ("", []), ("shoes", [3] * 9), ("red", [4, 5]), ("", [])]
    parts = list(feature_set.chunks(candidates(DOCUMENTS, *listings), 5))
    assert [part.lengths.tolist() for part in parts] == [[3, 0], [9], [2, 0]]
    assert [q.id for part in parts for q in part.queries] == ["0", "1", "2", "3", "4"]


def test_chunks_change_nothing():
    features = build_features(MIXED, SCHEMA)
    rows = feature_set.CHUNK_ROWS // 2 + 1
    listings = [("red shoes", [3, 1] * rows), ("red", [2, 0]), ("shoes", [5, -1])]
    found = features.matrix(candidates(DOCUMENTS, *listings))
    each = [features.matrix(candidates(DOCUMENTS, one)) for one in listings]
    assert found.tobytes() == np.concatenate(each).tobytes()


def test_no_rows_and_no_features():
    features = build_features(MIXED, SCHEMA)
    assert features.matrix(candidates(DOCUMENTS)).shape == (0, 5)
    assert features.matrix(candidates(DOCUMENTS, ("red", []))).shape == (0, 5)
    assert features.prepared(candidates(DOCUMENTS, ("red", []))).columns["cheap"].shape == (0,)
    assert Features([]).matrix(candidates(DOCUMENTS, ("red", [1, 2]))).shape == (2, 0)


def test_names_are_distinct_and_expressions_read_backwards():
    one, two = Surface(name="s", surface="app"), Surface(name="s", surface="web")
    with pytest.raises(ValueError, match="two features are named 's'"):
        Features([one, two])
    with pytest.raises(ValueError, match="'e' reads 's', which is not before it"):
        Features([Expression(name="e", formula="s"), one])


def test_a_feature_that_gives_another_shape_is_named():
    @dataclass(frozen=True, kw_only=True)
    class Short(BaseFeature):
        def values(self, candidates):
            return np.zeros(1, np.float32)

    with pytest.raises(ValueError, match=r"feature 'bad' gave an array of shape \(1,\) for 2 rows"):
        Features([Short(name="bad")]).matrix(candidates(DOCUMENTS, ("red", [0, 1])))


def test_the_fingerprint_is_the_digest_of_canonical_json():
    features = build_features([{"kind": "log", "name": "l", "field": "price"}], SCHEMA)
    reads = '{"price":"number"}'
    canonical = '[[{"field":"price","kind":"log","name":"l","version":1}],'
    assert json.loads(canonical + reads + "]")
    expected = hashlib.sha256((canonical + reads + "]").encode()).hexdigest()
    assert features.fingerprint == expected


def test_the_fingerprint_knows_settings_order_version_and_analysis():
    base = build_features(MIXED, SCHEMA)
    assert build_features(base.definitions(), SCHEMA).fingerprint == base.fingerprint
    k1 = build_features([{**MIXED[0], "k1": 1.3}, *MIXED[1:]], SCHEMA)
    turned = build_features([MIXED[1], MIXED[0], *MIXED[2:]], SCHEMA)

    class NextBm25(Bm25):
        version = 2

    newer = Features([NextBm25(name="match", field="title")])
    older = Features([Bm25(name="match", field="title")])
    fields = (Field("title", Kind.TEXT, analyser="german"), Field("price", Kind.NUMBER))
    german = build_features(MIXED, Schema("id", fields))
    prints = [base, k1, turned, newer, older, german]
    assert len({features.fingerprint for features in prints}) == 6


def test_synonyms_and_markup_change_the_fingerprint(tmp_path):
    prints = set()
    for rules in ("couch => sofa\n", "couch => divan\n"):
        path = tmp_path / "synonyms.txt"
        path.write_text(rules)
        for strip_html in (False, True):
            title = Field("title", Kind.TEXT, synonyms=path, strip_html=strip_html)
            schema = Schema("id", (title,))
            prints.add(build_features([MIXED[0]], schema).fingerprint)
    assert len(prints) == 4


def test_the_analysis_of_a_field_that_is_not_read_changes_nothing():
    german = (Field("title", Kind.TEXT, analyser="german"), Field("price", Kind.NUMBER))
    definitions = [{"kind": "log", "name": "l", "field": "price"}]
    one, two = (build_features(definitions, s) for s in (SCHEMA, Schema("id", german)))
    assert one.fingerprint == two.fingerprint


def test_difference_names_each_feature_and_setting():
    ours = Features([Bm25(name="a", field="title"), Log(name="b", field="price")]).definitions()
    theirs = [{**ours[0], "k1": 0.9, "version": 2}, EngineScore(name="c").definition()]
    assert difference(ours, theirs) == [
        "b: only the first has it",
        "c: only the second has it",
        "a: k1 1.2 against 0.9, version 1 against 2",
    ]
    assert difference(ours, ours[::-1]) == ["the order: a, b against b, a"]
    assert difference(ours, json.loads(json.dumps(ours))) == []


def test_query_time_and_surface_are_read_from_the_own_listing():
    features = Features([Surface(name="app", surface="app"), Percentile(name="p", field="price")])
    app, web = Query("1", "red", surface="app"), Query("2", "red", surface="web")
    found = features.matrix(candidates(DOCUMENTS, (app, [0, 1]), (web, [2])))
    assert found.tolist() == [[1, 0.25], [1, 0.75], [0, 0.5]]
