"""`cascade train`, `evaluate`, `search` and `explain`."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from cascade.candidates import Query
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
from cascade.config import open_cascade
from cascade.errors import FilterError, QueryError
from cascade.evaluation import to_json
from cascade.evaluation.html import to_html
from cascade.evaluation.terminal import render
from cascade.filters import parse
from cascade.pipeline import Explanation, PageRequest, Trace
from cascade.schema import Kind
from cascade.workflows import Protocol, TrainReport, evaluate_config, train_config


@click.command()
@config_options
@click.option("--judgments", type=FILE, required=True, help="The judgments to learn from.")
@click.option("--no-promote", is_flag=True, help="Write the bundles without making them live.")
@json_option
@told
def train(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path,
    no_promote: bool,
    as_json: bool,
) -> None:
    """Train every stage, export it to ONNX, and write the bundles that pass the parity gate."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        report = train_config(config, judgments, promote=not no_promote, progress=progress)
    if as_json:
        print_json(report)
    else:
        _print_training(report, console())


def _print_training(report: TrainReport, out: Console) -> None:
    queries = ", ".join(f"{count:,} {part}" for part, count in report.queries.items())
    rows = ", ".join(f"{count:,} {kind}" for kind, count in report.rows.items())
    out.print(f"queries: {queries}\nrows: {rows}")
    table = Table("stage", "model", "features", "parity rows", "largest difference", "seconds")
    for stage in report.stages:
        table.add_row(
            stage.stage,
            stage.model,
            str(stage.features),
            f"{stage.parity.rows:,}",
            f"{stage.parity.max_absolute:.1e}",
            f"{stage.seconds:.1f}",
        )
    out.print(table)
    out.print(f"trained in {report.seconds:.1f} s")


@click.command()
@config_options
@click.option("--judgments", type=FILE, required=True, help="The judgments to measure by.")
@click.option(
    "--protocol",
    type=click.Choice([str(p) for p in Protocol]),
    default=str(Protocol.FULL),
    show_default=True,
    help="Rank all that retrieval brings (unjudged = 0), or the judged documents alone.",
)
@click.option("--all-queries", is_flag=True, help="Evaluate queries that were trained on as well.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as one page."
)
@json_option
@told
def evaluate(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path,
    protocol: str,
    all_queries: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Measure BM25, every stage and the final order on queries that training left out."""
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        report = evaluate_config(
            config,
            judgments,
            protocol=Protocol(protocol),
            seen_too=all_queries,
            progress=progress,
        )
    if html is not None:
        html.write_text(to_html(report), encoding="utf-8")
    if as_json:
        print_json(to_json(report))
    else:
        render(report, console())


@click.command()
@config_options
@click.argument("text")
@click.option("--size", default=10, show_default=True, help="Rows to show.")
@click.option("--offset", default=0, help="Ranks to skip.")
@click.option("--filters", default="{}", help="A filter, as JSON.")
@click.option("--facet", "facets", multiple=True, help="A keyword field to count.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    help="A document key to show; default: the text field of the highest boost.",
)
@click.option("--prefer", "preference", multiple=True, metavar="NAME=SHARE", help="An objective.")
@json_option
@told
def search(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    text: str,
    size: int,
    offset: int,
    filters: str,
    facets: tuple[str, ...],
    fields: tuple[str, ...],
    preference: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show a page of results."""
    cascade = open_cascade(chosen(config_path, overrides, name))
    with closing(cascade.engine):
        schema = cascade.documents.schema
        query = Query(
            id="command",
            text=text,
            filters=parse(_json(filters), schema),
            preference=_preference(preference),
            time=time.time(),
        )
        request = PageRequest(size=size, offset=offset, facets=facets, fields=fields or None)
        page = cascade.search(query, request)
    if as_json:
        print_json(page)
        return
    out = console()
    title = max(schema.of_kind(Kind.TEXT), key=lambda field: field.boost)
    shown = fields or (title.source or (title.name,))[:1]
    table = Table("rank", "id", *shown, "score")
    for item in page.items:
        cells = [_cell(item.fields.get(key)) for key in shown]
        table.add_row(str(item.rank), item.id, *cells, f"{item.score:.3f}")
    out.print(table)
    for field, values in page.facets.items():
        counted = ", ".join(f"{v.value} ({v.count:,})" for v in values[:10])
        out.print(f"{field}: {counted}")
    more = "" if page.total.relation == "eq" else " or more"
    out.print(f"{page.total.value:,}{more} match. {_trace_line(page.trace)}")


@click.command()
@config_options
@click.argument("text")
@click.argument("doc_id")
@click.option("--filters", default="{}", help="A filter, as JSON.")
@click.option("--prefer", "preference", multiple=True, metavar="NAME=SHARE", help="An objective.")
@json_option
@told
def explain(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    text: str,
    doc_id: str,
    filters: str,
    preference: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tell how a document came to its rank: every step, feature, objective and rule."""
    cascade = open_cascade(chosen(config_path, overrides, name))
    with closing(cascade.engine):
        query = Query(
            id="command",
            text=text,
            filters=parse(_json(filters), cascade.documents.schema),
            preference=_preference(preference),
            time=time.time(),
        )
        explanation = cascade.explain(query, doc_id)
    if as_json:
        print_json(explanation)
    else:
        _print_explanation(explanation, console())


def _print_explanation(explanation: Explanation, out: Console) -> None:
    steps = Table("step", "rank", "score", "outcome")
    for step in explanation.steps:
        steps.add_row(
            step.step,
            "-" if step.rank is None else str(step.rank),
            "-" if step.score is None else f"{step.score:.4f}",
            step.outcome,
        )
    final = explanation.final_rank
    where = "is not in the list" if final is None else f"ends at rank {final}"
    out.print(f"{explanation.doc_id}: {explanation.found}, {where}")
    out.print(steps)
    for move in explanation.moves:
        out.print(f"rule {move.rule}: rank {move.before} to {move.after}")
    for step in explanation.steps:
        for key, value in step.detail.items():
            out.print(f"{step.step} {key}: {value}")
    values: dict[str, list[str]] = {}
    staged = [step for step in explanation.steps if step.features]
    for number, step in enumerate(staged):
        for feature, value in step.features.items():
            row = values.setdefault(feature, ["-"] * len(staged))
            row[number] = "missing" if value is None else f"{value:.4f}"
    table = Table("feature", *(step.step for step in staged))
    for feature, cells in values.items():
        table.add_row(feature, *cells)
    out.print(table)


def _trace_line(trace: Trace) -> str:
    parts = [f"retrieved {trace.retrieved:,} in {trace.ms.get('retrieve', 0):.1f} ms"]
    parts += [f"{s.name} {s.outcome} on {s.rows} in {s.ms:.1f} ms" for s in trace.stages]
    parts.append(f"total {trace.ms.get('total', 0):.1f} ms")
    return "; ".join(parts)


def _json(text: str) -> Any:  # noqa: ANN401  (checked by the grammar)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FilterError(f"--filters is not valid JSON: {error}") from None


def _preference(given: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for text in given:
        name, equals, share = text.partition("=")
        try:
            found[name] = float(share)
        except ValueError:
            equals = ""
        if not equals:
            raise QueryError(f"--prefer {text!r} is not of the form NAME=SHARE, as revenue=0.3")
    return found


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 70 else text[:67] + "..."
