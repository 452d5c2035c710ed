"""Filters over columns agree with a plain reading of the documents."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.where import matches, number_of
from cascade.features.base import number_of as read_by_a_feature
from cascade.filters import parse

FIELDS = {"brand": "keyword", "tag": "keyword", "price": "number", "added": "date"}
DOCUMENTS = MemoryDocuments(
    FIELDS,
    [
        {"brand": ["a"], "tag": ["x", "y"], "price": 1.0},
        {"brand": ["b"], "price": 2.5, "added": 86400.0},
        {"tag": ["y"], "price": 4.0},
        {"brand": ["a"]},
        {},
    ],
)
ROWS = [0, 1, 2, 3, 4, -1]
LIST = candidates(DOCUMENTS, ("q", ROWS))


def accepted(raw):
    mask = matches(parse(raw, DOCUMENTS.schema), LIST)
    assert mask.dtype == np.bool_
    return [row for row, kept in zip(ROWS, mask, strict=True) if kept]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, -1]),
        ({"brand": "a"}, [0, 3]),
        ({"brand": ["a", "b", "nobody"]}, [0, 1, 3]),
        ({"brand": "nobody"}, []),
        ({"tag": "y"}, [0, 2]),
        ({"tag": {"exists": True}}, [0, 2]),
        ({"brand": {"exists": False}}, [2, 4, -1]),
        ({"price": 2.5}, [1]),
        ({"price": {"gt": 1, "lte": 4}}, [1, 2]),
        ({"price": {"gte": 1, "lt": 4}}, [0, 1]),
        ({"price": {"exists": False}}, [3, 4, -1]),
        ({"added": {"gte": "1970-01-02"}}, [1]),
        ({"not": {"price": {"gte": 2}}}, [0, 3, 4, -1]),
        ({"any": [{"brand": "b"}, {"tag": "x"}]}, [0, 1]),
        ({"brand": "a", "price": {"exists": True}}, [0]),
    ],
)
def test_by_hand(raw, expected):
    assert accepted(raw) == expected


def plainly(raw, document):
    """Read a raw filter as the grammar's table says it, one document at a time."""
    for key, value in raw.items():
        if key == "not":
            holds = not plainly(value, document)
        elif key == "any":
            holds = any(plainly(part, document) for part in value)
        else:
            held = document.get(key, [])
            held = held if isinstance(held, list) else [held]
            if not isinstance(value, dict):
                holds = bool(set(held) & set(value if isinstance(value, list) else [value]))
            elif "exists" in value:
                holds = bool(held) == value["exists"]
            else:
                compare = {
                    "gt": lambda v, b: v > b,
                    "gte": lambda v, b: v >= b,
                    "lt": lambda v, b: v < b,
                    "lte": lambda v, b: v <= b,
                }
                holds = any(all(compare[o](v, b) for o, b in value.items()) for v in held)
        if not holds:
            return False
    return True


words = {"brand": st.sampled_from("abc"), "tag": st.sampled_from("xyz")}
prices = st.integers(0, 5).map(float)
conditions = st.one_of(
    *(st.fixed_dictionaries({f: st.one_of(w, st.lists(w, min_size=1))}) for f, w in words.items()),
    st.sampled_from(sorted(FIELDS)).flatmap(
        lambda f: st.booleans().map(lambda yes: {f: {"exists": yes}})
    ),
    st.fixed_dictionaries({"price": st.one_of(prices, st.lists(prices, min_size=1))}),
    st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), prices, min_size=1).map(
        lambda bounds: {"price": bounds}
    ),
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        inner.map(lambda f: {"not": f}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        st.tuples(inner, inner).map(lambda two: {**two[0], **two[1]}),
    ),
    max_leaves=6,
)


@given(filters)
def test_it_agrees_with_a_plain_reading(raw):
    plain = [r for r in ROWS if plainly(raw, DOCUMENTS.documents[r] if r >= 0 else {})]
    assert accepted(raw) == plain


def test_a_column_that_a_feature_has_read_is_the_same_column():
    read, fresh = (candidates(DOCUMENTS, ("q", ROWS)) for _ in range(2))
    read_by_a_feature(read, "price")
    assert read.derived(("number", "price"), lambda _: None) is not None
    np.testing.assert_array_equal(number_of(read, "price"), number_of(fresh, "price"))
    np.testing.assert_array_equal(number_of(read, "price"), [1, 2.5, 4, np.nan, np.nan, np.nan])
