"""`cascade experiment`: what a live comparison of cascades found."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cascade.behaviour import ACTIONS
from cascade.cli.console import chosen, config_options, console, json_option, print_json, told
from cascade.workflows.experiment import ExperimentReport, experiment_report


@click.command()
@config_options
@click.option(
    "--action",
    type=click.Choice(ACTIONS[1:]),
    default="click",
    show_default=True,
    help="What counts as success.",
)
@json_option
@told
def experiment(
    config_path: Path, overrides: tuple[str, ...], name: str | None, action: str, as_json: bool
) -> None:
    """Compare the arms of the experiment that is configured, by the logs of its requests."""
    report = experiment_report(chosen(config_path, overrides, name), action)
    if as_json:
        print_json(report)
    else:
        _print(report, console())


def _print(report: ExperimentReport, out: Console) -> None:
    out.print(
        f"{report.name} ({report.kind}): {report.searches:,} searches took part, "
        f"{report.followed:,} led to a {report.action}"
    )
    found = report.preference
    if found is not None:
        out.print(
            f"the second cascade wins {found.wins:,}, loses {found.losses:,}, ties {found.ties:,}: "
            f"{found.delta:+.4f} [{found.low:+.4f}, {found.high:+.4f}], p = {found.p_value:.4f}"
        )
        return
    table = Table("arm", "units", "searches", f"{report.action} rate", "difference")
    for name, arm in report.arms.items():
        interval = f"{arm.delta:+.4f} [{arm.low:+.4f}, {arm.high:+.4f}]"
        table.add_row(
            name,
            f"{arm.units:,}",
            f"{arm.searches:,}",
            f"{arm.rate:.4f}",
            interval if arm.low == arm.low else "-",
        )
    out.print(table)
    if report.ratio is not None and report.ratio.mismatch:
        out.print(
            f"sample ratio mismatch, p = {report.ratio.p_value:.1e}: units were lost or counted "
            "twice in one arm; the differences mean nothing until that is found"
        )
