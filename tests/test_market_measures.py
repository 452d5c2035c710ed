"""Market measures by hand: means, percentiles, exposure, evenness and where purchases stand."""

import math

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.market import Listings, Ranked, parse_market_measure, ranked

NAN = math.nan
LOG3 = math.log2(3)
# Request 0: four rows; request 1: two; request 2: none; request 3: two rows without a purchase.
LISTINGS = Listings(
    np.array([0, 4, 6, 6, 8], np.int64),
    {
        "gain": np.array([1, 0, 0, 0, 0, 1, 0, 0], np.float32),
        "new": np.array([0, 1, NAN, 0, 0, 3, 0, 1], np.float32),
        "purchase": np.array([1, 0, 1, 0, 0, 2, 0, 0], np.float32),
        "none": np.zeros(8, np.float32),
    },
    {
        "seller": np.array([0, 1, 1, 5, 0, 1, -1, -1], np.int32),
        "own": np.array([3, 3, 3, 3, 3, 3, 3, 3], np.int32),
        "nobody": np.full(8, -1, np.int32),
    },
)
# The first child keeps the listings' order, the second turns each round.
UP = np.array([4, 3, 2, 1, 2, 1, 2, 1], np.float32)
DOWN = np.array([1, 2, 3, 4, 1, 2, 1, 2], np.float32)
ORDERS = ranked(LISTINGS, np.stack([UP, DOWN], axis=1))
# Two ranks of three requests have the attention 1 and 1 / log2(3) each.
WHOLE = 3 * (1 + 1 / LOG3)


def gini(values: list[float]) -> float:
    """Return it by its definition: the mean of all differences over twice the mean."""
    many, mean = len(values), sum(values) / len(values)
    return sum(abs(a - b) for a in values for b in values) / (2 * many * many * mean)


def entropy(values: list[float]) -> float:
    shares = [value / sum(values) for value in values if value > 0]
    return -sum(share * math.log(share) for share in shares) / math.log(len(values))


# The sellers 0, 1 and 5 by child: 5 is never among the first child's two.
UP_SELLERS = [1 + 1, 1 / LOG3 + 1 / LOG3, 0.0]
DOWN_SELLERS = [1 / LOG3, 1 / LOG3 + 1, 1.0]
EXPECTED = {
    "MRR": ([(1 + 1 / 2) / 2, (1 / 4 + 1) / 2], 2),
    "nDCG@1": ([1 / 2, 1 / 2], 2),
    "percentile(MRR, 0)": ([1 / 2, 1 / 4], 2),
    "percentile(MRR, 10)": ([0.55, 0.325], 2),
    "percentile(MRR, 100)": ([1.0, 1.0], 2),
    "position(purchase)": ([1.5, 1.5], 2),
    "exposure(new)@2": ([3 / LOG3 / WHOLE, (1 + 1) / WHOLE], 1),
    "exposure(new)@1": ([0.0, 2 / 3], 1),
    "parity(new)@2": ([3 / LOG3 / WHOLE / (3 / 8), 2 / WHOLE / (3 / 8)], 1),
    "gini(seller)@2": ([gini(UP_SELLERS), gini(DOWN_SELLERS)], 1),
    "evenness(seller)@2": ([entropy(UP_SELLERS), entropy(DOWN_SELLERS)], 1),
    "gini(own)@2": ([0.0, 0.0], 1),
    "evenness(own)@2": ([NAN, NAN], 1),
    "gini(nobody)@2": ([NAN, NAN], 1),
    "evenness(nobody)@2": ([NAN, NAN], 1),
    "purchases_at(1)": ([1 / 3, 1 / 3], 2),
    "purchases_at(2)": ([1 / 3, 1 / 3], 2),
    "purchases_at(3)": ([1 / 3, 0.0], 2),
    "purchases_at(4)": ([0.0, 1 / 3], 2),
    "purchases_at(1, new)": ([0.0, 2 / 3], 1),
    "share(new)@1 where purchase": ([0.0, 1 / 2], 0),
    "percentile(share(new)@1, 50) where purchase": ([0.0, 1 / 2], 0),
    "exposure(new)@1 where purchase": ([0.0, 1 / 2], 0),
    "parity(new)@1 where purchase": ([0.0, 1 / 2 / (2 / 6)], 0),
    "gini(seller)@1 where gain": ([gini([2, 0, 0]), gini([0, 1, 1])], 0),
    "evenness(seller)@1 where gain": ([0.0, entropy([0, 1, 1])], 0),
    "purchases_at(1) where new": ([1 / 3, 1 / 3], 1),
    "MRR where none": ([NAN, NAN], 0),
    "percentile(MRR, 10) where none": ([NAN, NAN], 0),
    "exposure(new)@2 where none": ([NAN, NAN], 0),
    "parity(none)@2": ([NAN, NAN], 1),
    "purchases_at(1, none)": ([NAN, NAN], 4),
    "nDCG(gain=none)@10": ([NAN, NAN], 4),
    "percentile(nDCG(gain=none)@10, 10)": ([NAN, NAN], 4),
}


@pytest.mark.parametrize("written", EXPECTED)
def test_a_market_measure_is_as_by_hand_and_counts_what_it_leaves_out(written: str) -> None:
    measure = parse_market_measure(written)
    values, left_out = EXPECTED[written]
    assert str(measure) == written
    np.testing.assert_allclose(measure.of(ORDERS), values, rtol=1e-12, atol=1e-15)
    assert measure.undefined(ORDERS).tolist() == [left_out, left_out]


def test_a_request_without_positives_counts_neither_for_nor_against() -> None:
    whole = Listings(np.array([0, 2, 4], np.int64), {"gain": np.array([0, 1, 0, 0], np.float32)})
    first = whole.take(np.array([0]))
    scores = np.array([[2], [1], [2], [1]], np.float32)
    measure = parse_market_measure("nDCG@10")
    with_it, without = ranked(whole, scores), ranked(first, scores[:2])
    assert measure.of(with_it) == measure.of(without) == pytest.approx(1 / LOG3)
    assert (measure.undefined(with_it), measure.undefined(without)) == (1, 0)


def exposed(sellers: list[int]) -> Ranked:
    """Return one row a request, all at the first rank."""
    many = len(sellers)
    listings = Listings(np.arange(many + 1), {}, {"seller": np.array(sellers, np.int32)})
    return ranked(listings, np.zeros((many, 1), np.float32))


def test_even_exposure_has_gini_0_and_evenness_1() -> None:
    orders = exposed([0, 1, 2, 3, 3, 2, 1, 0])
    assert parse_market_measure("gini(seller)@1").of(orders) == pytest.approx(0, abs=1e-15)
    assert parse_market_measure("evenness(seller)@1").of(orders) == pytest.approx(1)


def test_gini_rises_towards_1_as_one_seller_takes_all() -> None:
    values = [
        parse_market_measure("gini(seller)@1").of(exposed(s)).item()
        for s in ([0, 1, 2, 3] * 3, [0, 1, 2, 3] + [0] * 4, [0, 1, 2, 3] + [0] * 400)
    ]
    assert values == sorted(values)
    # One of four sellers with everything has 1 - 1/4.
    assert values[-1] == pytest.approx(0.75, abs=0.01)


def test_percentiles_equal_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    offsets = np.arange(0, 31 * 20, 20, dtype=np.int64)
    gain = np.where(rng.random(600) < 0.04, rng.random(600), 0).astype(np.float32)
    orders = ranked(Listings(offsets, {"gain": gain}), rng.normal(size=(600, 5)).astype(np.float32))
    pages = parse_market_measure("nDCG@10").page.per_request(orders)  # type: ignore[attr-defined]
    assert np.isnan(pages).any()
    for percent in (0, 10, 33.3, 100):
        values = parse_market_measure(f"percentile(nDCG@10, {percent})").of(orders)
        np.testing.assert_allclose(values, np.nanpercentile(pages, percent, axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("exposuer(new)@10", "did you mean 'exposure'"),
        ("percentile(nDCG@10)", "takes a page measure and a number"),
        ("percentile(nDCG@10, ten)", "'ten' is no number"),
        ("percentile(nDCG@10, 101)", "from 0 to 100"),
        ("percentile(gini(seller)@10, 10)", "no measure 'gini'"),
        ("exposure(new)", "exposure needs a cutoff"),
        ("exposure(new)@0", "a cutoff is 1 or more"),
        ("purchases_at(0)", "a rank is 1 or more"),
        ("purchases_at", "takes a rank"),
        ("nDCG@10 where", "is not a whole number"),
    ],
)
def test_what_is_not_understood_is_told_with_what_is_accepted(written: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_market_measure(written)
