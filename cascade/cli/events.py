"""`cascade events`: the log of what shoppers were shown and did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
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
from cascade.events.erasing import Erased
from cascade.workflows.events import (
    EXPORTS,
    FORMATS,
    erase_events,
    expire_events,
    export_events,
    import_events,
    log_status,
)


@click.group()
def events() -> None:
    """Import, look at, export and erase logs of what shoppers were shown and did."""


@events.command("import")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="ubi",
    show_default=True,
    help="What the files are.",
)
@config_options
@json_option
@told
def import_(
    files: tuple[Path, ...],
    format_: str,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Import log files together; a content that was imported before is left out."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        done = import_events(config, files, format_, progress)
    if as_json:
        print_json(done)
        return
    say = partial(console().print, soft_wrap=True)
    if done.known:
        say(f"imported before, left out: {', '.join(done.known)}")
    if not done.sources:
        return
    say(
        f"{done.lines:,} lines of {', '.join(s.name for s in done.sources)} in "
        f"{done.seconds:.1f} s: {done.kept['searches']:,} searches and "
        f"{done.kept['events']:,} events kept"
    )
    table = Table("what", "name", "rows")
    _add(table, "read", done.read)
    _add(table, "other, left out", done.others)
    _add(table, "quarantined", done.quarantined)
    _add(table, "dropped by a rule", done.dropped)
    if done.refusing:
        table.add_row("no consent", "kept without session", f"{done.refusing:,}")
    console().print(table)
    if done.robots:
        say(f"{done.robots:,} sessions are robots' by the rules of [events.robots]")


@events.command()
@config_options
@json_option
@told
def status(config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Say what the log holds, from when to when, and what lies in quarantine."""
    found = log_status(chosen(config_path, overrides, name))
    if as_json:
        print_json(found)
        return
    table = Table("what", "name", "rows")
    table.add_row("searches", f"{found.texts:,} texts", f"{found.searches:,}")
    _add(table, "events", found.events)
    table.add_row("sessions", "", f"{found.sessions:,}")
    _add(table, "quarantined", found.quarantined)
    console().print(table)
    say = partial(console().print, soft_wrap=True)
    say(f"{found.root}: {_when(found.first)} to {_when(found.last)}, {len(found.imports)} imports")


@events.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(EXPORTS),
    default="ubi",
    show_default=True,
    help="What to write.",
)
@config_options
@json_option
@told
def export(
    folder: Path,
    format_: str,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Write the log into FOLDER: UBI 1.3, or what each search showed as a TREC run."""
    counts = export_events(chosen(config_path, overrides, name), folder, format_)
    if as_json:
        print_json({"folder": str(folder), **counts})
    else:
        told_ = ", ".join(f"{number:,} {table}" for table, number in counts.items())
        console().print(f"{folder}: {told_}", soft_wrap=True)


@events.command()
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DAYS",
    help="How many days stay; default: events.keep_days.",
)
@config_options
@json_option
@told
def expire(
    keep_days: float | None,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Take out what is too old, and forget the salts that named only such rows."""
    _tell(expire_events(chosen(config_path, overrides, name), keep_days), as_json)


@events.command()
@click.option("--session", metavar="ID", help="A session, by the id that the shop gave it.")
@click.option("--visitor", metavar="ID", help="A visitor, by the id that the shop gave them.")
@config_options
@json_option
@told
def erase(
    session: str | None,
    visitor: str | None,
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> None:
    """Take out all that a session or visitor left, in the event log and the request log."""
    if (session is None) == (visitor is None):
        raise click.UsageError("give one of --session and --visitor")
    config = chosen(config_path, overrides, name)
    if session is not None:
        erased = erase_events(config, session)
    else:
        erased = erase_events(config, str(visitor), "visitor")
    _tell(erased, as_json)


def _tell(erased: Erased, as_json: bool) -> None:
    if as_json:
        print_json({"rows": erased.rows, "files": erased.files, "salts": erased.salts})
        return
    rows = ", ".join(f"{number:,} of {folder}" for folder, number in erased.rows.items())
    forgotten = f"; {erased.salts:,} salts are forgotten" if erased.salts else ""
    console().print(
        f"{erased.total:,} rows went ({rows}), {erased.files:,} files changed{forgotten}",
        soft_wrap=True,
    )


def _add(table: Table, what: str, counts: Mapping[str, int]) -> None:
    for name, number in counts.items():
        table.add_row(what, name, f"{number:,}")


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
