"""Rules together: their order, their conflicts, what they tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.rules import AtMost, Boost, Bury, Exclude, MinStock, Pin
from cascade.business.ruleset import RuleSet, conflicts, moves
from cascade.candidates import Query
from cascade.errors import ConfigError
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

    def test_rules_of_other_requests_do_nothing(self):
        others = {"queries": ("hats",)}
        rules = [
            Boost(name="up", where=OWN, **others),
            AtMost(name="two", field="seller", count=1, top=3, surfaces=("app",)),
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


class TestConflicts:
    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            (
                [pin("a", d1=1), pin("b", d2=1)],
                "'a' and 'b' both pin to slot 1 ('d1' and 'd2') for the same requests",
            ),
            (
                [pin("a", d1=1), pin("b", d1=4)],
                "'a' and 'b' pin 'd1' to slot 1 and to slot 4 for the same requests",
            ),
            (
                [pin("a", {"queries": ("Shoes",)}, d1=1), pin("b", {"surfaces": ("web",)}, d2=1)],
                "'a' and 'b' both pin to slot 1 ('d1' and 'd2') for the same requests",
            ),
            (
                [Bury(name="down", where=OWN), Boost(name="up", where=OWN, ranks=2)],
                "'down' and 'up' boost and bury the same rows for the same requests",
            ),
            (
                [pin("a", d1=1), Exclude(name="a", where=OWN)],
                "'a' is the name of 2 rules; give each its own",
            ),
        ],
    )
    def test_both_rules_are_named(self, rules, expected):
        assert conflicts(rules) == [expected]
        with pytest.raises(ConfigError) as caught:
            RuleSet(tuple(rules))
        assert caught.value.problems == (expected,)

    def test_every_conflict_is_told(self):
        found = conflicts([pin("a", d1=1, d2=2), pin("b", d1=2), pin("c", d3=1)])
        assert found == [
            "'a' and 'b' both pin to slot 2 ('d2' and 'd1') for the same requests",
            "'a' and 'b' pin 'd1' to slot 1 and to slot 2 for the same requests",
            "'a' and 'c' both pin to slot 1 ('d1' and 'd3') for the same requests",
        ]

    @pytest.mark.parametrize(
        "rules",
        [
            [pin("a", {"queries": ("shoes",)}, d1=1), pin("b", {"queries": ("hats",)}, d2=1)],
            [pin("a", {"surfaces": ("web",)}, d1=1), pin("b", {"surfaces": ("app",)}, d1=3)],
            [pin("a", d1=1), pin("b", d2=2)],
            [Boost(name="up", where=OWN), Bury(name="down", where=AllOf((Not(OWN),)))],
        ],
    )
    def test_rules_that_never_meet_do_not_conflict(self, rules):
        assert conflicts(rules) == []


@settings(max_examples=200)
@given(
    rows=st.lists(st.integers(0, 39), max_size=40, unique=True),
    slots=st.dictionaries(st.integers(1, 45), st.integers(0, 39), max_size=4),
    count=st.integers(1, 3),
    top=st.integers(4, 12),
    scores=st.data(),
)
def test_all_rules_together_hold_for_any_list(rows, slots, count, top, scores):
    pinned = {f"d{row}": slot for slot, row in slots.items()}
    rules = RuleSet(
        (
            Pin(name="pin", slots=tuple(pinned.items())),
            AtMost(name="quota", field="seller", count=count, top=top),
            Boost(name="up", where=OWN, ranks=3),
            Bury(name="down", where=parse({"seller": "a"}, DOCUMENTS.schema)),
        )
    )
    batch = listing(rows)
    anything = st.lists(st.floats(width=32), min_size=len(rows), max_size=len(rows))
    batch = batch.with_scores(np.array(scores.draw(anything), dtype=np.float32))
    arrangement = rules.apply(batch)
    ids = batch.take(arrangement.order).ids()
    assert sorted(ids) == sorted(batch.ids())
    assert set(arrangement.absent) == set(pinned) - set(ids)
    for doc_id, slot in pinned.items():
        if doc_id in ids and slot <= len(ids):
            assert ids[slot - 1] == doc_id
    sellers = {f"d{row}": "abc"[row % 3] for row in rows}
    shown = [sellers[i] for i in ids[:top]]
    below = [i for i in ids[top:] if i not in pinned]
    for doc_id in ids[:top]:
        if doc_id not in pinned and shown.count(sellers[doc_id]) > count:
            assert all(shown.count(sellers[i]) >= count for i in below)
    for move in moves(arrangement.shifts, batch):
        assert move.before != move.after
        assert (move.after < move.before) == (move.rule == "up") or move.rule == "pin"
