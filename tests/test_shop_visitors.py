import numpy as np
import pytest

from cascade.shop.judgments import judge
from cascade.shop.lexicon import STYLE, lexicon
from cascade.shop.listings import make_listings
from cascade.shop.market import Market
from cascade.shop.postings import index_block, join_blocks
from cascade.shop.queries import make_queries
from cascade.shop.sellers import make_sellers
from cascade.shop.spec import REFERENCE_EPOCH_S, ShopSpec, stream
from cascade.shop.visitors import (
    GRADE_APPEAL,
    PAGE_ROWS,
    QUALITY_APPEAL,
    SHUFFLED_SHARE,
    SURFACES,
    TASTE_APPEAL,
    arrive,
    propensities,
    react,
    search,
    window,
)
from cascade.shop.wording import word_listings

SPEC = ShopSpec(seed=17, listings=3_000, sellers=100, queries=200, sessions=24_000)


@pytest.fixture(scope="module")
def market():
    lex = lexicon()
    sellers = make_sellers(SPEC, lex)
    listings = make_listings(stream(SPEC.seed, "listings"), SPEC.listings, sellers, lex)
    return Market(sellers, listings, make_queries(SPEC, listings, sellers, lex), lex)


@pytest.fixture(scope="module")
def visit(market):
    """Everybody's searches and what they did: (sessions, first queries, searches, actions)."""
    rng = stream(SPEC.seed, "wording")
    wording = word_listings(rng, market.listings, market.sellers, market.lex)
    postings = join_blocks([index_block(wording, 0, market.lex)], SPEC.listings)
    judged = judge(SPEC, market, postings, lambda part, done, total: None)
    shown = window(judged, market)
    rng = stream(SPEC.seed, "visitors")
    sessions, first = arrive(rng, SPEC.sessions, shown, market.lex)
    searches = search(rng, SPEC, 0, first, (sessions, shown))
    return sessions, first, searches, react(rng, searches, sessions, market.listings)


def test_propensities_are_stated_for_every_rank_and_fall():
    stated = propensities()
    assert {name: len(values) for name, values in stated.items()} == dict(
        zip(SURFACES, PAGE_ROWS, strict=True)
    )
    for values in stated.values():
        assert values[0] == 1.0
        assert (np.diff(values) < 0).all()
    assert stated["app"][1] == 0.5  # 2 ** -1
    assert stated["web"][3] == pytest.approx(4**-0.7, abs=1e-6)


def test_queries_come_as_often_as_their_frequency_says(visit, market):
    _, first, _, _ = visit
    seen = np.bincount(first, minlength=SPEC.queries) / len(first)
    expected = market.queries.frequency / market.queries.frequency.sum()
    # Five standard errors of a share among 24,000.
    assert (np.abs(seen - expected) < 5 * np.sqrt(expected / len(first))).all()


@pytest.mark.parametrize("surface", range(len(SURFACES)))
def test_clicks_on_shuffled_pages_are_flat_once_divided_by_propensity(visit, surface):
    """Random order makes every rank equally good, so only position bias is left."""
    sessions, _, searches, happened = visit
    mine = searches.shuffled & (sessions.surface[searches.session] == surface)
    size = PAGE_ROWS[surface]
    shown = happened["impression"][mine, :size].sum(axis=0)
    clicks = happened["click"][mine, :size].sum(axis=0)
    stated = np.array(propensities()[SURFACES[surface]])
    half = size // 2
    raw = [clicks[:half].sum() / shown[:half].sum(), clicks[half:].sum() / shown[half:].sum()]
    # A share's propensity-weighted estimate: clicks over expected looks.
    even = [
        clicks[:half].sum() / (shown * stated)[:half].sum(),
        clicks[half:].sum() / (shown * stated)[half:].sum(),
    ]
    error = even[1] / np.sqrt(clicks[half:].sum()) + even[0] / np.sqrt(clicks[:half].sum())
    assert raw[0] > 1.25 * raw[1]
    assert abs(even[0] - even[1]) < 3 * error


def test_shuffled_pages_are_the_stated_share_and_not_in_order_of_grade(visit):
    _, _, searches, happened = visit
    assert searches.shuffled.mean() == pytest.approx(SHUFFLED_SHARE, abs=0.01)
    top = searches.grades[:, 0]
    low = searches.grades[:, 5]
    both = happened["impression"][:, 5]
    gap = {way: (top - low)[both & (searches.shuffled == way)].mean() for way in (False, True)}
    assert gap[False] > 0.2
    assert abs(gap[True]) < 0.12


def logistic_fit(x, y):
    """Maximum likelihood by Newton's steps; `x` has its own columns for the intercepts."""
    weights = np.zeros(x.shape[1])
    for _ in range(12):
        p = 1 / (1 + np.exp(-x @ weights))
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (y - p))
        weights = weights + step
    return weights


def test_planted_appeal_is_recovered_from_clicks_at_the_first_rank(visit, market):
    """At rank 1 everybody looks, so clicks are a plain logistic model of the planted terms."""
    sessions, _, searches, happened = visit
    rows = searches.rows[:, 0]
    listings = market.listings
    grades = np.eye(4)[searches.grades[:, 0]]
    likes = listings.attributes[rows, STYLE] == sessions.style[searches.session]
    dear = sessions.price_sensitivity[searches.session] * listings.price_z[rows]
    x = np.column_stack([grades, likes, dear, listings.quality[rows]]).astype(np.float64)
    found = logistic_fit(x, happened["click"][:, 0].astype(np.float64))
    # Grade 0 is rare at rank 1, so its appeal is known less well.
    assert found[1:4] == pytest.approx(GRADE_APPEAL[1:], abs=0.15)
    assert found[0] == pytest.approx(GRADE_APPEAL[0], abs=0.6)
    assert found[4] == pytest.approx(TASTE_APPEAL, abs=0.25)
    assert found[5] == pytest.approx(1.0, abs=0.2)
    assert found[6] == pytest.approx(QUALITY_APPEAL, abs=0.12)


def test_dear_goods_are_clicked_and_bought_less(visit, market):
    _, _, searches, happened = visit
    price_z = market.listings.price_z[np.maximum(searches.rows, 0)]
    shown, clicked, bought = (
        price_z[happened[action]].mean() for action in ("impression", "click", "purchase")
    )
    assert shown > clicked > bought


def test_an_action_needs_the_one_before_and_nobody_buys_what_is_sold_out(visit, market):
    _, _, searches, happened = visit
    for later, earlier in (
        ("click", "impression"),
        ("favourite", "click"),
        ("add_to_cart", "click"),
        ("purchase", "add_to_cart"),
    ):
        assert happened[later].any()
        assert not (happened[later] & ~happened[earlier]).any()
    assert (market.listings.stock[searches.rows[happened["purchase"]]] > 0).all()


def test_sessions_stay_in_their_department(visit, market):
    sessions, _, searches, _ = visit
    later = np.flatnonzero(np.diff(searches.session, prepend=-1) == 0)
    lex = market.lex
    scope = market.queries.scope[searches.query[later]]
    typed = scope >= lex.spans["type"][0]
    kind = scope[typed] - lex.spans["type"][0]
    department = lex.category_department[lex.type_category[kind]]
    same = (department == sessions.department[searches.session[later]][typed]).mean()
    assert same > 0.6


def test_everything_happens_before_the_reference_time(visit):
    _, _, searches, _ = visit
    assert searches.time_ms.max() < REFERENCE_EPOCH_S * 1000
    assert searches.time_ms.min() >= (REFERENCE_EPOCH_S - 60 * 86_400) * 1000
