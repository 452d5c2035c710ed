"""What a query says of itself, against values calculated by hand.

Four titles; `red` stands in two, idf = ln(1 + 2.5 / 2.5) = ln 2; `blue` in one, ln(1 + 3.5 / 1.5)
= ln(10 / 3); an unseen term has ln(1 + 4.5 / 0.5) = ln 10.
"""

import math

import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.candidates import Query
from cascade.features import (
    Hour,
    QueryCharacters,
    QueryIdfMax,
    QueryIdfMean,
    QueryIdfMin,
    QueryIdfSum,
    QueryKnown,
    QueryLength,
    Surface,
)

NAN = math.nan
DOCUMENTS = MemoryDocuments(
    {"title": "text", "brand": "keyword"},
    [{"title": "red"}, {"title": "red blue"}, {"title": "x"}, {"title": "y", "brand": ["Acme"]}],
)
RED, BLUE, UNSEEN = math.log(2), math.log(10 / 3), math.log(10)


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (QueryLength, [4, 4, 1, 0]),
        (QueryKnown, [2 / 3, 2 / 3, 1, NAN]),
        (QueryIdfSum, [RED + BLUE + UNSEEN] * 2 + [UNSEEN, NAN]),
        (QueryIdfMean, [(RED + BLUE + UNSEEN) / 3] * 2 + [UNSEEN, NAN]),
        (QueryIdfMax, [UNSEEN, UNSEEN, UNSEEN, NAN]),
        (QueryIdfMin, [RED, RED, UNSEEN, NAN]),
    ],
)
def test_query_statistics_are_those_of_distinct_terms(cls, expected):
    # `acme` is a brand alone: known to the documents, but in no title.
    batch = candidates(
        DOCUMENTS, ("red blue zebra red", [0, -1]), ("Acme", [1]), ("", [1]), ("no rows", [])
    )
    found = cls(name="f", field="title").values(batch).tolist()
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_query_characters():
    batch = candidates(DOCUMENTS, ("  red  shoes ", [0, -1]), ("größe", [1]))
    assert QueryCharacters(name="f").values(batch).tolist() == [10, 10, 5]


def test_surface():
    app, web = Query("1", "q", surface="app"), Query("2", "q", surface="web")
    batch = candidates(DOCUMENTS, (app, [0, 1]), (web, [0]), ("none", [0]))
    found = Surface(name="f", surface="app").values(batch).tolist()
    assert found == pytest.approx([1, 1, 0, NAN], nan_ok=True)


def test_hour_is_in_utc():
    # 2024-05-01T17:59:59Z
    batch = candidates(DOCUMENTS, (Query("1", "q", time=1714586399.0), [0]), ("no time", [0]))
    assert Hour(name="f").values(batch).tolist() == pytest.approx([17, NAN], nan_ok=True)
