"""Features of letters against trigrams counted by hand."""

import math

import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.features import LetterCoverage, LetterMatch, LetterOverlap, LettersInQuery

NAN = math.nan
KINDS = [LetterOverlap, LetterMatch, LetterCoverage, LettersInQuery]
DOCUMENTS = MemoryDocuments(
    {"name": "keyword"},
    [
        {"name": ["Spider-Man"]},
        {"name": ["It", "Up!"]},
        {"name": ["Amélie"]},
        {"name": ["aaaa"]},
        {"name": ["--"]},
        {"name": []},
        {"name": ["Iron\nMan"]},
    ],
)


def values(cls, *listings):
    found = cls(name="f", field="name").values(candidates(DOCUMENTS, *listings))
    return pytest.approx(found.tolist(), rel=1e-6, nan_ok=True)


def test_blanks_hyphens_case_and_accents_do_not_matter():
    for cls in KINDS:
        assert values(cls, ("spider man", [0]), ("AMELIE", [2])) == [1, 1]
        assert values(cls, ("ironman", [6])) == [1]


def test_a_misspelt_word_shares_most_of_its_trigrams():
    # ^sp spi pid ide der erm rma man an$ against ^sp spy pyd yde der erm rma man an$: six of nine.
    for cls in (LetterOverlap, LetterMatch, LetterCoverage):
        assert values(cls, ("spyderman", [0])) == [6 / 9]
    assert values(LettersInQuery, ("spyderman", [0])) == [0]


def test_overlap_match_and_coverage_count_different_wholes():
    # ^up up$ against ^up upi pis ish sh$: one shared.
    assert values(LetterMatch, ("upish", [1])) == [1 / 2]
    assert values(LetterCoverage, ("upish", [1])) == [1 / 5]
    assert values(LetterOverlap, ("upish", [1])) == [2 / 7]
    assert values(LettersInQuery, ("upish", [1])) == [1]


def test_a_trigram_that_comes_again_counts_in_the_value_and_once_in_the_query():
    # ^aa aaa aaa aa$ against ^ba baa aaa aaa aa$, four distinct.
    assert values(LetterMatch, ("baaaa", [3])) == [3 / 4]
    assert values(LetterCoverage, ("baaaa", [3])) == [2 / 4]
    assert values(LetterOverlap, ("baaaa", [3])) == [5 / 8]


def test_letters_stand_in_the_middle_of_a_longer_query():
    assert values(LettersInQuery, ("the spiderman films", [0, 2])) == [1, 0]
    assert values(LettersInQuery, ("spider 2 man", [0])) == [0]


@pytest.mark.parametrize("cls", KINDS)
def test_missing_without_letters_in_the_query_or_without_a_value(cls):
    assert values(cls, ("spider", [5, -1, 4])) == [NAN, NAN, 0]
    assert values(cls, (" -! ", [0, 4, 5])) == [NAN] * 3


def test_each_listing_is_compared_with_its_own_query():
    assert values(LetterMatch, ("spiderman", [2, 0]), ("", []), ("it", [1, 5, 0])) == [
        0,
        1,
        1,
        NAN,
        0,
    ]


def test_a_trigram_of_two_neighbouring_values_is_none():
    documents = MemoryDocuments({"name": "keyword"}, [{"name": ["ab", "cd"]}, {"name": ["abcd"]}])
    found = LetterCoverage(name="f", field="name").values(candidates(documents, ("abcd", [0, 1])))
    # ^ab and cd$ stand in one value each, of ^ab abc bcd cd$.
    assert found.tolist() == [1 / 4, 1]
