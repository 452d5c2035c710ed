"""What a live experiment found: shares of its arms, what their visitors did, whom clicks prefer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.config import Config
from cascade.config.experiment_settings import ExperimentSettings
from cascade.errors import InputError, NotFoundError
from cascade.events.tables import ACTIONS, EventLog
from cascade.experiments import (
    Preference,
    RatioCheck,
    preference,
    sample_ratio,
    team_draft_credit,
)

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class ArmResult:
    """Hold what the units of one arm did.

    Attributes:
        units: Visitors, sessions or searches, as the experiment divides them.
        searches: How many searches they made.
        rate: The mean over units of the share of their searches that led to the action.
        delta: Its difference to the first arm.
        low: The lower end of the difference's 95 % interval.
        high: The upper end.
    """

    units: int
    searches: int
    rate: float
    delta: float
    low: float
    high: float


@dataclass(frozen=True)
class ExperimentReport:
    """Tell what an experiment found.

    Attributes:
        name: The experiment.
        kind: "ab", "team_draft" or "balanced".
        action: What counts as success.
        ratio: Whether the arms got their shares; None for an interleaving.
        arms: The arms of an A/B test, that which is compared with first.
        preference: Which cascade the clicks of interleaved pages prefer; None for an A/B test.
        searches: Logged searches that took part.
        followed: Those that the event log knows an action of.
    """

    name: str
    kind: str
    action: str
    ratio: RatioCheck | None
    arms: Mapping[str, ArmResult]
    preference: Preference | None
    searches: int
    followed: int


def experiment_report(config: Config, action: str = "click") -> ExperimentReport:
    """Join the request log with the event log, and compare the arms.

    Args:
        config: The settings; `[experiment]`, `[log]` and `[events]` of them.
        action: What counts as success.

    Raises:
        InputError: If there is no experiment or no request log, or the action is unknown.
        NotFoundError: If no logged search took part, or there is no event log.
    """
    settings = config.settings.experiment
    if settings is None:
        raise InputError(f"{config.path} has no [experiment]; there is nothing to report")
    if action not in ACTIONS[1:]:
        raise InputError(f"action {action!r}; accepted are {', '.join(ACTIONS[1:])}")
    if settings.kind == "balanced":
        raise InputError(
            "clicks on a balanced interleaving are judged with both rankings at hand "
            "(`balanced_credit`), which the log does not keep; use team_draft"
        )
    rows = _searches(config, settings, action)
    followed = sum(bool(row["acted"]) for row in rows)
    if settings.kind == "ab":
        arms = _arms(rows, list(settings.divided()))
        counts = {name: arm.units for name, arm in arms.items()}
        ratio = sample_ratio(counts, settings.divided())
        return ExperimentReport(
            settings.name, settings.kind, action, ratio, arms, None, len(rows), followed
        )
    credits = [
        team_draft_credit(
            np.array(row["teams"], dtype=np.int8),
            np.isin(np.array(row["results"], dtype=object), row["acted"] or []),
        )
        for row in rows
        if row["teams"]
    ]
    return ExperimentReport(
        settings.name, settings.kind, action, None, {}, preference(credits), len(rows), followed
    )


def _searches(config: Config, experiment: ExperimentSettings, action: str) -> list[dict[str, Any]]:
    """Return each first page that took part: arm, unit, results, teams, documents acted on."""
    arms = {f"{experiment.name}/{arm}": arm for arm in experiment.divided()}
    if config.settings.log.path is None:
        raise InputError(
            "the arms of searches stand in the request log: set log.path, and log.rate to what "
            "is to be kept"
        )
    folder = config.resolve(config.settings.log.path)
    files = sorted(folder.glob("**/*.parquet"))
    if not files:
        raise NotFoundError(f"{folder} holds no request log")
    database = EventLog(config.resolve(config.settings.events.path)).database()
    columns = {"visitor": "visitor", "session": "session", "query": "query_id"}
    with database as connection:
        table: Any = connection.sql(
            f"""
            with shown as (
                select query_id, arm, {columns[experiment.unit]} as unit, results, teams
                from read_parquet(?)
                where list_contains(?, arm) and "offset" = 0 and route = 'search'
            ), acted as (
                select query_id, list(distinct doc_id) as acted
                from events where action = ? group by query_id
            )
            select shown.query_id, arm, unit, results, teams, acted
            from shown left join acted using (query_id)
            """,
            params=[[str(path) for path in files], list(arms), action],
        ).to_arrow_table()
    rows: list[dict[str, Any]] = table.to_pylist()
    if not rows:
        raise NotFoundError(f"no search in {folder} took part in {experiment.name!r}")
    return [{**row, "arm": arms[row["arm"]]} for row in rows]


def _arms(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, ArmResult]:
    found: dict[str, dict[str, list[bool]]] = {name: {} for name in names}
    for row in rows:
        if row["arm"] in found and row["unit"] is not None:
            found[row["arm"]].setdefault(row["unit"], []).append(bool(row["acted"]))
    rates = {
        name: np.array([np.mean(acts) for acts in units.values()]) for name, units in found.items()
    }
    searches = {name: sum(map(len, units.values())) for name, units in found.items()}
    first = rates[names[0]]
    return {name: _arm(rates[name], first, searches[name], name == names[0]) for name in names}


def _arm(rates: Float64, first: Float64, searches: int, same: bool) -> ArmResult:
    if not len(rates):
        return ArmResult(0, searches, math.nan, math.nan, math.nan, math.nan)
    mean = float(rates.mean())
    if same or len(rates) < 2 or len(first) < 2:
        return ArmResult(len(rates), searches, mean, 0.0 if same else math.nan, math.nan, math.nan)
    delta = mean - float(first.mean())
    error = math.sqrt(rates.var(ddof=1) / len(rates) + first.var(ddof=1) / len(first))
    margin = _NORMAL_95 * error
    return ArmResult(len(rates), searches, mean, delta, delta - margin, delta + margin)
