"""`cascade events judgments` and `events propensities`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from rich.table import Table

from cascade.cli.console import chosen, config_options, console, json_option, print_json, told
from cascade.events.clicks import MODELS, read_pages
from cascade.events.propensities import LEAST_CLICKS
from cascade.events.propensities import propensities as find_propensities
from cascade.events.tables import EventLog
from cascade.workflows.clicks import write_click_judgments

_log = click.option(
    "--log",
    type=click.Path(file_okay=False, path_type=Path),
    help="The log's folder; default: that of `[events]`.",
)


@click.command()
@config_options
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--model",
    type=click.Choice(list(MODELS)),
    default="pbm",
    show_default=True,
    help="What a click is taken for.",
)
@_log
@json_option
@told
def judgments(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    out: Path,
    model: str,
    log: Path | None,
    as_json: bool,
) -> None:
    """Write grades that a click model reads from the log, as a judgments file."""
    config = chosen(config_path, overrides, name)
    folder = log or config.resolve(config.settings.events.path)
    made = write_click_judgments(EventLog(folder), model, config.settings.clicks, out)
    if as_json:
        print_json(made)
        return
    output = console()
    output.print(
        f"{made.pairs:,} grades of {made.queries:,} queries in {out}, from {made.searches:,} "
        f"searches with {made.clicks:,} clicks; {made.left_out:,} pairs were shown too seldom"
    )
    output.print(
        f"{model}: log-likelihood {made.likelihood.log_likelihood:.4f} a search, perplexity "
        f"{made.likelihood.perplexity:.4f}, on the clicks that it was fitted on"
    )


@click.command()
@config_options
@click.option(
    "--source",
    type=click.Choice(["auto", "shuffled", "pbm", "adjacent"]),
    default="auto",
    show_default=True,
    help="How they are found.",
)
@_log
@json_option
@told
def propensities(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    source: str,
    log: Path | None,
    as_json: bool,
) -> None:
    """Show the chance that shoppers look at each rank, by surface."""
    config = chosen(config_path, overrides, name)
    folder = log or config.resolve(config.settings.events.path)
    found = find_propensities(read_pages(EventLog(folder)), source)
    if as_json:
        print_json(found)
        return
    output = console()
    output.print(f"from {found.searches:,} searches, by {found.source}")
    table = Table("surface", "exponent", "standard error", "ranks 1, 2, 3, 5, 10")
    for number, surface in enumerate(found.surfaces):
        rates = [found.rates[number, r - 1] for r in (1, 2, 3, 5, 10) if r <= found.rates.shape[1]]
        shown = ", ".join(_number(rate) for rate in rates)
        law = [_number(found.exponents[number]), _number(found.errors[number])]
        table.add_row(surface or "(none)", *law, shown)
    output.print(table)
    if np.isnan(found.exponents).any():
        output.print(
            f"-: fewer than {LEAST_CLICKS} clicks; such a surface takes the mean of the others"
        )


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
