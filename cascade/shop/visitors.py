"""Shoppers: who comes, what they are shown, what they look at, click and buy.

A click needs examination and attraction (Richardson et al. 2007, the examination hypothesis):
P(click) = propensity(surface, rank) * sigmoid(appeal of the grade + taste + price + quality).
A share of the searches shows its page in random order, so that propensities can be measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cascade.shop.judgments import Judged, type_range
from cascade.shop.lexicon import STYLE, Lexicon
from cascade.shop.listings import Listings
from cascade.shop.market import Market
from cascade.shop.spec import LOG_DAYS, REFERENCE_EPOCH_S, ShopSpec

SURFACES = ("web", "app", "email")
SURFACE_SHARES = (0.52, 0.36, 0.12)
PAGE_ROWS = (16, 10, 6)
# Propensity of rank r is r ** -exponent (Joachims et al. 2017, section 6).
POSITION_EXPONENTS = (0.7, 1.0, 0.4)
SHUFFLED_SHARE = 0.15
RANKING_NOISE = 0.1
SHOWN_POOL = 40
SEARCHES = (1, 2, 3)
SEARCHES_SHARES = (0.6, 0.25, 0.15)
SAME_DEPARTMENT = 0.7
ACTIONS = ("impression", "click", "favourite", "add_to_cart", "purchase")

GRADE_APPEAL = (-3.8, -2.3, -1.1, -0.1)
TASTE_APPEAL = 0.8
QUALITY_APPEAL = 0.25
# A session's price sensitivity is -exp(normal(mean, deviation)), a logit per price z-score.
PRICE_LOG_MEAN, PRICE_LOG_DEVIATION = float(np.log(0.4)), 0.4
FAVOURITE_LOGIT, FAVOURITE_TASTE = -2.4, 0.8
CART_BASE, CART_GRADE = -2.2, 0.6
BUY_BASE, BUY_PRICE = -0.2, 1.5


@dataclass(frozen=True)
class Sessions:
    """Hold one row a visit: the planted taste that its clicks follow.

    Attributes:
        surface: `int8[s]`, index into `SURFACES`.
        style: `int16[s]`, concept of the style it likes.
        price_sensitivity: `float32[s]`, logit per price z-score, negative.
        department: `int16[s]`, where its first search leads, counted from the first
            department; -1 for a search without one.
    """

    surface: NDArray[np.int8]
    style: NDArray[np.int16]
    price_sensitivity: NDArray[np.float32]
    department: NDArray[np.int16]


@dataclass(frozen=True)
class Window:
    """What the shop can show for every query, its lexical best first.

    Attributes:
        rows: `int32[q, 40]`, rows of listings, -1 beyond the last.
        base: `float32[q, 40]`, lexical score divided by the query's best.
        grades: `int8[q, 40]`.
        department: `int16[q]`, -1 where a query has none.
        cumulative: `float64[departments + 1, q]`, chance of a query within a department, the
            last row over all of them.
    """

    rows: NDArray[np.int32]
    base: NDArray[np.float32]
    grades: NDArray[np.int8]
    department: NDArray[np.int16]
    cumulative: NDArray[np.float64]


@dataclass(frozen=True)
class Searches:
    """Hold one row a search of a block of sessions, and the page that it showed.

    Attributes:
        session: `int64[n]`, row of the session within its block.
        query: `int64[n]`, row of the query.
        shuffled: `bool[n]`, the page stood in random order.
        time_ms: `int64[n]`, since 1970.
        rows: `int32[n, page]`, rows of listings.
        grades: `int8[n, page]`.
        shown: `bool[n, page]`, false beyond the surface's page.
        ids: UBI's query ids, one a search.
    """

    session: NDArray[np.int64]
    query: NDArray[np.int64]
    shuffled: NDArray[np.bool_]
    time_ms: NDArray[np.int64]
    rows: NDArray[np.int32]
    grades: NDArray[np.int8]
    shown: NDArray[np.bool_]
    ids: list[str]


def propensities() -> dict[str, list[float]]:
    """Return the chance that a shopper looks at each rank, by surface."""
    return {
        name: [round(rank**-exponent, 6) for rank in range(1, size + 1)]
        for name, size, exponent in zip(SURFACES, PAGE_ROWS, POSITION_EXPONENTS, strict=True)
    }


def window(judged: Judged, market: Market) -> Window:
    """Arrange the judged listings of every query for display."""
    queries, lex = market.queries, market.lex
    n = len(queries)
    counts = np.diff(judged.offsets)
    place = np.arange(len(judged.rows)) - np.repeat(judged.offsets[:-1], counts)
    query = np.repeat(np.arange(n), counts)
    kept = place < SHOWN_POOL
    rows = np.full((n, SHOWN_POOL), -1, np.int32)
    base = np.full((n, SHOWN_POOL), -np.inf, np.float32)
    grades = np.zeros((n, SHOWN_POOL), np.int8)
    rows[query[kept], place[kept]] = judged.rows[kept]
    grades[query[kept], place[kept]] = judged.grades[kept]
    best = np.maximum(judged.scores[judged.offsets[:-1]], 1e-6)
    base[query[kept], place[kept]] = (judged.scores / best[query])[kept]

    department = np.full(n, -1, np.int16)
    for row in np.flatnonzero(queries.scope >= 0).tolist():
        first_type, _ = type_range(int(queries.scope[row]), lex)
        department[row] = lex.category_department[lex.type_category[first_type]]
    places = np.arange(lex.count("department"))
    chances = np.where(department == places[:, None], queries.frequency, 0)
    chances = np.concatenate([chances, queries.frequency[None, :]]).astype(np.float64)
    cumulative = np.cumsum(chances, axis=1)
    cumulative /= np.maximum(cumulative[:, -1:], 1.0)
    return Window(rows, base, grades, department, cumulative)


def _draw_query(rng: Generator, department: NDArray[np.int16], shown: Window) -> NDArray[np.int64]:
    """Draw a query of each department; -1 means any query."""
    luck = rng.random(len(department))
    found = np.zeros(len(department), np.int64)
    for place in np.unique(department).tolist():
        mine = department == place
        found[mine] = np.searchsorted(shown.cumulative[place], luck[mine], side="right")
    return np.minimum(found, len(shown.department) - 1)


def arrive(
    rng: Generator, count: int, shown: Window, lex: Lexicon
) -> tuple[Sessions, NDArray[np.int64]]:
    """Draw sessions and the first query of each."""
    # The department follows from a first query drawn from all, so frequencies stay Zipf's.
    first = _draw_query(rng, np.full(count, -1, np.int16), shown)
    sensitivity = -np.exp(rng.normal(PRICE_LOG_MEAN, PRICE_LOG_DEVIATION, count))
    sessions = Sessions(
        surface=rng.choice(len(SURFACES), count, p=SURFACE_SHARES).astype(np.int8),
        style=rng.integers(*lex.spans["style"], count).astype(np.int16),
        price_sensitivity=sensitivity.astype(np.float32),
        department=shown.department[first],
    )
    return sessions, first


def search(
    rng: Generator,
    spec: ShopSpec,
    start: int,
    first: NDArray[np.int64],
    visit: tuple[Sessions, Window],
) -> Searches:
    """Draw every search of a block of sessions and the page that it shows."""
    sessions, shown = visit
    count = len(first)
    number = rng.choice(SEARCHES, count, p=SEARCHES_SHARES)
    session = np.repeat(np.arange(count), number)
    turn = np.arange(len(session)) - np.repeat(np.cumsum(number) - number, number)
    stays = rng.random(len(session)) < SAME_DEPARTMENT
    again = _draw_query(rng, np.where(stays, sessions.department[session], -1), shown)
    query = np.where(turn == 0, first[session], again)

    span_ms = LOG_DAYS * 86_400_000
    begin = (start + np.arange(count) + rng.random(count)) / spec.sessions * (span_ms - 3_600_000)
    time_ms = (REFERENCE_EPOCH_S * 1000 - span_ms + begin).astype(np.int64)[session]
    time_ms = time_ms + turn * 240_000 + rng.integers(0, 60_000, len(session))

    noisy = shown.base[query] + RANKING_NOISE * rng.gumbel(size=(len(query), SHOWN_POOL))
    page = np.argsort(-noisy, axis=1, kind="stable")[:, : max(PAGE_ROWS)]
    size = np.array(PAGE_ROWS)[sessions.surface[session]]
    visible = np.arange(max(PAGE_ROWS)) < size[:, None]
    shuffled = rng.random(len(query)) < SHUFFLED_SHARE
    # Where a query has fewer rows than a page, the empty places stay last.
    held = visible & (np.take_along_axis(shown.rows[query], page, axis=1) >= 0)
    luck = np.where(held, rng.random(visible.shape), 2.0)
    mixed = np.take_along_axis(page, np.argsort(luck, axis=1, kind="stable"), axis=1)
    page = np.where(shuffled[:, None], mixed, page)
    rows = np.take_along_axis(shown.rows[query], page, axis=1)
    digits = rng.bytes(16 * len(query)).hex()
    return Searches(
        session=session,
        query=query,
        shuffled=shuffled,
        time_ms=time_ms,
        rows=rows,
        grades=np.take_along_axis(shown.grades[query], page, axis=1),
        shown=visible & (rows >= 0),
        ids=[digits[at : at + 32] for at in range(0, len(digits), 32)],
    )


def _sigmoid(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-x.astype(np.float64)))


def react(
    rng: Generator, searches: Searches, sessions: Sessions, listings: Listings
) -> dict[str, NDArray[np.bool_]]:
    """Return `bool[searches, page]` for every action."""
    rows = np.maximum(searches.rows, 0)
    surface = sessions.surface[searches.session]
    ranks = np.arange(1, max(PAGE_ROWS) + 1)
    examined = ranks[None, :] ** -np.array(POSITION_EXPONENTS)[surface][:, None]
    likes = listings.attributes[rows, STYLE] == sessions.style[searches.session][:, None]
    dear = sessions.price_sensitivity[searches.session][:, None] * listings.price_z[rows]
    quality = QUALITY_APPEAL * listings.quality[rows]
    appeal = np.array(GRADE_APPEAL)[searches.grades] + TASTE_APPEAL * likes + dear + quality

    luck = rng.random((4, *rows.shape))
    click = searches.shown & (luck[0] < examined * _sigmoid(appeal))
    favourite = click & (luck[1] < _sigmoid(FAVOURITE_LOGIT + FAVOURITE_TASTE * likes))
    cart = click & (luck[2] < _sigmoid(CART_BASE + CART_GRADE * searches.grades + dear))
    in_stock = listings.stock[rows] > 0
    buy = cart & in_stock & (luck[3] < _sigmoid(BUY_BASE + BUY_PRICE * dear + quality))
    return dict(zip(ACTIONS, (searches.shown, click, favourite, cart, buy), strict=True))
