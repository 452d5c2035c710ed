"""Candidates: order, selection and what they carry along."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.candidates import Candidates, Query, Ragged, concatenated, joined


def batch(*lengths: int) -> Candidates:
    """Return listings of these lengths whose rows are numbered through."""
    count = sum(lengths)
    return Candidates(
        queries=tuple(Query(f"q{i}", "text") for i in range(len(lengths))),
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        rows=np.arange(count, dtype=np.int32),
        scores=np.linspace(1, 0, count, dtype=np.float32),
        documents=None,  # type: ignore[arg-type]
        columns={"column": np.arange(count, dtype=np.float32)},
    )


def rows_of(candidates: Candidates) -> list[list[int]]:
    o = candidates.offsets
    return [candidates.rows[o[i] : o[i + 1]].tolist() for i in range(len(o) - 1)]


def test_ranks_and_listing_count_within_each_listing():
    candidates = batch(3, 0, 2)
    assert candidates.ranks.tolist() == [1, 2, 3, 1, 2]
    assert candidates.listing.tolist() == [0, 0, 0, 2, 2]


def test_reranked_sorts_each_listing_and_leaves_ties_in_order():
    scores = np.array([1, 3, 1, 5, 9], dtype=np.float32)
    assert rows_of(batch(3, 2).reranked(scores)) == [[1, 0, 2], [4, 3]]


def test_reranked_leaves_the_tail_of_each_listing_with_its_scores():
    candidates = batch(4, 3)
    reranked = candidates.reranked(np.array([1, 2, 1, 2], dtype=np.float32), window=2)
    assert rows_of(reranked) == [[1, 0, 2, 3], [5, 4, 6]]
    assert reranked.scores.tolist()[:2] == [2.0, 1.0]
    assert reranked.scores[2] == candidates.scores[2]


@given(
    lengths=st.lists(st.integers(0, 8), min_size=1, max_size=5),
    window=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_reranked_agrees_with_sorting_lists(lengths, window, seed):
    candidates = batch(*lengths)
    head = candidates.head(window)
    scores = np.random.default_rng(seed).integers(0, 3, len(head)).astype(np.float32)
    expected, at = [], 0
    for rows in rows_of(candidates):
        count = min(window, len(rows))
        scored = list(zip(rows[:count], scores[at : at + count].tolist(), strict=True))
        at += count
        expected.append([r for r, _ in sorted(scored, key=lambda p: -p[1])] + rows[count:])
    reranked = candidates.reranked(scores, window)
    assert rows_of(reranked) == expected
    assert np.array_equal(reranked.columns["column"], reranked.rows)


def test_reranked_refuses_another_number_of_scores():
    with pytest.raises(ValueError, match="3 scores for 2 rows"):
        batch(4).reranked(np.zeros(3, dtype=np.float32), window=2)


def test_derived_is_computed_once_and_follows_every_selection():
    calls = []

    def double(candidates: Candidates) -> np.ndarray:
        calls.append(len(candidates))
        return candidates.rows * 2

    candidates = batch(5, 4)
    candidates.derived("double", double)
    later = candidates.reranked(np.arange(9, dtype=np.float32)).head(3).listings(1, 2)
    assert later.derived("double", double).tolist() == (later.rows * 2).tolist()
    assert calls == [9]


def test_what_follows_from_the_queries_goes_with_selections_of_the_same_queries():
    candidates = batch(3, 2)
    assert candidates.of_queries("terms", lambda: 1) == 1
    for same in (candidates.head(1), candidates.take(np.array([4])), candidates.listings(0, 2)):
        assert same.of_queries("terms", lambda: 2) == 1
    for other in (candidates.listings(1, 2), candidates.bare(), concatenated([candidates] * 2)):
        assert other.of_queries("terms", lambda: 2) == 2


@pytest.mark.parametrize("lengths", [(3,), (3, 1)])
def test_a_split_carries_derived_values_with_the_head_alone(lengths):
    candidates = batch(*lengths)
    candidates.derived("kept", lambda asked: asked.rows * 2)
    head, tail = candidates.take(np.array([2, 0, 1])).split(2)
    assert rows_of(head)[0] == [2, 0]
    assert rows_of(tail)[0] == [1]
    assert head.derived("kept", lambda asked: asked.rows * 3).tolist() == [4, 0]
    assert tail.derived("kept", lambda asked: asked.rows * 3).tolist() == [3]


def test_split_and_joined_are_inverse():
    candidates = batch(5, 1, 3)
    head, tail = candidates.split(2)
    assert rows_of(head) == [[0, 1], [5], [6, 7]]
    assert tail is not None
    assert rows_of(joined(head, tail)) == rows_of(candidates)


def test_split_without_a_tail_gives_none():
    assert batch(2, 1).split(2)[1] is None


def test_joined_fills_a_column_that_one_side_lacks_with_nan():
    head, tail = batch(4).split(2)
    assert tail is not None
    both = joined(head.with_columns({"head": np.ones(2, dtype=np.float32)}), tail)
    assert np.array_equal(both.columns["head"], [1, 1, np.nan, np.nan], equal_nan=True)


def test_concatenated_puts_listings_one_after_the_other():
    assert rows_of(concatenated([batch(2, 1), batch(3)])) == [[0, 1], [2], [0, 1, 2]]


def test_with_columns_refuses_another_length():
    with pytest.raises(ValueError, match="column 'x' has 1 rows, not 3"):
        batch(3).with_columns({"x": np.zeros(1, dtype=np.float32)})


def test_ids_come_from_the_engine_where_it_named_them():
    listing = batch(2)
    named = Candidates(
        listing.queries,
        listing.offsets,
        np.array([-1, 0], dtype=np.int32),
        listing.scores,
        None,  # type: ignore[arg-type]
        doc_ids=np.array(["new", "old"], dtype=object),
    )
    assert named.reranked(np.array([0, 1], dtype=np.float32)).ids() == ["old", "new"]


def test_ragged_names_the_owner_of_each_value():
    ragged = Ragged(np.array([0, 2, 2, 3]), np.array([7, 8, 9], dtype=np.int32))
    assert ragged.owners().tolist() == [0, 0, 2]
    assert ragged.lengths.tolist() == [2, 0, 1]
