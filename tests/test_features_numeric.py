"""Numbers, dates and ages against values calculated by hand."""

import math

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.candidates import Query
from cascade.features import Age, Log, Number

NAN = math.nan
DAY = 86_400
DOCUMENTS = MemoryDocuments(
    {"price": "number", "made": "date"},
    [{"price": 12.5, "made": 10.0 * DAY}, {"price": -3.0}, {"made": 30.5 * DAY}, {"price": 1e300}],
)


def test_number():
    found = Number(name="f", field="price").values(candidates(DOCUMENTS, ("q", [0, 1, 2, -1])))
    assert found.tolist() == pytest.approx([12.5, -3, NAN, NAN], nan_ok=True)


def test_a_number_beyond_float32_becomes_its_largest():
    found = Number(name="f", field="price").values(candidates(DOCUMENTS, ("q", [3])))
    assert found.tolist() == [np.finfo(np.float32).max]


def test_log_keeps_the_sign():
    found = Log(name="f", field="price").values(candidates(DOCUMENTS, ("q", [0, 1, 2, 3])))
    expected = [math.log(13.5), -math.log(4), NAN, 300 * math.log(10)]
    assert found.tolist() == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_age_is_in_days_of_the_query_own_time():
    early, late = Query("1", "q", time=20.25 * DAY), Query("2", "q", time=31.0 * DAY)
    batch = candidates(DOCUMENTS, (early, [0, 2, 1]), (late, [2]), ("no time", [0]))
    found = Age(name="f", field="made").values(batch)
    expected = [10.25, -10.25, NAN, 0.5, NAN]
    assert found.tolist() == pytest.approx(expected, rel=1e-6, nan_ok=True)
