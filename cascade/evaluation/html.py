"""The report as one page of HTML that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from cascade.evaluation.baselines import RANDOM
from cascade.evaluation.plots import Forest, forest, histogram, recall_plot, roles
from cascade.evaluation.report import NOTHING, Report, number, probability, span, to_json

# A plot of fifty groups cannot be read on a phone; all stand in the table.
PLOTTED_LOSSES = 15


def to_html(report: Report) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=PackageLoader("cascade.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, span=span, probability=probability)
    plain = to_json(report)
    role_of = roles(report, RANDOM)
    main = report.measures[0]
    last = report.outcomes.system
    windows = {stage: window.window for stage, window in report.windows.items()}
    return environment.get_template("report.html").render(
        report=report,
        about=report.about,
        role_of=role_of,
        main=main,
        last=last,
        percent=f"{report.bootstrap.level:.0%}",
        means={
            measure: forest({n: r.measures[measure] for n, r in report.systems.items()}, role_of)
            for measure in report.measures
        },
        deltas={measure: _delta_plot(report, measure) for measure in report.measures},
        bucket_plot=forest(
            {name: bucket.systems[last].delta[main] for name, bucket in report.buckets.items()},
            dict.fromkeys(report.buckets, "last"),
            signed=True,
        ),
        loss_plot=forest(
            {loss.part: loss.delta[main] for loss in report.losses[:PLOTTED_LOSSES]},
            {loss.part: "last" for loss in report.losses},
            signed=True,
        ),
        recall=recall_plot(report.curve, windows, role_of),
        histogram=histogram(report.outcomes),
        data={name: _fact(value) for name, value in plain["data"].items()},
        config=json.dumps(plain["config"], indent=2, ensure_ascii=False),
    )


def _delta_plot(report: Report, measure: str) -> Forest:
    # The random order lies so far below that the other differences would shrink to one point.
    shown = {
        name: result.delta[measure]
        for name, result in report.systems.items()
        if name not in {RANDOM, report.baseline}
    }
    return forest(shown, roles(report, RANDOM), signed=True)


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_fact(inner)}" for name, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_fact(inner) for inner in value)
    return NOTHING if value is None else str(value)
