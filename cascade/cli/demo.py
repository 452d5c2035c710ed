"""`cascade demo`: from nothing to ranked pages."""

from __future__ import annotations

from pathlib import Path

import click

from cascade.cli.console import console, json_option, print_json, progress_bar, told
from cascade.cli.serve import serve_config
from cascade.config import load_config
from cascade.evaluation import to_json
from cascade.evaluation.html import to_html
from cascade.evaluation.terminal import render
from cascade.shop import ShopSpec
from cascade.workflows.demo import DemoReport, run_demo

DEFAULT = ShopSpec()


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var/demo"),
    show_default=True,
    help="Where everything goes.",
)
@click.option("--listings", default=DEFAULT.listings, show_default=True, help="Documents.")
@click.option("--sellers", default=DEFAULT.sellers, show_default=True, help="Sellers.")
@click.option("--queries", default=DEFAULT.queries, show_default=True, help="Judged queries.")
@click.option("--sessions", default=DEFAULT.sessions, show_default=True, help="Visits in the logs.")
@click.option("--seed", default=DEFAULT.seed, show_default=True, help="Another seed, another shop.")
@click.option("--port", default=8080, show_default=True, help="Where to serve; 0 takes a free one.")
@click.option("--no-serve", is_flag=True, help="End after the report.")
@json_option
@told
def demo(
    folder: Path,
    listings: int,
    sellers: int,
    queries: int,
    sessions: int,
    seed: int,
    port: int,
    no_serve: bool,
    as_json: bool,
) -> None:
    """Make a marketplace, index it, train on it, print the report, and serve it.

    The marketplace is simulated: its numbers say how the parts work together, not what a shop
    will gain.
    """
    spec = ShopSpec(
        seed=seed, listings=listings, sellers=sellers, queries=queries, sessions=sessions
    )
    with progress_bar() as progress:
        made = run_demo(spec, folder, progress)
    page = folder / "report.html"
    page.write_text(to_html(made.report), encoding="utf-8")
    if as_json:
        print_json({"config": made.config, "seconds": made.seconds, "report": to_json(made.report)})
    else:
        _print(made, page)
    if not no_serve:
        serve_config(load_config(made.config), host=None, port=port, quiet=as_json)


def _print(made: DemoReport, page: Path) -> None:
    out = console()
    render(made.report, out)
    spent = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in made.seconds.items())
    out.print(f"{made.index.documents:,} simulated listings. {spent}.")
    out.print(f"The report as a page: {page}", soft_wrap=True)
    out.print(f"More: cascade search --config {made.config} 'silver ring'", soft_wrap=True)
