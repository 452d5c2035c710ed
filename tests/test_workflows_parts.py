"""Leaving parts out: what a blinded ranker sees, which groups there are, what it costs."""

from types import SimpleNamespace

import numpy as np
import pytest

from cascade.candidates import Query
from cascade.errors import InputError
from cascade.features import build_features
from cascade.pipeline import Cascade, Stage
from cascade.protocols import Asked, Retrieval, Scores
from cascade.schema import Field, Kind, Schema
from cascade.workflows.parts import Blinded, Parts, Remembering, groups, without

SCHEMA = Schema(
    id="id",
    fields=(Field("title", Kind.TEXT), Field("tags", Kind.TEXT), Field("price", Kind.NUMBER)),
)
DEFINITIONS = [
    {"kind": "bm25", "name": "bm25_title", "field": "title"},
    {"kind": "bm25", "name": "bm25_tags", "field": "tags"},
    {"kind": "log", "name": "log_price", "field": "price"},
    {"kind": "expression", "name": "sum", "formula": "bm25_title + log_price"},
]
FEATURES = build_features(DEFINITIONS, SCHEMA)


class Summing:
    """Score a matrix by the sum of its columns, missing ones counting as 100."""

    def __init__(self, matrix, names):
        self.matrix = np.array(matrix, np.float32)
        self.features = SimpleNamespace(
            names=names, matrix=lambda _: self.matrix.copy(), prepared=lambda c: c, features=()
        )

    def prepared(self, candidates):
        return candidates

    def score(self, candidates):
        return self.score_matrix(self.matrix)

    def score_matrix(self, matrix):
        return Scores(np.nan_to_num(matrix, nan=100.0).sum(axis=1, dtype=np.float32))


def test_groups_are_kinds_and_fields_with_the_formulas_that_read_them():
    assert groups(FEATURES.features) == {
        "kind:bm25": {"bm25_title", "bm25_tags", "sum"},
        "kind:log": {"log_price", "sum"},
        "field:title": {"bm25_title", "sum"},
        "field:tags": {"bm25_tags"},
        "field:price": {"log_price", "sum"},
    }


def test_a_blinded_feature_takes_its_median_over_the_listing():
    ranker = Summing([[1.0, 8.0], [2.0, np.nan], [6.0, 2.0]], ("a", "b"))
    blind = Blinded(ranker, np.array([False, True]))
    # The median of 8 and 2, where nothing is missing any more.
    assert blind.score(None).order.tolist() == [6.0, 7.0, 11.0]
    missing = Blinded(Summing([[1.0, np.nan], [2.0, np.nan]], ("a", "b")), np.array([False, True]))
    assert missing.score(None).order.tolist() == [101.0, 102.0]
    nothing = Blinded(Summing(np.empty((0, 2)), ("a", "b")), np.array([True, True]))
    assert nothing.score(None).order.tolist() == []


def cascade_of(*names):
    stages = []
    for name in names:
        ranker = Summing([[0.0] * len(FEATURES.names)], FEATURES.names)
        stages.append(Stage(name, ranker, 10, features=FEATURES))
    return Cascade(engine=None, documents=None, stages=tuple(stages))


def test_each_stage_is_left_out_once():
    parts = without(cascade_of("linear", "trees"), Parts.STAGES)
    assert {name: [s.name for s in part.cascade.stages] for name, part in parts.items()} == {
        "stage:linear": ["trees"],
        "stage:trees": ["linear"],
    }


def test_groups_with_the_same_features_are_left_out_once():
    parts = without(cascade_of("linear"), Parts.FEATURES)
    # The field price has the features of the kind log.
    assert {name: part.features for name, part in parts.items()} == {
        "kind:bm25": 3,
        "kind:log": 2,
        "field:title": 2,
        "field:tags": 1,
    }
    (stage,) = parts["kind:log"].cascade.stages
    assert stage.ranker.columns.tolist() == [False, False, True, True]


def test_a_cascade_without_stages_has_no_part():
    with pytest.raises(InputError, match="has no stage"):
        without(cascade_of(), Parts.STAGES)


def test_what_is_remembered_is_of_the_latest_query():
    class Counting:
        kind = "counting"

        def __init__(self):
            self.asked = []

        def retrieve(self, queries, size, asked, deadline):
            self.asked.append((queries[0].id, size, asked.match_all))
            return Retrieval(None, ())

    engine = Counting()
    remembering = Remembering(engine)
    one, two = [Query("1", "one")], [Query("2", "two")]
    first = remembering.retrieve(one, 10)
    assert remembering.retrieve(one, 10, Asked(match_all=True)) is not first
    assert remembering.retrieve(one, 10) is first
    remembering.retrieve(two, 10)
    assert remembering.retrieve(one, 10) is not first
    assert engine.asked == [("1", 10, False), ("1", 10, True), ("2", 10, False), ("1", 10, False)]
    assert remembering.kind == "counting"
