"""Pins and quotas hold for every list: the seating is checked slot by slot against its promise."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.rules import AtMost, Diversify
from cascade.business.seating import seated
from cascade.filters import parse

FIELDS = {"seller": "keyword", "tag": "keyword", "sale": "keyword"}


def listing_of(documents):
    return candidates(MemoryDocuments(FIELDS, documents), ("q", range(len(documents))))


def of_sellers(letters):
    """Return a listing with a seller for each letter; a dot has none."""
    return listing_of([{"seller": [s]} if s != "." else {} for s in letters])


def quota(count, top, field="seller", **more):
    return AtMost(name=f"{field}-{count}-{top}", field=field, count=count, top=top, **more)


def gap(ranks, top):
    return Diversify(name=f"gap-{ranks}-{top}", field="seller", gap=ranks, top=top)


def order_of(sellers, *quotas, pins=None):
    return seated(of_sellers(sellers), quotas, pins or {}).order.tolist()


class TestByHand:
    def test_rows_over_the_quota_go_just_below_the_top_in_order(self):
        assert order_of("aaaabcd", quota(1, 3)) == [0, 4, 5, 1, 2, 3, 6]

    def test_a_list_that_holds_the_quota_is_left_alone(self):
        assert order_of("abcabc", quota(1, 3)) == [0, 1, 2, 3, 4, 5]

    def test_only_when_nothing_else_is_left_a_row_over_the_quota_stands_in_the_top(self):
        assert order_of("aaab", quota(1, 4)) == [0, 3, 1, 2]
        assert order_of("aaaa", quota(2, 3)) == [0, 1, 2, 3]

    def test_rows_without_a_seller_are_free(self):
        assert order_of("a.a.a.", quota(1, 4)) == [0, 1, 3, 5, 2, 4]

    def test_a_row_of_many_values_counts_for_each(self):
        tags = [["x", "y"], ["y"], ["x"], ["z"], []]
        listing = listing_of([{"tag": tag} for tag in tags])
        assert seated(listing, [quota(1, 3, "tag")], {}).order.tolist() == [0, 3, 4, 1, 2]

    def test_a_quota_may_count_some_rows_only(self):
        listing = listing_of([{"seller": ["a"], "sale": [s]} for s in "ynyny"])
        counted = quota(1, 3, where=parse({"sale": "y"}, listing.documents.schema))
        assert seated(listing, [counted], {}).order.tolist() == [0, 1, 3, 2, 4]

    def test_two_quotas_on_one_field_hold_each_in_its_own_top(self):
        assert order_of("aaabbbcd", quota(1, 2), quota(2, 5)) == [0, 3, 1, 4, 6, 2, 5, 7]

    def test_a_pin_takes_its_slot_and_the_others_close_up(self):
        assert order_of("abcd", pins={3: 0}) == [3, 0, 1, 2]
        assert order_of("abcd", pins={0: 2, 3: 1}) == [1, 3, 0, 2]

    def test_a_pinned_row_counts_before_its_slot_is_reached(self):
        assert order_of("abac", quota(1, 3), pins={2: 2}) == [1, 3, 2, 0]

    def test_pins_win_over_the_quota(self):
        assert order_of("aabb", quota(1, 3), pins={0: 0, 1: 1}) == [0, 1, 2, 3]

    def test_a_slot_beyond_the_end_is_the_last_free_one(self):
        assert order_of("abcd", pins={0: 9, 1: 3, 2: 7}) == [3, 2, 0, 1]

    def test_rows_of_one_seller_keep_their_distance(self):
        assert order_of("aabbcc", gap(2, 6)) == [0, 2, 1, 3, 4, 5]
        assert order_of("aaabbbccc", gap(3, 9)) == [0, 3, 6, 1, 4, 7, 2, 5, 8]
        assert order_of("aabcde", gap(3, 3)) == [0, 2, 3, 1, 4, 5]

    def test_a_row_that_kept_its_distance_comes_as_soon_as_it_may(self):
        assert order_of("aaaabc", gap(2, 4)) == [0, 4, 1, 5, 2, 3]

    def test_rows_too_close_stand_where_nothing_else_is_left(self):
        assert order_of("aaab", gap(2, 4)) == [0, 3, 1, 2]

    def test_the_distance_is_kept_to_a_pinned_row_above_and_below(self):
        assert order_of("abaccc", gap(2, 4), pins={2: 1}) == [1, 2, 3, 0, 4, 5]

    def test_a_gap_ends_with_its_top(self):
        assert order_of("abbb", gap(2, 2)) == [0, 1, 2, 3]

    def test_rows_without_a_seller_need_no_distance(self):
        assert order_of("..aa.", gap(2, 5)) == [0, 1, 2, 4, 3]

    def test_a_quota_weighs_more_than_a_distance(self):
        assert order_of("abbbbc", quota(1, 3), gap(2, 2)) == [0, 1, 5, 2, 3, 4]
        assert order_of("aabb", quota(1, 2), gap(2, 4), pins={2: 1}) == [0, 2, 1, 3]

    def test_what_a_quota_passed_over_is_told(self):
        assert seated(of_sellers("aabac"), [quota(1, 3)], {}).passed == {"seller-1-3": [1, 3]}

    def test_an_empty_list(self):
        assert order_of("", quota(1, 3)) == []


documents = st.fixed_dictionaries(
    {},
    optional={
        "seller": st.sampled_from("abc").map(lambda s: [s]),
        "tag": st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
        "sale": st.sampled_from("yn").map(lambda s: [s]),
    },
)
lists = st.lists(documents, max_size=25)
quotas = st.lists(
    st.tuples(
        st.sampled_from(["seller", "tag"]), st.integers(1, 3), st.integers(1, 12), st.booleans()
    ).filter(lambda q: q[1] < q[2]),
    max_size=3,
    unique=True,
)

spaced = st.lists(
    st.tuples(st.sampled_from(["seller", "tag"]), st.integers(2, 5), st.integers(2, 12)),
    max_size=2,
)


def pins_for(data, count):
    """Draw distinct positions and distinct slots, some beyond the end."""
    positions = data.draw(st.lists(st.integers(0, max(count - 1, 0)), unique=True, max_size=count))
    slots = st.lists(
        st.integers(0, count + 5), unique=True, min_size=len(positions), max_size=len(positions)
    )
    return dict(zip(positions, data.draw(slots), strict=True))


def check_every_slot(documents, drawn, gaps, data):
    listing = listing_of(documents)
    on_sale = parse({"sale": "y"}, listing.documents.schema)
    made = [
        AtMost(name=str(i), field=field, count=count, top=top, where=on_sale if sale else None)
        for i, (field, count, top, sale) in enumerate(drawn)
    ]
    spreads = [
        Diversify(name=f"gap-{i}", field=field, gap=min(gap, top), top=top)
        for i, (field, gap, top) in enumerate(gaps)
    ]
    pins = pins_for(data, len(documents))
    order = seated(listing, [*spreads, *made], pins).order.tolist()
    assert sorted(order) == list(range(len(documents)))
    for position, slot in pins.items():
        if slot < len(documents):
            assert order[slot] == position

    def values(row, rule):
        document = documents[row]
        counted = rule.where is None or document.get("sale") == ["y"]
        return document.get(rule.field, []) if counted else []

    seen = {
        rule.name: Counter(
            v
            for s, row in enumerate(order)
            if row in pins and s < rule.top
            for v in values(row, rule)
        )
        for rule in made
    }

    def breaks(row, slot):
        active = [rule for rule in made if slot < rule.top]
        return any(seen[r.name][v] >= r.count for r in active for v in values(row, r))

    def crowds(row, slot):
        return any(
            set(documents[row].get(rule.field, [])) & set(documents[other].get(rule.field, []))
            for rule in spreads
            if slot < rule.top
            for at, other in enumerate(order[: rule.top])
            if 0 < abs(at - slot) < rule.gap and (at < slot or other in pins)
        )

    for slot, row in enumerate(order):
        if row in pins:
            continue
        waiting = sorted(other for other in order[slot:] if other not in pins)
        allowed = [other for other in waiting if not breaks(other, slot)]
        apart = [other for other in allowed if not crowds(other, slot)]
        assert row == (apart or allowed or waiting)[0]
        for rule in made:
            if slot < rule.top:
                seen[rule.name].update(values(row, rule))


@settings(max_examples=300)
@given(lists, quotas, spaced, st.data())
def test_every_slot_keeps_the_promise(documents, drawn, gaps, data):
    check_every_slot(documents, drawn, gaps, data)


@pytest.mark.full
@settings(max_examples=10_000)
@given(lists, quotas, spaced, st.data())
def test_every_slot_keeps_the_promise_in_ten_thousand_cases(documents, drawn, gaps, data):
    check_every_slot(documents, drawn, gaps, data)


@settings(max_examples=250)
@given(st.text("abc.", max_size=25), st.integers(1, 3), st.integers(2, 12), st.data())
def test_at_most_so_many_of_a_seller_unless_forced(sellers, count, top, data):
    pins = pins_for(data, len(sellers))
    order = order_of(sellers, quota(count, top), pins=pins)
    head, below = order[:top], [row for row in order[top:] if row not in pins]
    shown = Counter(sellers[row] for row in head if sellers[row] != ".")
    for seller, rows in shown.items():
        if rows <= count:
            continue
        free = [row for row in head if sellers[row] == seller and row not in pins]
        if free:
            # Every row that could have come instead is of a seller who has his share.
            assert all(sellers[row] != "." and shown[sellers[row]] >= count for row in below)


@pytest.mark.parametrize("top", [3, 50])
def test_the_walk_is_the_same_for_a_longer_top_than_the_list(top):
    assert order_of("aab", quota(1, top))[:2] == [0, 2]
