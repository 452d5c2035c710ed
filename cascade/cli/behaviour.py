"""`cascade behaviour`: count what shoppers did, for the features that read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click

from cascade.cli.console import config_options, console, json_option, print_json, told
from cascade.config import Config, load_config
from cascade.errors import InputError, NotFoundError, nearest
from cascade.workflows.behaviour import (
    BehaviourReport,
    behaviour_status,
    sharing,
    update_behaviour,
)


@click.group()
def behaviour() -> None:
    """Count what shoppers did, for the features that read it."""


@behaviour.command()
@config_options
@click.option(
    "--as-of",
    metavar="TIME",
    help="Count what was before this time: seconds since 1970 or ISO 8601; default: now.",
)
@json_option
@told
def update(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_of: str | None,
    as_json: bool,
) -> None:
    """Count the event log anew; serving processes take the counts in without a restart."""
    moment = None if as_of is None else _moment(as_of)
    _tell(update_behaviour(_configs(config_path, overrides, name), moment), as_json)


@behaviour.command()
@config_options
@json_option
@told
def status(config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Say what is counted, how old it is, and what features lack."""
    _tell(behaviour_status(_configs(config_path, overrides, name)), as_json)


def _configs(config_path: Path, overrides: tuple[str, ...], name: str | None) -> list[Config]:
    """Return the chosen cascade and those over the same index."""
    configs = load_config(config_path, overrides)
    if name is not None and name not in configs:
        raise NotFoundError(f"{config_path} has no cascade {name!r}; {nearest(name, configs)}")
    chosen = next(iter(configs.values())) if name is None else configs[name]
    return sharing(chosen, configs.values())


def _moment(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        pass
    try:
        read = datetime.fromisoformat(given)
    except ValueError:
        raise InputError(
            f"--as-of {given!r}: accepted are seconds since 1970, or a time such as "
            "2026-01-31T06:00:00Z"
        ) from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _tell(report: BehaviourReport, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    tell = partial(console().print, soft_wrap=True)
    if report.snapshot is None or report.as_of is None or report.age_s is None:
        tell("nothing was counted yet; `cascade behaviour update` does")
    else:
        moment = datetime.fromtimestamp(report.as_of, UTC).isoformat(timespec="seconds")
        took = f", counted in {report.seconds:.2f} s" if report.seconds else ""
        age = timedelta(seconds=round(abs(report.age_s)))
        old = f"{age} old" if report.age_s >= 0 else f"{age} ahead"
        tell(f"{report.snapshot} is live: as of {moment}, {old}{took}")
        if not report.usable:
            tell("  queries of this moment do not read it: see behaviour.max_age_s")
        for table, count in report.counts.items():
            tell(f"  {table}: {count:,}")
        for counter, total in report.counters.items():
            tell(f"  {counter}: {total:,.1f} in all")
        if report.counters and not any(report.counters.values()):
            tell(
                "  no event before that moment fell into the counters' windows: a log that ended "
                "earlier is counted by `cascade behaviour update --as-of TIME`, or with "
                "window_days = 0.0, which is without end"
            )
    for counter in report.lacking:
        tell(f"  lacking: {counter}, which features read; `cascade behaviour update` counts it")
