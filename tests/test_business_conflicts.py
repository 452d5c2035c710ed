"""Rules that cannot hold together: found by their settings, and never where they can."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.business.conflicts import conflicts
from cascade.business.rules import Boost, Bury, Diversify, Exclude, MinStock
from cascade.business.ruleset import RuleSet
from cascade.business.where import matches
from cascade.errors import ConfigError
from cascade.filters import AllOf, Not
from tests.business_rules import EVERY_ROW, FILTERS, OWN, floor, limit, pin, where


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
                [floor(5, 5), limit(1, 5, where=None)],
                "'floor' and 'limit' ask for at least 5 in the first 5 and allow at most 2 there "
                "for the same requests",
            ),
            (
                [limit(1, 4), floor(5, 5)],
                "'limit' and 'floor' ask for at least 5 in the first 5 and allow at most 3 there "
                "for the same requests",
            ),
            (
                [floor(3, 4, {"brand": "own"}), Diversify(name="mixed", field="brand", top=9)],
                "'floor' and 'mixed' ask for at least 3 in the first 4 and allow at most 2 there "
                "for the same requests",
            ),
            (
                [
                    Boost(name="up", where=where({"brand": ["x", "y"]})),
                    Bury(name="down", where=where({"brand": ["y", "x"]})),
                ],
                "'up' and 'down' boost and bury the same rows for the same requests",
            ),
            (
                [
                    floor(1, 3, {"seller": "a", "stock": {"gte": 1}}),
                    Exclude(name="no", where=where({"seller": ["a", "c"]})),
                ],
                "'floor' and 'no' ask for at least 1 in the first 3 and exclude all such rows "
                "for the same requests",
            ),
            (
                [floor(1, 3, {"stock": {"lt": 2}}), MinStock(name="s", field="stock", at_least=2)],
                "'floor' and 's' ask for at least 1 in the first 3 and keep out all such rows for "
                "their stock for the same requests",
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
            [pin("a", {"ends": 100.0}, d1=1), pin("b", {"starts": 100.0}, d2=1)],
            [floor(4, 5), limit(2, 5)],
            [floor(5, 5), limit(2, 4)],
            [floor(3, 5), limit(2, 5, where={"brand": "own"})],
            [floor(3, 5), limit(1, 2)],
            [floor(3, 5, {"brand": "own"}), limit(1, 5)],
            [floor(1, 3), Exclude(name="no", where=where({"seller": "a"}))],
            [floor(1, 3, {"stock": {"lte": 2}}), MinStock(name="s", field="stock", at_least=2)],
            [floor(1, 3, {"not": {"stock": {"gte": 1}}}), MinStock(name="s", field="stock")],
            [pin("a", d1=1), Exclude(name="no", where=where({"brand": ["d2", "d1"]}))],
        ],
    )
    def test_rules_that_never_meet_do_not_conflict(self, rules):
        assert conflicts(rules) == []


def test_a_pin_of_an_excluded_document_is_told_where_filters_may_name_ids():
    rules = [pin("a", d1=1, d2=2, d3=3), Exclude(name="no", where=where({"sku": ["d3", "d1"]}))]
    assert conflicts(rules, "sku") == [
        "'a' and 'no' exclude and pin 'd1' for the same requests",
        "'a' and 'no' exclude and pin 'd3' for the same requests",
    ]
    partly = Exclude(name="no", where=where({"sku": ["d3", "d1"], "brand": "own"}))
    assert conflicts([rules[0], partly], "sku") == conflicts(rules) == []


@settings(max_examples=300)
@given(FILTERS, FILTERS, st.integers(1, 3))
def test_rows_that_are_called_kept_out_are(left, right, stock):
    wanted = matches(where(left), EVERY_ROW)
    for rule in (
        Exclude(name="no", where=where(right)),
        MinStock(name="no", field="stock", at_least=float(stock)),
    ):
        if conflicts([floor(1, 1, left), rule]):
            assert not (wanted & matches(AllOf((rule.condition(),)), EVERY_ROW)).any()
