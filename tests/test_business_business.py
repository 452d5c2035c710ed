"""The layer as a whole: identity, the bound, certain rules, and what it tells of itself."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business import Business, LinearBlend, RuleSet
from cascade.business.objectives import NewSeller, Number
from cascade.business.rules import AtMost, Exclude, Pin
from cascade.candidates import Query, concatenated
from cascade.errors import ConfigError, QueryError
from cascade.filters import parse
from cascade.protocols import Move

DOCUMENTS = MemoryDocuments(
    {"price": "number", "age": "number", "seller": "keyword"},
    [
        {
            "id": f"d{i}",
            "price": float((i * 37) % 101),
            "age": float(i * 11 % 60),
            "seller": ["abcd"[i % 4]],
        }
        for i in range(60)
    ],
)
BLEND = LinearBlend(
    (Number(name="price", field="price"), NewSeller(name="new", field="age", days=30))
)


def listing(rows, **query):
    return candidates(DOCUMENTS, (Query("1", "shoes", **query), rows), columns={"p_buy": rows})


def ranks_of(batch, before):
    """Return the rank that each row of a listing has in another, from 0."""
    rows = batch.rows.tolist()
    return [rows.index(row) for row in before.rows.tolist()]


@dataclass(frozen=True)
class Given:
    """Give every window the same utilities, whatever they are."""

    utilities_given: tuple[float, ...] | None
    names: tuple[str, ...] = ("price",)

    def utilities(self, batch, preference):
        if self.utilities_given is None:
            raise RuntimeError("the policy is broken")
        return np.array(self.utilities_given, dtype=np.float32)

    def values(self, batch):
        return {}


class TestIdentity:
    @pytest.mark.parametrize("preference", [{}, {"price": 0.0, "new": 0}])
    def test_without_preference_and_rule_the_listing_itself_comes_back(self, preference):
        batch = listing([4, 4, 2, -1, 9], preference=preference)
        out, trace = Business(policy=BLEND).rerank(batch)
        assert out is batch
        assert trace.order.tolist() == [0, 1, 2, 3, 4]
        assert (trace.moves, trace.utilities, trace.rows, trace.reason) == ((), None, 0, "")

    def test_a_request_can_turn_a_default_preference_off(self):
        business = Business(policy=BLEND, default_preference={"price": 5.0})
        rows = [0, 1, 2, 3]
        assert business.rerank(listing(rows))[0].rows.tolist() != rows
        assert business.rerank(listing(rows, preference={"price": 0.0}))[0].rows.tolist() == rows

    def test_an_empty_listing(self):
        business = Business(policy=BLEND, rules=RuleSet((Pin(name="p", slots=(("d1", 1),)),)))
        batch = listing([], preference={"price": 1.0})
        out, trace = business.rerank(batch)
        assert out is batch
        assert trace.absent == ("d1",)


class TestBlend:
    def test_by_hand(self):
        # Prices 0, 37, 74, 10: percentiles 0, 2/3, 1, 1/3 beside a relevance of 1, 2/3, 1/3, 0.
        batch = listing([0, 1, 2, 3], preference={"price": 2.0})
        out, trace = Business(policy=BLEND).rerank(batch)
        assert trace.utilities.tolist() == pytest.approx([1, 2, 7 / 3, 2 / 3])
        assert out.rows.tolist() == [2, 1, 0, 3]
        # Scores and columns stay with their rows.
        assert out.scores.tolist() == [2, 3, 4, 1]
        assert out.columns["p_buy"].tolist() == [2, 1, 0, 3]

    def test_rows_below_the_window_stay(self):
        batch = listing(range(20), preference={"price": 50.0})
        out, trace = Business(policy=BLEND, window=6, max_displacement=99).rerank(batch)
        prices = DOCUMENTS.numbers(["price"], out.rows)[:, 0].tolist()
        assert prices[:6] == sorted(prices[:6], reverse=True)
        assert out.rows.tolist()[6:] == list(range(6, 20))
        assert trace.rows == 6

    def test_a_preference_is_merged_with_the_default(self):
        business = Business(policy=BLEND, default_preference={"price": 0.5, "new": 0.25})
        query = Query("1", "q", preference={"price": 2, "new": 0.0})
        assert business.preference(query) == {"price": 2.0}
        assert business.preference(Query("1", "q")) == {"price": 0.5, "new": 0.25}

    @given(
        st.lists(st.floats(width=32), max_size=40),
        st.integers(1, 50),
        st.integers(0, 50),
    )
    def test_the_bound_holds_for_any_utilities(self, utilities, window, bound):
        batch = listing(range(len(utilities)), preference={"price": 1.0})
        policy = Given(tuple(utilities[:window]))
        out, trace = Business(policy=policy, window=window, max_displacement=bound).rerank(batch)
        moved = [abs(after - before) for before, after in enumerate(ranks_of(out, batch))]
        assert all(m <= bound for m in moved)
        assert not any(moved[window:])
        if not np.all(np.isfinite(utilities[:window])):
            assert out is batch
            assert "NaN or infinite" in trace.reason

    def test_weight_moves_the_objective(self):
        batch = listing(range(40))
        shares = []
        for share in (0.0, 0.1, 0.3, 1.0):
            out, _ = Business(policy=BLEND, default_preference={"new": share}).rerank(batch)
            ages = DOCUMENTS.numbers(["age"], out.rows[:10])[:, 0]
            shares.append(float(np.mean(ages < 30)))
        assert shares == sorted(shares)
        assert shares[-1] > shares[0]


class TestFailure:
    rules = RuleSet((Pin(name="hero", slots=(("d3", 1),)),))

    @pytest.mark.parametrize(
        ("given_utilities", "reason"),
        [
            (None, "reverted: RuntimeError: the policy is broken"),
            ((1.0, 2.0), "reverted: ValueError: (2,) utilities for 4 rows"),
            (
                (1.0, np.nan, np.inf, 2.0),
                "reverted: ValueError: 2 of 4 utilities are NaN or infinite",
            ),
        ],
    )
    def test_a_failing_policy_changes_nothing_and_the_rules_hold(self, given_utilities, reason):
        business = Business(policy=Given(given_utilities), rules=self.rules)
        out, trace = business.rerank(listing(range(4), preference={"price": 1.0}))
        assert out.rows.tolist() == [3, 0, 1, 2]
        assert trace.reason == reason
        assert trace.utilities is None

    def test_a_request_out_of_time_keeps_the_rules(self):
        business = Business(policy=BLEND, rules=self.rules)
        out, trace = business.rerank(listing(range(4), preference={"price": 9.0}), blend=False)
        assert out.rows.tolist() == [3, 0, 1, 2]
        assert trace.reason == "left out: the time of the request was up"

    def test_a_preference_that_cannot_be_used_is_the_callers_fault(self):
        with pytest.raises(QueryError, match=r"preference\.pric: 'pric' is no objective"):
            Business(policy=BLEND).rerank(listing([1], preference={"pric": 1.0}))

    def test_two_listings_are_refused(self):
        with pytest.raises(ValueError, match="2 listings; the business layer takes one"):
            Business().rerank(concatenated([listing([1]), listing([2])]))

    def test_every_unusable_setting_is_told(self):
        with pytest.raises(ConfigError) as caught:
            Business(window=0, max_displacement=-1, default_preference={"price": 1.0})
        assert caught.value.problems == (
            "window: is 0; accepted is 1 or more",
            "max_displacement: is -1; accepted is 0 or more",
            "preference.price: 'price' is no objective; there are none",
        )


class TestRules:
    def test_they_hold_on_the_whole_list_below_the_window_too(self):
        rules = RuleSet(
            (
                Pin(name="hero", slots=(("d11", 2),)),
                AtMost(name="one", field="seller", count=1, top=4),
            )
        )
        business = Business(policy=BLEND, window=3, rules=rules)
        batch = listing([0, 3, 1, 2, 4, 5, 11], preference={"price": 0.01})
        out, trace = business.rerank(batch)
        # d3 is of the pinned document's seller, so that d1 and d2 fill the top with it.
        assert out.ids() == ["d0", "d11", "d1", "d2", "d3", "d4", "d5"]
        assert trace.moves == (Move("one", "d3", 2, 5), Move("hero", "d11", 7, 2))
        assert trace.order.tolist() == [0, 6, 2, 3, 1, 4, 5]

    def test_what_retrieval_is_asked(self):
        old = parse({"age": {"gte": 50}}, DOCUMENTS.schema)
        rules = RuleSet((Exclude(name="old", where=old), Pin(name="hero", slots=(("d7", 1),))))
        business = Business(rules=rules)
        query = Query("1", "shoes")
        assert business.retrieval_filter(query) == rules.retrieval_filter(query)
        assert business.wanted(query) == ("d7",)
        assert business.absent(listing([1, 2])) == ("d7",)
        assert business.absent(listing([1, 7])) == ()


class TestExplain:
    business = Business(
        policy=BLEND, window=4, rules=RuleSet((Pin(name="hero", slots=(("d5", 1),)),))
    )

    def test_a_row_of_the_window(self):
        _, trace = self.business.rerank(listing(range(6), preference={"price": 2.0}))
        told = self.business.explain(trace, "d2")
        assert told.objectives == pytest.approx({"relevance": 1 / 3, "price": 1, "new": 1})
        assert told.preference == {"price": 2.0}
        assert told.utility == pytest.approx(7 / 3)
        assert (told.before, told.blended, told.after) == (3, 1, 2)
        assert told.moves == ()

    def test_a_row_below_the_window(self):
        _, trace = self.business.rerank(listing(range(6), preference={"price": 2.0}))
        told = self.business.explain(trace, "d5")
        assert (told.objectives, told.utility) == ({}, None)
        assert (told.before, told.blended, told.after) == (6, 6, 1)
        assert told.moves == (Move("hero", "d5", 6, 1),)

    def test_objectives_are_told_where_no_preference_asked(self):
        _, trace = self.business.rerank(listing(range(6)))
        told = self.business.explain(trace, "d0")
        assert told.objectives == pytest.approx({"relevance": 1, "price": 0, "new": 1})
        assert (told.preference, told.utility) == ({}, None)

    def test_a_document_that_is_not_in_the_list(self):
        _, trace = self.business.rerank(listing(range(6)))
        assert self.business.explain(trace, "d40") is None
