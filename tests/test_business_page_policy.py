"""The page policy: pages that differ, found by a beam, within the displacement bound."""

import itertools
import math

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.business import Business, LinearBlend, build_business
from cascade.business.bounds import bounded_order
from cascade.business.objectives import Number
from cascade.business.page_policy import PagePolicy
from cascade.candidates import Query, concatenated
from cascade.errors import ConfigError

DOCUMENTS = MemoryDocuments(
    {"seller": "keyword", "price": "number"},
    [
        {"id": f"d{i}", "seller": [s] if s else [], "price": p}
        for i, (s, p) in enumerate(zip("aaabbcde" * 5 + "  ", [1.0, 9.0, 5.0] * 14, strict=True))
    ],
)
BLEND = LinearBlend((Number(name="price", field="price"),))


def listing(rows, **query):
    return candidates(DOCUMENTS, (Query("1", "ring", **query), rows))


def policy(**settings):
    given = {"fields": ("seller",), "max_displacement": 99, **settings}
    return PagePolicy(policy=BLEND, **given)


def order_of(batch, page, preference):
    return bounded_order(page.utilities(batch, preference), page.max_displacement).tolist()


def test_rows_of_another_seller_rise():
    # d0, d1, d2 are of seller a, d3 of b. Relevance 1, 2/3, 1/3, 0: at rank 2 d3 is worth
    # 0 + 1, d1 2/3 + 0; at rank 3 every novelty of a is 1/2. With a share of 0.02, d2 before d3 is
    # worth 0.333 / 2 + 0.02 / 2.32 = 0.175, d3 before d2 0.02 / 2 + 0.34 / 2.32 = 0.157.
    batch = listing([0, 1, 2, 3])
    assert order_of(batch, policy(), {"diversity": 1.0}) == [0, 3, 1, 2]
    assert order_of(batch, policy(), {"diversity": 0.02}) == [0, 1, 2, 3]


def test_a_number_field_differs_by_standard_deviations():
    # Prices 1, 1, 9: standardised -0.707, -0.707 and 1.414; the third differs by 2.12 / 2, cut to
    # 1, and the second from the mean of the others, 0.354, by 0.530. With a share of s the pages
    # are worth 0.5 / 1.585 + s / 2 and s / 1.585 + (0.5 + 0.53 s) / 2: equal at s = 0.165.
    batch = listing([0, 3, 1])
    page = policy(fields=("price",))
    assert order_of(batch, page, {"diversity": 0.16}) == [0, 1, 2]
    assert order_of(batch, page, {"diversity": 0.17}) == [0, 2, 1]


@pytest.mark.parametrize("preference", [{}, {"price": 0.5}, {"price": 0.5, "diversity": 0.0}])
def test_without_a_share_it_is_the_policy_it_holds(preference):
    batch = listing(range(30))
    found = policy().utilities(batch, preference)
    assert found.tobytes() == BLEND.utilities(batch, preference).tobytes()


def plain_worth(batch, page, utilities, share):
    """Return what a page is worth, one seller a row, in plain Python."""
    seller = [DOCUMENTS.documents[row]["seller"] for row in batch.rows.tolist()]
    total = 0.0
    for rank, row in enumerate(page, start=1):
        above = [seller[other] for other in page[: rank - 1]]
        novelty = sum(other != seller[row] for other in above) / len(above) if above else 0.0
        total += (utilities[row] + share * novelty) / math.log2(1 + rank)
    return total


@pytest.mark.parametrize("bound", [0, 1, 2, 9])
def test_a_wide_beam_finds_the_best_page(bound):
    rng = np.random.default_rng(bound)
    for _ in range(5):
        batch = listing(rng.integers(0, 42, 6))
        found = policy(top=6, beam=2_000, max_displacement=bound)
        utilities = BLEND.utilities(batch, {"price": 0.3}).tolist()
        pages = [
            page
            for page in itertools.permutations(range(6))
            if all(abs(rank - row) <= bound for rank, row in enumerate(page))
        ]
        best = max(plain_worth(batch, page, utilities, 0.7) for page in pages)
        order = order_of(batch, found, {"price": 0.3, "diversity": 0.7})
        assert plain_worth(batch, order, utilities, 0.7) == pytest.approx(best)


def test_a_wider_beam_is_no_worse():
    rng = np.random.default_rng(5)
    worths = {1: 0.0, 16: 0.0}
    for _ in range(30):
        batch = listing(rng.integers(0, 42, 30))
        utilities = BLEND.utilities(batch, {}).tolist()
        for beam in worths:
            order = order_of(batch, policy(beam=beam), {"diversity": 0.5})
            worths[beam] += plain_worth(batch, order[:10], utilities, 0.5)
    assert worths[16] > worths[1]


def test_the_bound_holds_and_rows_below_follow_by_utility():
    rng = np.random.default_rng(6)
    for _ in range(60):
        count, bound, top = int(rng.integers(1, 40)), int(rng.integers(0, 12)), 8
        batch = listing(rng.integers(-1, 42, count), preference={"diversity": 2.0, "price": 0.4})
        page = policy(fields=("seller", "price"), top=top, max_displacement=bound)
        out, trace = Business(policy=page, max_displacement=bound).rerank(batch)
        assert trace.reason == ""
        assert len(out) == count
        assert np.abs(trace.blended - np.arange(count)).max() <= bound
        if bound >= count:
            below = BLEND.utilities(batch, {"price": 0.4})[trace.blended[top:]]
            assert (np.diff(below) <= 0).all()


def test_several_listings_are_as_each_alone():
    parts = [listing(rows) for rows in ([0, 1, 2, 3], [], [7], [9, 8, 40, 41, -1])]
    together = policy().utilities(concatenated(parts), {"diversity": 1.0})
    alone = [policy().utilities(part, {"diversity": 1.0}) for part in parts]
    assert together.tolist() == np.concatenate(alone).tolist()


class TestConfigured:
    schema = DOCUMENTS.schema

    def test_the_table(self):
        raw = {
            "max_displacement": 7,
            "preference": {"diversity": 0.5},
            "page": {"fields": ["seller"], "beam": 2},
        }
        layer = build_business(raw, self.schema)
        assert layer.policy == PagePolicy(
            policy=LinearBlend(), fields=("seller",), beam=2, max_displacement=7
        )
        assert layer.default_preference == {"diversity": 0.5}

    @pytest.mark.parametrize(
        ("raw", "problem"),
        [
            ({"page": 3}, "business.page: is 3; accepted is a table"),
            ({"page": {"fields": ["seler"]}}, "business.page.fields: is 'seler', which is no"),
            ({"page": {}}, "business.page.fields: is missing"),
            ({"page": {"fields": ["price"], "tops": 3}}, "business.page.tops: unknown key;"),
            ({"page": {"fields": ["price"], "beam": 0}}, "business.page.beam: is 0"),
            ({"preference": {"diversity": 1}}, "business.preference.diversity: 'diversity' is no"),
        ],
    )
    def test_its_problems(self, raw, problem):
        with pytest.raises(ConfigError) as caught:
            build_business(raw, self.schema)
        assert caught.value.problems[0].startswith(problem)
