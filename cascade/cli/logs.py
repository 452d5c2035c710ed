"""`cascade replay` and `cascade skew`: what the request log proves."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from cascade.cli.console import (
    chosen,
    config_options,
    console,
    json_option,
    print_json,
    progress_bar,
    told,
)
from cascade.config import Config, store_of
from cascade.errors import ConfigError
from cascade.events.request_log import RequestLog
from cascade.workflows.logged import chosen_requests
from cascade.workflows.replay import ReplayReport, Verdict
from cascade.workflows.replay import replay as replay_requests
from cascade.workflows.skew import SkewReport
from cascade.workflows.skew import skew as skew_of

SHOWN = 20
log_option = click.option(
    "--log",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the request log; default: log.path.",
)
query_option = click.option("--query-id", help="The requests of this query alone.")
sample_option = click.option(
    "--sample", type=click.IntRange(1), help="So many requests, the same each time; default: all."
)


@click.command()
@log_option
@query_option
@sample_option
@click.option(
    "--fixed", is_flag=True, help="Turn time-dependent choices off: every stage runs anew."
)
@config_options
@json_option
@told
def replay(
    folder: Path | None,
    query_id: str | None,
    sample: int | None,
    fixed: bool,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Rank logged requests again and compare the orders bit for bit.

    Exit code 4 if an order or score differs from what was served; with --fixed such differences
    are told, and no failure.
    """
    config = chosen(config_path, overrides, name)
    requests = chosen_requests(_log(config, folder), query_id, sample, config.settings.name)
    with progress_bar() as progress:
        report = replay_requests(config, requests, fixed=fixed, progress=progress)
    if as_json:
        differing = [asdict(r) for r in report.requests if r.verdict is not Verdict.REPRODUCED]
        print_json({"fixed": fixed, **report.counts, "requests": differing})
    else:
        _tell_replay(report)
    if report.counts[Verdict.DIFFERING] and not fixed:
        sys.exit(4)


@click.command()
@log_option
@query_option
@sample_option
@click.option(
    "--generation",
    help="Read the documents of this generation; default: what each request names.",
)
@click.option("--live", is_flag=True, help="Read the documents of the live generation.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of a feature's rows that may differ.",
)
@config_options
@json_option
@told
def skew(
    folder: Path | None,
    query_id: str | None,
    sample: int | None,
    generation: str | None,
    live: bool,
    tolerance: float,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Compute the features of logged requests again and compare them.

    Exit code 4 if a feature differs on a larger share of rows than tolerated, or nothing could be
    compared.
    """
    config = chosen(config_path, overrides, name)
    requests = chosen_requests(_log(config, folder), query_id, sample, config.settings.name)
    read = store_of(config).live().name if live else generation
    with progress_bar() as progress:
        report = skew_of(config, requests, read, progress)
    beyond = report.beyond(tolerance)
    if as_json:
        features = [{**asdict(f), "share": f.share} for f in report.features]
        content = {"requests": report.requests, "uncompared": report.uncompared}
        print_json({**content, "tolerance": tolerance, "features": features})
    else:
        _tell_skew(report, tolerance)
    if beyond or not report.requests:
        sys.exit(4)


def _log(config: Config, folder: Path | None) -> RequestLog:
    if folder is not None:
        return RequestLog(folder)
    path = config.settings.log.path
    if path is None:
        problem = "log.path: there is none; name the folder of the request log, or give --log"
        raise ConfigError(str(config.path), [problem])
    return RequestLog(config.resolve(path))


def _tell_replay(report: ReplayReport) -> None:
    out, counts = console(), report.counts
    how = "with all the time there is" if report.fixed else "as they were served"
    out.print(
        f"{len(report.requests):,} requests {how}: {counts[Verdict.REPRODUCED]:,} reproduced, "
        f"{counts[Verdict.DIFFERING]:,} differing, {counts[Verdict.UNREPLAYABLE]:,} unreplayable"
    )
    if report.first is not None:
        out.print(f"First: {report.first.query_id} {report.first.verdict}: {report.first.reason}")


def _tell_skew(report: SkewReport, tolerance: float) -> None:
    out = console()
    for reason, requests in report.uncompared.items():
        out.print(f"{requests:,} requests cannot be compared: {reason}")
    differing = [f for f in report.features if f.differing]
    out.print(
        f"{report.requests:,} requests, {len(report.features):,} features: {len(differing):,} "
        f"differ, {len(report.beyond(tolerance)):,} on more than {tolerance:.2%} of the rows"
    )
    if not differing:
        return
    table = Table("stage", "feature", "rows", "differing", "largest", "for example")
    for found in differing[:SHOWN]:
        table.add_row(
            found.stage,
            found.feature,
            f"{found.rows:,}",
            f"{found.share:.2%}",
            f"{found.largest:.6g}",
            found.example,
        )
    out.print(table)
