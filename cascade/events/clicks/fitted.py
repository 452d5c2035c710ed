"""What every click model gives: attraction of pairs, parameters, and how likely the clicks are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cascade.errors import InputError
from cascade.events.clicks.pages import Float64, Int64, Pages

# A chance is kept this far from 0 and 1 before its logarithm is taken.
LEAST = 1e-9
# The prior that expectation maximisation works with, in trials: none, and pairs that were shown
# once or twice are overfitted; a strong one, and the parameters of the model are bent.
EM_TRIALS = 1.0


@dataclass(frozen=True)
class Fitting:
    """Say how click models are fitted.

    Attributes:
        strength: What the common rate is worth for each pair, in times the usual number of trials
            of a pair; 0 leaves pairs to themselves.
        iterations: Most rounds of expectation maximisation.
        tolerance: It stops when no parameter of the model moves further than this.
    """

    strength: float = 0.0
    iterations: int = 100
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Chances:
    """Hold the chances of a click of n rows.

    Attributes:
        given: float64[n], given the clicks above on the page.
        alone: float64[n], knowing nothing of the other rows.
    """

    given: Float64
    alone: Float64


@dataclass(frozen=True)
class Fitted:
    """Hold a fitted click model over p pairs of query and document.

    Attributes:
        name: The model.
        attraction: float64[p], how much a pair attracts clicks; a chance, but for COEC, where 1
            is as usual for the rank.
        satisfaction: float64[p], the chance that a clicked document ends the search; None where
            the model has none.
        parameters: The others by name, such as `examination` float64[surfaces, ranks].
        chances: The chance of a click of each row of pages with these pairs.
        iterations: Rounds that the fit took; 1 for a closed form.
    """

    name: str
    attraction: Float64
    satisfaction: Float64 | None
    parameters: Mapping[str, Float64]
    chances: Callable[[Pages], Chances] = field(repr=False, compare=False)
    iterations: int = 1

    @property
    def relevance(self) -> Float64:
        """Attraction times satisfaction, float64[p] (Chapelle & Zhang 2009, section 3)."""
        return self.attraction if self.satisfaction is None else self.attraction * self.satisfaction


@dataclass(frozen=True)
class Likelihood:
    """Tell how well a model foresees clicks.

    Attributes:
        log_likelihood: Mean over searches, in nats.
        perplexity: Mean over ranks; 1 is perfect, 2 a coin (Dupret & Piwowarski 2008).
        by_rank: float64[longest page], perplexity of each place of a page.
    """

    log_likelihood: float
    perplexity: float
    by_rank: Float64


def likelihood(fitted: Fitted, pages: Pages) -> Likelihood:
    """Measure a model on pages, which may be others than those it was fitted on.

    Chuklin, Markov, de Rijke, "Click Models for Web Search", 2015, sections 5.1 and 5.2.
    """
    if not len(pages):
        raise InputError("there are no pages to measure a click model on")
    chances = fitted.chances(pages)
    told = np.log(_of_outcome(chances.given, pages)).sum() / len(pages.lengths)
    bits = -np.log2(_of_outcome(chances.alone, pages))
    place: Int64 = pages.places
    by_rank = 2 ** (np.bincount(place, bits) / np.bincount(place))
    return Likelihood(float(told), float(by_rank.mean()), by_rank)


def _of_outcome(chance: Float64, pages: Pages) -> Float64:
    kept = np.clip(chance, LEAST, 1 - LEAST)
    return np.where(pages.clicks, kept, 1 - kept)


def smoothed(counts: Float64, of: Float64, trials: float) -> Float64:
    """Return rates that are drawn to the common one, float64[p].

    Without a trial and without a prior a rate is the common one.

    Args:
        counts: float64[p], what happened.
        of: float64[p], how often it could have.
        trials: How many trials the common rate is worth.
    """
    total = float(of.sum())
    common = float(counts.sum()) / total if total > 0 else 0.0
    weight = of + trials
    rates = np.full_like(weight, common)
    np.divide(counts + trials * common, weight, out=rates, where=weight > 0)
    return np.clip(rates, 0.0, 1.0)


def usual(of: Float64) -> float:
    """Return the mean number of trials of the pairs that had any."""
    return float(of.sum()) / max(int(np.count_nonzero(of)), 1)
