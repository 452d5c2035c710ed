"""`cascade index`: build an index and see how it stands."""

from __future__ import annotations

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
from cascade.indexing import OnError
from cascade.workflows import build_index, index_status


@click.group()
def index() -> None:
    """Build an index and see how it stands."""


@index.command()
@config_options
@click.option("--input", "inputs", type=FILE, multiple=True, required=True, help="A product file.")
@click.option(
    "--on-error",
    type=click.Choice([str(o) for o in OnError]),
    default=str(OnError.REFUSE),
    show_default=True,
    help="What a line that cannot be used does: refuse the build, or be left out and told.",
)
@click.option("--no-swap", is_flag=True, help="Build it without making it the live one.")
@json_option
@told
def build(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    inputs: tuple[Path, ...],
    on_error: str,
    no_swap: bool,
    as_json: bool,
) -> None:
    """Build an index from files of one JSON object a line, and make it the live one."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        report = build_index(
            config,
            inputs,
            on_error=OnError(on_error),
            swap=not no_swap,
            beside=True,
            progress=progress,
        )
    rate = report.documents / max(report.seconds, 1e-9)
    if as_json:
        print_json(
            {
                "generation": report.generation.name,
                "documents": report.documents,
                "skipped": report.skipped,
                "reasons": report.reasons,
                "seconds": round(report.seconds, 3),
                "documents_per_second": round(rate),
                "live": not no_swap,
                "removed": report.removed,
            }
        )
        return
    out = console()
    out.print(
        f"{report.generation.name}: {report.documents:,} documents in {report.seconds:.1f} s "
        f"({rate:,.0f} a second)" + ("" if no_swap else ", live")
    )
    for reason in report.reasons:
        out.print(f"  left out: {reason}")
    if report.skipped > len(report.reasons):
        out.print(f"  and {report.skipped - len(report.reasons):,} more lines")


@index.command()
@config_options
@click.option("--verify", is_flag=True, help="Compare the checksum of every file.")
@json_option
@told
def status(
    config_path: Path, overrides: tuple[str, ...], name: str | None, verify: bool, as_json: bool
) -> None:
    """Say which generation is live, and whether it is whole."""
    found = index_status(chosen(config_path, overrides, name), verify=verify)
    if as_json:
        print_json(found)
        return
    out = console()
    checked = "every checksum compared" if verify else "headers, lengths and samples checked"
    if found.updated:
        checked += "; the engine took updates since the build"
    out.print(
        f"{found.live}: {found.documents:,} documents, {found.bytes / 1e6:,.1f} MB, {checked}"
    )
    out.print(f"generations: {', '.join(found.generations)}")
