"""The filter grammar: what each form means, and what each refusal says."""

from datetime import UTC, datetime

import pytest

from cascade.errors import FilterError
from cascade.filters import (
    EVERYTHING,
    MAX_DEPTH,
    MAX_VALUES,
    AllOf,
    AnyOf,
    Exists,
    In,
    Not,
    Range,
    both,
    fields_of,
    parse,
    without_field,
)
from cascade.schema import Field, Kind, Schema

SCHEMA = Schema(
    "id",
    (
        Field("title", Kind.TEXT),
        Field("brand", Kind.KEYWORD),
        Field("price", Kind.NUMBER),
        Field("created", Kind.DATE),
        Field("image", Kind.VECTOR, dims=2),
    ),
)
MAY = datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (None, ()),
        ({}, ()),
        ({"brand": "x"}, (In("brand", ("x",)),)),
        ({"brand": ["x", "y"]}, (In("brand", ("x", "y")),)),
        ({"brand": True}, (In("brand", ("true",)),)),
        ({"price": 3}, (In("price", (3.0,)),)),
        ({"price": [3, 4.5]}, (In("price", (3.0, 4.5)),)),
        ({"price": False}, (In("price", (0.0,)),)),
        ({"price": {"gte": 10, "lt": 20}}, (Range("price", gte=10.0, lt=20.0),)),
        ({"price": {"gt": 0, "lte": 1}}, (Range("price", gt=0.0, lte=1.0),)),
        ({"created": {"gte": "2024-05-01T12:00:00Z"}}, (Range("created", gte=MAY),)),
        ({"created": {"lt": "2024-05-01T12:00"}}, (Range("created", lt=MAY),)),
        ({"created": {"gt": "2024-05-01T14:00:00+02:00"}}, (Range("created", gt=MAY),)),
        ({"created": {"gt": MAY}}, (Range("created", gt=MAY),)),
        ({"brand": {"exists": True}}, (Exists("brand"),)),
        ({"price": {"exists": False}}, (Not(Exists("price")),)),
        ({"not": {"brand": "x"}}, (Not(AllOf((In("brand", ("x",)),))),)),
        (
            {"any": [{"brand": "x"}, {"price": 1}]},
            (AnyOf((AllOf((In("brand", ("x",)),)), AllOf((In("price", (1.0,)),)))),),
        ),
        ({"brand": "x", "price": 1}, (In("brand", ("x",)), In("price", (1.0,)))),
    ],
)
def test_every_form_has_its_tree(raw, parts):
    assert parse(raw, SCHEMA) == AllOf(parts)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"brnad": "x"}, r"^filters\.brnad: 'brnad' is not a field .* did you mean 'brand'\? acc"),
        ({"title": "x"}, "'title' is not a field that can be filtered; accepted: any, brand, cre"),
        ({"image": 1}, "'image' is not a field that can be filtered"),
        ({"nott": {}}, "did you mean 'not'"),
        ({"not": []}, r"^filters\.not is \[\]; accepted is an object of field: condition"),
        ({"not": "x"}, r"^filters\.not is 'x'; accepted is an object of field: condition"),
        ({"any": []}, r"^filters\.any is \[\]; accepted is a non-empty list"),
        ({"any": {"brand": "x"}}, r"^filters\.any is \{.*; accepted is a non-empty list"),
        ({"any": [{"brand": "x"}, 7]}, r"^filters\.any\[1\] is 7; accepted is an object"),
        ({"not": {"any": [{"brnad": 1}]}}, r"^filters\.not\.any\[0\]\.brnad: "),
        ({"brand": 3}, r"^filters\.brand is 3; accepted is a string"),
        ({"brand": None}, "is None; accepted is a string"),
        ({"brand": []}, "has 0 values; accepted are 1 to 10000"),
        ({"brand": ["x", 2]}, "is 2; accepted is a string"),
        ({"brand": {"gte": "a"}}, "a keyword field has no range; name its values in a list"),
        ({"price": "cheap"}, r"^filters\.price is 'cheap'; accepted is a finite number"),
        ({"price": float("nan")}, "is nan; accepted is a finite number"),
        ({"price": {"lt": float("inf")}}, r"^filters\.price\.lt is inf; accepted is a finite"),
        ({"price": {}}, "is empty; accepted are exists or gt, gte, lt, lte"),
        ({"price": {"gtee": 1}}, r"^filters\.price\.gtee is not an operator; did you mean 'gte'"),
        ({"price": {"exists": 1}}, r"exists stands alone and is true or false, not \{'exists': 1"),
        ({"price": {"exists": True, "gt": 1}}, "exists stands alone"),
        ({"created": "soon"}, "is 'soon'; accepted is an ISO 8601 date, as 2024-05-01T12:00:00Z"),
        ({"price": {"lt": "x" * 99}}, r"is 'x{56}\.\.\.; accepted"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused(raw, said):
    with pytest.raises(FilterError, match=said):
        parse(raw, SCHEMA)


def nested(levels):
    raw = {"brand": "x"}
    for _ in range(levels):
        raw = {"not": raw}
    return raw


def test_nesting_has_a_bound():
    parse(nested(MAX_DEPTH), SCHEMA)
    with pytest.raises(FilterError, match="is nested deeper than 16 levels; write it flatter"):
        parse(nested(MAX_DEPTH + 1), SCHEMA)


def test_the_number_of_values_has_a_bound():
    parse({"price": list(range(MAX_VALUES))}, SCHEMA)
    with pytest.raises(FilterError, match="has 10001 values; accepted are 1 to 10000"):
        parse({"price": list(range(MAX_VALUES + 1))}, SCHEMA)


def test_both_holds_where_each_does():
    left, right = parse({"brand": "x"}, SCHEMA), parse({"price": 1}, SCHEMA)
    assert both(left, right) == parse({"brand": "x", "price": 1}, SCHEMA)
    assert both(left, EVERYTHING) == left


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ({}, set()),
        ({"brand": {"exists": False}}, {"brand"}),
        ({"any": [{"brand": "x"}, {"not": {"price": 1}}]}, {"brand", "price"}),
    ],
)
def test_fields_of_names_every_field(raw, names):
    assert fields_of(parse(raw, SCHEMA)) == names


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ({"brand": "x", "price": 1}, {"price": 1}),
        ({"any": [{"brand": "x"}, {"brand": "y"}], "price": 1}, {"price": 1}),
        ({"not": {"brand": "x"}}, {}),
        # A condition on two fields is not the facet's own, so it stays.
        ({"any": [{"brand": "x"}, {"price": 1}]}, {"any": [{"brand": "x"}, {"price": 1}]}),
        ({"price": 1}, {"price": 1}),
    ],
)
def test_a_facet_ignores_its_own_conditions(raw, left):
    assert without_field(parse(raw, SCHEMA), "brand") == parse(left, SCHEMA)
