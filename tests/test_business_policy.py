"""The linear blend by hand, and what a preference may say."""

import math

import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.business.objectives import Number, Stock
from cascade.business.policy import LinearBlend, check_preference
from cascade.errors import QueryError

DOCUMENTS = MemoryDocuments(
    {"price": "number", "stock": "number"},
    [{"price": 1.0, "stock": 0.0}, {"price": 2.0, "stock": 10.0}, {"price": 3.0}],
)
BLEND = LinearBlend((Number(name="price", field="price"), Stock(name="stock", field="stock")))
LIST = candidates(DOCUMENTS, ("q", [0, 1, 2]))  # relevance 1, .5, 0


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        ({}, [1, 0.5, 0]),
        ({"price": 0.0}, [1, 0.5, 0]),
        ({"price": 1.0}, [1, 1, 1]),
        ({"price": 2.0, "stock": 0.5}, [1, 1.75, 2]),
    ],
)
def test_utilities_by_hand(preference, expected):
    assert BLEND.utilities(LIST, preference).tolist() == pytest.approx(expected)


def test_values_name_what_utilities_are_made_of():
    values = {name: column.tolist() for name, column in BLEND.values(LIST).items()}
    assert values == {"relevance": [1, 0.5, 0], "price": [0, 0.5, 1], "stock": [0, 0.5, 0]}


def test_a_preference_becomes_floats():
    assert check_preference({"a": 1, "b": 0.25}, ["a", "b"]) == {"a": 1.0, "b": 0.25}


@pytest.mark.parametrize(
    "share", [-0.1, math.nan, math.inf, -math.inf, 1e9, 10**400, True, "1", None, [1]]
)
def test_a_share_that_cannot_be_used_is_refused(share):
    with pytest.raises(QueryError) as caught:
        check_preference({"revenue": share}, ["revenue"])
    assert str(caught.value) == (
        f"preference.revenue is {share!r}; accepted is a number from 0 (none) to 1000"
    )


def test_an_unknown_objective_is_refused_with_the_nearest():
    with pytest.raises(QueryError) as caught:
        check_preference({"revenu": 1.0}, ["revenue", "stock"])
    assert str(caught.value) == (
        "preference.revenu: 'revenu' is no objective; "
        "did you mean 'revenue'? accepted: revenue, stock"
    )


def test_without_objectives_every_name_is_refused():
    with pytest.raises(QueryError, match="'revenue' is no objective; there are none"):
        check_preference({"revenue": 1.0}, [])
