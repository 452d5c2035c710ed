"""Keyword features against values calculated by hand."""

import math

import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.features import KeywordCoverage, KeywordInQuery, KeywordMatch

NAN = math.nan
DOCUMENTS = MemoryDocuments(
    {"brand": "keyword", "title": "text"},
    [
        {"brand": ["Acme"]},
        {"brand": ["Red Acme Works", "Blue Sky"]},
        {"brand": ["Zeta", "blue"]},
        {"brand": []},
        {"brand": ["   "]},
    ],
)
ROWS = [0, 1, 2, 3, 4, -1]


def values(cls, text, rows=ROWS):
    return cls(name="f", field="brand").values(candidates(DOCUMENTS, (text, rows))).tolist()


def close(expected):
    return pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_keyword_match_is_the_largest_share_of_a_value():
    assert values(KeywordMatch, "acme blue") == close([1, 1 / 2, 1, NAN, 0, NAN])
    assert values(KeywordMatch, "works red sofa") == close([0, 2 / 3, 0, NAN, 0, NAN])


def test_keyword_in_query_wants_a_whole_value_in_any_order():
    assert values(KeywordInQuery, "acme blue") == close([1, 0, 1, NAN, 0, NAN])
    assert values(KeywordInQuery, "sky chair blue") == close([0, 1, 1, NAN, 0, NAN])


def test_keyword_coverage_is_the_share_of_the_query_that_values_name():
    found = values(KeywordCoverage, "acme blue sky unicorn")
    assert found == close([1 / 4, 3 / 4, 1 / 4, NAN, 0, NAN])


@pytest.mark.parametrize("cls", [KeywordMatch, KeywordInQuery, KeywordCoverage])
def test_missing_without_a_query_or_without_values(cls):
    assert values(cls, "") == close([NAN] * 6)
    assert values(cls, "acme", [3, -1]) == close([NAN, NAN])


def test_each_listing_of_a_batch_is_matched_with_its_own_query():
    batch = candidates(DOCUMENTS, ("acme", [1, 0]), ("zeta", []), ("blue sky", [1, 3, 2]))
    found = KeywordMatch(name="f", field="brand").values(batch).tolist()
    assert found == close([1 / 3, 1, 1, NAN, 1])
