"""Ablation: what is lost when a part of the cascade is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.comparison import measured, p_values
from cascade.evaluation.report import Loss
from cascade.judgments import Judgments
from cascade.measures import graded
from cascade.protocols import Measure, Run


def losses(
    whole: Run,
    without: Mapping[str, Run],
    judgments: Judgments,
    measures: Sequence[Measure],
    bootstrap: Bootstrap,
    features: Mapping[str, int] | None = None,
) -> tuple[Loss, ...]:
    """Return what each part is worth, the part that is missed most first.

    Args:
        whole: The run of the whole cascade.
        without: The run without each part, over the same queries in the same order.
        judgments: The grades.
        measures: What to measure, the main measure first.
        bootstrap: How intervals are made.
        features: How many features a part has, for those that are groups of features.
    """
    runs = {"": whole, **without}
    deep = {name: graded(run, judgments) for name, run in runs.items()}
    values = measured(runs, deep, judgments, measures)
    names = [str(measure) for measure in measures]
    delta, p = {}, {}
    for at, name in enumerate(names):
        # Each measure asks of all parts, so the parts are one family, and each measure its own.
        columns = (values[1:, at] - values[0, at]).T
        delta[name], p[name] = bootstrap.intervals(columns), p_values(columns, bootstrap)
    found = [
        Loss(
            part,
            (features or {}).get(part),
            {name: delta[name][i] for name in names},
            {name: p[name][i] for name in names},
        )
        for i, part in enumerate(without)
    ]
    main = [np.nan_to_num(loss.delta[names[0]].mean) for loss in found]
    return tuple(found[i] for i in np.argsort(main, kind="stable"))
