"""What holds for every kind of feature: one parametrised suite over the registry."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.behaviour import BoundCounts, Counted, Counter, snapshot_of
from cascade.candidates import Query
from cascade.features import KINDS, build_features
from cascade.protocols import Feature

DOCS = Path(__file__).resolve().parent.parent / "docs" / "features.md"
DAY = 86_400.0
WORDS = ["red", "blue", "big", "shoes", "shirt", "for", "men"]
RANDOM = np.random.default_rng(7)


def text(most: int) -> str:
    return " ".join(RANDOM.choice(WORDS, RANDOM.integers(0, most)))


DOCUMENTS = MemoryDocuments(
    {"title": "text", "body": "text", "brand": "keyword", "price": "number", "made": "date"},
    [
        {
            "title": text(6),
            "body": text(15),
            "brand": [text(3) for _ in range(RANDOM.integers(0, 3))],
            **({"price": float(RANDOM.normal(50, 30))} if RANDOM.random() < 0.8 else {}),
            **({"made": RANDOM.random() * 3000 * DAY} if RANDOM.random() < 0.8 else {}),
        }
        for _ in range(60)
    ],
)
COUNTED = {
    Counter("document", action, 30.0): Counted(
        None,
        np.array([str(row) for row in range(0, 60, step)], dtype=object),
        RANDOM.integers(1, 50, len(range(0, 60, step))).astype(np.float64),
    )
    for action, step in (("click", 3), ("impression", 2))
}
# As of the middle of the times that queries have: some must not read what is counted.
DOCUMENTS.behaviour = BoundCounts(snapshot_of(1999.9 * DAY, COUNTED), DOCUMENTS, DAY / 2)
FIELDS = {"zscore": "price", "percentile": "made", "minmax": "price", "age": "made"}
SETTINGS = {
    **{
        kind: {"fields": ["title", "body"]}
        for kind in ("any_coverage", "any_idf_coverage", "any_missing_idf")
    },
    "best_field": {"fields": ["title", "body"]},
    "cross": {"parts": ["query.first_word", "brand"]},
    "expression": {"formula": "log1p(abs(x_number)) / x_bm25 + x_zscore"},
    "surface": {"surface": "app"},
    "stage_score": {"stage": "linear"},
    "rate": {"by": "document", "of": "click"},
    "count": {"by": "document", "action": "click"},
    "seen_before": {},
    "session_affinity": {"field": "brand"},
    "session_closeness": {"field": "price"},
    **{kind: {"field": "brand"} for kind in KINDS if kind.startswith(("keyword_", "letter"))},
    **{kind: {"field": name} for kind, name in FIELDS.items()},
    **{kind: {"field": "price"} for kind in ("number", "log", "number_gap")},
}
NO_FIELD = {"column", "engine_rank", "engine_score", "engine_score_ratio", "hour"}
NO_FIELD |= {"query_characters", "weekday"}
HELP = [
    {"kind": "number", "name": "x_number", "field": "price"},
    {"kind": "bm25", "name": "x_bm25", "field": "title"},
    {"kind": "zscore", "name": "x_zscore", "field": "price"},
]


def definition(kind):
    default = {} if kind in NO_FIELD else {"field": "title"}
    return {"kind": kind, "name": "f", **SETTINGS.get(kind, default)}


def feature_of(kind) -> Feature:
    return build_features([*HELP, definition(kind)], DOCUMENTS.schema).features[-1]


@pytest.fixture(params=sorted(KINDS))
def feature(request):
    return feature_of(request.param)


listing_lists = st.lists(
    st.tuples(
        st.builds(
            Query,
            st.just("q"),
            st.lists(st.sampled_from([*WORDS, "zebra"]), max_size=12).map(" ".join),
            surface=st.sampled_from([None, "app", "web"]),
            time=st.sampled_from([0.0, 2000.3 * DAY, 2000.5 * DAY]),
            session=st.lists(st.integers(0, 70).map(str), max_size=4).map(tuple),
        ),
        st.lists(st.integers(-1, 59), max_size=12),
    ),
    min_size=1,
    max_size=4,
)


def batch_of(listings):
    n = sum(len(rows) for _, rows in listings)
    columns = {name: np.sin(np.arange(n) * k) for k, name in enumerate(COLUMNS, start=1)}
    return candidates(DOCUMENTS, *listings, columns=columns)


COLUMNS = ("engine_score", "engine_rank", "f", "stage:linear")
MANY = [
    (
        Query("a", "red shoes for men", surface="app", time=2000 * DAY, session=("7", "x", "21")),
        list(range(-1, 30)),
    ),
    (Query("b", "", surface="web"), [3, 4]),
    (Query("c", "blue 50 zebra " * 9 + " ".join(WORDS)), list(range(59, 10, -1))),
    (Query("d", "nothing"), []),
    (Query("e", str(DOCUMENTS.documents[5]["title"]), time=2001.6 * DAY), list(range(60))),
]


def test_every_kind_is_tried():
    assert all(isinstance(feature_of(kind), Feature) for kind in KINDS)


def test_one_float32_for_each_row(feature):
    batch = batch_of(MANY)
    found = feature.values(batch)
    assert found.dtype == np.float32
    assert found.shape == (len(batch),)
    assert not np.isinf(found).any()
    assert np.unique(found[~np.isnan(found)]).size > 1


def test_no_rows_give_no_values(feature):
    for empty in (candidates(DOCUMENTS), candidates(DOCUMENTS, ("red", []), ("", []))):
        found = feature.values(empty)
        assert found.shape == (0,)
        assert found.dtype == np.float32


def test_unknown_rows_are_accepted(feature):
    one = candidates(DOCUMENTS, ("red", [-1, -1]))
    found = feature.values(one)
    from_query_alone = getattr(feature, "kind", "").startswith("query_")
    assert from_query_alone or np.isnan(found).all()


def test_inputs_are_only_read(feature):
    batch = batch_of(MANY)
    arrays = [batch.rows, batch.scores, batch.offsets, *batch.columns.values()]
    for array in arrays:
        array.flags.writeable = False
    before = [array.copy() for array in arrays]
    feature.values(batch)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_same_values_come_again(feature):
    assert feature.values(batch_of(MANY)).tobytes() == feature.values(batch_of(MANY)).tobytes()


def test_the_definition_makes_the_feature_again(feature):
    made = build_features([*HELP, feature.definition()], DOCUMENTS.schema)
    assert made.features[-1] == feature


@settings(max_examples=25)
@given(listing_lists)
def test_a_batch_gives_what_single_listings_give(listings):
    batch = batch_of(listings)
    for kind in KINDS:
        feature = feature_of(kind)
        whole = feature.values(batch)
        parts = [batch.listings(i, i + 1) for i in range(len(listings))]
        # Without what the batch has found already.
        parts = [part.bare() for part in parts]
        each = np.concatenate([feature.values(part) for part in parts])
        assert each.tobytes() == whole.tobytes(), kind


@settings(max_examples=25)
@given(listing_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(listings, random):
    batch = batch_of(listings)
    index = []
    for start, stop in zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True):
        index += random.sample(range(start, stop), stop - start)
    order = np.array(index, dtype=np.int64)
    turned = batch.take(order).bare()
    for kind in KINDS:
        feature = feature_of(kind)
        assert feature.values(turned).tobytes() == feature.values(batch)[order].tobytes(), kind


@settings(max_examples=25)
@given(listing_lists, st.integers(1, 12))
def test_the_head_of_the_matrix_is_the_matrix_of_the_head(listings, window):
    definitions = [*HELP, *({**definition(kind), "name": f"f_{kind}"} for kind in sorted(KINDS))]
    features = build_features(definitions, DOCUMENTS.schema)
    batch = features.prepared(batch_of(listings))
    inside = batch.ranks <= window
    fresh = batch.head(window).bare()
    first = features.matrix(fresh)
    whole = features.matrix(batch)
    assert first.tobytes() == whole[inside].tobytes()
    assert features.matrix(batch.head(window)).tobytes() == first.tobytes()


def test_every_kind_and_setting_is_documented():
    page = DOCS.read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", page, re.MULTILINE))
    assert set(rows) >= set(KINDS)
    for kind in KINDS:
        for setting in feature_of(kind).definition():
            assert setting in ("kind", "name") or f"`{setting}`" in rows[kind], (kind, setting)
