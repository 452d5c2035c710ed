"""Lint: what is refused before a generation is spent."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from cascade.errors import InputError, RefusedError
from cascade.market.listings import Listings
from cascade.training.evolution.constraints import parse_bound
from cascade.training.evolution.findings import Code, refuse
from cascade.training.evolution.fitness import FitnessSettings
from cascade.training.evolution.lint import lint, lint_bounds, lint_inputs
from cascade.training.evolution.samples import Sample


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
        "exposure(purchase)@10",
        "purchases_at(1)",
    ],
)
def test_one_that_falls_with_each_rank_is_enough(falling):
    assert codes(measures={falling: 1.0, "mean(price)@3": 1.0}) == []
    mixed = {"recall@10": 1.0, "mean(price)@3": 1.0}
    assert codes(measures=mixed, bounds={falling: ">= 0.9 of base"}) == []


def test_the_first_purchase_speaks_for_relevance_where_its_rank_is_lowered():
    earlier = {"position(purchase)": -1.0, "mean(price)@3": 1.0}
    assert codes(measures=earlier) == []
    assert codes(raised="mean(price)@3", bounds={"position(purchase)": "<= 1.1 of base"}) == []
    later = {"position(purchase)": 1.0, "mean(price)@3": 1.0}
    assert codes(measures=later) == ["no-relevance"]
    assert codes(raised="mean(price)@3", bounds={"position(purchase)": ">= 3"}) == ["no-relevance"]


@pytest.mark.parametrize(
    "settings",
    [
        {"measures": {"nDCG@10": -1.0, "mean(price)@3": 1.0}},
        {"raised": "mean(price)@3", "bounds": {"nDCG@10": "<= 0.4"}},
        # Which requests are looked at says nothing of what is asked of them.
        {"raised": "mean(price)@3 where purchase"},
    ],
)
def test_to_lower_relevance_does_not_speak_for_it(settings):
    assert codes(**settings) == ["no-relevance"]


def test_what_lowers_relevance_makes_a_flat_term_no_better():
    found = lint(FitnessSettings(measures={"recall@10": 1.0, "nDCG@10": -0.5}))
    assert [finding.code for finding in found] == ["flat-relevance"]
    assert "raises nDCG@10 (weight -0.5) may move" in found[0].message


def test_a_flat_term_alone_is_not_refused_for_nothing_pulls_within_the_page():
    assert codes(raised="recall@10") == []


def test_the_message_explains_what_would_happen():
    settings = FitnessSettings(measures={"recall@10": 1.0, "mean(price)@3": 1.0})
    (finding,) = lint(settings)
    assert "from rank 1 to rank 10 and lose nothing" in finding.message
    assert "nDCG@10" in finding.message
    with pytest.raises(RefusedError, match=r'allow = \["flat-relevance"\] lets it'):
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
    with pytest.raises(InputError) as caught:
        lint(FitnessSettings(measures=written), listings)
    said = "no column 'prize'; did you mean 'price'? accepted: gain, price"
    assert said in str(caught.value)
    assert "[evolution.columns] defines more" in str(caught.value)
    del written["mean(prize)@3"]
    assert codes(listings, measures=written) == ["no-positives"]
    gain[1] = 1
    assert codes(listings, raised="nDCG@10") == []


def test_columns_of_filters_and_groupings_are_looked_up():
    listings = Listings(
        np.array([0, 2]),
        {"gain": np.float32([1, 0]), "price": np.float32([1, 2])},
        {"seller": np.int32([0, 1])},
    )
    written = {
        "nDCG@10 where price": 1.0,
        "MRR where bought": 1.0,
        "gini(brand)@3": -1.0,
        "distinct(price)@3": 1.0,
        "mean(seller)@3": 1.0,
    }
    with pytest.raises(InputError) as caught:
        lint(FitnessSettings(measures=written), listings)
    # A grouping is no column, and a column is no grouping.
    assert re.findall(r"no (?:column|groups) '\w+'", str(caught.value)) == [
        "no column 'bought'",
        "no column 'seller'",
        "no groups 'brand'",
        "no groups 'price'",
    ]
    assert "evolution.groups names the keyword fields" in str(caught.value)


def test_a_filter_that_no_request_passes():
    columns = {"gain": np.float32([1, 0]), "bought": np.float32([0, np.nan])}
    listings = Listings(np.array([0, 2]), columns)
    assert codes(listings, raised="nDCG@10 where bought") == ["no-positives"]


def sample(gains, inputs=((1.0, 0.0), (0.0, 0.0))):
    listings = Listings(np.array([0, 2]), {"gain": np.float32(gains), "price": np.float32([5, 9])})
    return Sample(listings, np.float32([1, 0]), np.float32(inputs), ("score", "surface(app)"))


def test_a_bound_that_the_order_of_relevance_breaks():
    # The wanted row is the first of the one part, the second of the other: MRR 1 and 0.5.
    parts = {"train": sample([1, 0]), "test": sample([0, 1])}

    def told(name, text):
        found = lint_bounds(parts, [parse_bound(name, text)])
        return [(f.code, f.refused) for f in found], " ".join(f.message for f in found)

    assert told("MRR", ">= 0.5") == ([], "")
    assert told("MRR", ">= 1 of base") == ([], "")
    found, message = told("MRR", ">= 0.6")
    assert found == [("unmet-bound", True)]
    assert "itself reaches 0.5000 on test requests" in message
    assert "train" not in message
    assert "the stages rank by relevance alone, so few policies reach more" in message
    assert told("MRR", ">= 1.01 of base")[0] == [("unmet-bound", True)]
    assert told("position(gain)", "<= 1.5")[0] == [("unmet-bound", True)]
    # What is no relevance may have to be raised, or relevance to be lowered.
    assert told("mean(price)@1", ">= 7")[0] == [("unmet-bound", False)]
    assert told("mean(price)@1", "<= 6")[0] == []
    assert told("MRR", "<= 0.7")[0] == [("unmet-bound", False)]


def test_an_input_that_is_the_same_in_every_row():
    found = lint_inputs(sample([1, 0]))
    assert [(f.code, f.refused) for f in found] == [("idle-input", False)]
    assert "the input surface(app) is 0 in every row" in found[0].message
    assert lint_inputs(sample([1, 0], ((1, 0), (0, 1)))) == ()


def test_a_bound_on_what_no_request_defines():
    # The one request of the other part has no row that gains.
    parts = {"train": sample([0, 1]), "test": sample([0, 0])}
    for text in (">= 0.9 of base", "<= 0.9"):
        (found,) = lint_bounds(parts, [parse_bound("MRR", text)])
        assert (found.code, found.refused) == ("unmet-bound", True)
        assert "MRR is undefined for every one of the test requests" in found.message
        assert "take more requests, or another [split]" in found.message
        assert "nan" not in found.message
    found = lint_bounds(parts, [parse_bound("MRR", ">= 0.6")])
    told = " ".join(one.message for one in found)
    assert len(found) == 2
    assert "itself reaches 0.5000 on train requests" in told


def test_every_code_is_documented_once():
    page = Path(__file__).parent.parent / "docs" / "evolution.md"
    rows = re.findall(r"^\| `([a-z-]+)` \| (?:yes|no|of relevance)\b", page.read_text(), re.M)
    assert sorted(rows) == sorted(get_args(Code))
