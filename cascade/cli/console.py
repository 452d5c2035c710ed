"""What every command shares: options, output, progress, errors and exit codes."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import numpy as np
import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
)

from cascade import workflows
from cascade.config import Config, load_config
from cascade.errors import CascadeError, InputError, NotFoundError, nearest
from cascade.workflows.progress import Pace

P = ParamSpec("P")
R = TypeVar("R")
LINE_EVERY_S = 30.0
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def config_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add `--config`, `--set` and `--cascade`."""
    for option in (
        click.option(
            "--cascade",
            "name",
            metavar="NAME",
            help="Which cascade of the file; default: the first.",
        ),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one setting."
        ),
        click.option(
            "--config",
            "config_path",
            type=click.Path(path_type=Path),
            default=Path("cascade.toml"),
            show_default=True,
            help="The configuration.",
        ),
    ):
        command = option(command)
    return command


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else on stdout."
)


def chosen(config_path: Path, overrides: tuple[str, ...], name: str | None) -> Config:
    """Return the configuration of one cascade.

    Raises:
        ConfigError: If the file is not sound.
        NotFoundError: If it has no cascade of this name.
    """
    configs = load_config(config_path, overrides)
    if name is None:
        return next(iter(configs.values()))
    if name not in configs:
        raise NotFoundError(f"{config_path} has no cascade {name!r}; {nearest(name, configs)}")
    return configs[name]


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into a message on stderr and the exit code of their kind."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except CascadeError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # Whoever read the output has what it wanted, as `head` does.
            sys.exit(0)
        except KeyboardInterrupt:
            click.echo("Interrupted", err=True)
            sys.exit(130)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {where}{error.strerror or error}", err=True)
            sys.exit(InputError.exit_code)

    return wrapped


def console(as_json: bool = False) -> Console:
    """Return where a command writes: stdout, or stderr when stdout is for JSON alone.

    Text is shown as it is: a title such as "[NEW] ring" is no markup.
    """
    return Console(stderr=as_json, highlight=False, soft_wrap=False, markup=False)


def print_json(content: object) -> None:
    """Print one JSON document."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    text = orjson.dumps(content, default=_plain, option=option)
    click.echo(text.decode())


def _plain(value: object) -> Any:  # noqa: ANN401  (whatever JSON can hold)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


@contextmanager
def progress_bar() -> Iterator[workflows.Progress]:
    """Show progress on stderr while a job runs: how much, how fast, and how long still.

    Where stderr is no terminal, long steps write a line now and then.
    """
    out = Console(stderr=True, highlight=False)
    if not out.is_terminal:
        yield progress_lines(out)
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TextColumn("{task.fields[pace]}"),
        console=out,
        transient=True,
    )
    tasks: dict[str, tuple[TaskID, Pace]] = {}

    def tell(step: str, done: int, total: int | None) -> None:
        if step not in tasks:
            tasks[step] = bar.add_task(step, total=total, pace=""), Pace()
        task, pace = tasks[step]
        pace.tell(done, total)
        bar.update(task, completed=done, total=total, pace=_told_pace(pace))

    with bar:
        yield tell


def progress_lines(out: Console, clock: Callable[[], float] = time.monotonic) -> workflows.Progress:
    """Return progress that writes a line for a step every 30 seconds."""
    paces: dict[str, Pace] = {}
    due: dict[str, float] = {}

    def tell(step: str, done: int, total: int | None) -> None:
        pace, now = paces.setdefault(step, Pace(clock=clock)), clock()
        pace.tell(done, total)
        if now >= due.setdefault(step, now + LINE_EVERY_S):
            due[step] = now + LINE_EVERY_S
            of = "" if total is None else f" of about {total:,}"
            out.print(f"{step}: {done:,}{of}, {_told_pace(pace)}")

    return tell


def _told_pace(pace: Pace) -> str:
    rate = f"{pace.rate:,.0f} a second"
    if 0 < pace.rate < 1:
        rate = f"{1 / pace.rate:,.0f} s each"
    if pace.left_s is None:
        return rate
    return f"{rate}, {timedelta(seconds=round(pace.left_s))} left"
