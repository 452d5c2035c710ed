"""The guard rail: what a policy may cost a listing, kept for any utilities and any gains."""

import math
from dataclasses import replace

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.business import Business, LinearBlend
from cascade.business.bounds import bounded_order
from cascade.business.guard import Guard, SurrogateGain
from cascade.business.inputs import relevance_scores
from cascade.business.objectives import Number
from cascade.candidates import Query, concatenated

DOCUMENTS = MemoryDocuments(
    {"price": "number"}, [{"id": f"d{i}", "price": float((i * 37) % 101)} for i in range(120)]
)
BLEND = LinearBlend((Number(name="price", field="price"),))


def listing(scores, heads=None, rows=None, **query):
    batch = candidates(
        DOCUMENTS,
        (Query("q", "ring", **query), range(len(scores)) if rows is None else rows),
        columns={} if heads is None else {"p_buy": heads},
    )
    return batch.with_scores(np.array(scores, dtype=np.float32))


def plain_dcg(gains, top):
    return sum(gain / math.log2(1 + rank) for rank, gain in enumerate(gains[:top], start=1))


class TestGain:
    def test_softplus_of_the_standardised_score(self):
        # Standardised, 3, 2 and 1 are 1.2247, 0 and -1.2247.
        found = SurrogateGain().of(listing([3, 2, 1]))
        z = 1.5**0.5
        wanted = [math.log1p(math.exp(z)), math.log(2), math.log1p(math.exp(-z))]
        assert found.tolist() == pytest.approx(wanted)

    def test_knots(self):
        gain = SurrogateGain(scores=(-1.0, 0.0, 1.0), gains=(0.0, 0.5, 2.0))
        z = 1.5**0.5
        assert gain.of(listing([3, 2, 1])).tolist() == pytest.approx([2.0, 0.5, 0.0])
        half = gain.of(listing([4, 3, 3, 2]))  # standardised sqrt 2, 0, 0, -sqrt 2
        assert half.tolist() == pytest.approx([2.0, 0.5, 0.5, 0.0])
        assert z > 1

    def test_a_head_where_the_listing_has_it(self):
        gain = SurrogateGain(head="p_buy")
        assert gain.of(listing([3, 2, 1], heads=[0.25, -1, np.nan])).tolist() == [0.25, 0, 0]
        mapped = SurrogateGain().of(listing([3, 2, 1])).tolist()
        assert gain.of(listing([3, 2, 1])).tolist() == mapped
        assert gain.of(listing([3, 2, 1], heads=[np.nan] * 3)).tolist() == mapped
        both = concatenated([listing([2, 1], heads=[0.5, 0.25]), listing([3, 2, 1])])
        assert gain.of(both).tolist() == pytest.approx([0.5, 0.25, *mapped])

    @pytest.mark.parametrize(
        ("scores", "gains"),
        [((0, 0), (1, 2)), ((0, 1), (2, 1)), ((0, 1), (-1, 1)), ((0,), ()), ((0,), (math.nan,))],
    )
    def test_knots_that_are_not_monotone(self, scores, gains):
        with pytest.raises(ValueError, match="the knots of a surrogate gain"):
            SurrogateGain(None, scores, gains)


class TestGuard:
    def test_loss_by_hand(self):
        guard = Guard(0.1, top=2)
        # 3 + 1 / log2(3) in the order of relevance; 1 + 3 / log2(3) with the two exchanged.
        second = 1 / math.log2(3)
        wanted = 1 - (1 + 3 * second) / (3 + second)
        assert guard.loss(np.array([3.0, 1.0, 1.0]), np.array([1, 0, 2])) == pytest.approx(wanted)
        assert guard.loss(np.zeros(3), np.array([2, 1, 0])) == 0

    def test_a_policy_within_the_bound_is_left_alone(self):
        batch = listing([3, 2.9, 1])
        utilities = np.array([1, 2, 0], dtype=np.float32)
        found = Guard(0.9).enforced(batch, relevance_scores(batch), utilities, 9)
        assert (found.order.tolist(), found.strength) == ([1, 0, 2], 1.0)
        assert found.utilities is utilities

    def test_a_bound_of_nothing_keeps_the_order_of_relevance(self):
        batch = listing([3, 2, 1])
        utilities = np.array([0, 1, 2], dtype=np.float32)
        found = Guard(0.0).enforced(batch, relevance_scores(batch), utilities, 9)
        assert found.order.tolist() == [0, 1, 2]
        assert found.loss == 0

    def test_the_order_falls_back_no_further_than_needed(self):
        batch = listing([4, 3, 2, 1])
        base = relevance_scores(batch)
        utilities = base[::-1].copy()  # the policy turns the listing round
        gains = SurrogateGain().of(batch)
        found = Guard(0.05).enforced(batch, base, utilities, 9)
        assert 0 < found.strength < 1
        stronger = base + np.float32(found.strength + 1 / 256) * (utilities - base)
        order = np.argsort(-stronger, kind="stable")
        whole = plain_dcg(gains, 10)
        assert plain_dcg(gains[order], 10) < 0.95 * whole <= plain_dcg(gains[found.order], 10)
        assert found.loss == pytest.approx(1 - plain_dcg(gains[found.order], 10) / whole)

    def test_identity_utilities_give_the_order_bit_for_bit(self):
        batch = listing(np.random.default_rng(0).standard_normal(80))
        base = relevance_scores(batch)
        found = Guard(0.0).enforced(batch, base, base, 20)
        assert found.order.tolist() == list(range(80))
        assert found.utilities.tobytes() == base.tobytes()
        assert (found.strength, found.loss) == (1.0, 0.0)

    @pytest.mark.parametrize(
        "count", [300, pytest.param(10_000, marks=pytest.mark.full)], ids=["some", "all"]
    )
    def test_the_bound_is_never_broken(self, count):
        """Any scores, heads, utilities and settings; the loss is summed in plain Python."""
        rng = np.random.default_rng(count)
        held_back = 0
        for _ in range(count):
            batch, guard, utilities, displacement = random_case(rng)
            relevance = relevance_scores(batch)
            found = guard.enforced(batch, relevance, utilities, displacement)
            assert sorted(found.order.tolist()) == list(range(len(batch)))
            moved = np.abs(found.order - np.arange(len(batch)))
            assert moved.max(initial=0) <= displacement
            gains = guard.gain.of(batch).tolist()
            before = plain_dcg(gains, guard.top)
            after = plain_dcg([gains[i] for i in found.order], guard.top)
            assert after >= (1 - guard.max_loss) * before - 1e-12 * before
            # What is logged gives the order again.
            assert bounded_order(found.utilities, displacement).tolist() == found.order.tolist()
            held_back += found.strength < 1
        assert count / 10 < held_back < count


def random_case(rng):
    """Return a random listing with a guard, utilities and a displacement bound."""
    count = int(rng.integers(1, 101))
    scores = rng.standard_normal(count) * 10.0 ** rng.integers(-3, 4)
    if rng.random() < 0.7:
        scores = -np.sort(-scores)  # else several stages' blocks
    if rng.random() < 0.3:
        scores = np.round(scores)
    heads = None
    if rng.random() < 0.5:
        heads = rng.random(count) ** 4
        heads[rng.random(count) < 0.2] = np.nan
    batch = listing(scores, heads, rows=rng.integers(0, 120, count))
    knots = SurrogateGain(None, (-2.0, 0.0, 1.5), (0.0, 0.1, 1.0))
    gain = [SurrogateGain(), SurrogateGain("p_buy"), knots][rng.integers(3)]
    max_loss = float(rng.choice([0.0, 0.001, 0.02, 0.1, 0.5]))
    guard = Guard(max_loss, int(rng.choice([1, 3, 10, 200])), gain)
    push = rng.standard_normal(count) * rng.choice([0.01, 1.0, 100.0])
    utilities = (relevance_scores(batch) + push).astype(np.float32)
    return batch, guard, utilities, int(rng.choice([0, 2, 20, 200]))


class TestBusiness:
    def test_the_trace_says_what_was_held_back(self):
        batch = listing(np.linspace(9, 0, 40), preference={"price": 5.0})
        free, told = Business(policy=BLEND).rerank(batch)
        assert (told.loss, told.allowed, told.strength, told.note) == (None, None, 1.0, "")
        bound = Business(policy=BLEND, guard=Guard(0.02))
        out, told = bound.rerank(batch)
        assert 0 < told.loss <= told.allowed == 0.02
        assert 0 < told.strength < 1
        assert out.rows.tolist() not in (free.rows.tolist(), batch.rows.tolist())
        assert told.note == (
            f"guard: strength {told.strength:.3f}, surrogate loss {told.loss:.4f} of 0.0200 allowed"
        )
        assert (told.reason, told.reverted) == ("", False)
        # What is logged gives the order again.
        again = bounded_order(told.utilities, bound.max_displacement)
        assert again.tolist() == told.blended.tolist()

    @pytest.mark.parametrize("heads", [None, [np.nan] * 40])
    def test_the_trace_says_that_the_head_is_in_no_row(self, heads):
        batch = listing(np.linspace(9, 0, 40), heads, preference={"price": 5.0})
        out, told = Business(policy=BLEND, guard=Guard(0.02, 10, SurrogateGain("p_buy"))).rerank(
            batch
        )
        by_score, _ = Business(policy=BLEND, guard=Guard(0.02)).rerank(batch)
        assert out.rows.tolist() == by_score.rows.tolist()
        assert told.headless == "p_buy"
        assert told.note.endswith(
            "allowed; guard: no row has the head 'p_buy', so scores stand for gains"
        )

    def test_the_trace_says_nothing_of_a_head_that_rows_have(self):
        heads = [np.nan] * 39 + [0.1]
        batch = listing(np.linspace(9, 0, 40), heads, preference={"price": 5.0})
        business = Business(policy=BLEND, guard=Guard(1.0, 10, SurrogateGain("p_buy")))
        _, told = business.rerank(batch)
        assert (told.headless, told.note) == ("", "")
        # Below the window nothing is read.
        _, told = replace(business, window=39).rerank(batch)
        assert told.note == "guard: no row has the head 'p_buy', so scores stand for gains"

    def test_without_a_preference_nothing_is_measured(self):
        batch = listing(np.linspace(9, 0, 40))
        out, told = Business(policy=BLEND, guard=Guard(0.02)).rerank(batch)
        assert out is batch
        assert (told.loss, told.strength, told.note) == (None, 1.0, "")

    def test_rows_below_the_window_stay(self):
        batch = listing(np.linspace(9, 0, 40), preference={"price": 5.0})
        business = Business(policy=BLEND, window=8, guard=Guard(0.01))
        out, told = business.rerank(batch)
        assert out.rows.tolist()[8:] == list(range(8, 40))
        assert told.loss <= 0.01
