"""Objectives by hand: values, missing data, unknown documents, several listings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.objectives import (
    OBJECTIVES,
    BaseObjective,
    NewSeller,
    Number,
    Relevance,
    Revenue,
    Stock,
    objective_kind,
)

FIELDS = {
    "price": "number",
    "margin": "number",
    "stock": "number",
    "age": "number",
    "fresh": "keyword",
    "added": "date",
}
DOCUMENTS = MemoryDocuments(
    FIELDS,
    [
        {"price": 10.0, "margin": 0.5, "stock": 10.0, "age": 5.0, "fresh": ["true"]},
        {"price": 30.0, "margin": 0.1, "stock": 0.0, "age": 90.0, "fresh": ["false"]},
        {"price": 20.0, "stock": 30.0, "age": 89.9, "fresh": ["1"], "added": 5.0},
        {"price": 20.0, "margin": 0.2, "stock": -4.0, "added": 9.0},
        {},
    ],
)
EVERY = [
    Relevance(),
    Number(name="n", field="price"),
    Number(name="n", field="margin", scale="minmax", descending=True),
    Revenue(name="r", price="price", margin="margin"),
    NewSeller(name="s", field="age", days=90),
    NewSeller(name="s", field="fresh"),
    Stock(name="t", field="stock"),
]


def values(objective, *rows, scores=None):
    listing = candidates(DOCUMENTS, ("q", rows))
    if scores is not None:
        listing = listing.with_scores(np.array(scores, dtype=np.float32))
    found = objective.values(listing)
    assert found.dtype == np.float32
    return found.tolist()


def near(*expected):
    return pytest.approx(list(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Number(name="n", field="price"), near(0, 1, 0.5, 0.5, 0, 0)),
        (Number(name="n", field="price", descending=True), near(1, 0, 0.5, 0.5, 0, 0)),
        (Number(name="n", field="price", scale="minmax"), near(0, 1, 0.5, 0.5, 0, 0)),
        (Number(name="n", field="added"), near(0, 0, 0, 1, 0, 0)),
        # 5, 3 and 4 are earned; the third row does not say its margin.
        (Revenue(name="r", price="price", margin="margin"), near(1, 0, 0, 0.5, 0, 0)),
        (Revenue(name="r", price="price", scale="minmax"), near(0, 1, 0.5, 0.5, 0, 0)),
        (NewSeller(name="s", field="age", days=90), near(1, 0, 1, 0, 0, 0)),
        (NewSeller(name="s", field="fresh"), near(1, 0, 1, 0, 0, 0)),
        (NewSeller(name="s", field="stock"), near(1, 0, 1, 0, 0, 0)),
        (Stock(name="t", field="stock"), near(0.5, 0, 0.75, 0, 0, 0)),
        (Stock(name="t", field="stock", half=30), near(0.25, 0, 0.5, 0, 0, 0)),
    ],
)
def test_by_hand(objective, expected):
    assert values(objective, 0, 1, 2, 3, 4, -1) == expected


def test_one_distinct_value_is_worth_half():
    assert values(Number(name="n", field="price"), 2, 3, 4) == near(0.5, 0.5, 0)
    assert values(Number(name="n", field="price", scale="minmax"), 2) == near(0.5)


class TestRelevance:
    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ([9, 5, 1], near(1, 0.5, 0)),
            ([3, 3, 3, 3], near(0.5, 0.5, 0.5, 0.5)),
            ([-7], near(0.5)),
            # The third row's score comes from another stage: two rows reach from 1 to .5.
            ([8, 6, 90, 70], near(1, 0.5, 0.5, 0)),
            # Rows without a finite score take the middle of their own share of ranks.
            ([8, np.nan, np.inf, 2], near(0.875, 0.625, 0.375, 0.125)),
            ([], []),
        ],
    )
    def test_by_hand(self, scores, expected):
        assert values(Relevance(), *[0] * len(scores), scores=scores) == expected

    @given(st.lists(st.floats(width=32), max_size=30))
    def test_it_never_rises_with_the_rank(self, scores):
        found = values(Relevance(), *[0] * len(scores), scores=scores)
        assert all(0 <= value <= 1 for value in found)
        assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("objective", EVERY, ids=lambda o: f"{o.kind}-{o.name}")
class TestEveryObjective:
    @given(rows=st.lists(st.integers(-1, 4), max_size=12))
    def test_values_lie_between_0_and_1(self, objective, rows):
        found = values(objective, *rows)
        assert len(found) == len(rows)
        assert all(0 <= value <= 1 for value in found)

    @given(
        listings=st.lists(st.lists(st.integers(-1, 4), max_size=5), min_size=1, max_size=4),
    )
    def test_a_batch_gives_what_each_listing_gives_alone(self, objective, listings):
        batch = objective.values(candidates(DOCUMENTS, *(("q", rows) for rows in listings)))
        alone = [value for rows in listings for value in values(objective, *rows)]
        assert batch.tolist() == alone


def test_a_kind_is_registered_once():
    with pytest.raises(ValueError, match="'stock' is taken by Stock"):
        objective_kind("stock")(type("Other", (BaseObjective,), {}))
    assert OBJECTIVES["stock"] is Stock
