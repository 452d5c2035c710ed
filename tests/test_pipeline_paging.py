"""Lists that do not depend on the page: rules, pins and collapse over all pages of a result."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.business import build_business
from cascade.candidates import Candidates, Query
from cascade.errors import DeadlineError, EngineUnavailableError, NotFoundError
from cascade.filters import EVERYTHING
from cascade.pipeline import Cascade, PageRequest, Stage
from cascade.protocols import Asked, Retrieval, Scores
from tests.bookshop import Bookshop, open_bookshop

RIVER = Query("1", "river")
STORIES = Query("2", "river stories")
ALL = 200
RULES = [
    {"name": "down", "kind": "bury", "where": {"genre": "crime"}},
    {"name": "up", "kind": "boost", "where": {"price": {"lte": 8}}, "ranks": 7},
    {"name": "mixed", "kind": "at_most", "field": "seller", "count": 1, "top": 8},
    {"name": "picks", "kind": "pin", "slots": {"b119": 2, "b053": 5, "b112": 40}},
]


@dataclass
class Recording:
    """A ranker that keeps which rows it was given, and turns them around."""

    rows: list[list[str]] = field(default_factory=list)

    def prepared(self, candidates: Candidates) -> Candidates:
        return candidates

    def score(self, candidates: Candidates) -> Scores:
        self.rows.append(candidates.ids())
        return Scores(np.arange(len(candidates), dtype=np.float32))


@dataclass
class Watched:
    """The engine, with what it was asked for; it fails for pins if it is told to."""

    engine: object
    late: bool = False
    asked: list[Asked] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def retrieve(self, queries: object, size: int, asked: Asked, deadline: object) -> Retrieval:
        self.asked.append(asked)
        if self.late and asked.only is not None:
            raise DeadlineError("the time was up")
        return self.engine.retrieve(queries, size, asked, deadline)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bookshop:
    return open_bookshop(tmp_path_factory.mktemp("books"))


def ruled(shop: Bookshop, size: int, *rules: dict, ranker: Recording | None = None) -> Cascade:
    stages = (Stage("turn", ranker or Recording(), 20),)
    business = build_business({"rules": list(rules)}, shop.schema, source="test")
    return Cascade(shop.engine, shop.catalogue, stages, business, size=size)


def pin(**slots: int) -> dict:
    return {"name": "picks", "kind": "pin", "slots": slots}


def ids(cascade: Cascade, query: Query, **wanted: object) -> list[str]:
    return [i.id for i in cascade.search(query, PageRequest(**{"size": ALL, **wanted})).items]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.sampled_from([5, 20, 30, 60, 150]),
    rows=st.integers(1, 40),
    collapse=st.sampled_from([None, "seller", "genre"]),
    query=st.sampled_from([RIVER, STORIES, Query("3", "winter")]),
)
def test_all_pages_are_the_one_big_page(shop, size, rows, collapse, query):
    cascade = ruled(shop, size, *RULES)
    whole = ids(cascade, query, collapse=collapse)
    parts: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = cascade.search(query, PageRequest(size=rows, offset=offset, collapse=collapse))
        parts += [item.id for item in page.items]
        offset = page.next_offset
    assert parts == whole
    assert len(set(whole)) == len(whole)
    if collapse is None:
        assert page.total.value == len(whole)
    if collapse == "seller":
        sellers = [shop.books[int(i[1:])]["seller"] for i in whole]
        assert len(set(sellers)) == len(sellers)


@pytest.mark.parametrize("collapse", [None, "seller"])
def test_rankers_see_the_same_rows_on_every_page(shop, collapse):
    seen = Recording()
    cascade = ruled(shop, 20, ranker=seen)
    for offset in (0, 5, 30, 60):
        ids(cascade, STORIES, size=5, offset=offset, collapse=collapse)
    assert len(seen.rows) == 4
    assert all(rows == seen.rows[0] for rows in seen.rows)


def test_a_pin_takes_the_place_of_its_group(shop):
    # b000, b040, b080 and b100 are the river books of seller s0; b000 is the best.
    plain = ids(ruled(shop, 50), RIVER, collapse="seller")
    assert "b000" in plain
    pinned = ids(ruled(shop, 50, pin(b100=1)), RIVER, collapse="seller")
    assert pinned[0] == "b100"
    assert "b000" not in pinned
    assert sorted(pinned[1:]) == sorted(set(plain) - {"b000"})


def test_of_two_pins_of_one_group_one_stays(shop):
    pinned = ids(ruled(shop, 50, pin(b000=1, b100=2)), RIVER, collapse="seller")
    assert pinned[0] == "b000"
    assert "b100" not in pinned


@pytest.mark.parametrize(
    ("query", "pinned", "more"),
    [(RIVER, "b112", 0), (RIVER, "b119", 1), (STORIES, "b119", 0)],
)
def test_the_total_counts_a_pinned_document_once(shop, query, pinned, more):
    total = ruled(shop, 3).search(query).total.value
    page = ruled(shop, 3, pin(**{pinned: 1})).search(query)
    assert page.trace.admitted == (pinned,)
    assert page.total.value == total + more


def test_a_pin_that_cannot_be_asked_for_in_time_is_left_out_and_told(shop):
    cascade = replace(ruled(shop, 50, pin(b119=1)), engine=Watched(shop.engine, late=True))
    page = cascade.search(RIVER)
    assert page.items
    assert "b119" not in [item.id for item in page.items]
    assert page.trace.degraded() == (
        "pinned documents are left out: DeadlineError: the time was up",
    )


def test_a_page_is_explained_from_the_request_that_made_it(shop):
    watched = Watched(shop.engine)
    cascade = replace(ruled(shop, 20), engine=watched)
    request = PageRequest(size=10, offset=15, collapse="seller", explain=True)
    page = cascade.search(STORIES, replace(request, collapse=None))
    assert len(watched.asked) == 1
    assert [e.doc_id for e in page.explanations] == [i.id for i in page.items]
    assert [e.final_rank for e in page.explanations] == list(range(16, 26))
    # Rank 16 is the fifth of retrieval, turned around; rank 21 is beyond what stages see.
    fifth, beyond = page.explanations[0], page.explanations[5]
    assert [step.rank for step in fifth.steps] == [5, 16, 16]
    assert [step.rank for step in beyond.steps] == [21, 21, 21]
    assert beyond.steps[1].score is None


def test_explain_says_that_another_of_the_group_stands_for_a_document(shop):
    told = ruled(shop, 50).explain(RIVER, "b100", PageRequest(collapse="seller"))
    assert (told.found, told.final_rank) == ("collapsed", None)


def test_facets_that_come_too_late_degrade_the_page_and_no_more(shop):
    cascade = Cascade(shop.engine, shop.catalogue, size=50)
    whole = cascade.search(RIVER, PageRequest(facets=("genre",)))

    class Hurried:
        """An engine whose facets are not ready when its rows are."""

        def __getattr__(self, name: str) -> object:
            return getattr(shop.engine, name)

        def retrieve(self, *arguments: object) -> object:
            found = shop.engine.retrieve(*arguments)  # type: ignore[arg-type]
            return replace(found, facets=({},), missing=("facets: the deadline passed",))

    page = replace(cascade, engine=Hurried()).search(RIVER, PageRequest(facets=("genre",)))
    assert [item.id for item in page.items] == [item.id for item in whole.items]
    assert page.facets == {}
    assert page.trace.missing == ("facets: the deadline passed",)
    assert "facets: the deadline passed" in page.trace.degraded()
    assert whole.trace.missing == ()


@pytest.mark.parametrize("part", ["retrieve", "fetch"])
def test_an_index_that_was_removed_is_the_engine_s_fault_and_says_what_to_do(shop, part):
    class Gone:
        """An engine whose index was removed on its server."""

        def __getattr__(self, name: str) -> object:
            if name == part:
                raise NotFoundError("there is no index 'books-000001'")
            return getattr(shop.engine, name)

    with pytest.raises(EngineUnavailableError, match=r"books-000001.*cascade index rollback"):
        Cascade(Gone(), shop.catalogue, size=50).search(RIVER)


class Behind:
    """An engine whose index lags: it knows nothing of the rules' filters.

    What happens between retrieval and fetch sells documents out.
    """

    def __init__(self, engine: object, documents: object) -> None:
        self.engine, self.documents = engine, documents
        self.sells: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def retrieve(self, queries: object, size: int, asked: Asked, deadline: object) -> Retrieval:
        plain = [replace(query, filters=EVERYTHING) for query in queries]
        found = self.engine.retrieve(plain, size, asked, deadline)
        rows = found.candidates
        columns = Candidates(rows.queries, rows.offsets, rows.rows, rows.scores, self.documents)
        return replace(found, candidates=columns)

    def fetch(self, query: Query, *asked: object) -> object:
        self.documents.sold = frozenset(self.documents.rows(self.sells).tolist())
        return self.engine.fetch(replace(query, filters=EVERYTHING), *asked)


class Selling:
    """A catalogue in which documents sell out."""

    def __init__(self, catalogue: object) -> None:
        self.catalogue, self.sold = catalogue, frozenset()

    def __getattr__(self, name: str) -> object:
        return getattr(self.catalogue, name)

    def __len__(self) -> int:
        return len(self.catalogue)

    def numbers(self, names: list[str], rows: np.ndarray) -> np.ndarray:
        found = self.catalogue.numbers(names, rows).copy()
        gone = np.isin(rows, list(self.sold))
        found[:, [name == "stock" for name in names]] *= ~gone[:, None]
        return found


IN_STOCK = {"name": "in-stock", "kind": "min_stock", "field": "stock"}


class TestRulesAreCheckedAgain:
    def behind(self, shop: Bookshop, *rules: dict) -> Cascade:
        documents = Selling(shop.catalogue)
        cascade = ruled(shop, ALL, IN_STOCK, *rules)
        return replace(cascade, engine=Behind(shop.engine, documents), documents=documents)

    def test_what_the_engine_gives_and_a_rule_refuses_is_left_out(self, shop):
        fresh = ruled(shop, ALL, IN_STOCK).search(RIVER, PageRequest(size=ALL))
        page = self.behind(shop).search(RIVER, PageRequest(size=ALL))
        assert {item.id for item in page.items} == {item.id for item in fresh.items}
        sold_out = ruled(shop, ALL).search(RIVER).total.value - fresh.total.value
        assert sold_out > 0
        assert page.trace.refused == {"in-stock": sold_out}
        assert page.total == fresh.total
        assert page.trace.retrieved == fresh.trace.retrieved
        assert fresh.trace.refused == {}

    def test_a_pin_that_a_rule_refuses_is_not_admitted(self, shop):
        sold_out = next(book["id"] for book in shop.books if book.get("stock") == 0)
        cascade = self.behind(shop, pin(**{sold_out: 1}))
        page = cascade.search(Query("1", "winter"), PageRequest(size=ALL))
        assert sold_out not in [item.id for item in page.items]
        assert page.trace.admitted == ()

    def test_what_sells_out_while_it_is_ranked_is_not_on_the_page(self, shop):
        cascade = self.behind(shop)
        before = ids(cascade, RIVER)
        cascade.engine.sells = before[1:3]
        page = cascade.search(RIVER, PageRequest(size=4))
        assert [item.id for item in page.items] == [before[0], *before[3:6]]
        assert [item.rank for item in page.items] == [1, 2, 3, 4]
        assert page.trace.dropped == 2
        assert page.next_offset == 6

    def test_a_document_that_a_rule_refuses_is_explained_as_filtered(self, shop):
        cascade = self.behind(shop)
        listed = set(ids(cascade, RIVER))
        everything = ids(ruled(shop, ALL), RIVER)
        sold_out = next(doc_id for doc_id in everything if doc_id not in listed)
        told = cascade.explain(RIVER, sold_out)
        assert (told.found, told.final_rank) == ("filtered", None)
