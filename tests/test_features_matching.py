"""Matches against a reading of the tokens by plain loops."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.features.matching import find_matches, matches_of
from cascade.features.terms import MAX_TERMS, AnalysedQueries

words = st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join)
queries = st.lists(st.sampled_from([*"abc", "x", "y"]), max_size=6).map(" ".join)


def read(query: list[str], text: list[str], known: set[str]) -> dict[str, object]:
    """Read one document for one query, token by token."""
    terms = list(dict.fromkeys(query))
    first = [i + 1 for i, token in enumerate(text) if token in terms]
    runs = [text[i : i + len(query)] == query for i in range(len(text) - len(query) + 1)]
    return {
        "length": len(text),
        "first": first[0] if first else 0,
        "pairs": len(set(pairwise(query)) & set(pairwise(text))),
        "phrase": float(bool(query) and any(runs)),
        "terms": len(terms),
        "tokens": len(query),
        "query_pairs": len(set(pairwise(query))),
        "known": len(set(query) & known),
        "frequencies": [text.count(term) for term in terms],
    }


@given(
    st.lists(words, min_size=1, max_size=6), st.lists(queries, min_size=1, max_size=4), st.data()
)
def test_matches_are_those_of_a_plain_reading(texts, asked, data):
    documents = MemoryDocuments({"title": "text"}, [{"title": text} for text in texts])
    row = st.integers(-1, len(texts) - 1)
    listings = [(query, data.draw(st.lists(row, max_size=6))) for query in asked]
    found = matches_of(candidates(documents, *listings), "title")
    known = set(" ".join(texts).split())
    place = 0
    for query, rows in listings:
        for row in rows:
            text = texts[row].split() if row >= 0 else []
            for name, expected in read(query.split(), text, known).items():
                value = getattr(found, name)[place].tolist()
                if name == "frequencies":
                    value, rest = value[: len(expected)], value[len(expected) :]
                    assert not any(rest)
                assert value == expected, (name, query, text)
            assert np.isnan(found.defined[place]) == (row < 0 or not query)
            place += 1
    assert place == len(found.array)


def test_fields_of_one_analyser_are_analysed_once():
    class Counting(MemoryDocuments):
        analysed = 0

        def analyse(self, name, text):
            self.analysed += 1
            return super().analyse(name, text)

    documents = Counting({"title": "text", "body": "text"}, [{"title": "a", "body": "b"}])
    batch = candidates(documents, ("a b", [0]), ("a", [0]))
    queries = AnalysedQueries(batch)
    find_matches(batch, ["title", "body"], queries)
    assert documents.analysed == 2


def test_matches_are_found_once_and_follow_the_rows():
    class Counting(MemoryDocuments):
        gathered = 0

        def tokens(self, name, rows):
            self.gathered += 1
            return super().tokens(name, rows)

    documents = Counting({"title": "text"}, [{"title": "a"}, {"title": "b a"}, {"title": "b"}])
    whole = candidates(documents, ("a", [0, 1, 2]))
    assert matches_of(whole, "title").first.tolist() == [1, 2, 0]
    turned = whole.reranked(np.array([1, 2, 3], dtype=np.float32)).head(2)
    assert matches_of(turned, "title").first.tolist() == [0, 2]
    assert documents.gathered == 1


def test_a_batch_adds_terms_in_the_same_groups_as_a_single_listing():
    texts = [" ".join(f"w{i}" for i in range(j, j + 9)) for j in range(30)]
    documents = MemoryDocuments({"title": "text"}, [{"title": text} for text in texts])
    short = ("w1 w2 w3 w7 w9 w11 w13 w17 w19", list(range(30)))
    long = (" ".join(f"w{i}" for i in range(MAX_TERMS)), list(range(30)))
    alone = matches_of(candidates(documents, short), "title")
    batch = matches_of(candidates(documents, long, short), "title")
    sums = batch.total(batch.idf * batch.frequencies)[30:]
    assert sums.tobytes() == alone.total(alone.idf * alone.frequencies).tobytes()
