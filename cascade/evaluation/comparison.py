"""Comparison of systems: runs and judgments in, a report out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError, nearest
from cascade.evaluation.baselines import RANDOM
from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.power import power_of
from cascade.evaluation.report import (
    About,
    BucketResult,
    Curve,
    Excluded,
    Outcomes,
    PerQuery,
    QueryOutcome,
    Report,
    SystemResult,
    WindowResult,
)
from cascade.evaluation.significance import PValue, Randomisation, benjamini_hochberg, holm
from cascade.evaluation.splits import Split
from cascade.judgments import Judgments
from cascade.measures import GradedMeasure, GradedRun, Recall, graded
from cascade.protocols import Measure, Run

CURVE_CUTOFFS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
TOP_CUTOFFS = (10, 50, 100)
STAGE_PREFIX = "stage:"
# Summing in another order must not make a win of two equal values.
TIE = 1e-12
# Ten bars a side; 0 is an edge, so that no bar holds wins and losses.
OUTCOME_EDGES = np.arange(-10, 11) / 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Say how systems are compared.

    Attributes:
        baseline: The system that differences are taken to.
        recall_at: The cutoffs of the baseline's recall.
        windows: The window of each stage by its name, for a system `stage:<name>` or `<name>`.
        split: Parts of the queries to report apart; a part without queries is left out.
        bootstrap: How intervals are made; the randomisation test draws as often, from its seed.
        listed: How many queries the lists of wins and of losses hold.
    """

    baseline: str = "bm25"
    recall_at: tuple[int, ...] = (100, 1000)
    windows: Mapping[str, int] = field(default_factory=dict)
    split: Split | None = None
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    listed: int = 20


def evaluate(
    systems: Mapping[str, Run],
    judgments: Judgments,
    measures: Sequence[Measure],
    settings: Settings | None = None,
    about: About | None = None,
) -> Report:
    """Compare systems over one query set.

    Args:
        systems: The run of each system, in the order of the report: `random`, `bm25`,
            `stage:<name>` for each stage, `final`. All have the same queries in the same order.
        judgments: The grades; a document without one counts as grade 0.
        measures: What to measure, the main measure first.
        settings: How to compare.
        about: What the report says of where the runs come from.

    Raises:
        InputError: If the baseline, a window's stage or a bucket's query is not among the runs,
            the runs differ in their queries, or no query has a document with a grade above 0.
    """
    settings = settings or Settings()
    about = about or About()
    names = tuple(str(measure) for measure in measures)
    query_ids = _checked(systems, names, settings)
    split = settings.split or Split("", {})
    members = _members(query_ids, split)
    deep = {name: graded(run, judgments) for name, run in systems.items()}
    positive = ~np.isnan(Recall(1).of(deep[settings.baseline]))
    if not positive.any():
        message = f"none of the {len(query_ids)} queries has a document with a grade above 0"
        raise InputError(f"{message}; check that the judgments are of these queries")
    values = measured(systems, deep, judgments, measures)
    at = list(systems).index(settings.baseline)
    results = _results(values, at, list(systems), names, settings.bootstrap)
    return Report(
        about=about,
        queries=int(positive.sum()),
        baseline=settings.baseline,
        measures=names,
        systems=_tested(results, values - values[at], settings),
        recall={k: _mean(Recall(k).of(deep[settings.baseline])) for k in settings.recall_at},
        windows=_windows(deep, settings),
        curve=_curve(deep),
        split=split.rule,
        buckets={
            bucket: BucketResult(
                int(positive[inside].sum()),
                _results(values[:, :, inside], at, list(systems), names, settings.bootstrap),
            )
            for bucket, inside in members.items()
            if inside
        },
        outcomes=_outcomes(
            (list(systems)[-1], names[0]),
            [_outcome(judgments, q, *values[[at, -1], 0, i]) for i, q in enumerate(query_ids)],
            settings.listed,
        ),
        excluded=_excluded(judgments, query_ids, dict(zip(names, values[at], strict=True))),
        bootstrap=settings.bootstrap,
        power={
            name: power_of(values[-1, i] - values[at, i], values[at, i])
            for i, name in enumerate(names)
        },
        per_query=PerQuery(query_ids, dict(zip(systems, values[:, 0], strict=True))),
    )


def measured(
    systems: Mapping[str, Run],
    deep: Mapping[str, GradedRun],
    judgments: Judgments,
    measures: Sequence[Measure],
) -> Float64:
    """Return the value of each measure for each query, float64[s, m, q].

    Args:
        systems: The runs.
        deep: The same runs, graded whole.
        judgments: The grades.
        measures: What to measure.
    """
    return np.array(
        [
            [_values(measure, run, deep[name], judgments) for measure in measures]
            for name, run in systems.items()
        ]
    )


def p_values(differences: Float64, bootstrap: Bootstrap) -> list[PValue]:
    """Return the corrected p-value of each column of float64[q, c], all columns one family.

    Equal columns, as of a last layer that changes nothing, are one test and counted once.
    """
    first: dict[bytes, int] = {}
    test_of = [first.setdefault(column.tobytes(), len(first)) for column in differences.T]
    columns = np.unique(test_of, return_index=True)[1]
    p = Randomisation(bootstrap.resamples, bootstrap.seed).p_values(differences[:, columns])
    corrected = np.stack([p, holm(p), benjamini_hochberg(p)], axis=1)[test_of]
    return [PValue(*row) for row in corrected.tolist()]


def _checked(
    systems: Mapping[str, Run], measures: Sequence[str], settings: Settings
) -> tuple[str, ...]:
    if settings.baseline not in systems:
        known = nearest(settings.baseline, systems)
        raise InputError(f"the baseline {settings.baseline!r} is not among the systems; {known}")
    if not measures:
        raise InputError("no measure is given; name at least one, such as nDCG@10")
    if len(set(measures)) < len(measures):
        raise InputError(f"a measure is given twice: {', '.join(measures)}")
    query_ids = systems[settings.baseline].query_ids
    for name, run in systems.items():
        if run.query_ids != query_ids:
            raise InputError(
                f"the runs of {name!r} and {settings.baseline!r} differ in their queries "
                f"({len(run.query_ids)} and {len(query_ids)}); a paired comparison needs the "
                "same ones in the same order"
            )
    for stage, window in settings.windows.items():
        if _system_of(stage, systems) is None:
            known = nearest(stage, (name.removeprefix(STAGE_PREFIX) for name in systems))
            raise InputError(f"the window {stage!r} names no system; {known}")
        if window < 1:
            raise InputError(f"the window of {stage!r} is {window}; it is 1 or more")
    return query_ids


def _values(measure: Measure, run: Run, deep: GradedRun, judgments: Judgments) -> Float64:
    # Looking up grades is what takes time, so our own measures share one look-up.
    if isinstance(measure, GradedMeasure):
        return measure.of(deep)
    return measure.per_query(run, judgments)


def _system_of(stage: str, systems: Mapping[str, object]) -> str | None:
    return next((name for name in (STAGE_PREFIX + stage, stage) if name in systems), None)


def _members(query_ids: tuple[str, ...], split: Split) -> dict[str, list[int]]:
    position = {query_id: i for i, query_id in enumerate(query_ids)}
    for bucket, ids in split.buckets.items():
        unknown = [query_id for query_id in ids if query_id not in position]
        if unknown:
            raise InputError(
                f"bucket {bucket!r} holds {len(unknown)} queries that the runs do not have, such "
                f"as {unknown[0]!r}; split the queries of the runs"
            )
    return {name: [position[q] for q in ids] for name, ids in split.buckets.items()}


def _results(
    values: Float64, at: int, systems: list[str], measures: Sequence[str], bootstrap: Bootstrap
) -> dict[str, SystemResult]:
    """Return the results of float64[s, m, q], whose baseline is system `at`."""
    both = np.stack([values, values - values[at]])
    count = len(measures)
    intervals = bootstrap.intervals(both.reshape(-1, values.shape[2]).T)
    means, deltas = intervals[: len(systems) * count], intervals[len(systems) * count :]
    return {
        system: SystemResult(
            dict(zip(measures, means[i * count :], strict=False)),
            dict(zip(measures, deltas[i * count :], strict=False)),
        )
        for i, system in enumerate(systems)
    }


def _tested(
    results: Mapping[str, SystemResult], differences: Float64, settings: Settings
) -> dict[str, SystemResult]:
    """Return the results with p-values; those of all systems and measures are one family."""
    names = list(results)
    # A random order is no candidate: testing it would only cost the others power.
    tested = [i for i, name in enumerate(names) if name not in {RANDOM, settings.baseline}]
    if not tested:
        return dict(results)
    columns = differences[tested].reshape(-1, differences.shape[2]).T
    found = iter(p_values(columns, settings.bootstrap))
    p = {names[i]: {measure: next(found) for measure in results[names[i]].delta} for i in tested}
    return {name: replace(result, p=p.get(name, {})) for name, result in results.items()}


def _windows(deep: Mapping[str, GradedRun], settings: Settings) -> dict[str, WindowResult]:
    names = list(deep)
    windows = {}
    for stage, window in settings.windows.items():
        after = _system_of(stage, deep) or stage
        before = names[: names.index(after)]
        # Where nothing but a random order came before, the baseline stands for what was given.
        source = next((name for name in reversed(before) if name != RANDOM), settings.baseline)
        windows[stage] = WindowResult(
            window=window,
            source=source,
            recall=_mean(Recall(window).of(deep[source])),
            kept=_kept(deep[source], window),
            top={k: _kept(deep[after], k) for k in TOP_CUTOFFS},
        )
    return windows


def _kept(run: GradedRun, cutoff: int) -> float:
    """Return the mean share of the graded documents ranked at all that stand at a cutoff."""
    found = run.found.relevant(None)
    ranked = run.count(found)
    some = ranked > 0
    if not some.any():
        return math.nan
    return float((run.count(found.head(cutoff))[some] / ranked[some]).mean())


def _curve(deep: Mapping[str, GradedRun]) -> Curve:
    return Curve(
        CURVE_CUTOFFS,
        {
            name: tuple(_mean(Recall(cutoff).of(run)) for cutoff in CURVE_CUTOFFS)
            for name, run in deep.items()
        },
    )


def _excluded(
    judgments: Judgments, query_ids: tuple[str, ...], baseline: Mapping[str, Float64]
) -> Excluded:
    return Excluded(
        undefined={name: int(np.isnan(values).sum()) for name, values in baseline.items()},
        not_run=len(set(judgments.grades) - set(query_ids)),
        lines_without_grade=judgments.skipped,
        conflicts=judgments.conflicts,
    )


def _outcome(judgments: Judgments, query_id: str, before: float, after: float) -> QueryOutcome:
    text = judgments.texts.get(query_id, query_id)
    return QueryOutcome(query_id, text, float(before), float(after))


def _outcomes(names: tuple[str, str], queries: Sequence[QueryOutcome], listed: int) -> Outcomes:
    """Return the outcomes of a system and a measure from those of each query."""
    queries = sorted((q for q in queries if not math.isnan(q.delta)), key=lambda q: -q.delta)
    delta = np.array([q.delta for q in queries])
    better, worse = delta > TIE, delta < -TIE
    counts, _ = np.histogram(np.clip(delta[better | worse], -1.0, 1.0), OUTCOME_EDGES)
    wins, losses = int(better.sum()), int(worse.sum())
    return Outcomes(
        system=names[0],
        measure=names[1],
        wins=wins,
        ties=len(delta) - wins - losses,
        losses=losses,
        edges=tuple(OUTCOME_EDGES.tolist()),
        counts=tuple(counts.tolist()),
        best=tuple(queries[: min(wins, listed)]),
        worst=tuple(queries[::-1][: min(losses, listed)]),
    )


def _mean(values: Float64) -> float:
    """Return the mean over the queries that have a value; the caller has one at least."""
    return float(np.nanmean(values))
