"""The report as tables for a terminal of 100 columns."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cascade.evaluation.bootstrap import Interval
from cascade.evaluation.report import Report, SystemResult

MARKS: Mapping[int, tuple[str, str]] = {
    1: ("▲", "green"),
    -1: ("▼", "red"),
    0: ("", ""),
}
NOTHING = "–"


def render(report: Report, console: Console) -> None:
    """Write the report's tables to a console."""
    console.print(_heading(report))
    console.print(_measures(report))
    console.print(_legend(report), style="dim")
    if report.buckets:
        console.print(_buckets(report))
        console.print(Text(f"Split by {report.split}."), style="dim")
    console.print(_recall(report))
    for line in _counts(report):
        console.print(Text(line), style="dim")


def number(value: float, signed: bool = False) -> str:
    """Return four decimals, with a sign where asked, and a dash for NaN."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:+.4f}" if signed else f"{value:.4f}"


def span(interval: Interval, signed: bool = False) -> str:
    """Return `[low, high]`, or a dash where there is none."""
    if not math.isfinite(interval.low):
        return NOTHING
    return f"[{number(interval.low, signed)}, {number(interval.high, signed)}]"


def _heading(report: Report) -> Text:
    protocol = report.about.protocol
    seconds = f", {report.about.seconds:.1f} s" if report.about.seconds else ""
    return Text.assemble(
        ("Evaluation", "bold"), f"  protocol {protocol}, {report.queries:,} queries{seconds}"
    )


def _measures(report: Report) -> Table:
    table = Table(header_style="bold", pad_edge=False)
    table.add_column("measure", no_wrap=True)
    table.add_column("system", no_wrap=True)
    percent = f"{report.bootstrap.level:.0%}"
    delta = f"vs {report.baseline}"
    for name in ("mean", f"{percent} interval", delta, f"{percent} interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for measure in report.measures:
        for i, (system, result) in enumerate(report.systems.items()):
            mean = result.measures[measure]
            table.add_row(
                Text(measure if i == 0 else ""),
                Text(system),
                number(mean.mean),
                span(mean),
                *_delta(report, system, result, measure),
            )
        table.add_section()
    return table


def _delta(
    report: Report, system: str, result: SystemResult, measure: str
) -> tuple[str, str, Text]:
    if system == report.baseline:
        return "", "", Text("")
    delta = result.delta[measure]
    mark, style = MARKS[delta.sign]
    return number(delta.mean, signed=True), span(delta, signed=True), Text(mark, style)


def _buckets(report: Report) -> Table:
    measure = report.measures[0]
    table = Table(header_style="bold", pad_edge=False, title=f"{measure} by part of the queries")
    table.add_column("system", no_wrap=True)
    for name, bucket in report.buckets.items():
        table.add_column(f"{name} ({bucket.queries:,})", justify="right", no_wrap=True)
        table.add_column(f"vs {report.baseline}", justify="right", no_wrap=True)
    for system in report.systems:
        cells: list[Text] = []
        for bucket in report.buckets.values():
            result = bucket.systems[system]
            cells.append(Text(number(result.measures[measure].mean)))
            delta, _, mark = _delta(report, system, result, measure)
            cells.append(Text.assemble(delta, " ", mark) if mark.plain else Text(f"{delta}  "))
        table.add_row(Text(system), *cells)
    return table


def _recall(report: Report) -> Table:
    table = Table(header_style="bold", pad_edge=False, title="Recall of graded documents")
    table.add_column("order of", no_wrap=True)
    table.add_column("first", justify="right", no_wrap=True)
    table.add_column("recall", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for cutoff, recall in report.recall.items():
        table.add_row(Text(report.baseline), f"{cutoff:,}", number(recall), "")
    table.add_section()
    for stage, window in report.windows.items():
        what = f"what {stage} is given"
        table.add_row(Text(window.source), f"{window.window:,}", number(window.recall), Text(what))
    return table


def _legend(report: Report) -> Text:
    outcomes = report.outcomes
    return Text(
        f"▲ ▼ the whole paired interval lies above or below 0.  {outcomes.system} against "
        f"{report.baseline} on {outcomes.measure}: {outcomes.wins:,} better, "
        f"{outcomes.ties:,} alike, {outcomes.losses:,} worse."
    )


def _counts(report: Report) -> list[str]:
    excluded = report.excluded
    undefined = ", ".join(f"{name} {count:,}" for name, count in excluded.undefined.items())
    counted = {
        "judged queries that were not run": excluded.not_run,
        "lines without a grade": excluded.lines_without_grade,
        "lines that changed a grade": excluded.conflicts,
    }
    lines = [f"Left out: queries without a relevant document ({undefined})"]
    lines += [f"Counted: {count:,} {what}" for what, count in counted.items() if count]
    return [*lines, *report.about.notes]
