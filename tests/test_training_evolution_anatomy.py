"""What measures are made of: every measure that can be written, by hand."""

import pytest

from cascade.market import MARKET_MEASURES, PAGE_MEASURES
from cascade.training.evolution.anatomy import anatomy

# As it is written; the columns and groups that it reads; the ranks within which it is flat.
WRITTEN = [
    ("nDCG@10", {"gain"}, set(), 0),
    ("nDCG(gain=price)", {"price"}, set(), 0),
    ("MRR", {"gain"}, set(), 0),
    ("MRR(gain=purchase)@5", {"purchase"}, set(), 0),
    ("ERR@10", {"gain"}, set(), 0),
    ("ERR(gain=grade, max_rel=4)@3", {"grade"}, set(), 0),
    ("recall@10", {"gain"}, set(), 10),
    ("recall(gain=purchase)@2", {"purchase"}, set(), 2),
    ("recall@1", {"gain"}, set(), 0),
    ("mean(price)@3", {"price"}, set(), 3),
    ("min(price)@3", {"price"}, set(), 3),
    ("max(price)@4", {"price"}, set(), 4),
    ("total(price)@5", {"price"}, set(), 5),
    ("total(price)@1", {"price"}, set(), 0),
    ("share(new)@6", {"new"}, set(), 6),
    ("distinct(brand)@7", set(), {"brand"}, 7),
    ("position(purchase)", {"purchase"}, set(), 0),
    ("percentile(nDCG@10, 5)", {"gain"}, set(), 0),
    ("percentile(recall@8, 5)", {"gain"}, set(), 8),
    ("percentile(distinct(brand)@7, 5)", set(), {"brand"}, 7),
    ("exposure(new)@10", {"new"}, set(), 0),
    ("parity(new)@10", {"new"}, set(), 0),
    ("gini(seller)@10", set(), {"seller"}, 0),
    ("evenness(seller)@10", set(), {"seller"}, 0),
    ("purchases_at(1)", {"purchase"}, set(), 0),
    ("purchases_at(2, gain)", {"gain"}, set(), 0),
]


@pytest.mark.parametrize("where", ["", "bought"])
@pytest.mark.parametrize(("text", "columns", "groups", "flat"), WRITTEN)
def test_what_a_measure_reads_and_where_it_is_flat(text, columns, groups, flat, where):
    found = anatomy(f"{text} where {where}" if where else text)
    assert (found.columns, found.groups, found.flat) == (columns, groups, flat)
    assert found.where == where
    assert found.read == columns | ({where} if where else set())
    assert found.rising == (not text.startswith("position"))


def test_the_table_has_every_measure():
    names = {text.partition("(")[0].partition("@")[0] for text, *_ in WRITTEN}
    assert names == {*PAGE_MEASURES, *MARKET_MEASURES}


def test_what_speaks_for_relevance():
    # A position speaks for it where it is lowered, and a filter never does.
    assert anatomy("nDCG@10").speaks(True, {"gain"})
    assert not anatomy("nDCG@10").speaks(False, {"gain"})
    assert not anatomy("nDCG(gain=price)@10").speaks(True, {"gain"})
    assert anatomy("position(gain)").speaks(False, {"gain"})
    assert not anatomy("position(gain)").speaks(True, {"gain"})
    assert not anatomy("mean(price)@3 where gain").speaks(True, {"gain"})
