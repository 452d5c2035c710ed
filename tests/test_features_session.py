"""Session features against values calculated by hand, and what they do to an order."""

import math

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.candidates import Candidates, Query
from cascade.errors import ConfigError
from cascade.features import (
    SeenBefore,
    SessionAffinity,
    SessionCloseness,
    SessionSimilarity,
    Weekday,
    build_features,
)
from cascade.schema import Field, Kind, Schema

NAN = math.nan
DOCUMENTS = MemoryDocuments(
    {"title": "text", "brand": "keyword", "price": "number"},
    [
        {"id": "a", "title": "red cup", "brand": ["ash"], "price": 10.0},
        {"id": "b", "title": "red red mug", "brand": ["birch", "ash"], "price": 40.0},
        {"id": "c", "title": "blue plate", "brand": ["cedar"], "price": 20.0},
        {"id": "d", "title": "", "price": -1.0},
    ],
)
ALL = [0, 1, 2, 3, -1]


def batch(*session, rows=ALL):
    return candidates(DOCUMENTS, (Query("1", "cup", session=tuple(session)), rows))


def of(feature, *session):
    return feature.values(batch(*session)).tolist()


def close(found, expected):
    assert found == pytest.approx(expected, nan_ok=True, rel=1e-6)


def test_seen_before():
    close(of(SeenBefore(name="f"), "c", "nobody", "a"), [1, 0, 1, 0, NAN])
    # Only the last ones count.
    close(of(SeenBefore(name="f", last=1), "c", "a"), [1, 0, 0, 0, NAN])


def test_affinity_is_the_share_of_what_was_seen_by_recency():
    # a, one before the last, counts 1/2 and c 1: ash 1/3, cedar 2/3, birch 0.
    feature = SessionAffinity(name="f", field="brand", half_life=1.0)
    close(of(feature, "a", "c"), [1 / 3, 1 / 3, 2 / 3, NAN, NAN])
    close(of(feature, "c", "a"), [2 / 3, 2 / 3, 1 / 3, NAN, NAN])
    # d has no brand and takes no share, but it is one more before which the others were seen.
    close(of(feature, "a", "c", "d"), [1 / 3, 1 / 3, 2 / 3, NAN, NAN])
    same = SessionAffinity(name="f", field="brand", half_life=0.0)
    close(of(same, "a", "c", "b", "a"), [3 / 4, 3 / 4, 1 / 4, NAN, NAN])


def test_affinity_without_a_value_in_the_session_is_missing():
    close(of(SessionAffinity(name="f", field="brand"), "d"), [NAN] * 5)


def test_similarity_is_the_mean_share_of_tokens():
    feature = SessionSimilarity(name="f", field="title", half_life=1.0)
    # Seen: a (1/2) "red cup", b (1) "red red mug": red 1, mug 2/3, cup 1/3.
    close(of(feature, "a", "b"), [(1 + 1 / 3) / 2, (1 + 1 + 2 / 3) / 3, 0, NAN, NAN])


def test_closeness_is_the_ratio_to_the_geometric_mean():
    feature = SessionCloseness(name="f", field="price", half_life=0.0)
    # The geometric mean of 10 and 40 is 20.
    close(of(feature, "a", "b"), [0.5, 0.5, 1, NAN, NAN])
    weighted = SessionCloseness(name="f", field="price", half_life=1.0)
    mean = 10 ** (1 / 3) * 40 ** (2 / 3)
    close(of(weighted, "a", "d", "b")[:2], [10 / (10**0.2 * 40**0.8), (10**0.2 * 40**0.8) / 40])
    close(of(weighted, "a", "b")[:2], [10 / mean, mean / 40])


class Looks(MemoryDocuments):
    """Documents with a vector of two numbers."""

    def __init__(self, looks):
        super().__init__({}, [{"id": str(i), "look": look} for i, look in enumerate(looks)])
        self.schema = Schema("id", (Field("look", Kind.VECTOR, dims=2),))


def test_similarity_of_vectors_is_the_mean_cosine():
    documents = Looks([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [NAN, NAN], [0.0, 0.0]])
    feature = SessionSimilarity(name="f", field="look", half_life=1.0)
    query = Query("1", "", session=("0", "3", "1"))
    found = feature.values(candidates(documents, (query, [0, 1, 2, 3, 4, -1]))).tolist()
    # The first counts 1/4 and the last 1: the mean of the unit vectors is (0.2, 0.8).
    close(found, [0.2, 0.8, 1 / math.sqrt(2), NAN, NAN, NAN])
    twice = candidates(documents, (query, [0, 1]), ("no session", [2]), (query, [2]))
    close(feature.values(twice).tolist(), [0.2, 0.8, NAN, 1 / math.sqrt(2)])


KINDS = [
    {"kind": "seen_before", "name": "seen"},
    {"kind": "session_affinity", "name": "brand", "field": "brand"},
    {"kind": "session_similarity", "name": "title", "field": "title"},
    {"kind": "session_closeness", "name": "price", "field": "price"},
]


@pytest.mark.parametrize("session", [(), ("nobody",), ("x", "y", "z")])
def test_without_a_session_no_row_differs_from_another(session):
    features = build_features(KINDS, DOCUMENTS.schema)
    assert np.isnan(features.matrix(batch(*session))).all()


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"kind": "seen_before", "name": "f", "last": 0}, "last: is 0"),
        ({"kind": "seen_before", "name": "f", "half_life": -1}, "half_life"),
        ({"kind": "session_affinity", "name": "f", "field": "price"}, "keyword field is needed"),
        ({"kind": "session_similarity", "name": "f", "field": "brand"}, "text or vector"),
    ],
)
def test_settings_that_are_not_sound_are_refused(definition, message):
    with pytest.raises(ConfigError, match=message):
        build_features([definition], DOCUMENTS.schema)


def test_portable_and_kept_with_the_rows():
    features = build_features(KINDS, DOCUMENTS.schema)
    assert features.engine_bound == ()
    assert features.fields == ("brand", "price", "title")


def test_weekday_counts_from_monday():
    days = [("1970-01-01", 3), ("2000-01-01", 5), ("2024-01-01", 0), ("2024-02-29", 3)]
    times = [float(np.datetime64(day, "s").astype(np.int64)) + 1 for day, _ in days]
    listings = [(Query(str(t), "q", time=t), [0]) for t in times]
    assert Weekday(name="f").values(candidates(DOCUMENTS, *listings)).tolist() == [3, 5, 0, 3]
    none: Candidates = candidates(DOCUMENTS, ("q", [0]))
    assert np.isnan(Weekday(name="f").values(none)).all()
