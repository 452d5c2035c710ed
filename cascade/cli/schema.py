"""`cascade index schema`: what the schema renders to on a server, and how the index differs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cascade.cli.console import chosen, config_options, console, json_option, print_json, told
from cascade.engines.mappings import SERVERS
from cascade.errors import RefusedError
from cascade.workflows.mappings import compare_schema, rendered_schema


@click.command()
@config_options
@click.option(
    "--engine",
    "kind",
    type=click.Choice(SERVERS),
    help="Render for this server; default: that of the configuration.",
)
@click.option(
    "--diff", is_flag=True, help="Say where the index on the server differs; exit 4 if it does."
)
@json_option
@told
def schema(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    kind: str | None,
    diff: bool,
    as_json: bool,
) -> None:
    """Print what the schema renders to on a server, as JSON."""
    config = chosen(config_path, overrides, name)
    if not diff:
        print_json(rendered_schema(config, kind))
        return
    if kind is not None and kind != config.settings.engine.kind:
        raise click.UsageError("--diff compares with the engine of the configuration")
    found = compare_schema(config)
    if as_json:
        print_json(found)
    else:
        for line in found.differences:
            console().print(line)
        if not found.differences:
            console().print(f"{found.index}: as the schema says")
    if found.differences:
        sys.exit(RefusedError.exit_code)
