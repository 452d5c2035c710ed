"""The table `[business]`: what it makes, and a message for everything it may get wrong."""

import tomllib

import pytest

from cascade.business import Business, build_business
from cascade.business.objectives import NewSeller, Number, Relevance, Revenue, Stock
from cascade.business.policy import LinearBlend
from cascade.business.rules import AtMost, Boost, Bury, Exclude, MinStock, Pin
from cascade.business.ruleset import RuleSet
from cascade.errors import ConfigError
from cascade.filters import parse
from cascade.schema import Field, Kind, Schema
from tests.business_tables import SCHEMA, objective, rule

WHOLE = """
window = 50
max_displacement = 8

[preference]
revenue = 0.5
fresh = 1

[[objectives]]
name = "revenue"
kind = "revenue"
price = "price"
margin = "margin"
scale = "minmax"

[[objectives]]
name = "fresh"
kind = "number"
field = "added"
descending = false

[[objectives]]
name = "new"
kind = "new_seller"
field = "seller_age_days"
days = 90

[[objectives]]
name = "stock"
kind = "stock"
field = "stock"
half = 5

[[objectives]]
kind = "relevance"

[[rules]]
name = "hero"
kind = "pin"
queries = "summer sale"
slots = { L7 = 1, L9 = 3 }

[[rules]]
name = "own"
kind = "boost"
where = { seller = "us" }
ranks = 5
surfaces = ["web"]

[[rules]]
name = "cheap"
kind = "bury"
where = { price = { lt = 1 } }

[[rules]]
name = "two"
kind = "at_most"
field = "seller"
count = 2
top = 10

[[rules]]
name = "gone"
kind = "exclude"
where = { seller = ["x", "y"] }

[[rules]]
name = "stocked"
kind = "min_stock"
field = "stock"
at_least = 2
missing = "drop"
"""


def where(raw):
    return parse(raw, SCHEMA)


def test_a_whole_table():
    assert build_business(tomllib.loads(WHOLE), SCHEMA) == Business(
        policy=LinearBlend(
            (
                Revenue(name="revenue", price="price", margin="margin", scale="minmax"),
                Number(name="fresh", field="added"),
                NewSeller(name="new", field="seller_age_days", days=90),
                Stock(name="stock", field="stock", half=5),
                Relevance(),
            )
        ),
        window=50,
        max_displacement=8,
        rules=RuleSet(
            (
                Pin(name="hero", queries=("summer sale",), slots=(("L7", 1), ("L9", 3))),
                Boost(name="own", where=where({"seller": "us"}), ranks=5, surfaces=("web",)),
                Bury(name="cheap", where=where({"price": {"lt": 1}})),
                AtMost(name="two", field="seller", count=2, top=10),
                Exclude(name="gone", where=where({"seller": ["x", "y"]})),
                MinStock(name="stocked", field="stock", at_least=2, missing="drop"),
            )
        ),
        default_preference={"revenue": 0.5, "fresh": 1.0},
    )


def test_an_empty_table_does_nothing():
    assert build_business({}, SCHEMA) == Business()


def page(**settings):
    return {"page": {"fields": ["seller"], **settings}}


NAN = float("nan")
PAGE_KEYS = "accepted: beam, fields, top"
FIELDS_NUMBER = "accepted: margin, price, seller_age_days, stock"
RULE_KINDS = "accepted: at_least, at_most, boost, bury, diversify, exclude, min_stock, pin"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (
            {"windows": 3},
            "business.windows: unknown key; did you mean 'window'? "
            "accepted: guard_gain, guard_top, max_displacement, max_loss, model, objectives, "
            "page, policy, preference, rules, window",
        ),
        ({"window": 0}, "business.window: is 0; accepted is a whole number of 1 or more"),
        ({"window": True}, "business.window: is True; accepted is a whole number of 1 or more"),
        (
            {"max_displacement": 1.5},
            "business.max_displacement: is 1.5; accepted is a whole number of 0 or more",
        ),
        ({"preference": 3}, "business.preference: is 3; accepted is a table or a point's name"),
        (
            {"preference": {"new": -1}, **objective(name="new", kind="stock", field="stock")},
            "business.preference.new is -1; accepted is a number from 0 (none) to 1000",
        ),
        (
            {"preference": {"nex": 1}, **objective(name="new", kind="stock", field="stock")},
            "business.preference.nex: 'nex' is no objective; did you mean 'new'? accepted: new",
        ),
        ({"max_loss": 1.5}, "business.max_loss: is 1.5; accepted is a share from 0 to 1"),
        ({"max_loss": NAN}, "business.max_loss: is nan; accepted is a share from 0 to 1"),
        ({"guard_top": 0}, "business.guard_top: is 0; accepted is a whole number of 1 or more"),
        (
            {"guard_gain": ""},
            "business.guard_gain: is ''; accepted is a string that is not empty",
        ),
        ({"page": {}}, "business.page.fields: is missing; business.page needs it"),
        (
            page(fields=["title"]),
            "business.page.fields: is 'title', which is no keyword or number or date field of the "
            "schema; accepted: added, margin, price, seller, seller_age_days, stock",
        ),
        (page(top=0), "business.page.top: is 0; accepted is a whole number from 1 to 100"),
        (page(beam=101), "business.page.beam: is 101; accepted is a whole number from 1 to 100"),
        (page(beams=4), "business.page.beams: unknown key; did you mean 'beam'? " + PAGE_KEYS),
        ({"objectives": {}}, "business.objectives: is {}; accepted is a list of tables"),
        ({"rules": [3]}, "business.rules[0]: is 3; accepted is a table"),
        (
            objective(name="a", kind="stocks"),
            "business.objectives[0].kind: is 'stocks'; did you mean 'stock'? "
            "accepted: new_seller, number, relevance, revenue, stock",
        ),
        (rule(), "business.rules[0].kind: is missing; " + RULE_KINDS),
        (
            rule(kind="bost"),
            "business.rules[0].kind: is 'bost'; did you mean 'boost'? " + RULE_KINDS,
        ),
        (
            objective(name="a", kind="stock", field="stok"),
            "business.objectives[0].field: is 'stok', which is no number field of the schema; "
            "did you mean 'stock'? " + FIELDS_NUMBER,
        ),
        (
            objective(name="a", kind="number", field="seller"),
            "business.objectives[0].field: is 'seller', which is no number or date field of the "
            "schema; did you mean 'seller_age_days'? "
            "accepted: added, margin, price, seller_age_days, stock",
        ),
        (
            objective(name="a", kind="stock", field=["stock"]),
            "business.objectives[0].field: is ['stock'], which is no number field of the schema; "
            "did you mean 'stock'? " + FIELDS_NUMBER,
        ),
        (
            objective(name="a", kind="stock"),
            "business.objectives[0].field: is missing; business.objectives[0] needs it",
        ),
        (
            objective(kind="stock", field="stock"),
            "business.objectives[0].name: is missing; business.objectives[0] needs it",
        ),
        (
            objective(name=" ", kind="stock", field="stock"),
            "business.objectives[0].name: is ' '; accepted is a string that is not empty",
        ),
        (
            objective(name="a", kind="stock", field="stock", half=0),
            "business.objectives[0].half: is 0; accepted is a finite number above 0",
        ),
        (
            objective(name="a", kind="stock", field="stock", half=float("nan")),
            "business.objectives[0].half: is nan; accepted is a finite number above 0",
        ),
        (
            objective(name="a", kind="number", field="price", scale="percentiles"),
            "business.objectives[0].scale: is 'percentiles'; did you mean 'percentile'? "
            "accepted: minmax, percentile",
        ),
        (
            objective(name="a", kind="number", field="price", descending="yes"),
            "business.objectives[0].descending: is 'yes'; accepted is true or false",
        ),
        (
            objective(name="a", kind="new_seller", field="seller", days=9),
            "business.objectives[0].days: goes with an age in a number field; "
            "'seller' is a keyword field",
        ),
        (
            objective(name="relevance", kind="stock", field="stock"),
            "business.objectives: 'relevance' is the name of the ranking's own score; "
            "choose another",
        ),
        (
            {"objectives": [{"name": "a", "kind": "stock", "field": "stock"}] * 2},
            "business.objectives: 'a' names more than one; give each its own name",
        ),
        (
            {
                "rules": [
                    {"name": "one", "kind": "pin", "slots": {"a": 1}},
                    {"name": "two", "kind": "pin", "slots": {"b": 1}},
                ]
            },
            "business.rules: 'one' and 'two' both pin to slot 1 ('a' and 'b') "
            "for the same requests",
        ),
    ],
)
def test_one_problem(raw, problem):
    with pytest.raises(ConfigError) as caught:
        build_business(raw, SCHEMA, "shop.toml")
    assert caught.value.problems == (problem,)
    assert str(caught.value) == f"shop.toml: 1 problem\n  {problem}"


def test_an_excluded_document_cannot_be_pinned():
    schema = Schema("sku", (*SCHEMA.fields, Field("sku", Kind.KEYWORD)))
    rules = [
        {"name": "hero", "kind": "pin", "slots": {"L7": 1}},
        {"name": "recalled", "kind": "exclude", "where": {"sku": ["L6", "L7"]}},
    ]
    with pytest.raises(ConfigError) as caught:
        build_business({"rules": rules}, schema)
    assert caught.value.problems == (
        "business.rules: 'hero' and 'recalled' exclude and pin 'L7' for the same requests",
    )


def test_an_at_least_names_as_many_documents_as_it_wants():
    schema = Schema("sku", (*SCHEMA.fields, Field("sku", Kind.KEYWORD)))
    few = rule(kind="at_least", where={"sku": ["L1", "L2"]}, count=3, top=9)
    with pytest.raises(ConfigError) as caught:
        build_business(few, schema)
    assert caught.value.problems == (
        "business.rules[0].count: is 3; accepted is at most 2, as many documents as `where` names",
    )
    enough = rule(kind="at_least", where={"sku": ["L1", "L2", "L3"]}, count=3, top=9)
    assert len(build_business(enough, schema).rules.rules) == 1


def test_a_table_is_wanted():
    with pytest.raises(ConfigError, match="business: is 3; accepted is a table"):
        build_business(3, SCHEMA)


def test_all_problems_are_told_at_once():
    raw = {
        "window": -1,
        "preference": {"new": "much", "reach": 1},
        "objectives": [
            {"name": "new", "kind": "new_seller", "field": "nowhere", "day": 3},
            {"name": "x", "kind": "y"},
        ],
        "rules": [
            {"name": "hero", "kind": "pin", "slots": {"a": 1}},
            {"kind": "at_most", "field": "seller", "count": 0, "top": 3},
            {"name": "hero", "kind": "pin", "slots": {"b": 1}},
        ],
    }
    with pytest.raises(ConfigError) as caught:
        build_business(raw, SCHEMA)
    keys = [problem.split(" ")[0] for problem in caught.value.problems]
    assert keys == [
        "business.window:",
        "business.objectives[0].field:",
        "business.objectives[0].day:",
        "business.objectives[1].kind:",
        "business.rules[1].count:",
        "business.rules[1].name:",
        "business.rules:",
        "business.rules:",
        "business.preference.new",
        "business.preference.reach:",
    ]
