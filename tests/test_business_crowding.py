"""Rules that ask for more rows than the first ranks have: told of those, and never of others."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.conflicts import conflicts
from cascade.business.crowding import crowded
from cascade.business.rules import AtLeast, Pin
from cascade.business.where import matches
from tests.business_rules import FIELDS, floor, pin, where


def band(stock, scope=None):
    """Return a rule that asks for a row of this stock in the first two."""
    wanted = where({"stock": stock})
    return AtLeast(name=f"band{stock}", where=wanted, count=1, top=2, **(scope or {}))


def named_floor(top, scope):
    return AtLeast(name="floor", where=where({"sku": "d9"}), count=1, top=top, **scope)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
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
    ],
)
def test_rows_that_cannot_all_stand_in_a_top(rules, expected):
    assert conflicts(rules) == [expected]


@pytest.mark.parametrize(
    "rules",
    [
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
    ],
)
def test_rules_that_have_room_do_not_conflict(rules):
    assert conflicts(rules) == []


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


def test_a_document_that_two_rules_pin_to_one_slot_takes_one_place():
    pins = [pin("a", d1=1), pin("b", d1=1)]
    two, three = (floor(n, 3, {"not": {"sku": "d1"}}) for n in (2, 3))
    assert crowded([*pins, two], "sku") == []
    told = "ask for 3 different rows in the first 3 and pin 1 others there"
    assert crowded([*pins, three], "sku") == [([three, *pins], told)]


SKUS = [f"d{i}" for i in range(5)]
STOCKED = MemoryDocuments(
    FIELDS,
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
