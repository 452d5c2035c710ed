"""Exploration: what is swapped, at which chance, and what rules keep of it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cascade.business import build_business
from cascade.candidates import Candidates, Query
from cascade.pipeline import Cascade, Exploration, PageRequest, Recording
from cascade.protocols import Sort
from cascade.workflows.runs import unhurried
from tests.bookshop import Bookshop, books, open_bookshop

DRAWS = 8_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bookshop:
    return open_bookshop(tmp_path_factory.mktemp("books"))


def listing_of(shop: Bookshop, count: int, query_id: str = "1") -> Candidates:
    rows = np.arange(count, dtype=np.int32)
    return Candidates(
        queries=(Query(query_id, "river"),),
        offsets=np.array([0, count], dtype=np.int64),
        rows=rows,
        scores=-rows.astype(np.float32),
        documents=shop.catalogue,
    )


def asked(listing: Candidates, query_id: str) -> Candidates:
    return replace(listing, queries=(Query(query_id, "river"),))


def test_the_propensity_is_the_share_of_times_a_row_stands_there(shop):
    """The stated chance of each row at each rank, against the counted one of many query ids."""
    listing, exploration = listing_of(shop, 7), Exploration(0.4, head=5)
    counts: Counter[tuple[int, int]] = Counter()
    stated: dict[tuple[int, int], float] = {}
    for number in range(DRAWS):
        explored = exploration.apply(asked(listing, f"q{number}"))
        for rank, row in enumerate(explored.candidates.rows.tolist()):
            counts[row, rank] += 1
            chance = stated.setdefault((row, rank), explored.propensities[rank])
            assert chance == explored.propensities[rank]
    # By hand: an inner row stays at 1 - 0.2 - 0.2, the first and last of the head at 1 - 0.2,
    # and goes to each neighbouring rank at 0.5 x 0.4.
    expected = {(row, row): 0.6 for row in (1, 2, 3)}
    expected |= {(0, 0): 0.8, (4, 4): 0.8, (5, 5): 1.0, (6, 6): 1.0}
    expected |= {(row, row + 1): 0.2 for row in range(4)}
    expected |= {(row + 1, row): 0.2 for row in range(4)}
    assert stated.keys() == expected.keys()
    for place, chance in expected.items():
        assert stated[place] == pytest.approx(chance)
        assert counts[place] / DRAWS == pytest.approx(chance, abs=0.018)


def test_an_inverse_propensity_estimate_of_another_order_is_unbiased(shop):
    """What a fixed order would have earned, from explored lists alone: a truth known by hand."""
    listing, exploration = listing_of(shop, 6), Exploration(0.5, head=6)
    worth = np.array([0.1, 0.9, 0.3, 0.5, 0.2, 0.7])
    at_rank = 1 / np.arange(1, 7)
    total = np.zeros(DRAWS)
    for number in range(DRAWS):
        explored = exploration.apply(asked(listing, f"q{number}"))
        rows = explored.candidates.rows
        same = rows == np.arange(6)
        total[number] = (worth[rows] * at_rank * same / explored.propensities).sum()
    truth = (worth * at_rank).sum()
    error = total.std() / np.sqrt(DRAWS)
    assert total.mean() == pytest.approx(truth, abs=4 * error)
    assert error < 0.02


def test_one_query_id_gives_one_order(shop):
    listing, exploration = listing_of(shop, 20), Exploration(0.5)
    once, again = (exploration.apply(asked(listing, "abc")) for _ in range(2))
    assert once.candidates.ids() == again.candidates.ids()
    assert once.swapped == again.swapped
    orders = {tuple(exploration.apply(asked(listing, f"q{n}")).swapped) for n in range(50)}
    assert len(orders) > 10


def test_neighbours_of_the_head_alone_are_swapped_at_most_once(shop):
    listing, exploration = listing_of(shop, 20), Exploration(1.0, head=7)
    for number in range(50):
        explored = exploration.apply(asked(listing, f"q{number}"))
        rows = explored.candidates.rows
        assert (rows[7:] == np.arange(7, 20)).all()
        assert np.abs(rows - np.arange(20)).max() == 1
        upper = np.array(explored.swapped)
        assert set(np.diff(upper)) == {2}
        np.testing.assert_array_equal(rows[upper - 1], upper)


@pytest.mark.parametrize("count", [0, 1])
def test_a_list_without_neighbours_stays(shop, count):
    explored = Exploration(1.0).apply(listing_of(shop, count))
    assert explored.swapped == ()
    assert explored.propensities.tolist() == [1.0] * count


def business_of(shop: Bookshop, *rules: dict):
    return build_business({"rules": list(rules)}, shop.catalogue.schema)


def test_rows_that_a_rule_speaks_of_keep_their_ranks(shop):
    listing = listing_of(shop, 12)
    ids = listing.ids()
    rules = business_of(
        shop, {"kind": "pin", "name": "lead", "queries": ["river"], "slots": {ids[3]: 4}}
    ).rules.rules
    exploration = Exploration(1.0, head=12)
    for number in range(40):
        explored = exploration.apply(asked(listing, f"q{number}"), rules)
        rows = explored.candidates.rows
        assert rows[3] == 3
        assert explored.propensities[3] == 1.0
        # The neighbours of the pin have one neighbour less to change with.
        assert explored.propensities[list(rows).index(2)] == 0.5
    other = replace(listing, queries=(Query("q", "another"),))
    assert exploration.apply(other, rules).propensities[3] < 1.0


def test_a_quota_holds_at_its_end(shop):
    """Swapping across the end of a quota's top could bring a third row of a value into it."""
    listing = listing_of(shop, 12)
    quota = {"kind": "at_most", "name": "mix", "field": "genre", "count": 2, "top": 5}
    rules = business_of(shop, quota).rules.rules
    exploration = Exploration(1.0, head=12)
    swaps = set()
    for number in range(60):
        explored = exploration.apply(asked(listing, f"q{number}"), rules)
        assert set(explored.candidates.rows[:5].tolist()) == set(range(5))
        swaps |= set(explored.swapped)
    assert swaps == set(range(1, 12)) - {5}


def test_a_quota_of_wanted_rows_holds_at_its_end(shop):
    listing = listing_of(shop, 12)
    quota = {"kind": "at_least", "name": "mix", "where": {"stock": {"gte": 1}}, "count": 2}
    rules = business_of(shop, {**quota, "top": 5}).rules.rules
    exploration = Exploration(1.0, head=12)
    swaps = set()
    for number in range(60):
        explored = exploration.apply(asked(listing, f"q{number}"), rules)
        assert set(explored.candidates.rows[:5].tolist()) == set(range(5))
        swaps |= set(explored.swapped)
    assert swaps == set(range(1, 12)) - {5}


def test_rows_that_keep_a_distance_are_not_swapped(shop):
    listing = listing_of(shop, 12)
    rule = {"kind": "diversify", "name": "mix", "field": "genre", "gap": 2, "top": 5}
    rules = business_of(shop, rule).rules.rules
    exploration = Exploration(1.0, head=12)
    swaps = set()
    for number in range(60):
        explored = exploration.apply(asked(listing, f"q{number}"), rules)
        assert explored.candidates.rows[:5].tolist() == [0, 1, 2, 3, 4]
        swaps |= set(explored.swapped)
    assert swaps == set(range(6, 12))


def test_rows_that_are_boosted_keep_their_ranks(shop):
    listing = listing_of(shop, 30)
    rule = {"kind": "boost", "name": "push", "where": {"price": {"lt": 10}}}
    business = business_of(shop, rule)
    ranked, _ = business.rerank(listing)
    cheap = business_rows(ranked)
    assert 0 < cheap.sum() < 30
    for number in range(40):
        explored = Exploration(1.0, head=30).apply(
            asked(ranked, f"q{number}"), business.rules.rules
        )
        assert (business_rows(explored.candidates) == cheap).all()
        assert (explored.candidates.rows[cheap] == ranked.rows[cheap]).all()


def business_rows(candidates: Candidates) -> np.ndarray:
    prices = candidates.documents.numbers(["price"], candidates.rows)[:, 0]
    return prices < 10


@pytest.fixture
def cascade(shop: Bookshop) -> Cascade:
    return Cascade(shop.engine, shop.catalogue, size=50, exploration=Exploration(1.0))


RIVER = Query("1", "river stories")


def test_a_search_shows_what_was_swapped_and_says_so(cascade):
    recording = Recording()
    page = cascade.search(RIVER, PageRequest(size=50), recording=recording)
    plain = replace(cascade, exploration=None).search(RIVER, PageRequest(size=50))
    before = [item.id for item in plain.items]
    for upper in page.trace.swapped:
        before[upper - 1], before[upper] = before[upper], before[upper - 1]
    assert page.trace.swapped
    assert [item.id for item in page.items] == before
    assert plain.trace.swapped == ()
    assert recording.explored is not None
    assert recording.explored.swapped == page.trace.swapped
    assert recording.final is not None
    assert recording.final.ids() == before


def test_an_explanation_has_a_step_for_it(cascade):
    page = cascade.search(RIVER, PageRequest(size=10, explain=True))
    upper = page.trace.swapped[0]
    explained = page.explanations[upper - 1]
    assert [(s.step, s.rank) for s in explained.steps] == [
        ("retrieval", upper + 1),
        ("exploration", upper),
    ]
    assert explained.final_rank == upper


def test_given_candidates_are_explored_and_a_sort_is_not(cascade):
    ids = [book["id"] for book in books()][:8]
    ranking = cascade.rank(RIVER, ids, np.arange(8, 0, -1))
    assert ranking.trace.swapped
    assert list(ranking.ids) != ids
    page = cascade.search(RIVER, PageRequest(size=5, sort=Sort("price")))
    assert page.trace.swapped == ()


def test_measurements_draw_nothing(cascade):
    assert unhurried(cascade).exploration is None


@pytest.mark.parametrize(("share", "head"), [(-0.1, 10), (1.1, 10), (0.5, 1)])
def test_what_cannot_be_drawn_is_refused(share, head):
    with pytest.raises(ValueError, match="accepted are 0 to 1, 2 or more"):
        Exploration(share, head)
