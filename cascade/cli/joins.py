"""`cascade events join`: the log as rows to train from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from cascade.cli.console import chosen, config_options, console, json_option, print_json, told
from cascade.workflows.join import check_joined, join_events


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Check FILE against the log, and write nothing.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    metavar="ROWS",
    help="How many rows are checked.",
)
@click.option(
    "--histories",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PARQUET",
    help="Write there what the session of each search had acted on before it.",
)
@config_options
@json_option
@told
def join(
    file: Path,
    check: bool,
    sample: int,
    histories: Path | None,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Write what was shown with what came of it and what was known, as the Parquet FILE."""
    if check and histories is not None:
        raise click.UsageError("--check writes nothing; give it without --histories")
    config, say = chosen(config_path, overrides, name), console(as_json)
    if check:
        check_joined(config, file, sample)
        if as_json:
            print_json({"file": str(file), "leaks": 0})
        else:
            say.print(f"{file}: no sampled row knows what came after its search", soft_wrap=True)
        return
    written = join_events(config, file, histories)
    if as_json:
        print_json({"file": file, "histories": histories, **asdict(written)})
        return
    outcomes = ", ".join(f"{number:,} with a {name}" for name, number in written.outcomes.items())
    say.print(
        f"{file}: {written.rows:,} rows of {written.searches:,} searches; {outcomes}; "
        f"{written.unknown:,} impressions without a known search are left out",
        soft_wrap=True,
    )
