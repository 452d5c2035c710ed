"""`cascade business`: search a policy for the business layer, see its front, compare it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.cells import cell_len
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
from cascade.errors import InputError, RefusedError
from cascade.evaluation.front_page import FrontPage, PagePoint, front_page
from cascade.registry import Models
from cascade.training.evolution.findings import Finding
from cascade.training.evolution.front import BALANCED
from cascade.training.evolution.hypervolume import Covered
from cascade.workflows.evolve import EvolveReport, evolve, front_of_policy
from cascade.workflows.policy_front import Front
from cascade.workflows.policy_lint import Linted, lint_config
from cascade.workflows.policy_report import PolicyReport, report_policy
from cascade.workflows.policy_served import Served

judgments_option = click.option(
    "--judgments", type=FILE, required=True, help="The requests and their grades."
)
models_option = click.option(
    "--models",
    "alias",
    type=click.Choice(["candidate", "live"]),
    default="candidate",
    show_default=True,
    help="Which policy: the candidate where there is one, or the live one.",
)
html_option = click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the front as one page."
)


@click.group()
def business() -> None:
    """Search the weights of the business layer's policy, and see what they cost and give."""


@business.command("evolve")
@config_options
@judgments_option
@html_option
@json_option
@told
def evolve_command(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path,
    html: Path | None,
    as_json: bool,
) -> None:
    """Search a policy; a killed search goes on where it was, and ends with the same weights."""
    config = chosen(config_path, overrides, name)
    _check_page(html)
    with progress_bar() as progress:
        report = evolve(config, judgments, progress)
    if html is not None:
        html.write_text(front_page(_page(report.model, report.front)), encoding="utf-8")
    if as_json:
        print_json(_finite(asdict(report)))
    else:
        _print_evolved(report, console())


@business.command()
@config_options
@judgments_option
@models_option
@html_option
@json_option
@told
def front(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path,
    alias: Models,
    html: Path | None,
    as_json: bool,
) -> None:
    """Show what each preference reaches on validation requests, and which points have names."""
    config = chosen(config_path, overrides, name)
    _check_page(html)
    with progress_bar() as progress:
        label, found = front_of_policy(config, judgments, alias, progress)
    if html is not None:
        html.write_text(front_page(_page(label, found)), encoding="utf-8")
    if as_json:
        print_json(_finite({"model": label, **asdict(found)}))
    else:
        _print_front(found, console())


@business.command()
@config_options
@click.option("--judgments", type=FILE, help="Requests, so that their rows are looked at as well.")
@json_option
@told
def lint(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path | None,
    as_json: bool,
) -> None:
    """Say what is wrong before a search is spent on it; exit 3 or 4 if none would begin."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        found = lint_config(config, judgments, progress)
    allowed = set(config.settings.evolution.allow)
    refused = any(finding.refused and finding.code not in allowed for finding in found.findings)
    if as_json:
        print_json({"refused": refused, **asdict(found)})
    else:
        _print_linted(found, allowed, console())
    if found.problems:
        sys.exit(InputError.exit_code)
    if refused:
        sys.exit(RefusedError.exit_code)


@business.command()
@config_options
@judgments_option
@models_option
@json_option
@told
def report(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path,
    alias: Models,
    as_json: bool,
) -> None:
    """Set the policy beside blends, random search and trees, on held-out requests."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        found = report_policy(config, judgments, alias, progress)
    if as_json:
        print_json(_finite(asdict(found)))
    else:
        _print_report(found, console())


def _check_page(html: Path | None) -> None:
    """Refuse a page that could not be written, before the work whose result it would show.

    Raises:
        InputError: If its folder is not there.
    """
    if html is not None and not html.absolute().parent.is_dir():
        raise InputError(f"--html {html}: there is no folder {html.parent}; make it first")


def _print_evolved(report: EvolveReport, out: Console) -> None:
    # What was refused without being allowed has ended the search.
    _print_findings(report.findings, {finding.code for finding in report.findings}, out)
    _print_base(report, out)
    rows = {
        str(s.seed): [f"{s.start:.4f}", f"{s.best:.4f}", str(s.generation)] for s in report.seeds
    }
    _print_table("seed", ["validation at the start", "at its best", "generation"], rows, out)
    if len(report.seeds) > 1:
        out.print(f"standard deviation over seeds: {report.deviation:.4f}")
    _print_front(report.front, out)
    _print_served(report.points, report.requests["test"], out)
    out.print(f"{report.model} is written, {report.seconds:.1f} s")
    name = report.model.partition("/")[0]
    accepted = [point.name for point in report.points if not point.broken]
    first = BALANCED if BALANCED in accepted else accepted[0]
    out.print(
        f'To serve it, set [business] model = "{name}" and, as preference, a point such as '
        f'"{first}"; the first version of a name is live at once, later ones after `cascade models '
        "promote`.",
        soft_wrap=True,
    )


def _print_base(report: EvolveReport, out: Console) -> None:
    rows = {
        "requests": [f"{count:,}" for count in report.requests.values()],
        "the stages trained on": [f"{at.trained:,}" for at in report.base.values()],
    }
    for text in next(iter(report.base.values())).measures:
        rows[text] = [f"{at.measures[text]:.4f}" for at in report.base.values()]
    _print_table("order of relevance", list(report.base), rows, out)
    train, test = report.base["train"], report.base["test"]
    # Shares, for the parts are of unlike size.
    if train.trained / report.requests["train"] > test.trained / report.requests["test"]:
        out.print(
            "The stages were trained on requests of this search, so their order is better there "
            "than it will be on others; judgments of queries that no stage was trained on (another "
            "file) leave no such gap.",
        )
    if test.trained:
        out.print(
            f"{test.trained:,} of {report.requests['test']:,} test requests are no held-out ones: "
            "the stages were trained on them, and acceptance says too much."
        )


def _print_front(found: Front, out: Console) -> None:
    named = [point for point in found.points if point.names]
    rows = {}
    for name, measure in found.measures.items():
        values = [found.base[name], *(point.values[name] for point in named)]
        rows[measure] = [f"{value:.4f}" for value in values]
    for name in found.measures:
        rows[f"share of {name}"] = ["", *(f"{point.preference[name]:.2g}" for point in named)]
    _print_table("validation", ["base", *(", ".join(p.names) for p in named)], rows, out)
    kept = sum(point.kept for point in found.points)
    ours, grid, more = found.hypervolume, found.grid, found.more
    out.print(
        "The base is the order of relevance; the guard and the bound on displacement, which hold "
        f"where it is served, are not applied here. {kept} of {len(found.points)} preferences are "
        f"not dominated on {found.requests:,} validation requests. "
        f"Hypervolume {ours.value:.4g} [{ours.low:.4g} {ours.high:.4g}], of a "
        f"grid of {found.blends:,} blends {grid.value:.4g} [{grid.low:.4g} {grid.high:.4g}], the "
        f"difference on the same draws {more.value:+.4g} [{more.low:+.4g} {more.high:+.4g}]: "
        f"{_verdict(more)}."
    )
    rises = ", ".join(f"{name} {value:.2f}" for name, value in found.monotone.items())
    out.print(f"Rank correlation of a share with what it reaches: {rises}")
    for point in named:
        if len(point.names) > 1:
            out.print(f"{' and '.join(point.names)} are one point, with the same shares.")
        missing = [name for name, share in point.preference.items() if not share]
        if BALANCED in point.names and missing:
            out.print(
                f"{BALANCED} is the point whose lowest gain is highest, by what is reached; it has "
                f"no share of {', '.join(missing)}."
            )
    worth = [point.preference for point in found.points if point.kept and point.accepted]
    lacking = [name for name in found.measures if not any(shares[name] for shares in worth)]
    if lacking:
        out.print(
            f"No point is named for {', '.join(lacking)}: what has a share of it is dominated, or "
            "does not keep evolution.acceptance by the margin."
        )


def _print_served(points: Sequence[Served], requests: int, out: Console) -> None:
    if not points:
        return
    rows = {}
    for text in points[0].measures:
        values = [points[0].base[text], *(p.measures[text] for p in points)]
        rows[text] = [f"{value:.4f}" for value in values]
    rest = {
        "nDCG@10 lost": [f"{p.graded_loss:.2%}" for p in points],
        "surrogate gain lost": [f"{p.surrogate_loss:.2%}" for p in points],
        "listings held back": [f"{p.held_back:.1%}" for p in points],
        "rows moved > 10": [f"{p.moved:.1%}" for p in points],
    }
    rows |= {name: ["", *shares] for name, shares in rest.items()}
    _print_table("as served, held out", ["base", *(p.name for p in points)], rows, out)
    out.print(
        f"{requests:,} held-out requests; the base is the order of relevance. The guard bounds the "
        "surrogate gain that each listing loses; held back are listings in which it let less than "
        "all of the policy through."
    )
    for point in points:
        for line in point.broken:
            out.print(f"{point.name} is not accepted: {line}")


def _print_report(found: PolicyReport, out: Console) -> None:
    systems = found.systems
    rows = {"goal": [f"{s.goal:.4f}" if np.isfinite(s.goal) else "broken" for s in systems]}
    for text in systems[0].measures:
        rows[text] = [f"{system.measures[text]:.4f}" for system in systems]
    rows["rows moved > 10"] = [f"{system.moved:.1%}" for system in systems]
    rows["orders measured"] = [f"{system.orders:,}" for system in systems]
    rows["gradients of orders"] = [f"{system.gradients:,}" for system in systems]
    _print_table("held out", [system.name for system in systems], rows, out)
    out.print(
        f"{found.requests:,} held-out requests, the bounds of serving not applied; a goal is "
        "broken where a bound of the fitness is."
    )
    out.print(
        "Grid and random search measure at most as many orders as the search of the policy did. "
        "LambdaMART is fitted by gradients, whose number compares with no number of orders."
    )
    left_out = ", ".join(f"{text} {count:,}" for text, count in found.undefined.items() if count)
    if left_out:
        out.print(f"Requests without a value, which are left out: {left_out}", soft_wrap=True)
    for system in found.systems:
        if system.chosen:
            out.print(f"{system.name}: {system.chosen}", soft_wrap=True)
    if found.winner == "evolution":
        out.print("Evolution has the best goal.")
    else:
        out.print(f"Evolution does not win: {found.winner} has the best goal.")
    _print_served(found.points, found.requests, out)


def _print_table(
    first: str, names: Sequence[str], rows: Mapping[str, Sequence[str]], out: Console
) -> None:
    """Print one column a name, in as many tables as the console needs to show them whole."""
    widths = [max(map(cell_len, cells)) + 3 for cells in zip(names, *rows.values(), strict=True)]
    room = out.width - max(map(cell_len, (first, *rows))) - 4
    begin = 0
    while begin < len(names):
        end = begin + 1
        while end < len(names) and sum(widths[begin : end + 1]) <= room:
            end += 1
        table = Table()
        table.add_column(first, no_wrap=True)
        for name in names[begin:end]:
            table.add_column(name, overflow="fold")
        for label, cells in rows.items():
            table.add_row(label, *cells[begin:end])
        out.print(table)
        begin = end


def _verdict(more: Covered) -> str:
    if more.low > 0:
        return "the policy covers more"
    return "the grid covers more" if more.high < 0 else "neither is shown to cover more"


def _print_linted(found: Linted, allowed: Collection[str], out: Console) -> None:
    for line in found.problems:
        out.print(f"wrong: {line}", soft_wrap=True)
    _print_findings(found.findings, allowed, out)
    if not found.problems and not found.findings:
        out.print("nothing is wrong with the settings of the search")


def _print_findings(findings: Sequence[Finding], allowed: Collection[str], out: Console) -> None:
    for finding in findings:
        stops = "allowed" if finding.code in allowed else "refused"
        out.print(f"{stops if finding.refused else 'note'}: {finding}", soft_wrap=True)


def _shares(preference: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.2g}" for name, share in preference.items() if share)


def _page(label: str, found: Front) -> FrontPage:
    return FrontPage(
        model=label,
        measures=dict(found.measures),
        requests=found.requests,
        base=dict(found.base),
        points=tuple(
            PagePoint(_shares(p.preference), dict(p.values), p.kept, p.names) for p in found.points
        ),
        hypervolume=found.hypervolume.value,
        grid=found.grid.value,
        more=(found.more.value, found.more.low, found.more.high),
        blends=found.blends,
    )


def _finite(content: Any) -> Any:  # noqa: ANN401 - whatever a report holds
    """Return plain content with None in place of numbers that JSON has no form for."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content
