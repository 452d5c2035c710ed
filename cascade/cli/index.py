"""`cascade index`: build an index and see how it stands."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

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
from cascade.cli.generations import documents_told
from cascade.errors import RefusedError
from cascade.indexing import OnError
from cascade.workflows import build_index, index_status
from cascade.workflows.index import IndexStatus


@click.group()
def index() -> None:
    """Build an index and see how it stands."""


@index.command()
@config_options
@click.option(
    "--input",
    "inputs",
    type=FILE,
    multiple=True,
    help="A product file: .ndjson, .csv or .tsv, plain or .gz, or .parquet.",
)
@click.option(
    "--from-index",
    "from_index",
    metavar="NAME",
    help="Build from the documents of an index of the same server, in place of files.",
)
@click.option(
    "--on-error",
    type=click.Choice([str(o) for o in OnError]),
    default=str(OnError.REFUSE),
    show_default=True,
    help="What a line that cannot be used does: refuse the build, or be left out and told in "
    "a file of dead letters.",
)
@click.option("--no-swap", is_flag=True, help="Build it without making it the live one.")
@json_option
@told
def build(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    inputs: tuple[Path, ...],
    from_index: str | None,
    on_error: str,
    no_swap: bool,
    as_json: bool,
) -> None:
    """Build an index from product files, or from another index, and make it the live one.

    After a build that was killed, the same command goes on where the server's last answer was. An
    index that others own (engine.owned = false) is only read: its catalogue is made, and neither
    option is given.
    """
    config = chosen(config_path, overrides, name)
    if inputs and from_index is not None:
        raise click.UsageError("give either --input or --from-index")
    if config.settings.engine.owned and not inputs and from_index is None:
        raise click.UsageError("give --input or --from-index")
    with progress_bar() as progress:
        report = build_index(
            config,
            (inputs or None) if from_index is None else from_index,
            on_error=OnError(on_error),
            swap=not no_swap,
            beside=True,
            progress=progress,
        )
    rate = (report.documents - report.resumed) / max(report.seconds, 1e-9)
    if as_json:
        print_json(
            {
                "generation": report.generation.name,
                "documents": report.documents,
                "skipped": report.skipped,
                "reasons": report.reasons,
                "seconds": round(report.seconds, 3),
                "documents_per_second": round(rate),
                "live": report.live,
                "removed": report.removed,
                "resumed": report.resumed,
                "dead_letters": report.letters,
            }
        )
        return
    tell = partial(console().print, soft_wrap=True)
    tell(
        f"{report.generation.name}: {documents_told(report.documents)} in {report.seconds:.1f} s "
        f"({rate:,.0f} a second)" + (", live" if report.live else "")
    )
    if report.resumed:
        tell(f"  of these {report.resumed:,} were brought in before; it went on from there")
    for reason in report.reasons:
        tell(f"  left out: {reason}")
    if report.skipped > len(report.reasons):
        tell(f"  and {report.skipped - len(report.reasons):,} more")
    if report.letters is not None:
        tell(f"  all {report.skipped:,} are in {report.letters}")


@index.command()
@config_options
@click.option("--verify", is_flag=True, help="Compare the checksum of every file.")
@json_option
@told
def status(
    config_path: Path, overrides: tuple[str, ...], name: str | None, verify: bool, as_json: bool
) -> None:
    """Say which generation is live, and whether it and its index in the engine are whole."""
    found = index_status(chosen(config_path, overrides, name), verify=verify)
    if as_json:
        print_json(found)
    else:
        _tell(found)
    if found.problems:
        sys.exit(RefusedError.exit_code)


def _tell(found: IndexStatus) -> None:
    tell = partial(console().print, soft_wrap=True)
    checked = (
        "every checksum compared" if found.verified else "headers, lengths and samples checked"
    )
    if found.updated:
        checked += "; the engine took updates since the build"
    tell(f"{found.live}: {documents_told(found.documents)}, {found.bytes / 1e6:,.1f} MB, {checked}")
    tell(f"generations: {', '.join(found.generations)}")
    if found.alias is not None:
        tell(f"alias: {found.alias}")
    for problem in found.problems:
        tell(f"problem: {problem}")
