"""The front of a policy: two requests whose order at each preference is known by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from cascade.business.shape import Shape
from cascade.errors import InputError
from cascade.market.listings import Listings
from cascade.training.evolution.samples import Sample
from cascade.workflows.policy_front import FrontAsked, Promises, front_of, ladder, scale_of

SHAPE = Shape(("score", "dear", "none"), ("revenue", "relevance"))
MEASURES = {"relevance": "MRR", "revenue": "mean(price)@1"}


def weights():
    """Return 10 tanh(5 x dear x share of revenue) as what is added to the score."""
    found = np.zeros(SHAPE.size)
    found[0] = 10.0
    parts = SHAPE.parts(found)
    parts["W"][1, 0] = 5.0
    assert found.any()
    return found


def sample():
    """Return two requests of a wanted row and a dear one 2 below it.

    The dear row of the first request rises above a share of 0.405, that of the second above 0.81,
    since 10 tanh(5 x 0.0405) = 2.
    """
    listings = Listings(
        np.array([0, 2, 4]),
        {"gain": np.float32([1, 0, 1, 0]), "price": np.float32([1, 3, 1, 3])},
        {},
    )
    scores = np.float32([1, -1, 1, -1])
    dear = np.float32([0, 0.1, 0, 0.05])
    return Sample(listings, scores, np.stack([scores, dear, 0 * dear], axis=1), SHAPE.inputs)


def asked(bounds, margin=0.5, steps=4):
    return FrontAsked(sample(), MEASURES, steps, ["dear"], 4, Promises(bounds, margin))


def test_each_preference_reaches_what_its_orders_are_worth():
    front = front_of(SHAPE, weights(), asked({}))
    told = {
        p.preference["revenue"]: (p.values["relevance"], p.values["revenue"]) for p in front.points
    }
    assert told == {0: (1, 1), 0.25: (1, 1), 0.5: (0.75, 2), 0.75: (0.75, 2), 1: (0.5, 3)}
    assert all(sum(p.preference.values()) == 1 for p in front.points)
    assert front.base == {"relevance": 1, "revenue": 1}
    assert all(p.kept and p.accepted for p in front.points)
    assert front.requests == 2


def test_names_of_all_points():
    named = front_of(SHAPE, weights(), asked({})).named()
    assert named["relevance"]["revenue"] <= 0.25
    assert named["revenue"] == {"relevance": 0, "revenue": 1}
    assert named["balanced"]["revenue"] in (0.5, 0.75)


@pytest.mark.parametrize(
    ("bound", "margin", "accepted"),
    [
        # The base is 1, so a margin of half asks for the middle between the level and 1.
        (">= 0.4", 0.5, {0, 0.25, 0.5, 0.75}),
        (">= 0.4", 0.0, {0, 0.25, 0.5, 0.75, 1}),
        (">= 0.6 of base", 0.5, {0, 0.25}),
        (">= 0.6 of base", 0.0, {0, 0.25, 0.5, 0.75}),
        (">= 1.5 of base", 0.5, set()),
    ],
)
def test_only_points_that_keep_the_promises_by_the_margin_have_names(bound, margin, accepted):
    front = front_of(SHAPE, weights(), asked({"MRR": bound}, margin))
    assert {p.preference["revenue"] for p in front.points if p.accepted} == accepted
    named = front.named()
    assert {shares["revenue"] for shares in named.values()} <= accepted
    assert set(named) == ({"relevance", "revenue", "balanced"} if accepted else set())
    if accepted:
        best = max(p.values["revenue"] for p in front.points if p.accepted)
        (point,) = (p for p in front.points if "revenue" in p.names)
        assert point.values["revenue"] == best


def test_a_dominated_point_has_no_name():
    # Both measures fall as the share of revenue rises, so the first two points beat the others.
    measures = {"relevance": "MRR", "revenue": "share(gain)@1"}
    given = FrontAsked(sample(), measures, 4, ["dear"], 4, Promises({}, 0.5))
    front = front_of(SHAPE, weights(), given)
    kept = {p.preference["revenue"] for p in front.points if p.kept}
    assert kept == {0, 0.25}
    assert {s["revenue"] for s in front.named().values()} <= kept


def test_hypervolume_and_grid_in_units_of_the_base():
    front = front_of(SHAPE, weights(), asked({}))
    # Above 0.9 of the base in both lies (1, 1) alone, on either side.
    assert front.hypervolume.value == pytest.approx(0.01)
    assert front.grid.value == pytest.approx(0.01)
    assert front.blends == 4
    assert (front.more.value, front.more.low, front.more.high) == (0, 0, 0)


def test_the_reference_lies_below_the_order_of_relevance_whatever_its_sign():
    base = np.array([4.0, -4.0, 0.0])
    unit, reference = scale_of(base)
    assert unit.tolist() == [4.0, 4.0, 1.0]
    np.testing.assert_allclose(reference, [0.9, -1.1, -0.1])
    assert (base / unit > reference).all()


def test_a_policy_is_set_beside_the_grid_on_the_same_draws():
    # A margin is negative in the order of relevance, -4, and 1 in place of it once the dear row
    # of the second request stands first: -1.5 of both.
    listings = Listings(
        np.array([0, 2, 4]),
        {"gain": np.float32([1, 1, 1, 1]), "margin": np.float32([-4, -4, -4, 1])},
        {},
    )
    given = replace(sample(), listings=listings)
    measures = {"relevance": "MRR", "revenue": "mean(margin)@1"}
    asked = FrontAsked(given, measures, 4, ["none"], 4, Promises({}, 0.5))
    front = front_of(SHAPE, weights(), asked)
    assert front.base == {"relevance": 1, "revenue": -4}
    # Blends of an input that is 0 change nothing: 0.1 x 0.1 above the reference. The policy has
    # -1.5 / 4 at the same relevance, 1.1 - 0.375 above it.
    assert front.grid.value == pytest.approx(0.1 * 0.1)
    assert front.hypervolume.value == pytest.approx(0.1 * (1.1 - 0.375))
    assert front.more.value == pytest.approx(0.1 * 0.625)
    # A draw has the second request never, once or twice: it gains 0, 2.5 / 4 or 5 / 4.
    assert (front.more.low, front.more.high) == pytest.approx((0, 0.1 * 1.25))
    assert (front.grid.low, front.grid.high) == pytest.approx((0.01, 0.01))


def test_rank_correlation_is_that_of_the_ladder():
    front = front_of(SHAPE, weights(), asked({}))
    # Shares of revenue 0 to 0.4 reach 1, 0.5 to 0.8 reach 2, 0.9 and 1 reach 3.
    wanted = spearmanr(np.arange(11), [1] * 5 + [2] * 4 + [3] * 2).statistic
    assert front.monotone["revenue"] == pytest.approx(wanted)
    assert front.monotone["relevance"] == pytest.approx(wanted)
    flat = front_of(SHAPE, SHAPE.start(0), asked({}))
    assert all(math.isnan(value) for value in flat.monotone.values())
    assert {tuple(p.values.values()) for p in flat.points} == {(1, 1)}


def test_a_ladder_shares_the_rest_evenly():
    rows = ladder(["a", "b", "c"], "b", steps=2)
    np.testing.assert_allclose(rows, [[0.5, 0, 0.5], [0.25, 0.5, 0.25], [0, 1, 0]])
    np.testing.assert_allclose(ladder(["a"], "a", steps=2), [[0], [0.5], [1]])


def test_more_preferences_than_a_chunk_holds_stay_in_order():
    few = front_of(SHAPE, weights(), asked({}, steps=4))
    many = front_of(SHAPE, weights(), asked({}, steps=80))
    assert len(many.points) == 81
    by_share = {round(p.preference["revenue"], 9): p.values for p in many.points}
    for point in few.points:
        assert by_share[point.preference["revenue"]] == point.values


def test_a_promise_of_no_column():
    with pytest.raises(InputError, match="no column 'prise'"):
        front_of(SHAPE, weights(), asked({"mean(prise)@3": ">= 1"}))
