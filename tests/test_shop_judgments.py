import dataclasses

import numpy as np
import pytest

from cascade.shop.judgments import grade, judge, shelve, type_range
from cascade.shop.lexicon import ATTRIBUTE_KINDS, COLOUR, MATERIAL, lexicon
from cascade.shop.listings import make_listings
from cascade.shop.market import Market
from cascade.shop.postings import index_block, join_blocks
from cascade.shop.queries import make_queries
from cascade.shop.sellers import make_sellers
from cascade.shop.spec import ShopSpec, stream
from cascade.shop.wording import word_listings

SPEC = ShopSpec(seed=13, listings=8_000, sellers=200, queries=400)


@pytest.fixture(scope="module")
def market():
    lex = lexicon()
    sellers = make_sellers(SPEC, lex)
    listings = make_listings(stream(SPEC.seed, "listings"), SPEC.listings, sellers, lex)
    return Market(sellers, listings, make_queries(SPEC, listings, sellers, lex), lex)


@pytest.fixture(scope="module")
def judged(market):
    rng = stream(SPEC.seed, "wording")
    wording = word_listings(rng, market.listings, market.sellers, market.lex)
    postings = join_blocks([index_block(wording, 0, market.lex)], SPEC.listings)
    return judge(SPEC, market, postings, lambda part, done, total: None)


def concept(kind, name):
    lex = lexicon()
    return next(c for c in range(*lex.spans[kind]) if lex.canonical(c) == name)


def asking(market, scope, brand=-1, **wanted):
    """Return the market with one query: a scope and attributes, as concepts."""
    attributes = np.full((1, len(ATTRIBUTE_KINDS)), -1, np.int16)
    for kind, name in wanted.items():
        attributes[0, ATTRIBUTE_KINDS.index(kind)] = concept(kind, name)
    queries = dataclasses.replace(
        market.queries,
        scope=np.array([scope], np.int16),
        attributes=attributes,
        brand=np.array([brand], np.int32),
    )
    return dataclasses.replace(market, queries=queries)


def offering(market, kind, colour, material, brand=-1):
    """Return the market with its first listing changed to this one."""
    listings = market.listings
    types, attributes, brands = (
        listings.type.copy(),
        listings.attributes.copy(),
        listings.brand.copy(),
    )
    types[0] = concept("type", kind) - market.lex.spans["type"][0]
    attributes[0, COLOUR] = concept("colour", colour)
    attributes[0, MATERIAL] = concept("material", material)
    brands[0] = brand
    changed = dataclasses.replace(listings, type=types, attributes=attributes, brand=brands)
    return dataclasses.replace(market, listings=changed)


def grades_of(market):
    """Grade the first listing as of poor, fair, good and superb quality."""
    taste = np.array([-1.5, -0.5, 0.5, 1.5])
    return grade(0, np.zeros(4, np.int32), taste, market).tolist()


@pytest.mark.parametrize(
    ("kind", "colour", "material", "expected"),
    [
        ("mug", "blue", "ceramic", [1, 2, 3, 3]),
        ("mug", "red", "ceramic", [1, 1, 1, 2]),
        ("mug", "red", "glass", [0, 0, 1, 1]),
        ("teapot", "blue", "ceramic", [0, 0, 1, 1]),
        ("teapot", "red", "ceramic", [0, 0, 0, 0]),
        ("bowl", "blue", "ceramic", [0, 0, 0, 0]),
    ],
)
def test_grades_of_a_blue_ceramic_mug(market, kind, colour, material, expected):
    asked = asking(market, concept("type", "mug"), colour="blue", material="ceramic")
    assert grades_of(offering(asked, kind, colour, material)) == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (("department", "kitchen"), [1, 1, 2, 3]),
        (("category", "drinkware"), [1, 1, 2, 3]),
        (("type", "mug"), [1, 1, 2, 3]),
        (("department", "jewelry"), [0, 0, 0, 0]),
        (("type", "teapot"), [0, 0, 0, 0]),
    ],
)
def test_a_vague_query_is_answered_by_quality(market, scope, expected):
    asked = asking(market, concept(*scope))
    assert grades_of(offering(asked, "mug", "red", "glass")) == expected


def test_a_gift_suits_in_full_or_not_at_all(market):
    asked = asking(market, -1, colour="blue", material="ceramic")
    assert grades_of(offering(asked, "bowl", "blue", "ceramic")) == [1, 2, 3, 3]
    assert grades_of(offering(asked, "bowl", "blue", "glass")) == [0, 0, 0, 0]


def test_a_wanted_brand_counts_like_an_attribute(market):
    asked = asking(market, concept("type", "mug"), brand=4)
    assert grades_of(offering(asked, "mug", "red", "glass", brand=4)) == [1, 2, 3, 3]
    assert grades_of(offering(asked, "mug", "red", "glass", brand=5)) == [0, 0, 1, 1]


def test_shelves_hold_every_listing_of_a_scope(market):
    shelves = shelve(market.listings, market.lex)
    for name in (("department", "kitchen"), ("category", "drinkware"), ("type", "mug")):
        first, last = type_range(concept(*name), market.lex)
        kind = market.listings.type
        expected = np.flatnonzero((kind >= first) & (kind < last))
        assert np.array_equal(np.sort(shelves.rows(concept(*name), market.lex)), expected)
    assert len(shelves.rows(-1, market.lex)) == SPEC.listings


def test_every_query_has_enough_judged_listings_and_an_answer(judged):
    counts = np.diff(judged.offsets)
    assert len(counts) == SPEC.queries
    assert counts.min() >= 20
    assert 40 <= counts.mean() <= 70
    best = np.maximum.reduceat(judged.grades, judged.offsets[:-1])
    assert (best >= 1).mean() > 0.99
    assert (best >= 2).mean() > 0.8


def test_grades_are_spread(judged):
    share = np.bincount(judged.grades, minlength=4) / len(judged.grades)
    assert share[0] > 0.25
    assert (share[1:] > 0.05).all()


def test_no_listing_is_judged_twice_for_a_query(judged):
    query = np.repeat(np.arange(SPEC.queries), np.diff(judged.offsets))
    pairs = query.astype(np.int64) * SPEC.listings + judged.rows
    assert len(np.unique(pairs)) == len(pairs)


def ndcg_at_10(scores, judged):
    """Mean nDCG@10 over the judged pool, gain = grade, by loops."""
    values = []
    for start, stop in zip(judged.offsets[:-1], judged.offsets[1:], strict=True):
        grades = judged.grades[start:stop]
        discount = 1 / np.log2(np.arange(2, 12))
        order = np.argsort(-scores[start:stop], kind="stable")[:10]
        ideal = np.sort(grades)[::-1][:10]
        if ideal[0] > 0:
            gain = (grades[order] * discount[: len(order)]).sum()
            values.append(gain / (ideal * discount[: len(ideal)]).sum())
    return float(np.mean(values))


def test_lexical_order_is_good_but_fooled_and_visible_quality_repairs_some(judged, market):
    """Words alone are far from random and from right; favourites and stuffing tell more."""
    listings = market.listings
    query = np.repeat(np.arange(SPEC.queries), np.diff(judged.offsets))
    best = np.maximum.reduceat(judged.scores, judged.offsets[:-1])
    words = judged.scores / np.maximum(best[query], 1e-6)
    lexical = ndcg_at_10(words, judged)
    chance = ndcg_at_10(np.random.default_rng(0).random(len(words)), judged)
    # The pool holds the best of several orders, so chance is high in it.
    assert lexical > chance + 0.05
    assert lexical < 0.8
    seen = np.log1p(listings.favourites) - np.log1p(listings.age_days / 30)
    repaired = words + 0.1 * seen[judged.rows] - 0.1 * listings.stuffed[judged.rows]
    assert ndcg_at_10(repaired, judged) > lexical + 0.03
