"""Grades of shown rows: what was gained over how often it was looked at, drawn to a prior."""

from __future__ import annotations

import numpy as np

from cascade.config import Config
from cascade.config.click_settings import ClickSettings
from cascade.events.clicks import Pages
from cascade.events.clicks.fitted import smoothed, usual
from cascade.events.clicks.pages import Float64, Int64
from cascade.events.propensities import Propensities
from cascade.training.dataset import Dataset
from cascade.training.staged import fold_of
from cascade.workflows.click_prior import HELD_OUT, foreseen, posterior, prior_shape


def scaled(rates: Float64, top: float) -> Float64:
    """Return rates in proportion, the highest `top`; 0 where all are 0."""
    highest = float(rates.max()) if len(rates) else 0.0
    return rates * (top / highest) if highest > 0 else np.zeros_like(rates)


def click_grades(
    pages: Pages,
    settings: ClickSettings,
    chances: Propensities | None,
) -> Float64:
    """Return the grade of each pair, float64[p], from 0 to `top_grade`, drawn to the common rate.

    Args:
        pages: What was shown and clicked.
        settings: Weights of actions, prior, clip and scale.
        chances: Propensities of ranks; None takes every impression for seen.
    """
    gained, exposed = _trials(pages, settings, chances)
    rates = smoothed(gained, exposed, settings.strength * usual(exposed))
    return _scaled(rates, settings)


def _trials(
    pages: Pages, settings: ClickSettings, chances: Propensities | None
) -> tuple[Float64, Float64]:
    """Return what each pair gained, in full trials, and how often it was looked at, float64[p]."""
    gained = pages.per_pair(gained_by(pages, settings))
    if chances is None:
        exposed = pages.per_pair()
    else:
        looked = chances.of(pages.row_surfaces, pages.ranks)
        exposed = pages.per_pair(np.maximum(looked, settings.clip))
    # A row on which everything counted happened is one full trial.
    return gained / sum(settings.events.values()), exposed


def _scaled(rates: Float64, settings: ClickSettings) -> Float64:
    return scaled(np.sqrt(rates) if settings.scale == "root" else rates, settings.top_grade)


def graded(
    config: Config,
    pages: Pages,
    chances: Propensities | None,
    train: Dataset,
    validation: Dataset,
) -> Float64:
    """Return the grade of each pair, float64[p]; 0 for those without a row where rows are read.

    What features tell of clicks is learned from the rows to train on alone: held-out grades that
    knew of the held-out rows' clicks more than their own would flatter what is fitted to features.

    Args:
        config: The settings.
        pages: What was shown and clicked.
        chances: Propensities of ranks; None takes every impression for seen.
        train: Rows to train on, whose grade is the number of their pair, from 1; 0 for sampled.
        validation: Rows that stop the training, likewise.
    """
    settings = config.settings.clicks
    if settings.prior == "common":
        return click_grades(pages, settings, chances)
    gained, exposed = _trials(pages, settings, chances)
    shown = [part.rows(pair_of(part) >= 0) for part in (train, validation)]
    pair = np.concatenate([pair_of(part) for part in shown])
    of_query = np.array([fold_of(q) for q in train.query_ids], dtype=np.int64)
    folds = np.full(len(pair), HELD_OUT)
    folds[: len(shown[0])] = np.repeat(of_query, np.diff(shown[0].offsets))
    clicks, looks = gained[pair], exposed[pair]
    matrix = np.concatenate([part.matrix for part in shown])
    expected = foreseen(matrix, clicks, looks, folds, config.settings.training.seed)
    learned = folds != HELD_OUT
    shape = prior_shape(clicks[learned], (expected * looks)[learned])
    rates = np.zeros(pages.pair_count)
    rates[pair] = posterior(clicks, looks, expected, shape)
    return _scaled(rates, settings)


def pair_of(rows: Dataset) -> Int64:
    """Return the pair of each row whose grade is its number, int64[n]; -1 for a sampled one."""
    return rows.grades.astype(np.int64) - 1


def gained_by(pages: Pages, settings: ClickSettings) -> Float64:
    """Return what the actions on each row count, float64[n], an action once however often."""
    found = np.zeros(len(pages))
    for action, weight in settings.events.items():
        found += weight * (pages.events[action] > 0)
    return found
