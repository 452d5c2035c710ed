"""Text features against values calculated by hand.

Four titles, three of them not empty, nine tokens, so the average length is 3. `red` and `shoes`
stand in two titles each: idf = ln(1 + 1.5 / 2.5) = ln 1.6. `for` stands in one: ln(1 + 2.5 / 1.5)
= ln(8 / 3). An unseen term has ln(1 + 3.5 / 0.5) = ln 8.
"""

import math

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.features import (
    AnyCoverage,
    BestField,
    Bm25,
    Coverage,
    FirstPosition,
    IdfCoverage,
    Length,
    MissingIdf,
    OrderedPairs,
    Phrase,
    QueryDensity,
    WholeMatch,
)

NAN = math.nan
IDF, IDF_FOR, IDF_UNSEEN = math.log(1.6), math.log(8 / 3), math.log(8)
DOCUMENTS = MemoryDocuments(
    {"title": "text", "body": "text"},
    [
        {"title": "Red Shoes", "body": "for men"},
        {"title": "red red shoes for men", "body": "red shoes"},
        {"title": "blue shirt", "body": "for red hair shoes"},
        {"body": "nothing"},
    ],
)
ROWS = [0, 1, 2, 3, -1]


def values(feature, text, rows=ROWS):
    found = feature.values(candidates(DOCUMENTS, (text, rows)))
    assert found.dtype == np.float32
    return found.tolist()


def close(expected):
    return pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_bm25():
    # Lengths 2 and 5 give norms 1.2 * (0.25 + 0.75 * 2 / 3) = 0.9 and 1.2 * 1.5 = 1.8.
    first = 2 * IDF * 2.2 / 1.9
    second = IDF * (2 * 2.2 / 3.8) + IDF * (2.2 / 2.8)
    assert values(Bm25(name="f", field="title"), "red shoes") == close([first, second, 0, 0, NAN])


def test_bm25_of_other_settings():
    # b = 0 takes no account of length; k1 = 0 counts presence alone.
    found = values(Bm25(name="f", field="title", k1=2.0, b=0.0), "red")
    assert found == close([IDF * 3 / 3, IDF * 2 * 3 / 4, 0, 0, NAN])
    found = values(Bm25(name="f", field="title", k1=0.0), "red red for")
    assert found == close([IDF, IDF + IDF_FOR, 0, 0, NAN])


def test_coverage():
    found = values(Coverage(name="f", field="title"), "red shoes for unicorns red")
    assert found == close([2 / 4, 3 / 4, 0, 0, NAN])


def test_idf_coverage():
    found = values(IdfCoverage(name="f", field="title"), "red for unicorns")
    total = IDF + IDF_FOR + IDF_UNSEEN
    assert found == close([IDF / total, (IDF + IDF_FOR) / total, 0, 0, NAN])


def test_missing_idf():
    feature = MissingIdf(name="f", field="title")
    assert values(feature, "red for") == close([IDF_FOR, 0, IDF_FOR, IDF_FOR, NAN])
    assert values(feature, "red zebra for") == close([IDF_UNSEEN] * 4 + [NAN])


def test_first_position():
    found = values(FirstPosition(name="f", field="title"), "men shoes")
    assert found == close([1 / 2, 1 / 3, 0, 0, NAN])


def test_ordered_pairs():
    feature = OrderedPairs(name="f", field="title")
    # Pairs: (red, shoes), (shoes, for), (for, ladies).
    assert values(feature, "red shoes for ladies") == close([1 / 3, 2 / 3, 0, 0, NAN])
    assert values(feature, "shoes red") == close([0, 0, 0, 0, NAN])
    assert values(feature, "red") == close([NAN] * 5)
    # (red, red) once, (red, shoes) once: distinct pairs count once.
    assert values(feature, "red red red shoes") == close([1 / 2, 1, 0, 0, NAN])


def test_a_pair_does_not_reach_over_the_end_of_a_document():
    documents = MemoryDocuments({"title": "text"}, [{"title": "big red"}, {"title": "shoes"}])
    one = candidates(documents, ("red shoes", [0, 1]))
    assert OrderedPairs(name="f", field="title").values(one).tolist() == [0, 0]
    assert Phrase(name="f", field="title").values(one).tolist() == [0, 0]


def test_phrase():
    feature = Phrase(name="f", field="title")
    assert values(feature, "red shoes") == close([1, 1, 0, 0, NAN])
    assert values(feature, "red shoes for") == close([0, 1, 0, 0, NAN])
    assert values(feature, "red red") == close([0, 1, 0, 0, NAN])
    assert values(feature, "red men") == close([0, 0, 0, 0, NAN])
    assert values(feature, "shoes ladies") == close([0, 0, 0, 0, NAN])


def test_whole_match():
    feature = WholeMatch(name="f", field="title")
    assert values(feature, "RED  shoes") == close([1, 0, 0, 0, NAN])
    assert values(feature, "shoes red") == close([0, 0, 0, 0, NAN])
    assert values(feature, "blue shirt") == close([0, 0, 1, 0, NAN])


def test_query_density():
    found = values(QueryDensity(name="f", field="title"), "red men")
    assert found == close([1 / 2, 3 / 5, 0, 0, NAN])


def test_length():
    assert values(Length(name="f", field="title"), "red") == close([2, 5, 2, 0, NAN])
    assert values(Length(name="f", field="title"), "") == close([2, 5, 2, 0, NAN])


def test_any_coverage():
    feature = AnyCoverage(name="f", fields=("title", "body"))
    found = values(feature, "red men nothing zebra")
    assert found == close([2 / 4, 2 / 4, 1 / 4, 1 / 4, NAN])


def test_best_field():
    title, body = Bm25(name="t", field="title"), Bm25(name="b", field="body")
    found = values(BestField(name="f", fields=("title", "body")), "red shoes")
    each = list(zip(values(title, "red shoes"), values(body, "red shoes"), strict=True))
    assert found == close([max(pair) for pair in each])
    assert found[1] == each[1][1] > each[1][0]
    assert found[0] == each[0][0] > each[0][1]


@pytest.mark.parametrize("text", ["", "   "])
def test_a_query_without_terms_has_no_match_features(text):
    for cls in (Bm25, Coverage, Phrase, WholeMatch, FirstPosition, QueryDensity, MissingIdf):
        assert values(cls(name="f", field="title"), text) == close([NAN] * 5)


def test_only_the_first_32_tokens_of_a_query_are_read():
    text = " ".join(["red", *(f"w{i}" for i in range(40)), "shoes"])
    assert values(Coverage(name="f", field="title"), text)[:3] == close([1 / 32, 1 / 32, 0])


@pytest.mark.parametrize("settings", [{"k1": -0.1}, {"k1": math.inf}, {"b": 1.1}, {"b": NAN}])
def test_bm25_refuses_settings_without_meaning(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Bm25(name="f", field="title", **settings)
