"""The orders of many children: against a stable sort of each listing by each child."""

import sys
from itertools import pairwise

import numpy as np
import pytest

from cascade.errors import InputError, OptionalDependencyError
from cascade.market import Listings, Ranked, parse_page_measure, ranked
from cascade.market.counting import MANY, blocks, compiled, in_threads, write_ranks


def reference(offsets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return int32[n, c]: the place of each row after a stable sort of its listing."""
    found = np.empty(scores.shape, np.int32)
    for begin, end in pairwise(offsets):
        for child in range(scores.shape[1]):
            order = np.argsort(-scores[begin:end, child], kind="stable")
            found[begin + order, child] = np.arange(1, end - begin + 1)
    return found


def drawn(seed: int, longest: int, share: float, children: int) -> tuple[Listings, np.ndarray]:
    """Return listings of any length, empty ones among them, with many equal scores."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, longest, 15))]).astype(np.int64)
    rows = int(offsets[-1])
    scores = rng.integers(-3, 4, (rows, children)).astype(np.float32) / np.float32(10)
    scores[rng.random(scores.shape) < 0.1] *= -0.0
    gain = (rng.random(rows) < share).astype(np.float32)
    return Listings(offsets, {"gain": gain}), scores


CASES = [(1, 4, 0.3, 1), (2, 30, 0.1, 70), (3, 30, 1.0, 5), (4, 700, 0.02, 9), (5, 900, 0.8, 3)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [1, 3])
def test_ranks_are_those_of_a_stable_sort(case: tuple[int, int, float, int], threads: int) -> None:
    listings, scores = drawn(*case)
    expected = reference(listings.offsets, scores)
    orders = ranked(listings, scores, threads)
    hits = np.flatnonzero(listings.columns["gain"] > 0)
    np.testing.assert_array_equal(orders.hit_ranks("gain"), expected[hits])
    some = np.random.default_rng(1).integers(0, max(len(listings), 1), 20)
    if len(listings):
        np.testing.assert_array_equal(orders.ranks(some), expected[some])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 10, 1000])
def test_top_holds_the_rows_of_the_first_ranks(case: tuple[int, int, float, int], k: int) -> None:
    listings, scores = drawn(*case)
    top = ranked(listings, scores).top(k)
    expected = np.full((listings.requests, k, scores.shape[1]), -1)
    ranks = reference(listings.offsets, scores)
    for row, child in np.ndindex(*scores.shape):
        if ranks[row, child] <= k:
            expected[listings.request[row], ranks[row, child] - 1, child] = row
    np.testing.assert_array_equal(top, expected)


def test_an_earlier_row_of_equal_score_stands_first() -> None:
    listings = Listings(np.array([0, 4], np.int64), {"gain": np.ones(4, np.float32)})
    scores = np.array([[0.0, 1], [-0.0, 1], [1e-45, 2], [0.0, 1]], np.float32)
    orders = ranked(listings, scores)
    assert orders.ranks(np.arange(4)).T.tolist() == [[2, 3, 1, 4], [2, 3, 1, 4]]
    assert orders.top(2)[0].T.tolist() == [[2, 0], [2, 0]]


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_counting_and_sorting_give_one_value(share: float) -> None:
    listings, scores = drawn(6, 700, share, 40)
    gaining = np.bincount(listings.request, listings.columns["gain"], listings.requests)
    assert (gaining[gaining > 0].mean() > MANY) == (share == 1.0)
    values = parse_page_measure("nDCG@10").per_request(ranked(listings, scores))
    ranks = reference(listings.offsets, scores)
    discount = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0) * listings.columns["gain"][:, None]
    gained = np.add.reduceat(np.append(discount, np.zeros((1, 40)), axis=0), listings.offsets[:-1])
    many = np.add.reduceat(np.append(listings.columns["gain"], 0), listings.offsets[:-1])
    best = np.append(0, np.cumsum(1 / np.log2(np.arange(2, 12))))[np.minimum(many, 10).astype(int)]
    filled = (np.diff(listings.offsets) > 0) & (many > 0)
    expected = (gained / np.where(best > 0, best, 1)[:, None])[filled]
    np.testing.assert_allclose(values[filled], expected, rtol=1e-12)
    assert np.isnan(values[~filled]).all()


def test_a_function_is_asked_for_the_scores_of_rows() -> None:
    listings, scores = drawn(7, 80, 0.1, 6)
    known = ranked(listings, scores)
    asked = ranked(listings, lambda rows: scores[rows], children=6)
    np.testing.assert_array_equal(asked.hit_ranks("gain"), known.hit_ranks("gain"))
    np.testing.assert_array_equal(asked.top(7), known.top(7))


def test_a_shorter_top_is_read_from_a_longer_one() -> None:
    listings, scores = drawn(8, 30, 0.1, 6)
    orders = ranked(listings, scores)
    longer = orders.top(10)
    assert np.shares_memory(orders.top(4), longer)
    np.testing.assert_array_equal(orders.top(4), ranked(listings, scores).top(4))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("ask", [lambda o: o.hit_ranks("gain"), lambda o: o.top(3)])
def test_scores_that_are_no_numbers_are_refused_with_the_child(bad: float, ask) -> None:
    listings, scores = drawn(9, 30, 0.3, 4)
    row = int(np.flatnonzero(listings.columns["gain"])[0])
    scores[row, 2] = bad
    with pytest.raises(InputError, match=r"child 2 has NaN or infinity"):
        ask(ranked(listings, scores))


def test_scores_of_another_shape_are_refused() -> None:
    listings, scores = drawn(10, 30, 0.3, 4)
    with pytest.raises(InputError, match="one row for each of the"):
        ranked(listings, scores[1:])
    with pytest.raises(InputError, match="say how many `children`"):
        ranked(listings, lambda rows: scores[rows])
    with pytest.raises(InputError, match="threads is 0"):
        ranked(listings, scores, 0)


@pytest.mark.parametrize("part", [np.s_[:2], np.s_[:, :2], np.s_[:, 0]])
@pytest.mark.parametrize("ask", [lambda o: o.hit_ranks("gain"), lambda o: o.top(3)])
def test_a_function_that_gives_another_shape_is_refused(part, ask) -> None:
    listings, scores = drawn(16, 30, 0.3, 4)
    orders = ranked(listings, lambda rows: scores[rows][part], children=4)
    with pytest.raises(InputError, match=r"the function gave scores of the shape .* 4 children"):
        ask(orders)


@pytest.mark.parametrize("row", [-1, 1_000_000])
def test_rows_that_are_not_there_are_refused(row: int) -> None:
    listings, scores = drawn(17, 30, 0.3, 4)
    with pytest.raises(InputError, match=rf"{row}.* accepted: 0 to {len(listings) - 1}"):
        ranked(listings, scores).ranks(np.array([0, row]))


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match=r"'price' has the shape \[3\]; the listings have 4 rows"):
        Listings(np.array([0, 4], np.int64), {"price": np.zeros(3, np.float32)})


def test_many_blocks_count_as_one() -> None:
    rng = np.random.default_rng(11)
    offsets = np.arange(0, 40_001, 100, dtype=np.int64)
    rows = np.flatnonzero(rng.random(40_000) < 0.1)
    scores = rng.normal(size=(40_000, 128)).astype(np.float32)
    plan = blocks(offsets, rows, 128)
    assert len(plan) > 2
    assert len(plan) % 2 == 0
    found = np.zeros((len(rows), 128), np.int32)
    for block in plan:
        write_ranks(block, lambda rows: scores[rows], found)
    some = rng.integers(0, len(rows), 50)
    listing = scores.reshape(400, 100, 128)[rows[some] // 100]
    above = (listing > scores[rows[some], None, :]).sum(axis=1)
    np.testing.assert_array_equal(found[some], 1 + above)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 100, 300])
@pytest.mark.parametrize("children", [1, 15, 16, 17, 48])
@pytest.mark.parametrize("column_order", [False, True])
def test_equal_scores_by_their_place(length: int, children: int, column_order: bool) -> None:
    rng = np.random.default_rng(length)
    offsets = np.arange(0, 12 * length + 1, length, dtype=np.int64)
    scores = rng.integers(-1, 3, (12 * length, children)).astype(np.float32)
    rows = np.flatnonzero(rng.random(12 * length) < 0.3)
    found = np.zeros((len(rows), children), np.int32)
    asked = np.asfortranarray(scores) if column_order else scores
    for block in blocks(offsets, rows, children):
        write_ranks(block, lambda rows: asked[rows], found)
    np.testing.assert_array_equal(found, reference(offsets, scores)[rows])


@pytest.mark.parametrize("column_order", [False, True])
def test_parts_of_wider_scores_rank_as_copies_of_them(column_order: bool) -> None:
    listings, scores = drawn(15, 40, 0.3, 60)
    wide = np.asfortranarray(scores) if column_order else scores
    for part in (slice(0, 32), slice(3, 40), slice(0, 60, 2), slice(None, None, -1)):
        seen, copied = ranked(listings, wide[:, part]), ranked(listings, wide[:, part].copy())
        np.testing.assert_array_equal(seen.hit_ranks("gain"), copied.hit_ranks("gain"))
        expected = reference(listings.offsets, scores[:, part])
        hits = np.flatnonzero(listings.columns["gain"] > 0)
        np.testing.assert_array_equal(seen.hit_ranks("gain"), expected[hits])


@pytest.mark.parametrize("threads", [1, 2, 5, 100])
def test_threads_do_every_chunk_once_and_raise_what_any_of_them_raises(threads: int) -> None:
    done: list[int] = []
    in_threads(done.append, range(50), threads)
    assert sorted(done) == list(range(50))
    in_threads(done.append, [], threads)

    def refuse(chunk: int) -> None:
        if chunk == 7:
            raise InputError("the seventh")

    with pytest.raises(InputError, match="the seventh"):
        in_threads(refuse, range(50), threads)


@pytest.mark.parametrize("cutoff", [1, 3, 10, None])
def test_discounts_are_those_of_a_stable_sort_whatever_was_asked_before(cutoff: int | None) -> None:
    listings, scores = drawn(12, 60, 0.2, 30)
    ranks = reference(listings.offsets, scores)
    worth = np.where(ranks <= (cutoff or 60), 1 / np.log2(1 + ranks), 0)
    expected = np.zeros((listings.requests, 30))
    np.add.at(expected, listings.request, worth * listings.columns["gain"][:, None])
    orders = ranked(listings, scores)
    counted = orders.discounted("gain", cutoff)
    orders = ranked(listings, scores)
    orders.hit_ranks("gain")
    read = orders.discounted("gain", cutoff)
    np.testing.assert_allclose(counted, expected, rtol=1e-12)
    np.testing.assert_allclose(read, expected, rtol=1e-12)


def test_without_numba_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cascade.market.kernels", raising=False)
    monkeypatch.delattr("cascade.market.kernels", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    listings, scores = drawn(13, 30, 0.3, 4)
    with pytest.raises(OptionalDependencyError, match=r"cascade-ranking\[evolve\]"):
        ranked(listings, scores).hit_ranks("gain")


def test_where_nothing_compiled_can_be_kept_a_folder_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numba = pytest.importorskip("numba")

    def njit(**options: object) -> object:
        raise RuntimeError("cannot cache function 'ranks': no locator available")

    monkeypatch.delitem(sys.modules, "cascade.market.kernels", raising=False)
    monkeypatch.delattr("cascade.market.kernels", raising=False)
    monkeypatch.setattr(numba, "njit", njit)
    with pytest.raises(InputError, match="set NUMBA_CACHE_DIR"):
        compiled()


def test_scores_of_double_width_rank_alike() -> None:
    listings, scores = drawn(14, 30, 0.3, 4)
    orders = ranked(listings, lambda rows: scores[rows].astype(np.float64), children=4)
    known = ranked(listings, scores)
    np.testing.assert_array_equal(orders.top(3), known.top(3))
    np.testing.assert_array_equal(orders.hit_ranks("gain"), known.hit_ranks("gain"))


def test_no_rows_at_all() -> None:
    empty = Listings(np.zeros(3, np.int64), {"gain": np.zeros(0, np.float32)})
    orders = ranked(empty, np.zeros((0, 2), np.float32))
    assert isinstance(orders, Ranked)
    assert orders.top(2).tolist() == [[[-1, -1], [-1, -1]]] * 2
    assert np.isnan(parse_page_measure("nDCG@10").per_request(orders)).all()
    assert np.isnan(parse_page_measure("mean(gain)@10").per_request(orders)).all()
