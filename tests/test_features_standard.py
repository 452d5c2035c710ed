"""The features to begin with: how many, over what, and that they can be built."""

import numpy as np
from memory_documents import MemoryDocuments, candidates

from cascade.features import build_features, standard_features
from cascade.schema import Field, Kind, Schema

SHOP = Schema(
    "id",
    (
        Field("description", Kind.TEXT, boost=1.0),
        Field("title", Kind.TEXT, boost=3.0),
        Field("tags", Kind.TEXT, boost=2.0),
        Field("notes", Kind.TEXT, boost=0.5, analyser="german"),
        Field("hidden", Kind.TEXT, boost=0.0),
        Field("brand", Kind.KEYWORD),
        Field("category", Kind.KEYWORD),
        *(Field(name, Kind.NUMBER) for name in ("price", "rating", "reviews", "stock", "sales")),
        Field("listed", Kind.DATE),
        Field("image", Kind.VECTOR, dims=4),
    ),
)


def test_a_typical_shop_has_about_forty():
    names = build_features(standard_features(SHOP), SHOP).names
    assert 40 <= len(names) <= 50
    assert not [name for name in names if "hidden" in name or "image" in name]
    assert [name for name in names if name.startswith("whole_match")] == ["whole_match_title"]
    assert {"age_listed", "log_price", "percentile_sales", "keyword_match_brand"} <= set(names)


def test_fields_are_weighted_by_their_boost():
    made = {definition["name"]: definition for definition in standard_features(SHOP)}
    assert made["bm25_sum"]["formula"] == (
        "3 * bm25_title + 2 * bm25_tags + 1 * bm25_description + 0.5 * bm25_notes"
    )
    assert made["any_coverage"]["fields"] == ["title", "tags", "description"]
    assert made["query_idf_max"]["field"] == "title"


def test_without_the_engine_every_feature_is_portable():
    bound = build_features(standard_features(SHOP), SHOP)
    free = build_features(standard_features(SHOP, engine_bound=False), SHOP)
    assert bound.engine_bound == ("engine_score", "engine_rank", "engine_score_ratio")
    assert free.names == tuple(name for name in bound.names if name not in bound.engine_bound)


def test_any_schema_has_features():
    for fields in ((), (Field("title", Kind.TEXT),), (Field("price", Kind.NUMBER),)):
        schema = Schema("id", fields)
        assert len(build_features(standard_features(schema), schema)) >= 3


def test_the_sum_over_fields_is_that_of_its_parts():
    documents = MemoryDocuments(
        {"title": "text", "body": "text"}, [{"title": "red", "body": "blue red"}, {"title": "x"}]
    )
    features = build_features(standard_features(documents.schema), documents.schema)
    matrix = features.matrix(candidates(documents, ("red", [0, 1])))
    column = dict(zip(features.names, matrix.T, strict=True))
    expected = column["bm25_title"] + column["bm25_body"]
    np.testing.assert_allclose(column["bm25_sum"], expected, rtol=1e-6)
    assert column["bm25_sum"][0] > 0 == column["bm25_sum"][1]
