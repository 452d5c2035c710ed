"""The dynamic Bayesian network: a shopper goes on reading until satisfied or tired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.events.clicks.cascade import network_chances, place_of
from cascade.events.clicks.fitted import EM_TRIALS, Fitted, Fitting, smoothed, usual
from cascade.events.clicks.pages import Bool, Float64, Pages

FIRST_ATTRACTION, FIRST_SATISFACTION, FIRST_GOING_ON = 0.3, 0.5, 0.9


@dataclass(frozen=True)
class _Expected:
    """Hold what is expected of the hidden states.

    Attributes:
        examined: float64[s, places], the chance that a place was looked at.
        satisfied: float64[s], the chance that the last click satisfied.
        went_on: How often someone looked at the next place.
        could: How often someone could have.
    """

    examined: Float64
    satisfied: Float64
    went_on: float
    could: float


@dataclass(frozen=True)
class _Shown:
    """Hold pages as tables of s searches: pairs, what is there, and where the last click is."""

    shown: Bool
    clicked: Bool
    last: Float64


def fit_dbn(pages: Pages, fitting: Fitting | None = None) -> Fitted:
    """Fit the dynamic Bayesian network by expectation maximisation.

    Chapelle & Zhang, "A Dynamic Bayesian Network Click Model for Web Search Ranking", WWW 2009,
    section 3 and appendix: who looks at a row clicks it by its attraction; a click satisfies by
    the document's satisfaction and ends the search; who is not satisfied goes on to the next row
    with one chance for all. Since all to the last click was looked at, only what follows it is
    hidden, and its chances have a closed form from the bottom up.

    Args:
        pages: What was shown and clicked.
        fitting: How.
    """
    fitting = fitting or Fitting()
    last = place_of(pages, first=False)
    table = _Shown(
        pages.table(np.ones(len(pages))) > 0,
        pages.table(pages.clicks) > 0,
        np.where(last < pages.lengths, last, -1),
    )
    rows = pages.page, pages.places
    final = pages.clicks & (pages.places == last[pages.page])
    clicks = pages.per_pair(pages.clicks)
    attraction = np.full(pages.pair_count, FIRST_ATTRACTION)
    satisfaction = np.full(pages.pair_count, FIRST_SATISFACTION)
    going_on = FIRST_GOING_ON
    rounds = 0
    examined = satisfied = np.zeros(pages.pair_count)
    while rounds < fitting.iterations:
        rounds += 1
        a, s = (pages.table(value[pages.pairs]) for value in (attraction, satisfaction))
        expected = _expect(table, a, s, going_on)
        examined = pages.per_pair(expected.examined[rows])
        satisfied = pages.per_pair(final * expected.satisfied[pages.page])
        before = attraction, satisfaction, going_on
        attraction = smoothed(clicks, examined, EM_TRIALS)
        satisfaction = smoothed(satisfied, clicks, EM_TRIALS)
        going_on = expected.went_on / max(expected.could, 1e-12)
        change = max(
            float(np.abs(attraction - before[0]).max()),
            float(np.abs(satisfaction - before[1]).max()),
            abs(going_on - before[2]),
        )
        if change < fitting.tolerance:
            break
    if fitting.strength > 0:
        attraction = smoothed(clicks, examined, fitting.strength * usual(examined))
        satisfaction = smoothed(satisfied, clicks, fitting.strength * usual(clicks))
    return Fitted(
        "dbn",
        attraction,
        satisfaction,
        {"continuation": np.array(going_on)},
        lambda others: network_chances(others, attraction, satisfaction, going_on),
        rounds,
    )


def _expect(pages: _Shown, a: Float64, s: Float64, going_on: float) -> _Expected:
    count, width = a.shape
    # below[:, r]: the chance that nothing from place r on is clicked, once r is looked at.
    below = np.ones((count, width + 1))
    for place in range(width - 1, -1, -1):
        stays = (1 - a[:, place]) * (1 - going_on + going_on * below[:, place + 1])
        below[:, place] = np.where(pages.shown[:, place], stays, 1.0)
    examined = np.zeros((count, width))
    satisfied = np.zeros(count)
    present = np.ones(count)
    went_on = could = 0.0
    for place in range(width):
        here = pages.shown[:, place]
        present = np.where(here, np.where(place <= pages.last, 1.0, present), 0.0)
        examined[:, place] = present
        after = going_on * below[:, place + 1]
        passes = after / (1 - going_on + after)
        ends = here & (place == pages.last)
        quiet = s[:, place] + (1 - s[:, place]) * (1 - going_on + after)
        content = np.where(ends, s[:, place] / quiet, 0.0)
        satisfied = np.where(ends, content, satisfied)
        following = np.where(ends, (1 - s[:, place]) * after / quiet, present * passes)
        following = np.where(here & (place < pages.last), 1.0, following)
        if place + 1 < width:
            more = pages.shown[:, place + 1]
            went_on += float(following[more].sum())
            could += float((present * (1 - content))[more].sum())
        present = following
    return _Expected(examined, satisfied, went_on, could)
