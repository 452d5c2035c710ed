"""Standing within a listing, and the engine's columns, against values calculated by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.features import (
    Column,
    EngineRank,
    EngineScore,
    EngineScoreRatio,
    Features,
    MinMax,
    Percentile,
    ZScore,
)

NAN = math.nan
DOCUMENTS = MemoryDocuments(
    {"price": "number"},
    [{"price": p} if p is not None else {} for p in (2.0, 4.0, 4.0, 6.0, None, 100.0)],
)


def close(expected):
    return pytest.approx(expected, rel=1e-6, nan_ok=True)


def values(cls, *listings):
    batch = candidates(DOCUMENTS, *(("q", rows) for rows in listings))
    return cls(name="f", field="price").values(batch).tolist()


def test_zscore_of_each_listing():
    # 2, 4, 4, 6: mean 4, variance (4 + 0 + 0 + 4) / 4 = 2.
    found = values(ZScore, [3, 0, 4, 1, 2], [-1], [5], [], [0, 5])
    expected = [math.sqrt(2), -math.sqrt(2), NAN, 0, 0, NAN, 0, -1, 1]
    assert found == close(expected)


def test_percentile_is_the_mid_rank():
    # Of 2, 4, 4, 6 one is below each 4 and two equal it: (1 + 2 / 2) / 4.
    found = values(Percentile, [3, 0, 4, 1, 2], [-1], [5], [], [0, 5])
    assert found == close([3.5 / 4, 0.5 / 4, NAN, 0.5, 0.5, NAN, 0.5, 0.25, 0.75])


def test_minmax():
    found = values(MinMax, [3, 0, 4, 1, 2], [-1], [5], [])
    assert found == close([1, 0, NAN, 0.5, 0.5, NAN, 0])


def test_fields_that_are_compared_together_have_the_bits_of_each_alone():
    rows = [{"a": 1.0, "b": -0.0}, {"a": 3.0}, {"b": 0.0}, {"a": 0.1, "b": 7.0}, {}]
    documents = MemoryDocuments(dict.fromkeys(("a", "b", "none"), "number"), rows)
    features = [
        cls(name=f"{cls.kind}_{field}", field=field)
        for cls in (Percentile, ZScore, MinMax)
        for field in ("a", "none", "b")
    ]
    for listings in ([[0, 1, 2, 3, 4]], [[4, 3, 0], [], [1, 2, -1]], [[]]):
        batch = candidates(documents, *(("q", some) for some in listings))
        prepared = Features(features).prepared(batch)
        assert list(prepared.columns) == [feature.name for feature in features]
        for feature in features:
            assert prepared.columns[feature.name].tobytes() == feature.values(batch).tobytes()


def test_equal_numbers_have_no_deviation_even_where_their_mean_rounds():
    documents = MemoryDocuments({"price": "number"}, [{"price": 0.1}] * 10)
    one = candidates(documents, ("q", range(10)))
    assert ZScore(name="f", field="price").values(one).tolist() == [0] * 10


def test_a_column_stands_in_for_a_field():
    batch = candidates(DOCUMENTS, ("q", [0, 1]), ("q", [2]), columns={"engine_score": [3, 1, 7]})
    feature = Percentile(name="f", column="engine_score")
    assert feature.values(batch).tolist() == [0.75, 0.25, 0.5]
    assert not feature.portable
    absent = Percentile(name="f", column="p_click").values(batch)
    assert np.isnan(absent).all()


def test_engine_columns():
    columns = {"engine_score": [9, 6, 3, 0, -1], "engine_rank": [1, 2, 3, 1, 2]}
    batch = candidates(DOCUMENTS, ("q", [0, 1, 2]), ("q", [0, -1]), columns=columns)
    assert EngineScore(name="f").values(batch).tolist() == [9, 6, 3, 0, -1]
    assert EngineRank(name="f").values(batch).tolist() == [1, 2, 3, 1, 2]
    ratio = EngineScoreRatio(name="f").values(batch).tolist()
    assert ratio == close([1, 6 / 9, 3 / 9, NAN, NAN])
    assert np.isnan(EngineScore(name="f").values(candidates(DOCUMENTS, ("q", [0])))).all()


def test_column():
    batch = candidates(DOCUMENTS, ("q", [0, 1]), columns={"f12": [0.5, NAN]})
    assert Column(name="f12").values(batch).tolist() == close([0.5, NAN])
    assert Column(name="other", column="f12").values(batch).tolist() == close([0.5, NAN])
    assert Column(name="absent").values(batch).tolist() == close([NAN, NAN])
    assert Column(name="f12", portable=True).portable
    assert not Column(name="f12").portable


@pytest.mark.parametrize("settings", [{}, {"field": "price", "column": "p"}])
def test_exactly_one_of_field_and_column(settings):
    with pytest.raises(ValueError, match="exactly one of the two"):
        ZScore(name="f", **settings)


finite = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, -0.0, 1.0]))


@given(st.lists(st.lists(finite, max_size=8), min_size=1, max_size=4))
def test_percentiles_and_zscores_agree_with_plain_loops(listings):
    prices = [{} if p is None else {"price": p} for one in listings for p in one]
    documents = MemoryDocuments({"price": "number"}, prices or [{}])
    starts = np.cumsum([0, *map(len, listings)])
    batch = candidates(
        documents,
        *(
            ("q", range(start, start + len(one)))
            for start, one in zip(starts[:-1], listings, strict=True)
        ),
    )
    percentile = Percentile(name="f", field="price").values(batch).tolist()
    zscore = ZScore(name="f", field="price").values(batch).tolist()
    place = 0
    for one in listings:
        present = [p for p in one if p is not None]
        mean = math.fsum(present) / max(len(present), 1)
        deviation = math.sqrt(math.fsum((p - mean) ** 2 for p in present) / max(len(present), 1))
        for p in one:
            if p is None:
                assert np.isnan(percentile[place])
                assert np.isnan(zscore[place])
            else:
                below = sum(other < p for other in present)
                equal = sum(other == p for other in present)
                assert percentile[place] == close((below + equal / 2) / len(present))
                expected = (p - mean) / deviation if max(present) > min(present) else 0.0
                assert zscore[place] == pytest.approx(expected, rel=1e-4, abs=1e-4)
            place += 1
