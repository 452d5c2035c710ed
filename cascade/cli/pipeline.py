"""`cascade pipeline`: from judgments to promoted models, in steps that go on after a kill."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
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
from cascade.workflows.pipeline import STEPS, pipeline_status, run_pipeline
from cascade.workflows.steps import StepRecord


@click.group()
def pipeline() -> None:
    """Count, train, evaluate, and promote what passes the gate, as one resumable run."""


@pipeline.command()
@config_options
@click.option(
    "--judgments", type=FILE, help="The judgments to learn from; default: pipeline.judgments."
)
@click.option(
    "--again",
    type=click.Choice(STEPS),
    multiple=True,
    help="Repeat this step, and all that follow, though nothing changed.",
)
@json_option
@told
def run(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path | None,
    again: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run every step that has something new to do; a killed run goes on where it was."""
    config = chosen(config_path, overrides, name)
    out = console(as_json)
    with progress_bar() as progress:
        report = run_pipeline(config, judgments, again=again, progress=progress)
    if as_json:
        print_json(report)
    else:
        _print(report.steps, out)
        out.print(f"{report.seconds:.1f} s of work")
    if report.bad is not None:
        sys.exit(report.bad.exit_code)


@pipeline.command()
@config_options
@json_option
@told
def status(config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Show what is recorded of each step."""
    records = pipeline_status(chosen(config_path, overrides, name))
    if as_json:
        print_json(records)
    else:
        _print(records, console())


def _print(records: tuple[StepRecord, ...] | list[StepRecord], out: Console) -> None:
    table = Table("step", "outcome", "seconds", "finished", "result")
    for record in records:
        finished = time.strftime("%Y-%m-%d %H:%M", time.gmtime(record.finished))
        table.add_row(
            record.name,
            record.status,
            f"{record.seconds:.1f}" if record.finished else "-",
            finished if record.finished else "-",
            record.reason or _short(record),
        )
    out.print(table)


def _short(record: StepRecord) -> str:
    if not record.result:
        return ""
    models = record.result.get("models")
    if models:
        return ", ".join(f"{key} {value}" for key, value in models.items())
    plain = {k: v for k, v in record.result.items() if isinstance(v, str | int | float)}
    return ", ".join(f"{key} {value}" for key, value in plain.items())
