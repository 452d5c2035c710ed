"""`cascade tune`: trials of other settings, and the windows of the stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
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
from cascade.evaluation.windows_page import windows_page
from cascade.registry import Models
from cascade.workflows.space import as_toml, toml_value
from cascade.workflows.tune import TuneReport
from cascade.workflows.tune import tune as make_trials
from cascade.workflows.windows import WindowsReport, tune_windows

OPTIMISM = (
    "The best of {count} trials looks better than it is, because it was chosen by the same queries "
    "that it is measured by. Train it, and let the gate decide on queries that no trial has seen."
)


@click.group(invoke_without_command=True)
@config_options
@click.option("--judgments", type=FILE, help="The judgments to learn from and to measure by.")
@click.option("--trials", type=click.IntRange(min=1), help="How many; default: tuning.trials.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the settings of the best trial as TOML.",
)
@json_option
@click.pass_context
@told
def tune(
    context: click.Context,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path | None,
    trials: int | None,
    write: Path | None,
    as_json: bool,
) -> None:
    """Try other settings and rank them by validation queries; a killed run goes on where it was."""
    if context.invoked_subcommand is not None:
        sources = [context.get_parameter_source(name) for name in context.params]
        if any(source is not ParameterSource.DEFAULT for source in sources):
            raise click.UsageError(f"give options after `{context.invoked_subcommand}`")
        return
    if judgments is None:
        raise click.UsageError("Missing option '--judgments'.")
    if trials is not None:
        overrides = (*overrides, f"tuning.trials={trials}")
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        report = make_trials(config, judgments, progress=progress)
    if write is not None:
        _write(write, report)
    if as_json:
        print_json(_plain(report))
    else:
        _print_trials(report, console())


@tune.command("windows")
@config_options
@click.option("--judgments", type=FILE, required=True, help="The judgments to measure by.")
@click.option(
    "--models",
    type=click.Choice(["candidate", "live"]),
    default="candidate",
    show_default=True,
    help="The models that rank: candidates where there are any, or the live ones.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 1),
    help="The share of the last model's quality to keep; default: tuning.keep.",
)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the curve as one page."
)
@json_option
@told
def windows(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path,
    models: Models,
    keep: float | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Find the smallest windows that keep the last model's quality, from measured cost."""
    if keep is not None:
        overrides = (*overrides, f"tuning.keep={keep}")
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        report = tune_windows(config, judgments, models=models, progress=progress)
    if html is not None:
        html.write_text(windows_page(report.drawn()), encoding="utf-8")
    if as_json:
        print_json(report)
    else:
        _print_windows(report, console())


def _print_trials(report: TuneReport, out: Console) -> None:
    table = Table("", "trial", report.measure, "to trial 0", "changes", "s")
    for column in table.columns[2:4]:
        column.no_wrap = True
    table.columns[4].overflow = "fold"
    for place, trial in enumerate(report.trials, 1):
        changes = (f"{_short(key)} {toml_value(v)}" for key, v in trial.overrides.items())
        table.add_row(
            str(place),
            str(trial.number),
            "failed" if trial.error else _interval(trial.measure),
            "" if trial.error or trial.number == 0 else _interval(trial.delta, signed=True),
            trial.error or ", ".join(changes) or "none: the configuration as it is",
            f"{trial.seconds:.0f}",
        )
    out.print(table)
    kept = len(report.trials) - report.made
    out.print(
        f"{report.made} trials made and {kept} kept in {report.seconds:.1f} s, of which rows "
        f"{report.rows_seconds:.1f} s; {report.queries:,} validation queries"
    )
    out.print(f"records: {report.folder}", soft_wrap=True)
    if report.mixed:
        out.print("Warning: these records come from more than one state of the code.")
    best = report.best
    if not best.overrides:
        out.print("No trial is better than the configuration as it is.")
        return
    out.print(f"The best is trial {best.number}:")
    out.print(" ".join(_sets(best.overrides)), soft_wrap=True)
    out.print(OPTIMISM.format(count=len(report.trials)))


def _print_windows(report: WindowsReport, out: Console) -> None:
    table = Table(
        *(f"window of {stage}" for stage in report.stages),
        report.measure,
        "of the last model's",
        "CPU ms",
        "of its cost",
        "",
    )
    for point in report.pareto:
        table.add_row(
            *(f"{window:,}" for window in point.windows),
            f"{point.quality:.4f}",
            f"{point.quality / report.whole.quality:.4f}",
            f"{point.ms:.2f}",
            f"{point.ms / report.whole.ms:.1%}",
            "recommended" if point == report.recommended else "",
        )
    out.print(table)
    out.print(
        f"{report.stages[-1]} on all rows: {report.whole.quality:.4f} at {report.whole.ms:.2f} ms; "
        f"the windows as they are, {' / '.join(map(str, report.present.windows))}: "
        f"{report.present.quality:.4f} at {report.present.ms:.2f} ms. {report.queries:,} queries, "
        f"cost by {report.timed} of them."
    )
    found, share = report.recommended, report.recommended.ms / report.whole.ms
    out.print(
        f"The cheapest windows that keep {report.keep:.1%} of that quality keep "
        f"{_interval(found.share)} of it at {share:.1%} of the cost:"
    )
    sets = {f"stages.{i}.window": window for i, window in enumerate(found.windows)}
    out.print(" ".join(_sets(sets)), soft_wrap=True)


def _sets(overrides: Mapping[str, Any]) -> list[str]:
    return [f"--set {key}={_shell(toml_value(value))}" for key, value in overrides.items()]


def _shell(text: str) -> str:
    return text if text.replace(".", "").replace("-", "").isalnum() else f"'{text}'"


def _write(path: Path, report: TuneReport) -> None:
    best = report.best
    if best.error:
        raise InputError(f"every trial failed; the first says: {best.error}")
    head = f"# Trial {best.number} of study {report.study}.\n"
    path.write_text(head + as_toml(best.overrides), encoding="utf-8")


def _plain(report: TuneReport) -> dict[str, Any]:
    """Return a report as JSON holds it; NaN has no form there."""
    trials = [
        {
            "number": trial.number,
            "overrides": dict(trial.overrides),
            "measure": _bounds(trial.measure),
            "delta": _bounds(trial.delta),
            "seconds": trial.seconds,
            "error": trial.error,
        }
        for trial in report.trials
    ]
    beside = ("study", "measure", "queries", "made", "mixed", "seconds", "rows_seconds")
    found = {key: getattr(report, key) for key in beside}
    note = OPTIMISM.format(count=len(trials))
    return {**found, "folder": str(report.folder), "trials": trials, "note": note}


def _bounds(interval: Interval) -> dict[str, float | None]:
    values = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _short(key: str) -> str:
    """Return a key without what every key of a stage has: `1.depth`."""
    parts = key.split(".")
    return f"{parts[1]}.{parts[-1]}" if parts[0] == "stages" else parts[-1]


def _interval(interval: Interval, signed: bool = False) -> str:
    sign = "+" if signed else ""
    mean, low, high = (f"{v:{sign}.3f}" for v in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low} {high}]"
