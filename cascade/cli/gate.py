"""`cascade models promote`, `rollback`, `profile`, `shadow` and `history`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal, cast

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
from cascade.config import registry_of
from cascade.errors import RefusedError
from cascade.registry import read_decisions
from cascade.workflows.profile import REQUESTS, Asking, ProfileReport, profile_config
from cascade.workflows.promote import Promotion, promote_config, rollback_config
from cascade.workflows.shadow import ShadowReport, shadow_config

_SAID = {True: "passed", False: "REFUSED", None: "not told"}
queries_option = click.option(
    "--queries",
    type=FILE,
    help="Recorded requests: a text or a JSON object on each line.",
)


@click.command()
@config_options
@click.argument("names", nargs=-1)
@click.option(
    "--judgments",
    type=FILE,
    help="The judgments to compare on; default: gate.judgments.",
)
@click.option("--dry-run", is_flag=True, help="Draw the gate's lines and switch nothing.")
@json_option
@told
def promote(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    names: tuple[str, ...],
    judgments: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the candidates live, all stages together, if the gate lets them pass."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        promotion = promote_config(config, names, judgments, switch=not dry_run, progress=progress)
    if as_json:
        print_json(promotion)
    else:
        _print_promotion(promotion, console())
    if promotion.action == "refused":
        sys.exit(RefusedError.exit_code)


@click.command("rollback")
@config_options
@json_option
@told
def roll_back(
    config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool
) -> None:
    """Let the live and the previous models of every stage change places."""
    moved = rollback_config(chosen(config_path, overrides, name))
    if as_json:
        print_json({bundle: {"was": was, "live": live} for bundle, (was, live) in moved.items()})
        return
    table = Table("model", "was live", "is live")
    for bundle, (was, live) in moved.items():
        table.add_row(bundle, str(was), str(live))
    console().print(table)


@click.command()
@config_options
@json_option
@told
def history(config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Show every promotion, refusal and rollback of the registry."""
    decisions = read_decisions(registry_of(chosen(config_path, overrides, name)).root)
    if as_json:
        print_json({"decisions": decisions})
        return
    table = Table("time", "cascade", "decision", "before", "after", "refused by")
    for column in (table.columns[0], *table.columns[3:5]):
        column.no_wrap = True
    for decision in decisions:
        table.add_row(
            time.strftime("%Y-%m-%d\n%H:%M", time.gmtime(decision.time)),
            decision.cascade,
            decision.action,
            "\n".join(f"{n}/{v}" for n, v in decision.before.items() if v is not None) or "-",
            "\n".join(f"{n}/{v}" for n, v in decision.after.items()),
            ", ".join(str(c["line"]) for c in decision.checks if c["passed"] is False),
        )
    console().print(table)


@click.command()
@config_options
@queries_option
@click.option("--judgments", type=FILE, help="Ask the queries of these judgments.")
@click.option(
    "--models",
    type=click.Choice(["candidate", "live"]),
    default="candidate",
    show_default=True,
    help="Time candidates where there are some, or what is live.",
)
@click.option("--batch", "batches", multiple=True, type=int, help="Rows of a list; repeatable.")
@click.option("--requests", "most", default=REQUESTS, show_default=True, help="Most requests.")
@click.option("--repeats", default=1, show_default=True, help="How often each is ranked.")
@json_option
@told
def profile(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    queries: Path | None,
    judgments: Path | None,
    models: str,
    batches: tuple[int, ...],
    most: int,
    repeats: int,
    as_json: bool,
) -> None:
    """Time the models on recorded requests: percentiles by stage and size, and operators."""
    config = chosen(config_path, overrides, name)
    asking = Asking(queries, judgments, most=most, repeats=repeats)
    if batches:
        asking = Asking(queries, judgments, batches, most, repeats)
    which = cast(Literal["live", "candidate"], models)
    with progress_bar() as progress:
        report = profile_config(config, asking, which, progress)
    if as_json:
        print_json(report)
    else:
        _print_profile(report, console())


@click.command()
@config_options
@queries_option
@click.option("--judgments", type=FILE, help="Measure by these; alone, their queries are asked.")
@json_option
@told
def shadow(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    queries: Path | None,
    judgments: Path | None,
    as_json: bool,
) -> None:
    """Rank recorded requests by live models and candidates, and compare the orders."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        report = shadow_config(config, requests=queries, judgments=judgments, progress=progress)
    if as_json:
        print_json(report)
    else:
        _print_shadow(report, console())


def _print_promotion(promotion: Promotion, out: Console) -> None:
    if promotion.action == "nothing":
        out.print("nothing to promote: no stage has a candidate that is not live already")
        return
    table = Table("line", "outcome", "found")
    for check in promotion.checks:
        table.add_row(check.line, _SAID[check.passed], check.detail)
    out.print(table)
    models = Table("model", "live before", "wanted")
    for bundle, version in promotion.after.items():
        before = promotion.before.get(bundle)
        models.add_row(bundle, "-" if before is None else str(before), str(version))
    out.print(models)
    failed = ", ".join(check.line for check in promotion.failed)
    out.print(
        {
            "promoted": "promoted: the candidates are live",
            "passed": "the candidates pass; nothing was switched",
            "refused": f"refused by {failed}; nothing was switched",
        }[promotion.action]
    )


def _print_profile(report: ProfileReport, out: Console) -> None:
    table = Table("part", "list rows", "rows scored", "p50 ms", "p95 ms", "p99 ms")
    for cost in report.costs:
        figures = [f"{ms:.3f}" for ms in (cost.p50, cost.p95, cost.p99)]
        table.add_row(cost.part, f"{cost.rows:,}", f"{cost.scored:,.0f}", *figures)
    out.print(table)
    operators = Table("stage", "operator", "µs a request", "share of the graph")
    for each in report.operators:
        operators.add_row(each.stage, each.operator, f"{each.us:.1f}", f"{each.share:.0%}")
    out.print(operators)
    models = ", ".join(f"{stage} {model}" for stage, model in report.models.items())
    out.print(f"{report.requests:,} requests; {models}")


def _print_shadow(report: ShadowReport, out: Console) -> None:
    table = Table("", "live", "candidate")
    table.add_row("models", *(", ".join(report.models[s]) for s in ("live", "candidate")))
    for percentile in report.ms["live"]:
        figures = (f"{report.ms[s][percentile]:.2f}" for s in ("live", "candidate"))
        table.add_row(f"{percentile} ms", *figures)
    out.print(table)
    close = report.overlap
    out.print(
        f"{report.queries:,} requests: rank-biased overlap {close.mean:.3f} "
        f"[{close.low:.3f}, {close.high:.3f}]; the same first ten in {report.same:.0%}"
    )
    for measure, gain in report.measures.items():
        out.print(
            f"{measure} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] over "
            f"{report.judged:,} judged requests"
        )
    for text, found in report.farthest:
        out.print(f"{found:.3f} {text}")
