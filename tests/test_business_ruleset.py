"""Rules together: their order, their conflicts, what they tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.rules import (
    AtLeast,
    AtMost,
    Boost,
    Bury,
    Diversify,
    Exclude,
    MinStock,
    Pin,
)
from cascade.business.ruleset import RuleSet, moves
from cascade.candidates import Query
from cascade.filters import EVERYTHING, AllOf, Exists, Not, Range, parse
from cascade.protocols import Move

DOCUMENTS = MemoryDocuments(
    {"seller": "keyword", "brand": "keyword", "stock": "number"},
    [
        {"id": f"d{i}", "seller": ["abc"[i % 3]], "brand": ["own" if i % 4 == 3 else "other"]}
        for i in range(40)
    ],
)
OWN = parse({"brand": "own"}, DOCUMENTS.schema)
QUERY = Query("1", "shoes", surface="web")


def listing(rows, query=QUERY):
    return candidates(DOCUMENTS, (query, rows))


def pin(name="pin", scope=None, **slots):
    return Pin(name=name, slots=tuple(slots.items()), **(scope or {}))


def told(rules, rows):
    """Return the ids in their last order and the moves."""
    batch = listing(rows)
    arrangement = RuleSet(tuple(rules)).apply(batch)
    return batch.take(arrangement.order).ids(), moves(arrangement.shifts, batch)


class TestApply:
    def test_without_rules_the_order_stays(self):
        arrangement = RuleSet().apply(listing([5, 3, 4]))
        assert arrangement.order.tolist() == [0, 1, 2]
        assert arrangement.shifts == arrangement.absent == ()

    def test_boosts_and_buries_go_in_the_order_they_are_written(self):
        # d0 d1 d2 d3: the boost lifts d3 by two, then all but the own brand go to the end.
        up = Boost(name="up", where=OWN, ranks=2)
        down = Bury(name="down", where=AllOf((Not(OWN),)), ranks=1)
        assert told([up], range(4)) == (["d0", "d3", "d1", "d2"], (Move("up", "d3", 4, 2),))
        assert told([up, down], range(4)) == (
            ["d3", "d0", "d1", "d2"],
            (Move("up", "d3", 4, 2), Move("down", "d0", 1, 2)),
        )

    def test_pins_and_quotas_come_last_wherever_they_are_written(self):
        rules = [
            pin(d1=2),
            AtMost(name="two", field="seller", count=1, top=3),
            Boost(name="up", where=OWN),
        ]
        # After the boost: d3(a) d0(a) d1(b) d2(c); the pin keeps slot 2, and d0 is over the quota.
        assert told(rules, range(4)) == (
            ["d3", "d1", "d2", "d0"],
            (Move("up", "d3", 4, 1), Move("two", "d0", 2, 4), Move("pin", "d1", 3, 2)),
        )

    def test_a_row_that_rose_for_a_quota_is_told(self):
        # The own brand is d3 and d7; the rule asks for both among the first three.
        floor = AtLeast(name="floor", where=OWN, count=2, top=3)
        ids, told_moves = told([floor], range(8))
        assert ids == ["d0", "d3", "d7", "d1", "d2", "d4", "d5", "d6"]
        assert told_moves == (Move("floor", "d3", 4, 2), Move("floor", "d7", 8, 3))

    def test_a_row_that_keeps_its_distance_is_told(self):
        mixed = Diversify(name="mixed", field="seller", top=4)
        # Sellers a a b c: the second a waits for one rank.
        assert told([mixed], [0, 3, 1, 2]) == (
            ["d0", "d1", "d3", "d2"],
            (Move("mixed", "d3", 2, 3),),
        )

    def test_rules_of_other_requests_do_nothing(self):
        others = {"queries": ("hats",)}
        rules = [
            Boost(name="up", where=OWN, **others),
            AtMost(name="two", field="seller", count=1, top=3, surfaces=("app",)),
            AtLeast(
                name="floor",
                where=parse({"seller": "c"}, DOCUMENTS.schema),
                count=1,
                top=2,
                starts=1e9,
            ),
            pin(scope=others, d3=1),
            Exclude(name="no", where=OWN, **others),
        ]
        assert told(rules, range(4)) == (["d0", "d1", "d2", "d3"], ())
        assert RuleSet(tuple(rules)).retrieval_filter(QUERY) == EVERYTHING
        assert RuleSet(tuple(rules)).wanted(QUERY) == ()

    def test_a_pinned_document_that_is_not_there_is_told(self):
        rules = RuleSet((pin(d9=1, d2=2, nowhere=3),))
        arrangement = rules.apply(listing([0, 1, 2]))
        assert arrangement.absent == ("d9", "nowhere")
        assert arrangement.order.tolist() == [0, 2, 1]
        assert rules.absent(listing([0, 1, 2])) == ("d9", "nowhere")
        assert rules.wanted(QUERY) == ("d9", "d2", "nowhere")

    def test_a_document_that_the_catalogue_lacks_is_pinned_by_its_id(self):
        batch = listing([0, 1, -1])
        names = np.array(["d0", "d1", "fresh"], dtype=object)
        batch = type(batch)(
            batch.queries, batch.offsets, batch.rows, batch.scores, DOCUMENTS, doc_ids=names
        )
        arrangement = RuleSet((pin(fresh=1),)).apply(batch)
        assert arrangement.order.tolist() == [2, 0, 1]
        assert moves(arrangement.shifts, batch) == (Move("pin", "fresh", 3, 1),)


class TestRetrieval:
    def test_conditions_are_joined(self):
        rules = RuleSet((Exclude(name="no", where=OWN), MinStock(name="s", field="stock")))
        exclude, stock = rules.retrieval_filter(QUERY).parts
        assert exclude == Not(OWN)
        assert stock.parts == (Range("stock", gte=1.0), Not(Exists("stock")))


class TestRefused:
    documents = MemoryDocuments(
        {"brand": "keyword", "stock": "number"},
        [{"brand": ["own"]}, {"brand": ["own"], "stock": 0.0}, {"stock": 3.0}, {"stock": 0.0}],
    )
    own = parse({"brand": "own"}, documents.schema)
    stocked = MinStock(name="stocked", field="stock")

    def refused(self, *rules, documents=documents, query=QUERY):
        found = RuleSet(rules).refused(candidates(documents, (query, [0, 1, 2, 3, -1])))
        return np.flatnonzero(found.rows).tolist(), found.counts

    def test_rows_that_the_columns_speak_against(self):
        assert self.refused(self.stocked) == ([1, 3], {"stocked": 2})

    def test_a_row_counts_for_the_first_rule_that_refuses_it(self):
        own = Exclude(name="own", where=self.own)
        assert self.refused(self.stocked, own) == ([0, 1, 3], {"stocked": 2, "own": 1})
        assert self.refused(own, self.stocked) == ([0, 1, 3], {"own": 2, "stocked": 1})

    def test_rules_of_other_requests_refuse_nothing(self):
        other = MinStock(name="stocked", field="stock", queries=("hats",))
        assert self.refused(other) == ([], {})
        assert self.refused() == ([], {})

    def test_a_row_that_the_columns_do_not_know_is_left_to_the_engine(self):
        strict = MinStock(name="stocked", field="stock", missing="drop")
        assert self.refused(strict) == ([0, 1, 3], {"stocked": 3})

    def test_a_field_that_is_too_old_to_be_read_is_left_to_the_engine(self):
        class Late(MemoryDocuments):
            stale = ("stock",)

        late = Late({"brand": "keyword", "stock": "number"}, self.documents.documents)
        strict = MinStock(name="stocked", field="stock", missing="drop")
        assert self.refused(strict, documents=late) == ([], {})
        own = Exclude(name="own", where=self.own)
        assert self.refused(strict, own, documents=late) == ([0, 1], {"own": 2})


def all_rules(slots, count, top, wanted, gap):
    """Return a rule of each kind; the pins are of documents by their number."""
    return RuleSet(
        (
            Pin(name="pin", slots=tuple((f"d{row}", slot) for slot, row in slots.items())),
            AtMost(name="quota", field="seller", count=count, top=top),
            AtLeast(name="floor", where=OWN, count=wanted, top=top),
            Diversify(name="mixed", field="seller", gap=gap, top=top),
            Boost(name="up", where=OWN, ranks=3),
            Bury(name="down", where=parse({"seller": "a"}, DOCUMENTS.schema)),
        )
    )


@st.composite
def lists_and_rules(draw):
    rows = draw(st.lists(st.integers(0, 39), max_size=40, unique=True))
    pinned = st.dictionaries(st.integers(1, 45), st.integers(0, 39), max_size=4)
    slots = draw(pinned)
    slots = {slot: row for slot, row in slots.items() if list(slots.values()).count(row) == 1}
    top = draw(st.integers(4, 12))
    free = max(top - sum(slot <= top for slot in slots), 1)
    rules = all_rules(
        slots,
        draw(st.integers(1, 3)),
        top,
        draw(st.integers(1, min(free, 4))),
        draw(st.integers(2, 4)),
    )
    scores = st.lists(st.floats(width=32), min_size=len(rows), max_size=len(rows))
    return rows, slots, rules, np.array(draw(scores), dtype=np.float32)


def check_every_rule(case):
    rows, slots, rules, scores = case
    batch = listing(rows).with_scores(scores)
    arrangement = rules.apply(batch)
    ids = batch.take(arrangement.order).ids()
    pinned = {f"d{row}": slot for slot, row in slots.items()}
    assert sorted(ids) == sorted(batch.ids())
    assert set(arrangement.absent) == set(pinned) - set(ids)
    for doc_id, slot in pinned.items():
        if doc_id in ids and slot <= len(ids):
            assert ids[slot - 1] == doc_id
    quota, floor = rules.rules[1:3]
    sellers = {f"d{row}": "abc"[row % 3] for row in rows}
    own = {f"d{row}" for row in rows if row % 4 == 3}
    head, below = ids[: quota.top], [i for i in ids[quota.top :] if i not in pinned]
    shown = [sellers[i] for i in head]
    over = [i for i in head if i not in pinned and shown.count(sellers[i]) > quota.count]
    if over:
        # Every row that could have come instead is of a seller who has his share.
        assert all(shown.count(sellers[i]) >= quota.count for i in below)
    if sum(i in own for i in head) < floor.count:
        # No wanted row is left that a place in the top could be given to.
        rest = [i for i in below if i in own]
        assert all(shown.count(sellers[i]) >= quota.count for i in rest)
    for move in moves(arrangement.shifts, batch):
        assert move.before != move.after
        assert move.after < move.before or move.rule != "up"
        assert move.after > move.before or move.rule not in ("down", "quota", "mixed")
    # What the scores are does not matter.
    flat = batch.with_scores(np.zeros(len(rows), dtype=np.float32))
    assert rules.apply(flat).order.tolist() == arrangement.order.tolist()


@settings(max_examples=300)
@given(lists_and_rules())
def test_all_rules_together_hold_for_any_list(case):
    check_every_rule(case)


@pytest.mark.full
@settings(max_examples=10_000)
@given(lists_and_rules())
def test_all_rules_together_hold_in_ten_thousand_cases(case):
    check_every_rule(case)
