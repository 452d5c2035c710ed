"""`cascade index update` and `follow`: documents that change after a build."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
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
    told,
)
from cascade.errors import CascadeError, DocumentError
from cascade.indexing import OnError
from cascade.indexing.following import FollowSettings, FollowState
from cascade.workflows.index import build_index
from cascade.workflows.updates import Changes, FollowTask, follow_index, update_index

_SECONDS = click.FloatRange(min=0)


@click.command()
@config_options
@click.option("--input", "inputs", type=FILE, multiple=True, help="Documents to put in.")
@click.option(
    "--patch",
    "patches",
    type=FILE,
    multiple=True,
    help="Documents of which some keys change: their id and those keys; null takes one away.",
)
@click.option("--delete", "deletes", multiple=True, metavar="ID", help="A document to take away.")
@click.option(
    "--delete-from",
    "lists",
    type=FILE,
    multiple=True,
    help="A file of ids to take away, one a line.",
)
@click.option("--heartbeat", is_flag=True, help="Say that volatile values are current.")
@click.option(
    "--on-error",
    type=click.Choice([str(o) for o in OnError]),
    default=str(OnError.REFUSE),
    show_default=True,
    help="What a line that cannot be used does: refuse all of it, or be left out.",
)
@json_option
@told
def update(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    inputs: tuple[Path, ...],
    patches: tuple[Path, ...],
    deletes: tuple[str, ...],
    lists: tuple[Path, ...],
    heartbeat: bool,
    on_error: str,
    as_json: bool,
) -> None:
    """Put documents in, change some and take others away, in every generation that is kept."""
    ids = [*deletes, *(doc_id for path in lists for doc_id in _ids(path))]
    changes = Changes(inputs, ids, patches, OnError(on_error), heartbeat)
    report = update_index(chosen(config_path, overrides, name), changes)
    if as_json:
        print_json(report)
    else:
        say = partial(console().print, soft_wrap=True)
        say(
            f"{report.upserts:,} put in, {report.deletes:,} taken away in {report.seconds:.1f} s: "
            f"{', '.join(report.generations)} (log entry {report.position:,})"
        )
        for reason in report.reasons:
            say(f"  left out: {reason}")
        for generation, reason in report.behind.items():
            say(f"  {generation} is behind, and catches up at the next update: {reason}")
        for reason in report.refused:
            say(f"  refused by the server: {reason}")
    if report.refused:
        sys.exit(DocumentError.exit_code)


@click.command()
@config_options
@click.option(
    "--field",
    metavar="KEY",
    help="The key of a document that says when it was changed; without, only reconciliation reads.",
)
@click.option(
    "--overlap",
    "overlap_s",
    type=_SECONDS,
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="How far back each reading goes beyond the newest change that was seen.",
)
@click.option(
    "--reconcile",
    "reconcile_s",
    type=_SECONDS,
    metavar="SECONDS",
    default=3_600.0,
    show_default=True,
    help="After how long all ids are compared, which finds what was removed.",
)
@click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    help="How long to wait between two readings.",
)
@click.option("--once", is_flag=True, help="Read and reconcile once, and end.")
@json_option
@told
def follow(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    field: str | None,
    overlap_s: float,
    reconcile_s: float,
    poll_s: float,
    once: bool,
    as_json: bool,
) -> None:
    """Bring what others change in their index into the catalogue, until Ctrl-C."""
    say = partial(console().print, soft_wrap=True)
    last: list[FollowState] = []

    def tell(state: FollowState) -> None:
        if as_json:
            print_json({**_shown(state), "lag_s": round(state.lag_s(time.time()), 3)})
        elif not last or _counts(last[0]) != _counts(state):
            say(
                f"{state.index}: {state.upserts:,} put in, {state.deletes:,} taken away, "
                f"{state.refused:,} do not fit the schema; seen to {_when(state.newest)}, "
                f"reconciled {_when(state.reconciled)}"
            )
        last[:] = [state]

    config = chosen(config_path, overrides, name)

    def flipped(index: str) -> None:
        click.echo(f"others put {index} in its place: its catalogue is read", err=True)
        try:
            report = build_index(config, None, on_error=OnError.SKIP)
        except CascadeError as error:
            click.echo(
                f"the catalogue of {index} cannot be read: {error}. Until `cascade index build` "
                "has read it, its documents rank by defaults",
                err=True,
            )
        else:
            click.echo(
                f"{report.generation.name}: {report.documents:,} documents of {index}", err=True
            )

    settings = FollowSettings(field, overlap_s, reconcile_s, poll_s)
    task = FollowTask(settings, tell, flipped, once)
    follow_index(config, task)


def _ids(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: byte {error.start} is not UTF-8") from None
    return [line.strip() for line in lines if line.strip()]


def _shown(state: FollowState) -> dict[str, object]:
    return {name: getattr(state, name) for name in FollowState.__dataclass_fields__}


def _counts(state: FollowState) -> tuple[object, ...]:
    return state.upserts, state.deletes, state.refused, state.reconciled, state.flipped


def _when(seconds: float) -> str:
    if not seconds:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
