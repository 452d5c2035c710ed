"""Interleaving: one list from two rankings, and which of them its clicks prefer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.candidates import Int64
from cascade.errors import InputError

FIRST, SECOND, NEITHER = 0, 1, -1


@dataclass(frozen=True)
class Interleaved:
    """Hold a list made of two rankings.

    Attributes:
        rows: int64[n], as in the rankings, best first.
        teams: int8[n]: which ranking gave the row (0 or 1), -1 where none gets credit for it.
    """

    rows: Int64
    teams: NDArray[np.int8]


def team_draft(first: Int64, second: Int64, seed: str) -> Interleaved:
    """Let two rankings pick in turn, each round begun by the toss of a coin.

    Radlinski, Kurup and Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?", CIKM
    2008, algorithm 2. Rows that both hold at the same ranks from the top are in the list without
    a team, since no click on them tells the rankings apart (Chapelle et al., TOIS 2012, 3.2).

    Args:
        first: int64[n], distinct rows, best first.
        second: The same rows in another order, or other rows.
        seed: Such as the query id: the same seed gives the same list.

    Returns:
        Every row of both. Where one has no more rows, the rest are of the other's team.
    """
    tosses = _tosses(seed)
    picks = [iter(_checked(first, "first").tolist()), iter(_checked(second, "second").tolist())]
    alike = _common_head(first, second)
    rows = first[:alike].tolist()
    teams, taken = [NEITHER] * alike, set(rows)
    sizes, total = [0, 0], len(np.union1d(first, second))
    while len(rows) < total:
        turn = int(tosses.random() < 0.5) if sizes[0] == sizes[1] else int(sizes[0] > sizes[1])
        picked = next((row for row in picks[turn] if row not in taken), None)
        sizes[turn] += 1
        if picked is not None:
            taken.add(picked)
            rows.append(picked)
            teams.append(turn)
    return Interleaved(np.array(rows, dtype=np.int64), np.array(teams, dtype=np.int8))


def balanced(first: Int64, second: Int64, seed: str) -> Interleaved:
    """Merge two rankings so that every head holds as much of the one as of the other.

    Joachims, "Evaluating Retrieval Performance using Clickthrough Data", 2003, algorithm 1: a coin
    decides who leads, and a row that both hold is taken once. Rows have no team; `balanced_credit`
    says whom the clicks prefer.

    Args:
        first: int64[n], distinct rows, best first.
        second: The same rows in another order, or other rows.
        seed: Such as the query id: the same seed gives the same list.
    """
    leads = int(_tosses(seed).random() < 0.5)
    lists = (_checked(first, "first").tolist(), _checked(second, "second").tolist())
    # The leader's rank r comes before the other's rank r; the stable sort keeps that order.
    at = np.concatenate([2.0 * np.arange(len(one)) + (i != leads) for i, one in enumerate(lists)])
    merged = np.concatenate([first, second]).astype(np.int64)[np.argsort(at, kind="stable")]
    rows = np.array(list(dict.fromkeys(merged.tolist())), dtype=np.int64)
    return Interleaved(rows, np.full(len(rows), NEITHER, dtype=np.int8))


def team_draft_credit(teams: NDArray[np.int8], clicked: NDArray[np.bool_]) -> int:
    """Return 1 if the second ranking's rows got more clicks, -1 if the first's did, else 0."""
    given = [int(np.count_nonzero(clicked & (teams == team))) for team in (FIRST, SECOND)]
    return (given[1] > given[0]) - (given[1] < given[0])


def balanced_credit(first: Int64, second: Int64, shown: Int64, clicked: NDArray[np.bool_]) -> int:
    """Return 1 if the clicks prefer the second ranking, -1 the first, else 0.

    Joachims 2003, equation 1.

    Args:
        first: int64[n], the first ranking.
        second: The second one.
        shown: int64[m], the list that was shown.
        clicked: bool[m].
    """
    rows = shown[clicked]
    if not len(rows):
        return 0
    depth = min(_rank(first, rows[-1]), _rank(second, rows[-1]))
    inside = [int(np.isin(one[:depth], rows).sum()) for one in (first, second)]
    return (inside[1] > inside[0]) - (inside[1] < inside[0])


@dataclass(frozen=True, slots=True)
class Preference:
    """Tell which of two rankings the clicks of many lists prefer.

    Attributes:
        wins: Lists that prefer the second ranking.
        ties: Lists that prefer neither.
        losses: Lists that prefer the first.
        delta: (wins + ties / 2) / lists - 1/2, above 0 where the second is better (Chapelle et
            al., TOIS 2012, eq. 2); NaN without lists.
        low: The lower end of its 95 % interval, normal approximation; where all lists agree, of
            which no spread can be told, by the rule of three (Hanley and Lippman-Hand 1983).
        high: The upper end.
        p_value: Of the two-sided sign test over lists that are no tie.
    """

    wins: int
    ties: int
    losses: int
    delta: float
    low: float
    high: float
    p_value: float


def preference(credits: Sequence[int]) -> Preference:
    """Sum up the credit of each list: 1, 0 or -1."""
    given = np.asarray(credits, dtype=np.float64)
    wins, losses = int(np.sum(given > 0)), int(np.sum(given < 0))
    if not len(given):
        return Preference(0, 0, 0, math.nan, math.nan, math.nan, math.nan)
    halves = np.sign(given) / 2.0
    delta = float(halves.mean())
    if np.ptp(halves) > 0:
        margin = 1.959964 * float(halves.std(ddof=1)) / math.sqrt(len(given))
    else:
        margin = 3.0 / len(given)
    ties = len(given) - wins - losses
    low, high = max(-0.5, delta - margin), min(0.5, delta + margin)
    return Preference(wins, ties, losses, delta, low, high, _sign_test(wins, losses))


def _sign_test(wins: int, losses: int) -> float:
    """Return the chance of as uneven a division of fair coins, both sides."""
    count, fewer = wins + losses, min(wins, losses)
    logs = [
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        for k in range(fewer + 1)
    ]
    below = math.fsum(math.exp(value - count * math.log(2.0)) for value in logs)
    return min(1.0, 2.0 * below)


def _tosses(seed: str) -> np.random.Generator:
    return np.random.default_rng(xxhash.xxh3_64_intdigest(seed.encode("utf-8", "replace")))


def _common_head(first: Int64, second: Int64) -> int:
    both = min(len(first), len(second))
    differing = np.flatnonzero(first[:both] != second[:both])
    return int(differing[0]) if len(differing) else both


def _rank(ranking: Int64, row: int) -> int:
    """Return the 1-based rank of a row, the length + 1 where it is not."""
    at = np.flatnonzero(ranking == row)
    return int(at[0]) + 1 if len(at) else len(ranking) + 1


def _checked(rows: Int64, name: str) -> Int64:
    if len(np.unique(rows)) != len(rows):
        raise InputError(f"the {name} ranking holds a row twice; accepted are distinct rows")
    return rows
