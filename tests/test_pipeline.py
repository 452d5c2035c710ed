"""The pipeline: stages that fail, deadlines, pages, given candidates, explanations."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from cascade.business import build_business
from cascade.candidates import Candidates, Query
from cascade.errors import NotFoundError, QueryError
from cascade.features import build_features
from cascade.filters import parse
from cascade.pipeline import Cascade, CostModel, Outcome, PageRequest, Stage
from cascade.protocols import Deadline, Scores, Sort
from tests.bookshop import Bookshop, books, open_bookshop


@dataclass
class ByFunction:
    """A ranker whose scores are any function of the candidates."""

    function: Callable[[Candidates], np.ndarray]

    def prepared(self, candidates: Candidates) -> Candidates:
        return candidates

    def score(self, candidates: Candidates) -> Scores:
        return Scores(self.function(candidates).astype(np.float32))


def by_price(candidates: Candidates) -> np.ndarray:
    return -np.nan_to_num(candidates.documents.numbers(["price"], candidates.rows)[:, 0], nan=99)


def reversed_order(candidates: Candidates) -> np.ndarray:
    return np.arange(len(candidates))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bookshop:
    return open_bookshop(tmp_path_factory.mktemp("books"))


@pytest.fixture
def plain(shop: Bookshop) -> Cascade:
    return Cascade(shop.engine, shop.catalogue, size=50)


def staged(cascade: Cascade, *stages: tuple[str, Callable, int]) -> Cascade:
    return replace(cascade, stages=tuple(Stage(n, ByFunction(f), w) for n, f, w in stages))


RIVER = Query("1", "river stories")


def ids(cascade: Cascade, query: Query = RIVER, size: int = 50, **wanted: object) -> list[str]:
    return [item.id for item in cascade.search(query, PageRequest(size=size, **wanted)).items]


def test_a_stage_sorts_its_window_and_leaves_the_tail(plain):
    before = ids(plain)
    after = ids(staged(plain, ("flip", reversed_order, 10)))
    assert after == before[:10][::-1] + before[10:]


def test_a_later_stage_sees_the_order_of_the_one_before(plain):
    before = ids(plain)
    after = ids(staged(plain, ("flip", reversed_order, 10), ("again", reversed_order, 4)))
    first = before[:10][::-1]
    assert after == first[:4][::-1] + first[4:] + before[10:]


def test_windows_must_not_grow(plain):
    with pytest.raises(ValueError, match=r"windows never grow.*a 4, b 10"):
        staged(plain, ("a", reversed_order, 4), ("b", reversed_order, 10))


def failing(candidates: Candidates) -> np.ndarray:
    raise RuntimeError("the model is broken")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda c: np.where(np.arange(len(c)) == 3, np.nan, 1.0), "1 of 10 scores are NaN"),
        (lambda c: np.full(len(c), np.inf), "10 of 10 scores are NaN or infinite"),
        (lambda c: np.zeros(3), r"\(3,\) scores for 10 rows"),
        (failing, "RuntimeError: the model is broken"),
    ],
)
def test_a_failing_stage_is_reverted_whole_and_told(plain, function, reason):
    cascade = staged(plain, ("bad", function, 10), ("flip", reversed_order, 5))
    page = cascade.search(RIVER, PageRequest(size=50))
    expected = ids(staged(plain, ("flip", reversed_order, 5)))
    assert [item.id for item in page.items] == expected
    bad, flip = page.trace.stages
    assert (bad.outcome, flip.outcome) == (Outcome.REVERTED, Outcome.RAN)
    import re

    assert re.search(reason, bad.reason)
    assert len(page.trace.degraded()) == 1


def test_a_passed_deadline_skips_every_stage_and_still_answers(plain):
    cascade = staged(plain, ("flip", reversed_order, 10))
    now = [0.0]
    deadline = Deadline(5.0, clock=lambda: now[0])
    listing = cascade.engine.retrieve([RIVER], 50).candidates
    now[0] = 6.0
    order, _, traces = cascade.reorder(listing, deadline)
    assert order.ids() == listing.ids()
    assert [t.outcome for t in traces] == [Outcome.SKIPPED]


def test_a_stage_that_cost_more_than_what_is_left_is_skipped(plain):
    cascade = staged(plain, ("flip", reversed_order, 10))
    cascade.stages[0].cost.record(rows=10, ms=40.0)
    listing = cascade.engine.retrieve([RIVER], 50).candidates
    _, _, (tight,) = cascade.reorder(listing, Deadline(0.02, clock=lambda: 0.0))
    _, _, (roomy,) = cascade.reorder(listing, Deadline(0.2, clock=lambda: 0.0))
    assert (tight.outcome, roomy.outcome) == (Outcome.SKIPPED, Outcome.RAN)
    assert "needs 40.0 ms, 20.0 ms are left" in tight.reason


def test_what_a_few_rows_cost_says_nothing_of_many():
    cost = CostModel()
    for _ in range(20):
        cost.record(rows=2, ms=4.0)
    # A batch of 2 is mostly fixed cost: 1,000 rows take at least as long, not 500 times as long.
    assert cost.predict_ms(1_000) == pytest.approx(4.0)
    cost.record(rows=1_000, ms=6.0)
    cost.record(rows=2, ms=4.0)
    assert cost.predict_ms(900) == pytest.approx(6.0)
    assert cost.predict_ms(2) == pytest.approx(4.0)


def test_a_size_below_all_that_were_seen_takes_its_part():
    cost = CostModel()
    cost.record(rows=1_023, ms=8.0)
    assert cost.predict_ms(128) == pytest.approx(8.0 * 128 / 1_024)
    assert CostModel().predict_ms(1_000) == 0.0


def test_a_stage_that_was_slow_once_is_tried_again(plain):
    """One slow run, such as the first of a process, must not leave the stage out for good."""
    cascade = staged(plain, ("flip", reversed_order, 10))
    cascade.stages[0].cost.record(rows=10, ms=40.0)
    listing = cascade.engine.retrieve([RIVER], 50).candidates
    deadline = Deadline(0.02, clock=lambda: 0.0)
    outcomes = [cascade.reorder(listing, deadline)[2][0].outcome for _ in range(50)]
    assert outcomes[0] == Outcome.SKIPPED
    assert outcomes[-1] == Outcome.RAN


def test_pages_follow_one_another_without_gap_or_repeat(plain):
    cascade = staged(plain, ("price", by_price, 30))
    whole = ids(cascade, size=45)
    parts, offset = [], 0
    while offset is not None and len(parts) < 45:
        page = cascade.search(RIVER, PageRequest(size=7, offset=offset))
        parts += [item.id for item in page.items]
        offset = page.next_offset
    assert parts[:45] == whole
    assert len(set(parts)) == len(parts)


def test_depth_beyond_the_retrieved_size_does_not_change_the_first_ranks(plain):
    cascade = staged(replace(plain, size=20), ("price", by_price, 20))
    assert ids(cascade, size=60)[:20] == ids(cascade, size=20)


def test_ranks_count_over_the_whole_result(plain):
    page = plain.search(RIVER, PageRequest(size=3, offset=5))
    assert [item.rank for item in page.items] == [6, 7, 8]


def test_sort_by_a_field_bypasses_the_cascade_and_says_so(plain):
    cascade = staged(plain, ("flip", reversed_order, 10))
    page = cascade.search(RIVER, PageRequest(size=20, sort=Sort("price")))
    prices = [item.fields["price"] for item in page.items]
    assert prices == sorted(prices)
    assert page.trace.stages[0].outcome == Outcome.SKIPPED
    assert "sorted by price" in page.trace.degraded()[0]


def test_collapse_keeps_the_best_row_of_each_group(plain, shop):
    whole = ids(plain, size=120)
    genre = {book["id"]: book["seller"] for book in shop.books}
    expected = []
    for doc_id in whole:
        if genre[doc_id] not in {genre[e] for e in expected}:
            expected.append(doc_id)
    page = plain.search(RIVER, PageRequest(size=50, collapse="seller"))
    assert [item.id for item in page.items] == expected
    assert page.trace.collapsed == len(whole) - len(expected)


def test_collapse_keeps_documents_without_the_field(plain, shop):
    page = plain.search(RIVER, PageRequest(size=50, collapse="genre"))
    without = {b["id"] for b in shop.books if "genre" not in b} & set(ids(plain))
    assert without <= {item.id for item in page.items}


def test_nothing_matches_as_asked_so_fewer_terms_have_to(shop):
    cascade = Cascade(shop.engine, shop.catalogue, size=50, minimum_match=1.0)
    page = cascade.search(Query("1", "river zeppelin"))
    assert page.trace.relaxed
    assert page.items
    assert not cascade.search(Query("1", "zeppelin")).trace.relaxed


def test_rank_orders_what_the_caller_retrieved(plain, shop):
    cascade = staged(plain, ("price", by_price, 3))
    given = ["b005", "b001", "b002", "b003"]
    ranking = cascade.rank(Query("1", "river"), given, [9.0, 8.0, 7.0, 6.0])
    price = {book["id"]: book.get("price", 99) for book in shop.books}
    assert list(ranking.ids) == [*sorted(given[:3], key=price.__getitem__), "b003"]


def test_rank_takes_documents_that_the_catalogue_lacks(plain):
    ranking = plain.rank(Query("1", "river"), ["x", "b001"], [1.0, 2.0])
    assert ranking.ids == ("b001", "x")
    assert ranking.trace.unknown == 1
    assert "1 candidates are not in the catalogue" in ranking.trace.degraded()


def test_rank_leaves_out_what_fails_the_filters(plain, shop):
    query = Query("1", "river", filters=parse({"genre": "crime"}, shop.schema))
    ranking = plain.rank(query, ["b004", "b001"], [1.0, 2.0])
    assert ranking.ids == ("b004",)
    assert ranking.trace.filtered == 1


@pytest.mark.parametrize(
    ("given", "scores", "message"),
    [
        (["a", "a"], [1.0, 2.0], r"2 ids \(1 distinct\)"),
        (["a"], [1.0, 2.0], "1 ids .* and 2 scores"),
        (["a"], [float("nan")], "NaN or infinite"),
    ],
)
def test_rank_refuses_unusable_candidates(plain, given, scores, message):
    with pytest.raises(QueryError, match=message):
        plain.rank(Query("1", "river"), given, scores)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"size": 0}, "size is 0; accepted are 1 to 1000"),
        ({"size": -1}, "size is -1"),
        ({"size": 10**9}, "size is 1000000000"),
        ({"offset": -1}, "offset -1"),
        ({"offset": 9_990}, "end at rank 10,000"),
        ({"facets": ("genr",)}, "did you mean 'genre'"),
        ({"facets": ("price",)}, "facets: 'price' cannot be used"),
        ({"collapse": "title"}, "collapse: 'title' cannot be used"),
        ({"sort": Sort("titel")}, "sort: 'titel' cannot be used"),
        ({"highlight": ("genre",)}, "highlight: 'genre' cannot be used"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused(plain, wanted, message):
    with pytest.raises(QueryError, match=message):
        plain.search(RIVER, PageRequest(**wanted))


def test_a_text_that_is_too_long_is_refused(plain):
    with pytest.raises(QueryError, match="1,000,000 characters; accepted are up to 10,000"):
        plain.search(Query("1", "x" * 1_000_000))


def test_a_preference_without_a_business_layer_is_refused(plain):
    with pytest.raises(QueryError, match="no business layer"):
        plain.search(Query("1", "river", preference={"revenue": 1.0}))


BUSINESS = {
    "objectives": [{"name": "revenue", "kind": "revenue", "price": "price", "margin": "margin"}],
    "rules": [
        {"name": "stocked", "kind": "min_stock", "field": "stock", "at_least": 1},
        {"name": "staff-pick", "kind": "pin", "slots": {"b119": 2}},
    ],
}


@pytest.fixture
def governed(plain, shop) -> Cascade:
    return replace(plain, business=build_business(BUSINESS, shop.schema, source="test"))


def test_minimum_stock_becomes_part_of_the_filter(governed, plain, shop):
    stock = {book["id"]: book["stock"] for book in shop.books}
    page = governed.search(RIVER, PageRequest(size=50))
    assert all(stock[item.id] >= 1 for item in page.items)
    assert page.total.value < plain.search(RIVER).total.value


def test_a_pin_that_retrieval_did_not_bring_is_admitted(governed):
    query = Query("1", "winter")
    page = governed.search(query, PageRequest(size=10))
    assert page.items[1].id == "b119"
    assert page.trace.admitted == ("b119",)
    assert page.total.value == 1 + replace_total(governed, query)


def replace_total(governed: Cascade, query: Query) -> int:
    """Return how many documents match without the pin."""
    rules = {**BUSINESS, "rules": BUSINESS["rules"][:1]}
    business = build_business(rules, governed.documents.schema, source="test")
    return replace(governed, business=business).search(query).total.value


def test_a_pin_does_not_pass_the_requests_own_filters(governed, shop):
    # b119 has stock 4 and genre "cooking"; a crime filter keeps it out.
    query = Query("1", "winter", filters=parse({"genre": "crime"}, shop.schema))
    page = governed.search(query, PageRequest(size=50))
    assert "b119" not in [item.id for item in page.items]


def test_explain_tells_rank_score_and_features_after_each_step(shop):
    definitions = [
        {"kind": "bm25", "name": "bm25_title", "field": "title"},
        {"kind": "number", "name": "price", "field": "price"},
    ]
    features = build_features(definitions, shop.schema)

    class ByTitle(ByFunction):
        pass

    ranker = ByTitle(lambda c: features.matrix(c)[:, 0])
    stage = Stage("title", ranker, 20, features=features)
    cascade = Cascade(shop.engine, shop.catalogue, (stage,), size=50)
    order = ids(cascade)
    told = cascade.explain(RIVER, order[2])
    assert told.found == "retrieved"
    assert told.final_rank == 3
    assert [step.step for step in told.steps] == ["retrieval", "title"]
    assert told.steps[1].rank == 3
    book = next(b for b in shop.books if b["id"] == order[2])
    assert told.steps[1].features["price"] == book.get("price")
    assert told.steps[1].score == pytest.approx(told.steps[1].features["bm25_title"])


@pytest.mark.parametrize(
    ("doc_id", "filters", "found"),
    [("b001", {}, "unmatched"), ("b000", {"genre": "poetry"}, "filtered")],
)
def test_explain_says_why_a_document_was_not_retrieved(plain, shop, doc_id, filters, found):
    query = Query("1", "zeppelin" if found == "unmatched" else "river", parse(filters, shop.schema))
    told = plain.explain(query, doc_id)
    assert (told.found, told.final_rank) == (found, None)


def test_explain_says_when_a_document_was_cut(shop):
    cascade = Cascade(shop.engine, shop.catalogue, size=3)
    last = ids(Cascade(shop.engine, shop.catalogue, size=50))[-1]
    assert cascade.explain(RIVER, last).found == "cut"


def test_explain_refuses_a_document_that_is_not_there(plain):
    with pytest.raises(NotFoundError, match="no document 'nope'"):
        plain.explain(RIVER, "nope")


def test_rows_that_are_gone_are_dropped_and_the_next_move_up(tmp_path):
    shop = open_bookshop(tmp_path, books(40))
    cascade = Cascade(shop.engine, shop.catalogue, size=40)
    before = ids(cascade, size=5)

    class Late:
        """The engine as it stands after documents went between retrieval and page fetch."""

        def __getattr__(self, name: str) -> object:
            return getattr(shop.engine, name)

        def retrieve(self, *arguments: object) -> object:
            found = shop.engine.retrieve(*arguments)  # type: ignore[arg-type]
            shop.engine.delete([before[1]])
            shop.engine.refresh()
            return found

    page = replace(cascade, engine=Late()).search(RIVER, PageRequest(size=5))
    assert page.trace.dropped == 1
    assert len(page.items) == 5
    assert [item.id for item in page.items][:4] == [before[0], *before[2:]]
    assert [item.rank for item in page.items] == [1, 2, 3, 4, 5]


def test_a_stage_that_was_slow_once_returns_within_its_budget(plain):
    # A cold first run of 60 ms against a budget of 50 must not leave the stage out for good.
    flip = Stage("flip", ByFunction(reversed_order), 10, budget_ms=50.0)
    flip.cost.record(rows=10, ms=60.0)
    cascade = replace(plain, stages=(flip,))
    outcomes = [cascade.search(RIVER).trace.stages[0].outcome for _ in range(8)]
    assert outcomes[0] is Outcome.SKIPPED
    assert outcomes[-1] is Outcome.RAN
