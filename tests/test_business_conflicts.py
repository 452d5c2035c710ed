"""Rules that cannot hold together: found by their settings, and never where they can."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.conflicts import conflicts
from cascade.business.rules import AtLeast, AtMost, Boost, Bury, Diversify, Exclude, MinStock, Pin
from cascade.business.ruleset import RuleSet
from cascade.business.where import matches
from cascade.errors import ConfigError
from cascade.filters import AllOf, Not, parse

SCHEMA = MemoryDocuments(
    {"seller": "keyword", "brand": "keyword", "stock": "number", "sku": "keyword"}, []
).schema


def where(raw):
    return parse(raw, SCHEMA)


OWN = where({"brand": "own"})
SELLERS = {"seller": ["a", "b"]}


def pin(name="pin", scope=None, **slots):
    return Pin(name=name, slots=tuple(slots.items()), **(scope or {}))


def floor(count, top, raw=SELLERS, name="floor"):
    return AtLeast(name=name, where=where(raw), count=count, top=top)


def band(stock, scope=None):
    """Return a rule that asks for a row of this stock in the first two."""
    wanted = where({"stock": stock})
    return AtLeast(name=f"band{stock}", where=wanted, count=1, top=2, **(scope or {}))


def named_floor(top, scope):
    return AtLeast(name="floor", where=where({"sku": "d9"}), count=1, top=top, **scope)


def limit(count, top, where=None):
    chosen = None if where is None else parse(where, SCHEMA)
    return AtMost(name="limit", field="seller", count=count, top=top, where=chosen)


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
                [floor(2, 3), floor(2, 3, {"not": {"seller": ["b", "a"]}}, "other")],
                "'floor' and 'other' ask for 4 different rows in the first 3 for the same requests",
            ),
            (
                [floor(3, 4, {"stock": 0}), floor(2, 3, {"stock": {"gt": 0}}, "other")],
                "'floor' and 'other' ask for 5 different rows in the first 4 for the same requests",
            ),
            (
                [
                    floor(4, 10, {"stock": {"lt": 5}}, "low"),
                    floor(4, 10, {"stock": {"gte": 5, "lt": 9}}, "middle"),
                    floor(4, 10, {"stock": {"gte": 9}}, "high"),
                ],
                "'low', 'middle' and 'high' ask for 12 different rows in the first 10 "
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
            [floor(2, 3), floor(2, 3, {"seller": "c"}, "other")],
            [floor(1, 2, {"stock": {"lte": 1}}), floor(2, 2, {"stock": {"gte": 1}}, "other")],
            # Each pinned row may be one of those that are wanted.
            [floor(3, 3), pin("a", d1=1, d2=2, d3=3)],
            [floor(1, 2, {"stock": 0}), floor(1, 2, {"stock": 1}, "other"), pin("a", d1=1, d2=2)],
            # Any two of these are for one request, but never all three.
            [
                band(0, {"queries": ("hats", "shoes")}),
                band(1, {"queries": ("Shoes", "rings")}),
                band(2, {"queries": ("rings", "hats")}),
            ],
            [
                band(0, {"surfaces": ("web",)}),
                band(1, {"starts": 100.0}),
                band(2, {"surfaces": ("app",)}),
            ],
            [band(0, {"starts": 100.0}), band(1), band(2, {"ends": 100.0})],
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


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # Two slots of three are taken, and two of the named rows are asked for.
        (
            [pin("a", d1=1, d2=3), floor(2, 3, {"sku": ["d3", "d4"]})],
            "'a' and 'floor' ask for 2 different rows in the first 3 and pin 2 others there",
        ),
        (
            [pin("a", d1=1), pin("b", d2=3), floor(2, 3, {"sku": ["d3", "d4"]})],
            "'a', 'b' and 'floor' ask for 2 different rows in the first 3 and pin 2 others there",
        ),
        (
            [pin("a", d1=1), floor(3, 3, {"not": {"sku": "d1"}})],
            "'a' and 'floor' ask for 3 different rows in the first 3 and pin 1 others there",
        ),
        (
            [floor(2, 3, {"sku": ["d1", "d2"]}), pin("a", d1=4)],
            "'floor' and 'a' ask for at least 2 in the first 3 and pin 'd1' below",
        ),
        (
            [floor(2, 3, {"sku": ["d1", "d2"]}), floor(2, 3, {"sku": ["d3", "d4"]}, "other")],
            "'floor' and 'other' ask for 4 different rows in the first 3",
        ),
        # The pinned row is wanted, wanted by one of two, below the top, or for other requests.
        ([pin("a", d1=1), floor(3, 3, {"sku": ["d1", "d2", "d3"]})], None),
        ([pin("a", d1=1), floor(1, 2, {"sku": "d1"}), floor(1, 2, {"sku": "d2"}, "other")], None),
        ([pin("a", d1=4), floor(3, 3, {"not": {"sku": "d1"}})], None),
        ([pin("a", d1=4), floor(2, 3, {"sku": ["d1", "d2", "d3"]})], None),
        ([pin("a", {"ends": 5.0}, d1=1), named_floor(1, {"starts": 5.0})], None),
    ],
)
def test_pins_take_the_places_of_rows_that_are_wanted_by_id(rules, expected):
    told = [] if expected is None else [f"{expected} for the same requests"]
    assert conflicts(rules, "sku") == told
    assert conflicts([rule for rule in rules if isinstance(rule, Pin)], "sku") == []
    # Without a field of ids nobody knows which rows are meant.
    assert conflicts(rules) == []


NUMBERS = st.integers(0, 3).map(float)
CONDITIONS = st.one_of(
    st.lists(NUMBERS, min_size=1, max_size=2).map(lambda v: {"stock": v}),
    st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS, min_size=1).map(
        lambda b: {"stock": b}
    ),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map(lambda v: {"seller": v}),
)
FILTERS = st.one_of(CONDITIONS, CONDITIONS.map(lambda c: {"not": c}))
EVERY_ROW = candidates(
    MemoryDocuments(
        {"seller": "keyword", "brand": "keyword", "stock": "number", "sku": "keyword"},
        [
            {"seller": list(sellers), **({} if stock is None else {"stock": stock})}
            for sellers in ("", "a", "b", "c", "ab", "bc")
            for stock in (None, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
        ],
    ),
    ("q", range(48)),
)


@settings(max_examples=300)
@given(FILTERS, FILTERS)
def test_rows_that_are_called_different_are(left, right):
    one, other = where(left), where(right)
    told = conflicts([floor(1, 1, left), floor(1, 1, right, "other")])
    if told:
        assert not (matches(one, EVERY_ROW) & matches(other, EVERY_ROW)).any()


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


SKUS = [f"d{i}" for i in range(5)]
STOCKED = MemoryDocuments(
    {"seller": "keyword", "brand": "keyword", "stock": "number", "sku": "keyword"},
    [{"id": sku, "sku": [sku], "stock": float(i % 3)} for i, sku in enumerate(SKUS)],
)
WANTED = st.one_of(
    st.sets(st.sampled_from(SKUS), min_size=1).map(lambda ids: {"sku": sorted(ids)}),
    st.sampled_from(SKUS).map(lambda sku: {"not": {"sku": sku}}),
    st.integers(0, 2).map(lambda stock: {"stock": stock}),
)
FLOORS = st.tuples(WANTED, st.integers(1, 3), st.integers(1, 4)).filter(lambda f: f[1] <= f[2])


@settings(max_examples=300)
@given(
    st.lists(FLOORS, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(SKUS), st.integers(1, 5), max_size=3).filter(
        lambda slots: len(set(slots.values())) == len(slots)
    ),
)
def test_no_order_keeps_rules_that_are_called_crowded(floors, slots):
    rules = [floor(count, top, raw, f"floor{n}") for n, (raw, count, top) in enumerate(floors)]
    told = conflicts([*rules, pin("pin", **slots)], "sku")
    listing = candidates(STOCKED, ("q", range(5)))
    members = [(rule, matches(rule.where, listing)) for rule in rules]
    pinned = {slot - 1: SKUS.index(sku) for sku, slot in slots.items()}
    kept = any(
        all(order[slot] == row for slot, row in pinned.items())
        and all(mask[list(order[: rule.top])].sum() >= rule.count for rule, mask in members)
        for order in permutations(range(5))
    )
    assert not (told and kept)
    if len(rules) == 1 and not kept and "sku" in floors[0][0]:
        # Of one rule that names documents everything is known, but that it names too few.
        assert told or floors[0][1] > len(floors[0][0]["sku"])
