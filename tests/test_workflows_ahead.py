"""Retrieving ahead: the same lists in fewer requests."""

import pytest

from cascade.candidates import Query
from cascade.protocols import Asked
from cascade.workflows.ahead import QUERIES_AHEAD, Ahead
from tests.bookshop import books, open_bookshop

WORDS = ("river", "stories", "nowhere", "river stories")


class Counted:
    """The engine, with how many queries each request had."""

    def __init__(self, engine):
        self.engine = engine
        self.requests = []

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def retrieve(self, queries, *arguments):
        self.requests.append(len(queries))
        return self.engine.retrieve(queries, *arguments)


@pytest.fixture
def counted(tmp_path):
    return Counted(open_bookshop(tmp_path, books(60)).engine)


def queries(count):
    return [Query(str(i), WORDS[i % len(WORDS)]) for i in range(count)]


def test_each_query_gets_what_it_gets_alone(counted):
    asked = queries(QUERIES_AHEAD + 8)
    ahead = Ahead(counted, asked)
    for query in asked:
        alone = counted.engine.retrieve([query], 20, Asked(facets=("genre",)))
        found = ahead.retrieve([query], 20, Asked(facets=("genre",)))
        assert found.candidates.queries == (query,)
        assert found.candidates.ids() == alone.candidates.ids()
        assert found.candidates.scores.tolist() == alone.candidates.scores.tolist()
        assert (found.totals, found.facets) == (alone.totals, alone.facets)
    assert counted.requests == [QUERIES_AHEAD, 8]


def test_another_question_is_asked_as_it_is(counted):
    asked = queries(4)
    ahead = Ahead(counted, asked)
    first = ahead.retrieve([asked[0]], 20)
    assert ahead.retrieve([asked[0]], 5).candidates.ids() == first.candidates.ids()[:5]
    only = (tuple(first.candidates.ids()[:2]),)
    assert len(ahead.retrieve([asked[0]], 5, Asked(only=only)).candidates) == 2
    assert len(ahead.retrieve([Query("0", "stories")], 5).candidates) == 5
    assert counted.requests == [4, 4, 1, 1]
    assert ahead.kind == "embedded"
