"""Drift: bins, the stability index, a planted shift and none, and the overlap of two rankings."""

import numpy as np
import pytest

from cascade.drift import (
    SCORE,
    DriftMonitor,
    histogram_of,
    overlap,
    read_reference,
    reference_of,
    stability,
)
from cascade.errors import ChecksumError, InputError

NAMES = ("text", "price", "rare", "words")
ROWS = 20


def listings(count: int, seed: int, shift: float = 0.0) -> list[np.ndarray]:
    """Return matrices of 20 rows: a score, a price that shifts, mostly 0, and one a query."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        price = np.exp(rng.normal(3 + shift, 1, ROWS))
        price[rng.random(ROWS) < 0.1] = np.nan
        rare = np.where(rng.random(ROWS) < 0.03, rng.random(ROWS), 0.0)
        words = np.full(ROWS, rng.poisson(3))
        made.append(np.stack([rng.normal(0, 1, ROWS), price, rare, words], 1).astype(np.float32))
    return made


def scored(matrix: np.ndarray) -> np.ndarray:
    return (matrix[:, 0] - np.nan_to_num(matrix[:, 1]) / 30).astype(np.float32)


@pytest.fixture(scope="module")
def reference():
    matrix = np.concatenate(listings(600, seed=1))
    return reference_of(matrix, scored(matrix), NAMES, np.arange(601) * ROWS)


def watched(reference, matrices):
    monitor = DriftMonitor(reference, block=500)
    for matrix in matrices:
        monitor.observe(matrix, scored(matrix))
    return monitor.psi()


@pytest.mark.parametrize("seed", range(2, 7))
def test_it_is_silent_on_500_listings_of_the_same_kind(reference, seed):
    psi = watched(reference, listings(500, seed))
    assert psi.keys() == {*NAMES, SCORE}
    assert max(psi.values()) < 0.1


def test_it_fires_on_a_planted_shift_and_names_the_feature(reference):
    psi = watched(reference, listings(500, seed=9, shift=0.7))
    assert psi["price"] > 0.25
    assert psi[SCORE] > 0.1
    assert max(psi[name] for name in ("text", "rare", "words")) < 0.1


def test_it_fires_on_values_that_are_no_longer_there(reference):
    gone = listings(500, seed=9)
    for matrix in gone:
        matrix[:, 1] = np.nan
    assert watched(reference, gone)["price"] > 0.25


def test_it_fires_where_a_feature_is_nearly_always_zero(reference):
    often = listings(500, seed=9)
    for matrix in often:
        matrix[:6, 2] = 0.5
    assert watched(reference, often)["rare"] > 0.25


def test_it_says_nothing_before_a_block_is_full(reference):
    assert watched(reference, listings(499, seed=2)) == {}


def test_what_is_long_over_is_forgotten(reference):
    shifted, same = listings(500, 9, shift=2.0), listings(1_000, 10)
    assert watched(reference, shifted)["price"] > 0.25
    assert watched(reference, shifted + same[:499])["price"] > 0.25
    assert watched(reference, shifted + same)["price"] < 0.1


def test_the_index_by_hand():
    # (0.4 - 0.5) ln(0.4 / 0.5) + (0.6 - 0.5) ln(0.6 / 0.5) = 0.022314 + 0.018232
    assert stability(np.array([0.5, 0.5]), np.array([0.4, 0.6])) == pytest.approx(
        0.040547, abs=1e-6
    )
    assert stability(np.array([0.2, 0.8]), np.array([0.2, 0.8])) == 0.0
    # An empty bin counts as 1e-4, so that the index stays finite.
    assert stability(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(
        18.41884, abs=1e-4
    )


def test_bins_hold_a_tenth_each_and_a_number_of_its_own_stands_apart():
    flat = histogram_of(np.arange(1_000, dtype=np.float32))
    assert flat.shares == pytest.approx([0.1] * 10 + [0.0], abs=0.0011)
    atom = histogram_of(np.array([0.0] * 97 + [1.0, 2.0, np.nan], dtype=np.float32))
    assert atom.edges[0] == 0.0
    # Below 0, exactly 0, above it, missing.
    assert atom.shares == pytest.approx((0.0, 0.97, 0.02, 0.01))


def test_every_listing_weighs_the_same_however_long_it_is():
    values = np.array([1.0] * 9 + [2.0], dtype=np.float32)
    told = reference_of(values[:, None], values, ("a",), np.array([0, 9, 10]))
    assert told.listings == 2
    assert told.score.shares[1] == pytest.approx(0.5)
    monitor = DriftMonitor(told, block=2)
    monitor.observe(values[:9, None], values[:9])
    monitor.observe(values[9:, None], values[9:])
    assert monitor.psi() == pytest.approx({"a": 0.0, SCORE: 0.0})


def test_a_reference_is_read_as_it_was_written(reference):
    again = read_reference(reference.encoded())
    assert again.features == reference.features
    assert (again.score, again.rows, again.listings) == (reference.score, 12_000, 600)
    np.testing.assert_array_equal(again.probe, reference.probe)
    np.testing.assert_array_equal(again.probe_scores, reference.probe_scores)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"features": {"a": {"edges": [1]}}}'])
def test_a_damaged_reference_is_refused(content):
    with pytest.raises(ChecksumError, match="reference"):
        read_reference(content)


def test_no_rows_make_no_reference():
    with pytest.raises(InputError, match="needs rows"):
        reference_of(
            np.empty((0, 2), np.float32), np.empty(0, np.float32), ("a", "b"), np.zeros(1, np.int64)
        )


def overlap_by_definition(one: list[str], two: list[str], p: float) -> float:
    """Eq. 32 of Webber et al. 2010, written out term by term."""
    short, long_ = sorted((one, two), key=len)
    s, n = len(short), len(long_)

    def x(d):
        return len(set(short[:d]) & set(long_[:d]))

    first = sum(x(d) / d * p**d for d in range(1, n + 1))
    second = sum(x(s) * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (first + second) + ((x(n) - x(s)) / n + x(s) / s) * p**n


def test_overlap_of_equal_and_of_strange_lists():
    assert overlap(np.array(list("abc")), np.array(list("abc"))) == pytest.approx(1.0)
    assert overlap(np.array(list("abc")), np.array(list("xyz"))) == 0.0
    assert overlap(np.array([]), np.array([])) == 1.0
    assert overlap(np.array([]), np.array([1])) == 0.0


def test_overlap_by_hand():
    # ab against ba at p = 0.5: agreements 0 and 1; (0.5 / 0.5) (0 + 1 * 0.25) + 1 * 0.25 = 0.5
    assert overlap(np.array(["a", "b"]), np.array(["b", "a"]), 0.5) == pytest.approx(0.5)


def test_overlap_is_that_of_the_paper_for_lists_of_any_lengths():
    rng = np.random.default_rng(0)
    for _ in range(30):
        one = rng.permutation(12)[: rng.integers(1, 12)]
        two = rng.permutation(12)[: rng.integers(1, 12)]
        p = float(rng.uniform(0.2, 0.98))
        expected = overlap_by_definition(list(one), list(two), p)
        assert overlap(one, two, p) == pytest.approx(expected)
        assert overlap(two, one, p) == pytest.approx(expected)


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0])
def test_a_reader_who_never_or_always_goes_on_is_refused(p):
    with pytest.raises(InputError, match="between 0 and 1"):
        overlap(np.array([1]), np.array([1]), p)


def test_a_query_that_finds_nothing_does_not_silence_what_the_others_show(reference):
    monitor = DriftMonitor(reference, block=60)
    for matrix in listings(59, seed=9, shift=3.0):
        monitor.observe(matrix, scored(matrix))
    monitor.observe(np.empty((0, len(NAMES)), np.float32), np.empty(0, np.float32))
    assert monitor.psi() == {}
    assert monitor.psi(least=1)["price"] > 0.25
