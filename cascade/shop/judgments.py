"""How well each listing answers each query, in truth, and the listings that judges look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cascade.shop.lexicon import Lexicon
from cascade.shop.listings import Listings
from cascade.shop.market import Market
from cascade.shop.postings import Postings
from cascade.shop.spec import Progress, ShopSpec, stream

# Judged listings of a query: what the lexical index likes without and with the synonyms, what
# is truly best, and traps.
LEXICAL_POOL = 18
EXPANDED_POOL = 8
POPULAR_POOL = 20
TRUTH_POOL = 22
TRAP_POOL = 5
DEEP_LEXICAL = 150
JUDGE_NOISE = 0.25
POPULARITY = 0.15
PROGRESS_QUERIES = 100
# Quality that a listing must pass for one more grade.
PLAIN_LEVELS = (-0.3, 0.8)
FULL_LEVELS = (-1.2, -0.2)
HALF_LEVELS = (1.0,)
TYPE_ONLY_LEVEL = 0.0
SISTER_LEVEL = 0.3
# The engine matches a brand field too; worth about one rare word in a title.
BRAND_WEIGHT = 12.0


@dataclass(frozen=True)
class Judged:
    """Hold the judged listings of all queries, row after row, a query's lexical best first.

    Attributes:
        offsets: `int64[q + 1]`.
        rows: `int32[n]`, rows of listings.
        grades: `int8[n]`, 0 to 3.
        scores: `float32[n]`, lexical scores.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    grades: NDArray[np.int8]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Shelves:
    """Find the listings of a product type, or of a range of types, without a scan.

    Attributes:
        order: `int32[listings]`, rows sorted by type.
        starts: `int64[types + 1]`.
    """

    order: NDArray[np.int32]
    starts: NDArray[np.int64]

    def rows(self, scope: int, lex: Lexicon) -> NDArray[np.int32]:
        """Return the rows of a type, category or department; of everything for -1."""
        first, last = type_range(scope, lex)
        return self.order[self.starts[first] : self.starts[last]]


def shelve(listings: Listings, lex: Lexicon) -> Shelves:
    """Sort listings by product type."""
    order = np.argsort(listings.type, kind="stable").astype(np.int32)
    counts = np.bincount(listings.type, minlength=lex.count("type"))
    return Shelves(order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def type_range(scope: int, lex: Lexicon) -> tuple[int, int]:
    """Return the first type of a scope and one past its last."""
    if scope < 0:
        return 0, lex.count("type")
    start = {kind: lex.spans[kind][0] for kind in ("department", "category", "type")}
    if scope >= start["type"]:
        return scope - start["type"], scope - start["type"] + 1
    by_type = lex.type_category
    wanted = scope - start["category"]
    if wanted < 0:
        by_type, wanted = lex.category_department[lex.type_category], scope - start["department"]
    found = np.searchsorted(by_type, [wanted, wanted + 1])
    return int(found[0]), int(found[1])


def grade(
    query: int,
    rows: NDArray[np.int32],
    taste: NDArray[np.float64],
    market: Market,
) -> NDArray[np.int8]:
    """Return `int8[n]`, how well listings answer a query: 3 is the best.

    The truth is what a listing is, not what its text says. With all wanted attributes it has
    1 to 3, by quality; with half of them 1 or 2; of the wanted type alone 0 or 1; a good one of
    a sister type with all wanted attributes 1. Where a query wants no attribute, quality alone
    grades; a gift without a type must suit in full.

    Args:
        query: Row of the query.
        rows: `int32[n]`, rows of listings.
        taste: `float64[n]`, the listings' quality as this judge sees it.
        market: The listings and the queries.
    """
    listings, queries, lex = market.listings, market.queries, market.lex
    scope = int(queries.scope[query])
    first, last = type_range(scope, lex)
    kind = listings.type[rows]
    inside = (kind >= first) & (kind < last)
    wanted = queries.attributes[query]
    asked = np.flatnonzero(wanted >= 0)
    met = (listings.attributes[rows][:, asked] == wanted[asked]).sum(axis=1)
    number = len(asked)
    if queries.brand[query] >= 0:
        met, number = met + (listings.brand[rows] == queries.brand[query]), number + 1
    if number == 0:
        return np.where(inside, _levels(taste, PLAIN_LEVELS), 0).astype(np.int8)
    grades = np.where(2 * met >= number, _levels(taste, HALF_LEVELS), taste > TYPE_ONLY_LEVEL)
    if scope < 0:
        grades = np.zeros(len(rows), np.int64)
    grades = np.where(met == number, _levels(taste, FULL_LEVELS), grades)
    result = np.where(inside, grades, 0)
    if scope >= lex.spans["type"][0]:
        sister = ~inside & (lex.type_category[kind] == lex.type_category[first])
        result = np.where(sister & (met == number) & (taste > SISTER_LEVEL), 1, result)
    return result.astype(np.int8)


def _levels(taste: NDArray[np.float64], levels: tuple[float, ...]) -> NDArray[np.int64]:
    """Return 1 and one more for every level of quality that is passed."""
    passed: NDArray[np.int64] = (taste[:, None] > np.array(levels)).sum(axis=1)
    return 1 + passed


def judge(spec: ShopSpec, market: Market, postings: Postings, progress: Progress) -> Judged:
    """Choose and grade the listings of every query.

    Args:
        spec: The shop.
        market: What is judged.
        postings: The lexical index of the listings.
        progress: Told the part, how many queries are judged, and of how many.
    """
    listings, queries = market.listings, market.queries
    shelves = shelve(listings, market.lex)
    rows, grades, scores, counts = [], [], [], []
    for query in range(len(queries)):
        rng = stream(spec.seed, "judgments", query)
        lexical = postings.score(queries.words[query])
        if queries.brand[query] >= 0:
            lexical[listings.brand == queries.brand[query]] += BRAND_WEIGHT
        pools = [
            *_retrieved(rng, lexical),
            *_popular(postings.score(queries.expanded[query]), listings),
            *_shelved(rng, query, shelves, market),
        ]
        pool = np.unique(np.concatenate(pools)).astype(np.int32)
        pool = pool[np.argsort(-lexical[pool], kind="stable")]
        taste = listings.quality[pool] + JUDGE_NOISE * rng.standard_normal(len(pool))
        rows.append(pool)
        grades.append(grade(query, pool, taste, market))
        scores.append(lexical[pool])
        counts.append(len(pool))
        if query % PROGRESS_QUERIES == 0 or query + 1 == len(queries):
            progress("judgments", query + 1, len(queries))
    return Judged(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate(rows),
        np.concatenate(grades),
        np.concatenate(scores),
    )


def _retrieved(rng: Generator, lexical: NDArray[np.float32]) -> list[NDArray[np.integer]]:
    """Return rows that the words of the query find: the best, and some far below."""
    deep = _matching(lexical, DEEP_LEXICAL)
    below = deep[LEXICAL_POOL:]
    return [deep[:LEXICAL_POOL], below[rng.permutation(len(below))[:TRAP_POOL]]]


def _popular(expanded: NDArray[np.float32], listings: Listings) -> list[NDArray[np.integer]]:
    """Return rows that the words and their synonyms find, by score and by quality as well."""
    deep = _matching(expanded, DEEP_LEXICAL)
    if len(deep) == 0:
        return []
    score = expanded[deep] / expanded[deep[0]] + POPULARITY * listings.quality[deep]
    return [deep[:EXPANDED_POOL], deep[_best(score, POPULAR_POOL)]]


def _shelved(
    rng: Generator, query: int, shelves: Shelves, market: Market
) -> list[NDArray[np.integer]]:
    """Return the rows that truly answer best, some of the wanted kind, some of any kind."""
    shelf = shelves.rows(int(market.queries.scope[query]), market.lex)
    taste = market.listings.quality[shelf].astype(np.float64)
    worth = grade(query, shelf, taste, market) + 0.2 * taste
    return [
        shelf[_best(worth, TRUTH_POOL)],
        shelf[rng.integers(0, len(shelf), TRAP_POOL)],
        rng.integers(0, len(market.listings), TRAP_POOL),
    ]


def _matching(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the rows of the highest scores above 0, the best first, ties by row."""
    # Partition is slow on the many equal zeros of a sparse score, so they go first.
    found = np.flatnonzero(scores)
    return found[_best(scores[found], count)]


def _best(values: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Return the positions of the highest values, the best first, ties by position."""
    found = np.arange(len(values))
    if len(values) > count:
        cut = np.partition(values, len(values) - count)[len(values) - count]
        above = np.flatnonzero(values > cut)
        level = np.flatnonzero(values == cut)[: count - len(above)]
        found = np.sort(np.concatenate([above, level]))
    return found[np.argsort(-values[found], kind="stable")]
