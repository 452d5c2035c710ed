"""Page measures by hand, and nDCG against the measure that reports use."""

import math
from itertools import pairwise

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.judgments import Judgments
from cascade.market import Listings, Ranked, parse_page_measure, ranked
from cascade.measures import parse_measure
from cascade.protocols import Run

NAN = math.nan
# Three requests: four rows, none, and two where nothing gains. The second child turns each round.
LISTINGS = Listings(
    np.array([0, 4, 4, 6], np.int64),
    {
        "gain": np.array([0, 2.5, 0, 1, 0, NAN], np.float32),
        "price": np.array([10, NAN, 30, 20, NAN, NAN], np.float32),
        "new": np.array([1, 0, NAN, 1, 0, 0], np.float32),
        "purchase": np.array([0, 1, 0, 1, 0, 0], np.float32),
    },
    {"seller": np.array([7, 7, -1, 8, -1, -1], np.int32)},
)
SCORES = np.array([[4, 1], [3, 2], [2, 3], [1, 4], [2, 1], [1, 2]], np.float32)


def found(written: str, listings: Listings = LISTINGS) -> np.ndarray:
    return parse_page_measure(written).per_request(ranked(listings, SCORES, threads=1))


def log2(number: float) -> float:
    return math.log2(number)


BEST = 2.5 / log2(2) + 1 / log2(3)
# The grades 2.5 and 1 satisfy with (2^2.5 - 1) / 16 and 1 / 16.
P, R = (2**2.5 - 1) / 16, 1 / 16
EXPECTED = {
    # First child: ranks 2 and 4 gain 2.5 and 1; second: rank 1 gains 1, rank 3 gains 2.5.
    "nDCG": [(2.5 / log2(3) + 1 / log2(5)) / BEST, (1 + 2.5 / log2(4)) / BEST],
    "nDCG@2": [2.5 / log2(3) / BEST, 1 / BEST],
    "nDCG@1": [0.0, 1 / 2.5],
    "nDCG(gain=price)@1": [10 / 30, 20 / 30],
    "MRR": [1 / 2, 1.0],
    "MRR@1": [0.0, 1.0],
    "ERR@4": [P / 2 + (1 - P) * R / 4, R + (1 - R) * P / 3],
    "ERR@2": [P / 2, R],
    "recall@2": [1 / 2, 1 / 2],
    "recall@4": [1.0, 1.0],
    "recall@1": [0.0, 1 / 2],
    "mean(price)@3": [20.0, 25.0],
    "min(price)@3": [10.0, 20.0],
    "max(price)@2": [10.0, 30.0],
    "total(price)@3": [40.0, 50.0],
    "share(new)@2": [1 / 2, 1 / 2],
    "share(new)@10": [2 / 4, 2 / 4],
    "distinct(seller)@2": [1.0, 1.0],
    "distinct(seller)@4": [2.0, 2.0],
    "position(purchase)": [2.0, 1.0],
}
# What the last request, whose prices and gains are unknown, has all the same.
LAST = {"total": 0.0, "share": 0.0, "distinct": 0.0}


@pytest.mark.parametrize("written", EXPECTED)
def test_a_page_measure_is_as_by_hand_and_undefined_where_it_has_nothing_to_say(
    written: str,
) -> None:
    values = found(written)
    np.testing.assert_allclose(values[0], EXPECTED[written], rtol=1e-12)
    assert np.isnan(values[1]).all()
    last = LAST.get(written.partition("(")[0], NAN)
    np.testing.assert_array_equal(values[2], [last, last])


@pytest.mark.parametrize("written", [*EXPECTED, "ERR(gain=price, max_rel=5)@3", "nDCG(gain=price)"])
def test_a_page_measure_prints_as_it_is_written(written: str) -> None:
    assert str(parse_page_measure(written)) == written


def test_capitals_of_a_name_and_spaces_do_not_matter() -> None:
    assert parse_page_measure(" NDCG( gain = price ) @ 10 ") == parse_page_measure(
        "nDCG(gain=price)@10"
    )


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("nDGC@10", "did you mean 'nDCG'"),
        ("nDCG(gian=price)@10", "did you mean 'gain'"),
        ("nDCG@ten", "cutoff 'ten' is not a whole number"),
        ("nDCG@0", "a cutoff is 1 or more"),
        ("recall", "recall needs a cutoff"),
        ("mean@3", "takes one column"),
        ("mean(price)", "mean needs a cutoff"),
        ("position(purchase)@3", "position has no cutoff"),
        ("ERR(max_rel=high)@3", "no number"),
        ("nDCG@10@5", "is not understood"),
        ("", "is not understood"),
    ],
)
def test_what_is_not_understood_is_told_with_what_is_accepted(written: str, told: str) -> None:
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        parse_page_measure(written)


def test_a_missing_column_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no column 'prise'; did you mean 'price'"):
        found("mean(prise)@3")
    with pytest.raises(InputError, match="no groups 'sellers'; did you mean 'seller'"):
        found("distinct(sellers)@3")


def test_a_grade_above_the_scale_is_refused() -> None:
    with pytest.raises(InputError, match=r"there is the grade 30; max_rel"):
        found("ERR(gain=price)@3")


def grades_of_run(seed: int, share: float) -> tuple[Ranked, Run, Judgments]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 60, 40)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = int(offsets[-1])
    gain = np.where(rng.random(rows) < share, rng.integers(1, 5, rows), 0).astype(np.float32)
    scores = rng.normal(size=(rows, 1)).astype(np.float32)
    rankings, grades = [], {}
    for query, (begin, end) in enumerate(pairwise(offsets)):
        order = begin + np.argsort(-scores[begin:end, 0], kind="stable")
        rankings.append(tuple(str(row) for row in order))
        grades[str(query)] = {str(row): float(gain[row]) for row in range(begin, end)}
    run = Run(tuple(str(query) for query in range(40)), tuple(rankings))
    return ranked(Listings(offsets, {"gain": gain}), scores), run, Judgments({}, grades)


@pytest.mark.parametrize("share", [0.1, 0.95])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("nDCG@10", "nDCG@10"),
        ("nDCG", "nDCG"),
        ("MRR", "RR"),
        ("ERR@10", "ERR@10"),
        ("recall@10", "R@10"),
    ],
)
def test_measures_equal_those_of_reports(ours: str, theirs: str, share: float) -> None:
    orders, run, judgments = grades_of_run(5, share)
    expected = parse_measure(theirs).per_query(run, judgments)
    values = parse_page_measure(ours).per_request(orders)[:, 0]
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=0)
    assert np.isnan(values).any()
    assert np.isfinite(values).sum() > 20
