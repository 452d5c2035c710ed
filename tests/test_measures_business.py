"""Business measures: worked by hand over three documents' fields."""

import math

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.judgments import Judgments
from cascade.measures import over, parse_business_measure
from cascade.protocols import Run

PRICE = {"a": 10.0, "b": 20.0, "c": math.nan}
AGE = {"a": 400.0, "b": 5.0, "c": math.nan}
BRAND = {"a": ["x"], "b": ["y", "x"], "c": []}
JUDGMENTS = Judgments(
    {"q1": "one", "q2": "two"}, {"q1": {"a": 2.0, "b": 1.0, "c": 3.0}, "q2": {"z": 1.0}}
)
RUN = Run(("q1", "q2"), (("b", "c", "a"), ()))


def columns(field, value, ids):
    if value:
        return np.array([float(value in BRAND[i]) for i in ids])
    return np.array([{"price": PRICE, "age": AGE}[field][i] for i in ids], dtype=float)


def values(written):
    return over(parse_business_measure(written), columns).per_query(RUN, JUDGMENTS).tolist()


def test_revenue_is_the_worth_of_what_is_relevant():
    assert values("revenue@3") == [30.0, 0.0]
    assert values("revenue@1") == [20.0, 0.0]
    assert values("revenue(rel=2)@3") == [10.0, 0.0]
    # Grades count purchases: one of b, two of a.
    assert values("revenue(by=grade)@3") == [40.0, 0.0]


def test_exposure_is_a_share_of_attention():
    whole = 1 + 1 / math.log2(3) + 1 / 2
    q1, q2 = values("exposure(field=brand, value=y)@3")
    assert q1 == pytest.approx(1 / whole)
    assert math.isnan(q2)
    assert values("exposure(field=brand, value=x)@3")[0] == pytest.approx(1.5 / whole)
    assert values("exposure(field=age, below=30)@3")[0] == pytest.approx(1 / whole)
    assert values("exposure(field=age)@3")[0] == pytest.approx(1.5 / whole)


def test_position_of_what_was_bought():
    assert values("position")[0] == 2.0
    assert values("position(rel=2)")[0] == 2.5
    assert values("position(by=median)@2")[0] == 1.5
    assert values("position(by=median)")[0] == 2.0
    assert math.isnan(values("position")[1])


@pytest.mark.parametrize(
    "written",
    [
        "revenue@10",
        "revenue(field='cost', by='grade')@5",
        "exposure(field='brand', value='acme')@10",
        "exposure(field='age', below=30)@10",
        "position",
        "position(by='median', rel=2)@50",
    ],
)
def test_a_measure_prints_as_it_is_written(written):
    assert str(parse_business_measure(written)) == written
    assert str(over(parse_business_measure(written), columns)) == written


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("revenu@10", "no measure 'revenu'; did you mean 'revenue'"),
        ("revenue", "needs a cutoff, such as revenue@10"),
        ("revenue@0", "a cutoff is 1 or more"),
        ("revenue(by=grades)@3", "by is 'grades'; did you mean 'grade'"),
        ("revenue(brand=x)@3", "no setting 'brand'"),
        ("exposure@3", r"say whose, as exposure\(field=is_new\)@10"),
        ("exposure(field=a, value=b, below=2)@3", "give one"),
        ("position(rel=two)", "rel is 'two', no number"),
    ],
)
def test_what_is_not_understood_is_named(written, message):
    with pytest.raises(InputError, match=message):
        parse_business_measure(written)


@pytest.mark.parametrize(
    "written", ["revenue(rel=-1)@10", "revenue(rel=nan)@10", "exposure(field=price, below=nan)@10"]
)
def test_bounds_that_hold_nothing_are_refused(written):
    with pytest.raises(InputError, match=r"above 0|no number"):
        parse_business_measure(written)
