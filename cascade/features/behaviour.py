"""What shoppers did with a document before: smoothed rates and counts, windowed and decayed.

A count stands in the candidates' column of its counter's name, where a join put it as of the time
of each query; else the newest counts of the documents are read. Counts that a query must not read,
because they are too old or of after its time, are those of what was never seen. Missing (NaN) where
the documents do not have the row, and where the counter was never counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour import ACTIONS, Behaviour, Counter
from cascade.candidates import Candidates, Float32, Float64
from cascade.errors import nearest
from cascade.features.base import BaseFeature, optional_field_of
from cascade.features.registry import feature_kind
from cascade.schema import Kind

BY = ("document", "query", "pair", "group")


@dataclass(frozen=True, kw_only=True)
class BehaviourFeature(BaseFeature):
    """Read counters of one window and half-life.

    Attributes:
        by: What is counted for: "document", "query", "pair" of both, or "group".
        field: The keyword field of a group, whose first value counts.
        window_days: How far back; 0 is without end.
        half_life_days: After how many days an event counts half; 0 is never.
    """

    by: str
    field: str = optional_field_of(Kind.KEYWORD)
    window_days: float = 30.0
    half_life_days: float = 0.0

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise ValueError(f"by: is {self.by!r}; {nearest(self.by, BY)}")
        if (self.by == "group") != bool(self.field):
            raise ValueError('field: is needed for by = "group", and accepted for no other')
        for setting in ("window_days", "half_life_days"):
            value = getattr(self, setting)
            if not 0 <= value < math.inf:
                raise ValueError(f"{setting}: is {value}; accepted are days, or 0 for no end")

    @property
    def counters(self) -> tuple[Counter, ...]:
        """What has to be counted for it."""
        raise NotImplementedError

    def counter(self, action: str) -> Counter:
        """Return the counter of an action."""
        return Counter(
            self.by,  # type: ignore[arg-type]  # checked when it was made
            action,
            self.window_days or math.inf,
            self.half_life_days or math.inf,
            self.field,
        )

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] of 0 or more."""
        behaviour = candidates.behaviour
        counts = [counts_of(candidates, name, self.by, behaviour) for name in self._names]
        return self.measured(candidates, counts, behaviour).astype(np.float32)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(counter.name for counter in self.counters)

    @cached_property
    def _total_names(self) -> tuple[str, ...]:
        return tuple(counter.total_name for counter in self.counters)

    def measured(
        self, candidates: Candidates, counts: list[Float64], behaviour: Behaviour | None
    ) -> Float64:
        """Return float64[n] from the counts of `counters`."""
        raise NotImplementedError


@feature_kind("rate")
@dataclass(frozen=True, kw_only=True)
class Rate(BehaviourFeature):
    """Return (of + prior_weight * prior) / (per + prior_weight): a smoothed rate.

    The mean of the posterior of a rate whose prior is worth `prior_weight` events. What was never
    seen has the prior.

    Attributes:
        of: The action that is counted.
        per: The action that it is counted per.
        prior_weight: How many events of `per` the prior is worth, above 0.
        prior_rate: The prior; 0 takes the rate over everything.
    """

    of: str
    per: str = "impression"
    prior_weight: float = 20.0
    prior_rate: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_other("of", self.of)
        _refuse_other("per", self.per)
        if not 0 < self.prior_weight < math.inf:
            raise ValueError(f"prior_weight: is {self.prior_weight}; accepted is more than 0")
        if not 0 <= self.prior_rate < math.inf:
            raise ValueError(f"prior_rate: is {self.prior_rate}; accepted is 0 or more")

    @property
    def counters(self) -> tuple[Counter, ...]:
        """That of `of`, and that of `per`."""
        return (self.counter(self.of), self.counter(self.per))

    def measured(
        self, candidates: Candidates, counts: list[Float64], behaviour: Behaviour | None
    ) -> Float64:
        """Return float64[n], the rate."""
        of, per = counts
        prior = self.prior_rate or self._everywhere(candidates, behaviour)
        rates: Float64 = (of + self.prior_weight * prior) / (per + self.prior_weight)
        return rates

    def _everywhere(self, candidates: Candidates, behaviour: Behaviour | None) -> float | Float64:
        """Return the rate over everything."""
        (of_name, per_name), (of_total, per_total) = self._names, self._total_names
        of = _total(candidates, of_name, of_total, behaviour)
        per = _total(candidates, per_name, per_total, behaviour)
        if isinstance(of, float) and isinstance(per, float):
            return of / per if per else 0.0 * of
        some = np.broadcast_to(np.asarray(per), len(candidates)) > 0
        return np.divide(of, per, out=np.zeros(len(candidates)), where=some)


@feature_kind("count")
@dataclass(frozen=True, kw_only=True)
class Count(BehaviourFeature):
    """Return ln(1 + count).

    Attributes:
        action: What is counted.
    """

    action: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_other("action", self.action)

    @property
    def counters(self) -> tuple[Counter, ...]:
        """That of the action."""
        return (self.counter(self.action),)

    def measured(
        self, candidates: Candidates, counts: list[Float64], behaviour: Behaviour | None
    ) -> Float64:
        """Return float64[n], the logarithm of the count."""
        logarithms: Float64 = np.log1p(counts[0])
        return logarithms


def counters_of(features: Iterable[object]) -> tuple[Counter, ...]:
    """Return the distinct counters that features read, in the order of the features."""
    read = (f.counters for f in features if isinstance(f, BehaviourFeature))
    return tuple(dict.fromkeys(counter for counters in read for counter in counters))


def counts_of(candidates: Candidates, name: str, by: str, behaviour: Behaviour | None) -> Float64:
    """Return a counter for each row, float64[n], NaN if nobody counted it.

    Args:
        candidates: The rows.
        name: The counter's name.
        by: What it counts for.
        behaviour: The counts that the candidates read.
    """
    column = candidates.columns.get(name)
    if column is not None:
        unknown = (candidates.rows < 0) & (by != "query")
        return np.where(unknown, np.nan, column.astype(np.float64))
    if behaviour is None or name not in behaviour.columns:
        return np.full(len(candidates), np.nan)

    def read(asked: Candidates) -> NDArray[np.generic]:
        return _usable_counts(asked, behaviour)

    counts = cast(Float64, candidates.derived("behaviour counts", read))
    return counts[:, behaviour.columns[name]]


def _usable_counts(candidates: Candidates, behaviour: Behaviour) -> Float64:
    """Return every counter for each row, float64[n, counters], 0 where it must not be read."""
    texts = [query.text for query in candidates.queries]
    found = behaviour.values(texts, candidates.listing, candidates.rows)
    counts = found.astype(np.float64)
    usable = [behaviour.usable(query.time) for query in candidates.queries]
    if not all(usable):
        # Times 0, so that what is missing stays so.
        counts[~np.array(usable)[candidates.listing]] *= 0
    counts.flags.writeable = False  # read by every feature
    return counts


def _total(
    candidates: Candidates, name: str, total_name: str, behaviour: Behaviour | None
) -> float | Float64:
    """Return the sum of a counter over everything, NaN if it is not known."""
    column = candidates.columns.get(total_name)
    if column is not None:
        return column.astype(np.float64)
    if behaviour is None or name not in behaviour.columns:
        return math.nan
    return behaviour.totals[behaviour.columns[name]]


def _refuse_other(setting: str, action: str) -> None:
    if action not in ACTIONS:
        raise ValueError(f"{setting}: is {action!r}; {nearest(action, ACTIONS)}")
