"""The lesson of rank 10, on planted requests that no search has seen."""

import pytest

from cascade.errors import RefusedError
from cascade.training.evolution.findings import refuse
from cascade.training.evolution.lesson import BOUNDED, FLAT, lesson, planted
from cascade.training.evolution.lint import lint


@pytest.fixture(scope="module")
def told():
    return lesson(seed=0, requests=200, generations=40)


def test_a_flat_term_lets_the_purchase_slip_down_the_page_unseen(told):
    assert told.base["nDCG@10"] - told.flat["nDCG@10"] > 0.15
    assert abs(told.base["recall@10"] - told.flat["recall@10"]) <= 0.03
    assert told.flat["mean(price)@3"] > 1.3 * told.base["mean(price)@3"]


def test_with_a_bound_the_price_rises_and_relevance_holds(told):
    assert told.bounded["nDCG@10"] >= 0.95 * told.base["nDCG@10"]
    assert told.bounded["mean(price)@3"] > 1.03 * told.base["mean(price)@3"]


def test_the_linter_refuses_the_first_and_passes_the_second():
    listings = planted(20, 0).listings
    with pytest.raises(RefusedError, match="flat-relevance"):
        refuse(lint(FLAT, listings))
    assert lint(BOUNDED, listings) == ()
