"""What a cascade would have earned on logged searches, from the swaps that were logged."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Query
from cascade.config import Config, open_cascade
from cascade.errors import InputError, RefusedError, nearest
from cascade.evaluation import Bootstrap
from cascade.evaluation.offpolicy import Actions, Estimate, estimate
from cascade.evaluation.reward_model import cross_fitted
from cascade.events.tables import EventLog, connect
from cascade.pipeline import Cascade, PageRequest
from cascade.registry import Models
from cascade.workflows.progress import Progress, silent
from cascade.workflows.runs import unhurried

Reward = Literal["click", "cart", "purchase", "value"]

_SEARCHES = """
select query_id, text, time, surface, results, propensities
from searches
where query_id is not null and text is not null and propensities is not null
  and len(propensities) = len(results) and list_min(propensities) < 1
order by time, text, query_id
limit ?
"""
_REWARDS = """
select query_id, doc_id, {reward}
from events
where action = ? and query_id is not null and doc_id is not null
group by query_id, doc_id
"""
_COLUMNS = ("reward", "propensity", "target", "predicted", "expected", "unit")


@dataclass(frozen=True)
class OffPolicyReport:
    """Hold the estimates and what they rest on.

    Attributes:
        estimate: The estimates, a mean reward an impression in the randomised ranks.
        reward: What counts as one.
        searches: How many searches were used; 0 where actions were given in a file.
        models: The bundle that each stage ran, as name/version.
    """

    estimate: Estimate
    reward: str
    searches: int
    models: dict[str, str]


@dataclass(frozen=True)
class OffPolicyOptions:
    """Say what is estimated.

    Attributes:
        reward: A click, cart or purchase on the document counts 1; "value" is what purchases of
            it brought.
        models: Which models rank.
        searches: The most searches that are ranked anew, the oldest first.
        clip: What weights are cut to; None cuts none.
    """

    reward: Reward = "click"
    models: Models = "candidate"
    searches: int = 10_000
    clip: float | None = None


def offpolicy_of_log(
    config: Config,
    log: Path,
    options: OffPolicyOptions | None = None,
    progress: Progress = silent,
) -> OffPolicyReport:
    """Estimate what the configuration's cascade would have earned on the searches of an event log.

    Each rank of the head, as far as the log's order was drawn, is an action: the document there,
    with its logged propensity. The cascade's own order, without exploration, is the other policy.
    What a rank earns is taken to depend on its own document alone (the item-position model of Li
    et al. 2018).

    Raises:
        RefusedError: If no search has propensities below 1.
        NotFoundError: If there is no log, index or model.
    """
    options = options or OffPolicyOptions()
    database = EventLog(log).database()
    searches = database.execute(_SEARCHES, [options.searches]).fetchall()
    if not searches:
        raise RefusedError(
            f"no search of {log} has a propensity below 1: its orders were not drawn, so they say "
            "nothing of other orders; set [exploration] swap_share above 0 and log again"
        )
    value = options.reward == "value"
    sql = _REWARDS.format(reward="sum(value)" if value else "1.0")
    rewards = {
        (query_id, doc_id): float(earned or 0.0)
        for query_id, doc_id, earned in database.execute(
            sql, ["purchase" if value else options.reward]
        ).fetchall()
    }
    cascade = unhurried(open_cascade(config, options.models))
    with closing(cascade.engine):
        rows = _Rows()
        order = _Orders(cascade)
        for number, search in enumerate(searches):
            rows.add(number, search, order.of(search), rewards)
            if number % 50 == 49:
                progress("rank logged searches", number + 1, len(searches))
        models = cascade.models
    bootstrap = Bootstrap(seed=config.settings.evaluation.seed, resamples=2_000)
    found = estimate(rows.actions(), bootstrap, options.clip)
    return OffPolicyReport(found, options.reward, len(searches), models)


def offpolicy_of_actions(
    path: Path, clip: float | None = None, bootstrap: Bootstrap | None = None
) -> OffPolicyReport:
    """Estimate from a CSV or Parquet file of logged actions.

    Its columns are `reward`, `propensity` and `target`, and, if there are any, `predicted` and
    `expected` of a reward model and the `unit` that is drawn together; see `Actions`.

    Raises:
        InputError: If a column is missing or holds no numbers.
    """
    table = connect().read_parquet(str(path)) if path.suffix == ".parquet" else None
    table = table if table is not None else connect().read_csv(str(path))
    missing = [name for name in _COLUMNS[:3] if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}; {nearest(missing[0], table.columns)}"
        )
    columns = table.project(", ".join(n for n in _COLUMNS if n in table.columns)).fetchnumpy()
    numbers = {name: _numbers(path, name, columns[name]) for name in columns if name != "unit"}
    unit = np.unique(columns["unit"], return_inverse=True)[1] if "unit" in columns else None
    actions = Actions(
        rewards=numbers["reward"],
        propensities=numbers["propensity"],
        target=numbers["target"],
        predicted=numbers.get("predicted"),
        expected=numbers.get("expected"),
        units=None if unit is None else unit.astype(np.int64),
    )
    return OffPolicyReport(estimate(actions, bootstrap, clip), "reward", 0, {})


def _numbers(path: Path, name: str, column: NDArray[Any]) -> NDArray[np.float64]:
    try:
        values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
    except ValueError:
        raise InputError(f"{path}: column {name!r} holds what is no number") from None
    if name != "propensity" and not np.isfinite(values).all():
        raise InputError(
            f"{path}: column {name!r} has empty or infinite values; give each a number"
        )
    return np.asarray(values, np.float64)


class _Orders:
    """Rank logged searches by a cascade; a search like the one before it is not ranked again.

    Args:
        cascade: What ranks.
    """

    def __init__(self, cascade: Cascade) -> None:
        self._cascade = cascade
        self._last: tuple[tuple[object, ...], list[str]] = ((), [])

    def of(self, search: tuple[Any, ...]) -> list[str]:
        """Return the ids of the first documents, as many as the search showed."""
        query_id, text, time, surface, results, _ = search
        asked = (text, time, surface, len(results))
        if self._last[0] != asked:
            query = Query(query_id, text, time=time or 0.0, surface=surface)
            ranked = self._cascade.ranked(query, PageRequest(size=1)).candidates
            self._last = asked, ranked.head(len(results)).ids()
        return self._last[1]


class _Rows:
    """Collect the drawn ranks of the searches."""

    def __init__(self) -> None:
        self._documents: dict[str, int] = {}
        self._columns: list[tuple[int, int, int, int, float, float]] = []

    def add(
        self,
        number: int,
        search: tuple[Any, ...],
        order: list[str],
        rewards: dict[tuple[str, str], float],
    ) -> None:
        query_id, _, _, _, results, propensities = search
        # Below the last rank that was drawn nothing can be said of another order.
        drawn = max(i for i, chance in enumerate(propensities) if chance < 1.0) + 1
        for rank, (shown, chance) in enumerate(zip(results[:drawn], propensities, strict=False), 1):
            wanted = order[rank - 1] if rank <= len(order) else None
            row = (number, rank, self._code(shown), self._code(wanted))
            self._columns.append((*row, rewards.get((query_id, shown), 0.0), chance))

    def actions(self) -> Actions:
        """Return them as actions, with a reward model beside."""
        units, ranks, shown, wanted = (
            np.array(column, dtype=np.int64) for column in self._parts(range(4))
        )
        rewards, propensities = (
            np.array(column, dtype=np.float64) for column in self._parts(range(4, 6))
        )
        predicted, expected = cross_fitted(ranks, shown, rewards, wanted, units)
        target = (shown == wanted).astype(np.float64)
        return Actions(rewards, propensities, target, predicted, expected, units)

    def _parts(self, at: Iterable[int]) -> list[list[Any]]:
        return [[row[i] for row in self._columns] for i in at]

    def _code(self, doc_id: str | None) -> int:
        if doc_id is None:
            return -1
        return self._documents.setdefault(doc_id, len(self._documents))
