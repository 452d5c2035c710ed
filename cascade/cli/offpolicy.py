"""`cascade offpolicy`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from cascade.cli.console import (
    FILE,
    chosen,
    config_options,
    console,
    json_option,
    print_json,
    progress_bar,
    told,
)
from cascade.errors import InputError
from cascade.evaluation import Interval
from cascade.evaluation.offpolicy import Estimate
from cascade.evaluation.report import number, span
from cascade.registry import Models
from cascade.workflows.offpolicy import (
    OffPolicyOptions,
    OffPolicyReport,
    Reward,
    offpolicy_of_actions,
    offpolicy_of_log,
)

FULL, FEW = 0.95, 100


@click.command()
@config_options
@click.option(
    "--log",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The event log, of orders with drawn swaps.",
)
@click.option("--actions", type=FILE, help="Instead of a log: a CSV or Parquet file of actions.")
@click.option(
    "--reward",
    type=click.Choice(["click", "cart", "purchase", "value"]),
    default="click",
    show_default=True,
    help="What an impression earns: 1 for such an event, or the value of purchases.",
)
@click.option(
    "--models",
    type=click.Choice(["candidate", "live"]),
    default="candidate",
    show_default=True,
    help="The models that rank: candidates where there are any, or the live ones.",
)
@click.option(
    "--searches",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="The most searches to rank.",
)
@click.option(
    "--clip",
    type=click.FloatRange(min=0, min_open=True),
    help="Cut weights to this; default: none is cut.",
)
@json_option
@told
def offpolicy(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    log: Path | None,
    actions: Path | None,
    reward: Reward,
    models: Models,
    searches: int,
    clip: float | None,
    as_json: bool,
) -> None:
    """Estimate what the cascade would have earned on logged searches (IPS, SNIPS, DR)."""
    if (log is None) == (actions is None):
        raise InputError("give one of --log and --actions")
    if actions is not None:
        report = offpolicy_of_actions(actions, clip)
    else:
        assert log is not None
        config = chosen(config_path, overrides, name)
        options = OffPolicyOptions(reward, models, searches, clip)
        with progress_bar() as progress:
            report = offpolicy_of_log(config, log, options, progress)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _print(report: OffPolicyReport) -> None:
    out, found = console(), report.estimate
    table = Table("estimate", f"{report.reward} an action", "95% interval")
    named: dict[str, Interval | None] = {
        "logged": found.logged,
        "IPS": found.ips,
        "SNIPS": found.snips,
        "DR": found.dr,
    }
    for name, interval in named.items():
        if interval is not None:
            table.add_row(name, number(interval.mean), span(interval))
    out.print(table)
    out.print(
        f"{found.actions:,} actions, {found.matched:,} of which it takes; they are as certain as "
        f"{found.effective:,.0f} equally weighted ones; the largest weight is {found.largest:.3g}"
        + (f" ({found.clipped:,} were cut)" if found.clipped else "")
    )
    out.print(f"coverage {found.coverage:.3f}")
    for note in _notes(found):
        out.print(note)


def _notes(found: Estimate) -> list[str]:
    notes = []
    if found.coverage < FULL:
        notes.append(
            f"The log never shows about {1 - found.coverage:.0%} of what it would show: "
            + ("weights were cut, and " if found.clipped else "")
            + "IPS is too low by that part, and SNIPS speaks of the rest alone."
        )
    if found.effective < FEW:
        notes.append(
            "Too few actions carry the weight for a decision; log more, or cut weights by --clip, "
            "which biases towards the logging policy."
        )
    return notes
