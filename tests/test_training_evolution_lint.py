"""Lint: what is refused before a generation is spent."""

import numpy as np
import pytest

from cascade.errors import RefusedError
from cascade.market.listings import Listings
from cascade.training.evolution.fitness import FitnessSettings
from cascade.training.evolution.lint import lint, refuse


def codes(listings=None, **settings):
    return [finding.code for finding in lint(FitnessSettings(**settings), listings)]


@pytest.mark.parametrize(
    "flat",
    ["recall@10", "recall@10 where purchase", "total(gain)@10", "mean(purchase)@5", "recall@2"],
)
def test_a_relevance_term_that_is_flat_inside_the_page_is_refused(flat):
    assert codes(measures={flat: 1.0, "mean(price)@3": 1.0}) == ["flat-relevance"]
    assert codes(raised="mean(price)@3", bounds={flat: ">= 0.99 of base"}) == ["flat-relevance"]
    assert codes(objectives={"relevance": flat, "new": "share(new)@10"}) == ["flat-relevance"]


@pytest.mark.parametrize(
    "falling",
    [
        "nDCG@10",
        "nDCG",
        "MRR",
        "ERR@10",
        "recall@1",
        "nDCG(gain=purchase)@10",
        "percentile(nDCG@10, 10)",
        "position(purchase)",
        "exposure(purchase)@10",
        "purchases_at(1)",
    ],
)
def test_one_that_falls_with_each_rank_is_enough(falling):
    assert codes(measures={falling: 1.0, "mean(price)@3": 1.0}) == []
    mixed = {"recall@10": 1.0, "mean(price)@3": 1.0}
    assert codes(measures=mixed, bounds={falling: ">= 0.9 of base"}) == []


def test_a_flat_term_alone_is_not_refused_for_nothing_pulls_within_the_page():
    assert codes(raised="recall@10") == []


def test_the_message_explains_what_would_happen():
    settings = FitnessSettings(measures={"recall@10": 1.0, "mean(price)@3": 1.0})
    (finding,) = lint(settings)
    assert "from rank 1 to rank 10 and lose nothing" in finding.message
    assert "nDCG@10" in finding.message
    with pytest.raises(RefusedError, match=r"allow = \[flat-relevance\] overrides"):
        refuse([finding])
    refuse([finding], allow=["flat-relevance"])


def test_no_relevance_at_all_is_refused():
    found = codes(raised="total(price)@10", bounds={"gini(seller)@10": "<= 0.4"})
    assert found == ["no-relevance"]
    # A gain that is a price says nothing of what shoppers want.
    assert codes(raised="nDCG(gain=price)@10") == ["no-relevance"]


def test_a_lower_bound_on_what_is_raised_alone_is_told():
    found = lint(FitnessSettings(raised="nDCG@10", bounds={"nDCG@10": ">= 0.9 of base"}))
    assert [(finding.code, finding.refused) for finding in found] == [("idle-bound", False)]
    refuse(found)


def test_a_function_cannot_be_seen_into():
    found = lint(FitnessSettings(function="math:floor"))
    assert [(finding.code, finding.refused) for finding in found] == [("plain-function", False)]


def test_columns_are_looked_up():
    gain = np.array([0, 0, np.nan], dtype=np.float32)
    listings = Listings(
        np.array([0, 3]),
        {"gain": gain, "price": np.ones(3, dtype=np.float32)},
        {"seller": np.zeros(3, dtype=np.int32)},
    )
    written = {"nDCG@10": 1.0, "mean(prize)@3": 1.0, "gini(seller)@10": -1.0}
    assert codes(listings, measures=written) == ["no-positives", "no-column"]
    found = lint(FitnessSettings(measures=written), listings)
    assert "they have gain, price, seller" in found[1].message
    gain[1] = 1
    assert codes(listings, raised="nDCG@10") == []
