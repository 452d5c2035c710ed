"""What filters show of each other: what is called so holds for every row."""

from hypothesis import given, settings

from cascade.business.implied import disjoint, implies
from cascade.business.where import matches
from tests.business_rules import EVERY_ROW, FILTERS, where


@settings(max_examples=300)
@given(FILTERS, FILTERS)
def test_rows_that_are_called_different_are(left, right):
    one, other = where(left), where(right)
    if disjoint(one, other):
        assert not (matches(one, EVERY_ROW) & matches(other, EVERY_ROW)).any()


@settings(max_examples=300)
@given(FILTERS, FILTERS)
def test_rows_that_are_called_some_of_the_others_are(left, right):
    narrow, wide = where(left), where(right)
    if implies(narrow, wide):
        assert not (matches(narrow, EVERY_ROW) & ~matches(wide, EVERY_ROW)).any()
