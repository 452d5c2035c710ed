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
from cascade.config import Config, load_config, open_cascade
from cascade.errors import FilterError, QueryError
from cascade.evaluation import to_json
from cascade.evaluation.html import to_html
from cascade.evaluation.terminal import render
from cascade.events.request_log import RequestLog
from cascade.filters import parse
from cascade.pipeline import Explanation, PageRequest, Trace
from cascade.registry import Models
from cascade.schema import Kind
from cascade.workflows import (
    Compared,
    Parts,
    Protocol,
    Rival,
    TrainReport,
    evaluate_config,
    train_config,
)
from cascade.workflows.clicks import prepared_from_clicks
from cascade.workflows.events import log_of
from cascade.workflows.logged_rows import prepared_from_requests
from cascade.workflows.train import train_prepared

_PREFER = "An objective and its share, or the name of an operating point."

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@config_options
@click.option("--judgments", type=FILE, help="The judgments to learn from.")
@click.option("--clicks", type=FOLDER, help="The event log to learn from, as `[clicks]` says.")
@click.option(
    "--requests", type=FOLDER, help="The request log to learn from, with the event log's clicks."
)
@click.option(
    "--distil-from",
    metavar="STAGE|MODEL",
    help="Teach the stages before it by the scores of this one, trained before.",
)
@click.option("--no-promote", is_flag=True, help="Make no bundle live, even where none is.")
@json_option
@told
def train(
    config_path: Path,
    overrides: tuple[str, ...],
    name: str | None,
    judgments: Path | None,
    clicks: Path | None,
    requests: Path | None,
    distil_from: str | None,
    no_promote: bool,
    as_json: bool,
) -> None:
    """Train every stage, export it to ONNX, and write the bundles that pass the parity gate."""
    if sum(source is not None for source in (judgments, clicks, requests)) != 1:
        raise click.UsageError("give one of --judgments, --clicks and --requests")
    config = chosen(config_path, overrides, name)
    with progress_bar() as progress:
        how: Any = {"promote": not no_promote, "distil_from": distil_from, "progress": progress}
        if clicks is not None:
            report = train_prepared(config, prepared_from_clicks(config, clicks, progress), **how)
        elif requests is not None:
            logged = RequestLog(requests).requests()
            prepared = prepared_from_requests(config, logged, log_of(config))
            report = train_prepared(config, prepared, **how)
        elif judgments is not None:
            report = train_config(config, judgments, **how)
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
    "--models",
    type=click.Choice(["candidate", "live"]),
    default="candidate",
    show_default=True,
    help="The models that rank: candidates where there are any, or the live ones.",
)
@click.option(
    "--against",
    metavar="CASCADE",
    help="Compare with another cascade's final order: live, a cascade of this file, or a file.",
)
@click.option(
    "--ablate",
    type=click.Choice([str(p) for p in Parts]),
    multiple=True,
    help="Measure what is lost without each stage, or each group of features.",
)
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
    models: Models,
    against: str | None,
    ablate: tuple[str, ...],
    html: Path | None,
    as_json: bool,
) -> None:
    """Measure BM25, every stage and the final order on queries that training left out."""
    config = chosen(config_path, overrides, name)
    compared = Compared(
        models=models,
        against=None if against is None else _rival(against, config, overrides),
        ablate=tuple(dict.fromkeys(Parts(part) for part in ablate)),
    )
    with progress_bar() as progress:
        report = evaluate_config(
            config,
            judgments,
            protocol=Protocol(protocol),
            seen_too=all_queries,
            compared=compared,
            progress=progress,
        )
    if html is not None:
        html.write_text(to_html(report), encoding="utf-8")
    if as_json:
        print_json(to_json(report))
    else:
        render(report, console())


def _rival(against: str, config: Config, overrides: tuple[str, ...]) -> Rival:
    """Return the cascade that `--against` names."""
    if against == "live":
        return Rival("live", config)
    if Path(against).is_file():
        other = next(iter(load_config(Path(against)).values()))
        return Rival(f"{Path(against).stem}:{other.settings.name}", other)
    return Rival(against, chosen(config.path, overrides, against))


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
@click.option("--prefer", "preference", multiple=True, metavar="NAME=SHARE", help=_PREFER)
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
@click.option("--prefer", "preference", multiple=True, metavar="NAME=SHARE", help=_PREFER)
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


def _preference(given: tuple[str, ...]) -> dict[str, float] | str:
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    found = {}
    for text in given:
        name, equals, share = text.partition("=")
        try:
            found[name] = float(share)
        except ValueError:
            equals = ""
        if not equals:
            raise QueryError(
                f"--prefer {text!r} is not of the form NAME=SHARE, as revenue=0.3; the name of an "
                "operating point is given once and alone"
            )
    return found


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 70 else text[:67] + "..."
