"""The report as tables for a terminal of 80 columns or more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cascade.evaluation.report import (
    Loss,
    Report,
    SystemResult,
    number,
    probability,
    span,
)

MARKS: Mapping[int, tuple[str, str]] = {
    1: ("▲", "green"),
    -1: ("▼", "red"),
    0: ("", ""),
}


def render(report: Report, console: Console) -> None:
    """Write the report's tables to a console."""
    console.print(_heading(report))
    console.print(_measures(report))
    console.print(_legend(report), sep="\n", style="dim")
    if report.buckets:
        title = f"{report.measures[0]} by part of the queries, split by {report.split}"
        console.print(Text(title, "bold"))
        console.print(_buckets(report))
    console.print(Text("Recall of graded documents", "bold"))
    console.print(_recall(report))
    if report.losses:
        console.print(Text("What is lost without a part of the cascade", "bold"))
        console.print(_losses(report.losses, report.measures[0]))
    for line in _counts(report):
        console.print(Text(line), style="dim")


def _heading(report: Report) -> Text:
    protocol = report.about.protocol
    seconds = f", {report.about.seconds:.1f} s" if report.about.seconds else ""
    return Text.assemble(
        ("Evaluation", "bold"), f"  protocol {protocol}, {report.queries:,} queries{seconds}"
    )


def _measures(report: Report) -> Table:
    table = _table("system")
    percent = f"{report.bootstrap.level:.0%}"
    delta = f"vs {report.baseline}"
    for name in ("mean", f"{percent} interval", delta, f"{percent} interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    for measure in report.measures:
        table.add_row(Text(measure, "bold"))
        for system, result in report.systems.items():
            mean = result.measures[measure]
            table.add_row(
                Text(system),
                number(mean.mean),
                span(mean),
                *_delta(report, system, result, measure),
                probability(result.p[measure].holm) if measure in result.p else "",
            )
        table.add_section()
    return table


def _table(first: str) -> Table:
    # Only the first column may wrap: a long name must not cut the numbers short.
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold", min_width=12)
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
    table = _table("system")
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
    table = _table("order of")
    for name in ("first", "recall", "of retrieved"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for cutoff, recall in report.recall.items():
        table.add_row(Text(report.baseline), f"{cutoff:,}", number(recall), "", "")
    for stage, window in report.windows.items():
        table.add_row(
            Text(window.source),
            f"{window.window:,}",
            number(window.recall),
            number(window.kept),
            Text(f"what {stage} is given"),
        )
    return table


def _losses(losses: Sequence[Loss], measure: str) -> Table:
    table = _table("without")
    for name in ("features", measure, "interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for loss in losses:
        delta = loss.delta[measure]
        table.add_row(
            Text(loss.part),
            "" if loss.features is None else f"{loss.features:,}",
            number(delta.mean, signed=True),
            span(delta, signed=True),
            probability(loss.p[measure].holm),
        )
    return table


def _legend(report: Report) -> Text:
    outcomes = report.outcomes
    return Text(
        "▲ ▼ the whole paired interval lies above or below 0.\n"
        "p: paired randomisation test, corrected (Holm) over all systems and measures.\n"
        f"{outcomes.system} against {report.baseline} on {outcomes.measure}: "
        f"{outcomes.wins:,} queries better, {outcomes.ties:,} alike, {outcomes.losses:,} worse."
        + _power(report)
    )


def _power(report: Report) -> str:
    measure = report.measures[0]
    power = report.power.get(measure)
    if power is None or not math.isfinite(power.sd):
        return ""
    told = (
        f"\n{power.queries:,} queries show a true difference of {power.detectable:.4f} in "
        f"{power.power:.0%} of cases (alpha {power.alpha:g})"
    )
    if power.needed is None:
        return f"{told}."
    part = f"{power.share:.0%} of {report.baseline}'s {measure}"
    return f"{told};\nto see {part} takes {power.needed:,} queries."


def _counts(report: Report) -> list[str]:
    excluded = report.excluded
    counted = {f"queries without a relevant document ({n})": c for n, c in _undefined(report)}
    counted |= {
        "judged queries that were not run": excluded.not_run,
        "lines without a grade": excluded.lines_without_grade,
    }
    lines = [f"Left out: {count:,} {what}" for what, count in counted.items() if count]
    if excluded.conflicts:
        lines.append(
            f"Judged again with another grade: {excluded.conflicts:,} lines; the last holds"
        )
    return [*lines, *report.about.notes]


def _undefined(report: Report) -> list[tuple[str, int]]:
    by_count: dict[int, list[str]] = {}
    for name, count in report.excluded.undefined.items():
        by_count.setdefault(count, []).append(name)
    return [(", ".join(names), count) for count, names in by_count.items()]
