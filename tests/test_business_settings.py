"""Settings of objectives and rules: what each accepts, and a message for everything else."""

import tomllib

import pytest

from cascade.business import build_business
from cascade.errors import ConfigError
from tests.business_tables import SCHEMA, rule


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (
            rule(kind="boost", where={"seller": "us"}, rank=5),
            "business.rules[0].rank: unknown key; did you mean 'ranks'? "
            "accepted: ends, kind, name, queries, ranks, starts, surfaces, where",
        ),
        (
            rule(kind="boost", where={"seller": "us"}, ranks=0),
            "business.rules[0].ranks: is 0; accepted is a whole number of 1 or more",
        ),
        (
            rule(kind="boost", where={"seller": "us"}, ranks=True),
            "business.rules[0].ranks: is True; accepted is a whole number of 1 or more",
        ),
        (
            rule(kind="boost", where={"seller": "us"}, ranks=2.0),
            "business.rules[0].ranks: is 2.0; accepted is a whole number of 1 or more",
        ),
        (
            rule(kind="bury", where={}),
            "business.rules[0].where: is {}; accepted is a filter with at least one condition",
        ),
        (
            rule(kind="exclude", where={"sellr": "us"}),
            "business.rules[0].where.sellr: 'sellr' is not a field that can be filtered; did you "
            "mean 'seller'? accepted: added, any, margin, not, price, seller, seller_age_days, "
            "stock",
        ),
        (
            rule(kind="exclude", where={"price": {"gte": "ten"}}),
            "business.rules[0].where.price.gte is 'ten'; accepted is a finite number",
        ),
        (
            rule(kind="at_most", field="seller", count=3, top=3),
            "business.rules[0].count: is 3; accepted is less than top, which is 3",
        ),
        (
            rule(kind="at_least", where={"seller": "us"}, count=5, top=4),
            "business.rules[0].count: is 5; accepted is at most top, which is 4",
        ),
        (
            rule(kind="diversify", field="seller", gap=5, top=4),
            "business.rules[0].gap: is 5; accepted is at most top, which is 4",
        ),
        (
            rule(kind="diversify", field="seller", gap=1, top=4),
            "business.rules[0].gap: is 1; accepted is a whole number of 2 or more",
        ),
        (
            rule(kind="pin", slots={"a": 1}, starts="tomorrow"),
            "business.rules[0].starts: is 'tomorrow'; accepted is a date, as 2026-11-27, or a "
            "moment, as 2026-11-27T08:00:00Z",
        ),
        (
            rule(kind="pin", slots={"a": 1}, ends=20261127),
            "business.rules[0].ends: is 20261127; accepted is a date, as 2026-11-27, or a "
            "moment, as 2026-11-27T08:00:00Z",
        ),
        (
            rule(kind="pin", slots={"a": 1}, starts="2026-11-28", ends="2026-11-27"),
            "business.rules[0].ends: is not after starts; accepted is a later date or moment",
        ),
        (
            rule(kind="at_most", field="seller", count=1, top=0),
            "business.rules[0].top: is 0; accepted is a whole number of 1 or more",
        ),
        (
            rule(kind="at_most", field="price", count=1, top=3),
            "business.rules[0].field: is 'price', which is no keyword field of the schema; "
            "accepted: seller",
        ),
        (
            rule(kind="min_stock", field="stock", missing="hide"),
            "business.rules[0].missing: is 'hide'; accepted: drop, keep",
        ),
        (
            rule(kind="pin", slots={"a": 0}),
            "business.rules[0].slots.a: is 0; accepted is a slot of 1 (the top) or more",
        ),
        (
            rule(kind="pin", slots={"a": 2, "b": 2}),
            "business.rules[0].slots: 'a' and 'b' both ask for slot 2",
        ),
        (
            rule(kind="pin", slots=["a"]),
            "business.rules[0].slots: is ['a']; accepted is a table of document id = slot",
        ),
        (
            rule(kind="pin", slots={"a": 1}, queries=[""]),
            "business.rules[0].queries: is ['']; accepted is a list of strings that are not empty",
        ),
    ],
)
def test_one_problem(raw, problem):
    with pytest.raises(ConfigError) as caught:
        build_business(raw, SCHEMA, "shop.toml")
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    ("written", "starts", "ends"),
    [
        # 1 January 2021 is 1609459200; a date that ends a period is part of it.
        ("starts = 2021-01-01\nends = 2021-01-01", 1609459200, 1609545600),
        ('starts = "2021-01-01"\nends = "2021-01-02"', 1609459200, 1609632000),
        ("starts = 2021-01-01T00:00:10\nends = 2021-01-01T00:01:00Z", 1609459210, 1609459260),
        ("starts = 2021-01-01T01:00:00+01:00", 1609459200, None),
        ('ends = "2021-01-01T01:00:00+01:00"', None, 1609459200),
    ],
)
def test_dates_of_a_rule(written, starts, ends):
    text = f'[[rules]]\nname = "p"\nkind = "pin"\nslots = {{ a = 1 }}\n{written}'
    (found,) = build_business(tomllib.loads(text), SCHEMA).rules.rules
    assert (found.starts, found.ends) == (starts, ends)
