"""At least so many rows: the order is checked against every other order of a small list."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.rules import AtLeast, AtMost
from cascade.business.seating import seated
from cascade.filters import parse

FIELDS = {"seller": "keyword", "sale": "keyword", "new": "keyword"}
SALE = parse({"sale": "y"}, MemoryDocuments(FIELDS, []).schema)
NEW = parse({"new": "y"}, MemoryDocuments(FIELDS, []).schema)


def listing_of(letters):
    """Return a listing with a seller for each letter; capitals are on sale."""
    documents = [{"seller": [s.lower()], "sale": ["y" if s.isupper() else "n"]} for s in letters]
    return candidates(MemoryDocuments(FIELDS, documents), ("q", range(len(documents))))


def at_least(count, top, where=SALE, name="floor"):
    return AtLeast(name=name, where=where, count=count, top=top)


def at_most(count, top):
    return AtMost(name="limit", field="seller", count=count, top=top)


def shown(letters, *rules, pins=None):
    order = seated(listing_of(letters), rules, pins or {}).order
    return "".join(letters[row] for row in order)


class TestByHand:
    def test_rows_rise_no_further_than_they_must(self):
        assert shown("abcdEfG", at_least(1, 3)) == "abEcdfG"
        assert shown("abcdEfG", at_least(2, 3)) == "aEGbcdf"
        assert shown("aBcdEfG", at_least(2, 4)) == "aBcEdfG"

    def test_a_list_that_has_enough_is_left_alone(self):
        assert shown("AbCd", at_least(2, 3)) == "AbCd"

    def test_too_few_rows_all_rise(self):
        assert shown("abcdE", at_least(3, 3)) == "abEcd"
        assert shown("abcd", at_least(1, 2)) == "abcd"

    def test_a_top_beyond_the_end(self):
        assert shown("abC", at_least(1, 9)) == "abC"
        assert shown("", at_least(1, 9)) == ""

    def test_a_pinned_row_counts_and_a_pin_keeps_its_slot(self):
        assert shown("abcDE", at_least(1, 3), pins={4: 2}) == "abEcD"
        assert shown("abcDE", at_least(1, 2), pins={0: 1}) == "DabcE"

    def test_the_share_of_a_seller_is_kept_for_a_row_that_is_wanted(self):
        # The only rows on sale are of a seller whose first row would use his share up.
        assert shown("axyAz", at_least(1, 3), at_most(1, 3)) == "xyAaz"

    def test_a_limit_wins_where_both_cannot_hold(self):
        assert shown("xAAAy", at_least(3, 3), at_most(1, 3)) == "xAyAA"

    def test_a_limit_that_ends_earlier_leaves_room_below_it(self):
        assert shown("AAAxyz", at_least(3, 4), at_most(1, 2)) == "AxAAyz"

    def test_one_row_may_serve_two_rules(self):
        documents = [{}, {"sale": ["y"]}, {"new": ["y"]}, {"sale": ["y"], "new": ["y"]}]
        listing = candidates(MemoryDocuments(FIELDS, documents), ("q", range(4)))
        rules = [at_least(1, 1), at_least(1, 1, NEW, "new")]
        assert seated(listing, rules, {}).order.tolist() == [3, 0, 1, 2]

    def test_the_rows_that_rose_are_told(self):
        found = seated(listing_of("abcDE"), [at_least(2, 3)], {})
        assert found.raised == {"floor": [3, 4]}
        assert found.passed == {"floor": []}

    def test_a_row_that_makes_way_for_a_sellers_wanted_one_is_told(self):
        found = seated(listing_of("axyAz"), [at_least(1, 3), at_most(1, 3)], {})
        # Row 0 waits for the rule, and later for its seller's quota, which the wanted row filled.
        assert found.passed["floor"] == [0]
        assert found.raised["floor"] == [3]


def kept(order, letters, rules):
    """Return for each rule how far the list keeps it."""
    found = []
    for rule in rules:
        head = [letters[row] for row in order[: rule.top]]
        if isinstance(rule, AtLeast):
            found.append(min(sum(s.isupper() for s in head), rule.count))
        else:
            sellers = [s.lower() for s in head]
            found.append(all(sellers.count(s) <= rule.count for s in sellers))
    return found


@st.composite
def cases(draw):
    letters = draw(st.text("aAbBcC", max_size=6))
    top = draw(st.integers(1, 7))
    rules = [at_least(draw(st.integers(1, top)), top)]
    if draw(st.booleans()):
        end = draw(st.integers(2, 7))
        rules.append(at_most(draw(st.integers(1, end - 1)), end))
    rows = st.lists(st.integers(0, len(letters) - 1), unique=True, max_size=2)
    pinned = draw(rows) if letters else []
    slots = draw(
        st.lists(
            st.integers(0, max(len(letters) - 1, 0)),
            unique=True,
            min_size=len(pinned),
            max_size=len(pinned),
        )
    )
    return letters, rules, dict(zip(pinned, slots, strict=True))


def check_against_all_orders(case):
    """Of all orders that keep the pins: as many wanted rows as any, then the first of the list."""
    letters, rules, pins = case
    order = tuple(seated(listing_of(letters), rules, pins).order.tolist())
    assert sorted(order) == list(range(len(letters)))
    others = [
        other
        for other in permutations(range(len(letters)))
        if all(other[slot] == row for row, slot in pins.items())
    ]
    assert order in others
    if len(rules) == 2:
        holding = [o for o in others if kept(o, letters, rules)[1]]
        if not holding:
            return
        others = holding
    most = max(kept(other, letters, rules)[0] for other in others)
    best = [other for other in others if kept(other, letters, rules)[0] == most]
    unpinned = [row for row in range(len(letters)) if row not in pins]
    top = max(rule.top for rule in rules)
    # Below every top the rows stand in their order, so the least of the best is the promise.
    expected = min(best, key=lambda o: [row for row in o if row in unpinned])
    assert order[:top] == expected[:top]
    assert order == expected


@st.composite
def wishes(draw):
    """Draw a listing whose rows may be on sale, new or both, rules for them, and a pin."""
    row = st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc"))
    flags = draw(st.lists(row, min_size=1, max_size=6))
    tops = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    counts = [draw(st.integers(1, top)) for top in tops]
    last = len(flags) - 1
    pins = draw(st.dictionaries(st.integers(0, last), st.integers(0, last), max_size=1))
    end = draw(st.integers(2, 6))
    limit = draw(st.one_of(st.none(), st.integers(1, end - 1).map(lambda n: at_most(n, end))))
    return flags, tops, counts, pins, limit


def check_two_wishes(case):
    """Where some order gives all rules what they ask, the first such order comes."""
    flags, tops, counts, pins, limit = case
    documents = [
        {"sale": ["y" if s else "n"], "new": ["y" if n else "n"], "seller": [seller]}
        for s, n, seller in flags
    ]
    listing = candidates(MemoryDocuments(FIELDS, documents), ("q", range(len(flags))))
    rules = [at_least(counts[0], tops[0]), at_least(counts[1], tops[1], NEW, "new")]
    if limit is not None:
        rules.append(limit)

    def fits(order):
        met = all(
            sum(flags[row][number] for row in order[:top]) >= count
            for number, (top, count) in enumerate(zip(tops, counts, strict=True))
        )
        if limit is not None:
            sellers = [flags[row][2] for row in order[: limit.top]]
            met = met and all(sellers.count(seller) <= limit.count for seller in sellers)
        return met and all(order[slot] == row for row, slot in pins.items())

    good = [order for order in permutations(range(len(flags))) if fits(order)]
    order = tuple(seated(listing, rules, pins).order.tolist())
    assert not good or order == min(good, key=lambda o: [row for row in o if row not in pins])


@settings(max_examples=300)
@given(wishes())
def test_two_rules_hold_together_where_they_can(case):
    check_two_wishes(case)


@pytest.mark.full
@settings(max_examples=10_000)
@given(wishes())
def test_two_rules_hold_together_where_they_can_in_ten_thousand_cases(case):
    check_two_wishes(case)


@settings(max_examples=300)
@given(cases())
def test_no_order_keeps_the_rules_with_less_disturbance(case):
    check_against_all_orders(case)


@pytest.mark.full
@settings(max_examples=10_000)
@given(cases())
def test_no_order_keeps_the_rules_with_less_disturbance_in_ten_thousand_cases(case):
    check_against_all_orders(case)
