"""Rows and scores that a stage passes on in training: out of fold, heads alone, sometimes blank."""

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.candidates import Query
from cascade.features import build_features
from cascade.training.dataset import Dataset
from cascade.training.staged import FOLDS, Handed, blanked, fold_of, handed, passed_on, with_scores

DOCUMENTS = MemoryDocuments({"price": "number"}, [{"price": float(i)} for i in range(10)])
PRICE = build_features([{"kind": "number", "name": "price", "field": "price"}], DOCUMENTS.schema)


def dataset(lengths, values=None):
    count = sum(lengths)
    matrix = np.arange(count) if values is None else np.array(values)
    return Dataset(
        names=("price",),
        matrix=matrix.astype(np.float32)[:, None],
        grades=(np.arange(count) % 2).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        query_ids=tuple(f"q{i}" for i in range(len(lengths))),
        counts={},
        positions=np.arange(count, dtype=np.int32),
        tasks={"click": np.arange(count, dtype=np.float32)},
    )


def test_no_query_is_scored_by_a_model_that_saw_it():
    """Each model gives the number of its fold, and remembers what it was fitted on."""
    train = dataset([2] * 40)
    seen = []

    def fit(part):
        number = len(seen)
        seen.append(set(part.query_ids))
        return lambda rows: np.full(len(rows), number, dtype=np.float32)

    stage = handed("linear", 100, PRICE, train, lambda rows: rows[:, 0], fit)
    scores = stage.scores(train.matrix, train.query_ids, np.diff(train.offsets))
    for i, query_id in enumerate(train.query_ids):
        fold = int(scores[2 * i])
        assert fold == fold_of(query_id)
        assert query_id not in seen[fold]
    assert len(seen) == FOLDS
    assert set.union(*seen) == set(train.query_ids)


def test_a_query_that_was_not_trained_on_is_scored_by_the_model_itself():
    train = dataset([2] * 20)
    stage = handed("x", 9, PRICE, train, lambda m: m[:, 0] * 7, lambda _: lambda m: m[:, 0])
    scores = stage.scores(np.array([[3.0], [4.0]], dtype=np.float32), ["new"], np.array([2]))
    np.testing.assert_array_equal(scores, [21.0, 28.0])


def first(window, name="first", sign=1.0):
    return Handed(name, window, PRICE, lambda m: sign * m[:, 0], (), {})


def test_only_the_head_of_the_order_so_far_is_passed_on():
    listing = candidates(DOCUMENTS, (Query("q", ""), [0, 5, 2, 9]))
    passed = passed_on([first(3)], 2)(listing)
    # The stage sees rows 0, 5, 2 and orders them 5, 2, 0; row 9 stays below.
    np.testing.assert_array_equal(passed.rows, [5, 2])
    np.testing.assert_array_equal(passed.columns["stage:first"], [5.0, 2.0])


def test_stages_follow_one_another_with_the_scores_of_each():
    listing = candidates(DOCUMENTS, (Query("q", ""), [0, 5, 2, 9]))
    passed = passed_on([first(4), first(2, "second", -1.0)], 2)(listing)
    np.testing.assert_array_equal(passed.rows, [5, 9])
    np.testing.assert_array_equal(passed.columns["stage:first"], [5.0, 9.0])
    np.testing.assert_array_equal(passed.columns["stage:second"], [-5.0, -9.0])


def test_rows_that_cannot_be_retrieved_again_keep_their_heads():
    rows = dataset([3, 2], [1, 3, 2, 5, 4])
    passed = with_scores(rows, first(10), window=2)
    assert passed.names == ("price", "stage:first")
    np.testing.assert_array_equal(passed.matrix, [[3, 3], [2, 2], [5, 5], [4, 4]])
    np.testing.assert_array_equal(passed.offsets, [0, 2, 4])
    np.testing.assert_array_equal(passed.positions, [1, 2, 3, 4])
    np.testing.assert_array_equal(passed.tasks["click"], [1, 2, 3, 4])


def test_scores_that_were_logged_are_replaced():
    rows = with_scores(dataset([2]), first(10), window=2)
    again = with_scores(rows, first(10, sign=2.0), window=2)
    assert again.names == ("price", "stage:first")
    np.testing.assert_array_equal(again.matrix[:, 1], [0.0, 2.0])


def test_some_listings_go_without_earlier_scores_and_no_other_value_changes():
    rows = with_scores(dataset([2] * 2_000), first(10), window=2)
    blank = blanked(rows, seed=0)
    missing = np.isnan(blank.matrix[:, 1])
    assert missing.mean() == pytest.approx(0.05, abs=0.02)
    np.testing.assert_array_equal(missing[::2], missing[1::2])
    np.testing.assert_array_equal(blank.matrix[:, 0], rows.matrix[:, 0])
    np.testing.assert_array_equal(blank.matrix[~missing], rows.matrix[~missing])
    assert not np.isnan(rows.matrix).any()
