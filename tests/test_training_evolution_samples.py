"""Samples: rows that belong together, and what any order makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.business.shape import Shape
from cascade.errors import InputError
from cascade.market.listings import Listings
from cascade.training.evolution.samples import (
    Sample,
    displaced,
    measured,
    per_request,
    policy_scores,
    random_policies,
    undefined,
)
from tests.small_market import small_market


def tiny():
    """Two requests, of three rows and of one."""
    return Sample(
        Listings(
            np.array([0, 3, 4]),
            {
                "gain": np.array([1, 0, 0, 1], dtype=np.float32),
                "price": np.array([1, 2, 3, 4], dtype=np.float32),
            },
        ),
        np.array([3, 2, 1, 9], dtype=np.float32),
        np.array([[1], [2], [3], [4]], dtype=np.float32),
        ("price",),
    )


def test_rows_of_requests_by_hand():
    listings = Listings(np.array([0, 3, 3, 5]))
    assert listings.rows_of(np.array([2, 1, 0, 2])).tolist() == [3, 4, 0, 1, 2, 3, 4]
    assert listings.rows_of(np.array([], dtype=np.int64)).tolist() == []


def test_a_part_keeps_what_belongs_together():
    part = tiny().take(np.array([1, 0]))
    assert part.scores.tolist() == [9, 3, 2, 1]
    assert part.input("price").tolist() == part.listings.column("price").tolist() == [4, 1, 2, 3]
    assert part.listings.request.tolist() == [0, 1, 1, 1]


def test_random_policies_add_as_much_as_scores_differ_by_within_listings():
    # Within listings scores lie 1 from their mean, the listings themselves 1,000 apart.
    listings = Listings(np.array([0, 2, 4, 4]))
    scores = np.array([1001, 999, 1, -1], dtype=np.float32)
    sample = Sample(listings, scores, np.zeros((4, 1), dtype=np.float32), ("price",))
    shape = Shape(("price",), ("revenue",), hidden=3)
    drawn = random_policies(shape, sample, 4_000, [7])
    assert drawn.shape == (4_000, shape.size)
    assert drawn[:, 0].std() == pytest.approx(1.0, rel=0.05)
    # The rest is that of starts: v over the root of 3 units, the layer below over the root of 3.
    assert (drawn[:, 1] == 0).all()
    assert drawn[:, 2:].std(axis=0) == pytest.approx(np.full(shape.size - 2, 3**-0.5), rel=0.05)
    np.testing.assert_array_equal(drawn, random_policies(shape, sample, 4_000, [7]))
    assert (drawn != random_policies(shape, sample, 4_000, [8]))[:, 2:].all()
    doubled = replace(sample, scores=2 * scores)
    twice = random_policies(shape, doubled, 4_000, [7])
    np.testing.assert_allclose(twice[:, 0], 2 * drawn[:, 0])


def test_requests_without_a_value_are_counted():
    sample = tiny()
    sample.listings.columns["gain"][3] = 0
    assert undefined(sample, ["MRR", "mean(price)@1"]) == {"MRR": 1, "mean(price)@1": 0}


def test_any_scores_are_measured_alike():
    sample = tiny()
    scores = np.stack([sample.scores, -sample.scores], axis=1)
    found = measured(sample, scores, ["MRR", "mean(price)@1"])
    np.testing.assert_allclose(found["MRR"], [1.0, (1 / 3 + 1) / 2])
    np.testing.assert_allclose(found["mean(price)@1"], [2.5, 3.5])
    np.testing.assert_allclose(
        per_request(sample, scores, ["MRR", "mean(price)@1"]),
        [[[1, 1], [1 / 3, 3]], [[1, 4], [1, 4]]],
    )


def test_displacement_by_hand():
    sample = tiny()
    found = displaced(sample, np.array([0, 1, 2, 0], dtype=np.float32), limit=1)
    # Ranks 1, 2, 3 become 3, 2, 1; the lone row stays.
    assert (found.largest, found.mean, found.far) == (2, 1.0, 0.5)
    still = displaced(sample, sample.scores)
    assert (still.largest, still.mean, still.far) == (0, 0.0, 0.0)


def test_one_policy_under_several_preferences():
    sample = small_market(5)
    shape = Shape(sample.names, ("revenue", "growth"))
    weights = np.random.default_rng(0).standard_normal(shape.size)
    preferences = np.array([[1.0, 0.0], [0.25, 0.75]])
    found = policy_scores(shape, weights, sample, preferences)
    for number, preference in enumerate(preferences.astype(np.float32)):
        asked = np.tile(preference, (len(sample.scores), 1))
        alone = shape.utilities(weights[None, :], sample.scores, sample.inputs, asked)
        np.testing.assert_array_equal(found[:, number], alone[:, 0])
    assert not np.array_equal(found[:, 0], found[:, 1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"names": ("price", "stock")}, "have the shapes"),
        ({"scores": np.array([1, 2, 3, 4], dtype=np.float32)}, "rise within a listing"),
        ({"scores": np.array([3, np.nan, 1, 9], dtype=np.float32)}, "NaN or infinity"),
        ({"inputs": np.full((4, 1), np.inf, dtype=np.float32)}, "NaN or infinity"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        replace(tiny(), **change)


def test_an_unknown_input_is_named_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'price'"):
        tiny().input("prices")
