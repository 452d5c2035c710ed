"""Terms found anywhere in a group of fields, and numbers that a query names: by hand."""

import math

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.candidates import Query
from cascade.errors import ConfigError
from cascade.features import build_features

DOCUMENTS = MemoryDocuments(
    {"title": "text", "body": "text", "year": "number"},
    [
        {"title": "red", "body": "blue", "year": 1999.0},
        {"title": "red", "body": "", "year": 2003.0},
        {"title": "green", "body": "green"},
    ],
)


def values(kind, text, **settings):
    made = build_features([{"kind": kind, "name": "f", **settings}], DOCUMENTS.schema)
    return made.matrix(candidates(DOCUMENTS, (Query("q", text), [0, 1, 2, -1])))[:, 0]


def idf(documents, df):
    return math.log1p((documents - df + 0.5) / (df + 0.5))


def test_idf_coverage_weighs_a_term_by_its_lowest_idf():
    """Three documents have a title and two a body; "red" is in 2 titles, "blue" in one body."""
    red = min(idf(3, 2), idf(2, 0))
    blue = min(idf(3, 0), idf(2, 1))
    found = values("any_idf_coverage", "red blue", fields=["title", "body"])
    expected = [1.0, red / (red + blue), 0.0, np.nan]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_missing_idf_is_that_of_the_rarest_term_found_nowhere():
    red = min(idf(3, 2), idf(2, 0))
    blue = min(idf(3, 0), idf(2, 1))
    found = values("any_missing_idf", "red blue", fields=["title", "body"])
    np.testing.assert_allclose(found, [0.0, blue, max(red, blue), np.nan], rtol=1e-6)


def test_the_gap_is_to_the_nearest_number_named():
    found = values("number_gap", "film of 2001 or 1990, not 12", field="year", least=1900)
    np.testing.assert_array_equal(found, np.array([-2, 2, np.nan, np.nan], dtype=np.float32))


@pytest.mark.parametrize("text", ["no number", "2.5 metres", "part 2", "k2001", ""])
def test_a_query_that_names_no_accepted_number_has_no_gap(text):
    assert np.isnan(values("number_gap", text, field="year", least=1900.0)).all()


def test_bounds_that_accept_nothing_are_refused():
    with pytest.raises(ConfigError, match="more than most"):
        values("number_gap", "x", field="year", least=10, most=5)
