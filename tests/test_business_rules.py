"""Each rule alone: whom it is for, what it asks of retrieval, what it does to an order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.rules import Boost, Bury, Exclude, MinStock, Pin, rule_kind
from cascade.business.where import matches
from cascade.candidates import Query
from cascade.filters import AllOf, parse

DOCUMENTS = MemoryDocuments(
    {"brand": "keyword", "stock": "number"},
    [{"brand": ["own"]}, {"brand": ["other"], "stock": 3.0}, {"brand": ["own"], "stock": 0.0}],
)
OWN = parse({"brand": "own"}, DOCUMENTS.schema)
LIST = candidates(DOCUMENTS, ("q", [0, 1, 2, -1]))


def own_and_others(marked):
    """Return a listing whose marked rows are of the brand that the rule is about."""
    return candidates(DOCUMENTS, ("q", [0 if mark else 1 for mark in marked]))


class TestScope:
    @pytest.mark.parametrize(
        ("scope", "text", "surface", "covered"),
        [
            ({}, "anything", None, True),
            ({"queries": ("Red Shoes",)}, "  red   SHOES ", None, True),
            ({"queries": ("Red Shoes",)}, "red shoes blue", None, False),
            ({"queries": ("straße",)}, "STRASSE", None, True),
            ({"surfaces": ("web",)}, "q", "web", True),
            ({"surfaces": ("web",)}, "q", "app", False),
            ({"surfaces": ("web",)}, "q", None, False),
            ({"queries": ("q",), "surfaces": ("web", "app")}, "q", "app", True),
            ({"queries": ("p",), "surfaces": ("app",)}, "q", "app", False),
            ({"starts": 1.0}, "q", None, False),
            ({"ends": 1.0}, "q", None, False),
        ],
    )
    def test_covers(self, scope, text, surface, covered):
        rule = Exclude(name="r", where=OWN, **scope)
        assert rule.covers(Query("1", text, surface=surface)) is covered

    @pytest.mark.parametrize(
        ("time", "covered"),
        [(0.0, False), (99.0, False), (100.0, True), (199.9, True), (200, False)],
    )
    def test_a_period_ends_before_its_end(self, time, covered):
        rule = Exclude(name="r", where=OWN, starts=100.0, ends=200.0)
        assert rule.covers(Query("1", "q", time=time)) is covered

    def test_a_request_without_a_time_is_covered_by_rules_without_dates(self):
        assert Exclude(name="r", where=OWN).covers(Query("1", "q"))

    @pytest.mark.parametrize(
        ("left", "right", "meet"),
        [
            ({}, {"queries": ("a",), "surfaces": ("web",)}, True),
            ({"queries": ("a", "B")}, {"queries": ("b ",)}, True),
            ({"queries": ("a",)}, {"queries": ("b",)}, False),
            ({"surfaces": ("web",)}, {"surfaces": ("app",)}, False),
            ({"queries": ("a",)}, {"surfaces": ("app",)}, True),
            ({"starts": 5.0}, {}, True),
            ({"starts": 5.0}, {"ends": 6.0}, True),
            ({"starts": 5.0}, {"ends": 5.0}, False),
            ({"starts": 5.0, "ends": 7.0}, {"starts": 6.0, "ends": 9.0}, True),
            ({"starts": 5.0, "ends": 6.0}, {"starts": 6.0, "ends": 9.0}, False),
            ({"starts": 5.0}, {"ends": 9.0, "queries": ("a",)}, True),
        ],
    )
    def test_meets(self, left, right, meet):
        one, two = (Pin(name="p", slots=(("d", 1),), **scope) for scope in (left, right))
        assert one.meets(two) is meet
        assert two.meets(one) is meet


class TestRetrievalRules:
    @pytest.mark.parametrize(
        ("rule", "kept"),
        [
            (Exclude(name="r", where=OWN), [1, -1]),
            (MinStock(name="r", field="stock"), [0, 1, -1]),
            (MinStock(name="r", field="stock", missing="drop"), [1]),
            (MinStock(name="r", field="stock", at_least=4), [0, -1]),
            (MinStock(name="r", field="stock", at_least=4, where=OWN), [0, 1, -1]),
            (MinStock(name="r", field="stock", missing="drop", where=OWN), [1, -1]),
        ],
    )
    def test_what_is_kept(self, rule, kept):
        accepted = matches(AllOf((rule.condition(),)), LIST)
        assert LIST.rows[accepted].tolist() == kept


class TestBoost:
    @pytest.mark.parametrize(
        ("marked", "ranks", "expected"),
        [
            ([0, 0, 0, 1], None, [3, 0, 1, 2]),
            ([0, 0, 0, 1], 2, [0, 3, 1, 2]),
            ([0, 1, 0, 1], 1, [1, 0, 3, 2]),
            ([0, 0, 1, 1], 1, [0, 2, 3, 1]),
            ([1, 0, 0, 1], 99, [0, 3, 1, 2]),
            ([0, 0], 1, [0, 1]),
            ([], None, []),
        ],
    )
    def test_by_hand(self, marked, ranks, expected):
        rule = Boost(name="r", where=OWN, ranks=ranks)
        assert rule.apply(own_and_others(marked)).tolist() == expected

    @given(st.lists(st.booleans(), max_size=30), st.integers(1, 35))
    def test_marked_rows_rise_by_so_many_ranks(self, marked, ranks):
        order = Boost(name="r", where=OWN, ranks=ranks).apply(own_and_others(marked)).tolist()
        assert sorted(order) == list(range(len(marked)))
        for after, before in enumerate(order):
            if marked[before]:
                # Only the top stops it, and the marked rows that stand there already.
                assert after == max(before - ranks, sum(marked[:before]))
            else:
                assert after >= before
        for kind in (True, False):
            same = [row for row in order if marked[row] is kind]
            assert same == sorted(same)

    @given(st.lists(st.booleans(), max_size=30))
    def test_without_ranks_marked_rows_lead(self, marked):
        order = Boost(name="r", where=OWN).apply(own_and_others(marked)).tolist()
        assert order == sorted(range(len(marked)), key=lambda p: not marked[p])


class TestBury:
    @pytest.mark.parametrize(
        ("marked", "ranks", "expected"),
        [
            ([1, 0, 0, 0], None, [1, 2, 3, 0]),
            ([1, 0, 0, 0], 2, [1, 2, 0, 3]),
            ([1, 0, 1, 0], 1, [1, 0, 3, 2]),
            ([1, 0, 0, 1], 99, [1, 2, 0, 3]),
        ],
    )
    def test_by_hand(self, marked, ranks, expected):
        rule = Bury(name="r", where=OWN, ranks=ranks)
        assert rule.apply(own_and_others(marked)).tolist() == expected

    @given(st.lists(st.booleans(), max_size=30), st.one_of(st.none(), st.integers(1, 35)))
    def test_marked_rows_fall_by_so_many_ranks(self, marked, ranks):
        order = Bury(name="r", where=OWN, ranks=ranks).apply(own_and_others(marked)).tolist()
        count = len(marked)
        assert sorted(order) == list(range(count))
        for after, before in enumerate(order):
            if marked[before]:
                end = count - 1 - sum(marked[before + 1 :])
                assert after == (end if ranks is None else min(before + ranks, end))
            else:
                assert after <= before
        for kind in (True, False):
            same = [row for row in order if marked[row] is kind]
            assert same == sorted(same)


def test_scores_do_not_matter_to_a_rule():
    listing = own_and_others([0, 1, 0, 1])
    wild = listing.with_scores(np.array([np.nan, -np.inf, 3, np.inf], dtype=np.float32))
    rule = Boost(name="r", where=OWN, ranks=1)
    assert rule.apply(wild).tolist() == rule.apply(listing).tolist()


def test_a_kind_is_registered_once():
    with pytest.raises(ValueError, match="'pin' is taken by Pin"):
        rule_kind("pin")(type("Other", (Pin,), {}))
