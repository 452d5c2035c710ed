"""`cascade index swap`, `rollback`, `gc` and `verify`: what becomes of generations."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from cascade.cli.console import chosen, config_options, console, json_option, print_json, told
from cascade.errors import RefusedError
from cascade.indexing.swap import SwapReport
from cascade.indexing.verify import SAMPLE
from cascade.workflows.generations import (
    collect_index,
    rollback_index,
    swap_index,
    verify_index,
)


@click.command()
@click.argument("generation", required=False)
@config_options
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=0.0,
    show_default=True,
    help="How long the alias waits until every serving process answers from the generation.",
)
@json_option
@told
def swap(
    generation: str | None,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Make GENERATION, else the newest, the live one, after checks."""
    report = swap_index(chosen(config_path, overrides, name), generation, wait_s=wait_s)
    _tell(report, as_json)


@click.command()
@config_options
@json_option
@told
def rollback(
    config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool
) -> None:
    """Make the generation before the live one the live one again."""
    _tell(rollback_index(chosen(config_path, overrides, name)), as_json)


@click.command()
@config_options
@click.option(
    "--keep", type=click.IntRange(min=1), help="How many of the newest stay; default: index.keep."
)
@json_option
@told
def gc(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    keep: int | None,
    as_json: bool,
) -> None:
    """Remove generations, and indexes of ours, that nothing needs."""
    found = collect_index(chosen(config_path, overrides, name), keep)
    if as_json:
        print_json(found)
        return
    tell = partial(console().print, soft_wrap=True)
    for each in found.removed:
        tell(f"removed {each}")
    for each in found.orphans:
        tell(f"removed {each}, an index without a generation")
    for each, reason in found.kept.items():
        tell(f"kept {each}: {reason}")
    if not (found.removed or found.orphans or found.kept):
        tell("nothing to remove, and nothing there to keep")


@click.command()
@config_options
@click.option("--generation", help="Which one; default: the live one.")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=SAMPLE,
    show_default=True,
    help="How many documents to compare field by field.",
)
@json_option
@told
def verify(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    generation: str | None,
    sample: int,
    as_json: bool,
) -> None:
    """Prove that the engine and the catalogue hold the same documents."""
    report = verify_index(chosen(config_path, overrides, name), generation, sample=sample)
    if as_json:
        print_json(report)
    else:
        tell = partial(console().print, soft_wrap=True)
        tell(
            f"{report.generation}: {documents_told(report.engine)} in the engine, "
            f"{report.catalogue:,} in the catalogue, {report.sampled:,} compared field by field"
        )
        for line in report.told:
            tell(f"  {line}")
        for kind, count in report.differences.items():
            tell(f"{kind}: {count:,}")
        if not report.differences:
            tell("both are equal, and every checksum is right")
    if report.differences:
        sys.exit(RefusedError.exit_code)


def documents_told(count: int) -> str:
    """Return a number of documents in words."""
    return f"{count:,} document{'' if count == 1 else 's'}"


def _tell(report: SwapReport, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    tell = partial(console().print, soft_wrap=True)
    before = f"; before it: {report.previous}" if report.previous else ""
    tell(
        f"{report.generation} is live: {documents_told(report.documents)}, "
        f"{report.seconds:.2f} s{before}"
    )
    for depth, share in report.overlaps.items():
        tell(f"  canaries: {share:.2f} of the first {depth} are as before")
    if report.replicas:
        many = "process answers" if report.replicas == 1 else "processes answer"
        tell(f"  {report.replicas} serving {many} from it")
