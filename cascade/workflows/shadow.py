"""Comparing cascades on the same requests: their orders, what the orders are worth, their time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cascade.candidates import Candidates, Float64, Query
from cascade.config import (
    Config,
    judgments_columns,
    measures_of,
    open_cascades,
)
from cascade.config.wire import model_references
from cascade.drift import overlap
from cascade.errors import InputError
from cascade.evaluation import Bootstrap, Interval
from cascade.judgments import read_judgments
from cascade.pipeline import Cascade, PageRequest, Recording, Stage, run_stages
from cascade.protocols import NEVER, Run
from cascade.registry import CANDIDATE, LIVE
from cascade.workflows.ahead import Ahead
from cascade.workflows.clock import clock_of
from cascade.workflows.progress import Progress, silent
from cascade.workflows.requests import read_requests
from cascade.workflows.runs import unhurried

WARM_QUERIES = 5
TIMED, REPEATS = 200, 3
OVERLAP_DEPTH = 100
_FIRST = PageRequest(size=1)
Watch = Callable[[str, Recording], None]


@dataclass(frozen=True)
class Outcome:
    """Hold what one cascade made of the requests.

    Attributes:
        run: The order of each.
        ms: What ranking took, without retrieval, float64[t]: of up to 200 requests spread over
            all, the least of three times each, so that other work of the machine is left out.
    """

    run: Run
    ms: Float64

    def percentile(self, share: float) -> float:
        """Return the milliseconds that this share of the requests stayed below."""
        return float(np.quantile(self.ms, share))


@dataclass(frozen=True)
class ShadowReport:
    """Tell how a candidate's order differs from that of the live models.

    Attributes:
        queries: How many requests were ranked by both.
        models: The bundle of each stage, by system.
        overlap: The rank-biased overlap of the first 100 ranks: mean and interval.
        same: The share of requests with the same first ten in the same order.
        ms: 50th, 95th and 99th percentile of ranking, by system.
        measures: The mean gain of the candidate with its interval, where requests are judged.
        judged: How many requests are.
        farthest: The requests whose orders overlap least, with their overlap.
    """

    queries: int
    models: Mapping[str, Sequence[str]]
    overlap: Interval
    same: float
    ms: Mapping[str, Mapping[str, float]]
    measures: Mapping[str, Interval] = field(default_factory=dict)
    judged: int = 0
    farthest: Sequence[tuple[str, float]] = ()


def fixed(cascade: Cascade) -> Cascade:
    """Return a cascade whose order depends on neither chance nor the machine's load."""
    return replace(unhurried(cascade), exploration=None)


def compare(
    cascades: Mapping[str, Cascade],
    queries: Sequence[Query],
    watch: Watch | None = None,
    progress: Progress = silent,
) -> dict[str, Outcome]:
    """Rank the same requests by several cascades, which take turns at going first.

    Args:
        cascades: By name.
        queries: The requests, with distinct ids.
        watch: Told the name and what each ranking used.
        progress: Told how far it is.
    """
    ready = {}
    for name, cascade in cascades.items():
        ahead = Ahead(cascade.engine, [cascade.filtered(query) for query in queries])
        ready[name] = fixed(replace(cascade, engine=ahead))
        for query in queries[:WARM_QUERIES]:
            fixed(cascade).ranked(query, _FIRST)
    rankings: dict[str, list[tuple[str, ...]]] = {name: [] for name in ready}
    took: dict[str, list[float]] = {name: [] for name in ready}
    names = list(ready)
    timed = set(np.linspace(0, len(queries) - 1, TIMED).astype(int).tolist())
    for number, query in enumerate(queries):
        for name in names if number % 2 else reversed(names):
            recording = Recording() if watch is not None else None
            ranked = ready[name].ranked(query, _FIRST, recording=recording)
            rankings[name].append(tuple(ranked.candidates.ids()))
            if number in timed:
                again = (_ms(ready[name], ranked.listing) for _ in range(REPEATS - 1))
                took[name].append(min(ranked.trace.ms["rank"], *again))
            if watch is not None and recording is not None:
                watch(name, recording)
        if number % 20 == 19:
            progress("compare", number + 1, len(queries))
    progress("compare", len(queries), len(queries))
    ids = tuple(query.id for query in queries)
    return {name: Outcome(Run(ids, tuple(rankings[name])), np.array(took[name])) for name in ready}


def _ms(cascade: Cascade, listing: Candidates) -> float:
    """Return the milliseconds of ranking a listing with nothing of it computed before."""
    fresh = listing.bare()
    start = time.perf_counter()
    cascade.reorder(fresh)
    return (time.perf_counter() - start) * 1e3


def compare_rows(
    cascades: Mapping[str, tuple[Stage, ...]], listings: Candidates, watch: Watch | None = None
) -> dict[str, Outcome]:
    """Rank listings whose features are given by the stages of several cascades.

    Args:
        cascades: The stages by the cascade's name.
        listings: The rows, listing by listing.
        watch: Told the name and what each ranking used.
    """
    rankings: dict[str, list[tuple[str, ...]]] = {name: [] for name in cascades}
    took: dict[str, list[float]] = {name: [] for name in cascades}
    for at in range(len(listings.queries)):
        for name, stages in cascades.items():
            times = []
            for _ in range(REPEATS):
                recording, listing = Recording(), listings.listings(at, at + 1).bare()
                start = time.perf_counter()
                final, _ = run_stages(stages, listing, NEVER, recording=recording)
                times.append((time.perf_counter() - start) * 1e3)
            took[name].append(min(times))
            rankings[name].append(tuple(final.ids()))
            if watch is not None:
                watch(name, recording)
    ids = tuple(query.id for query in listings.queries)
    return {
        name: Outcome(Run(ids, tuple(rankings[name])), np.array(took[name])) for name in cascades
    }


def overlaps(first: Run, second: Run, p: float) -> Float64:
    """Return the rank-biased overlap of two runs over the same queries, float64[q]."""
    return np.array(
        [
            overlap(np.array(a[:OVERLAP_DEPTH]), np.array(b[:OVERLAP_DEPTH]), p)
            for a, b in zip(first.rankings, second.rankings, strict=True)
        ]
    )


def shadow_config(
    config: Config,
    *,
    requests: Path | None = None,
    judgments: Path | None = None,
    progress: Progress = silent,
) -> ShadowReport:
    """Rank recorded requests by the live models and by the candidates, and compare the orders.

    Args:
        config: The settings.
        requests: A file of queries.
        judgments: Judgments; their queries are the requests if there is no other file, and what
            they grade is measured.
        progress: Told how far it is.

    Raises:
        InputError: If there are no requests.
        NotFoundError: If a stage has no model.
    """
    if requests is None and judgments is None:
        raise InputError("there are no requests; give --queries FILE or --judgments FILE")
    read = read_judgments(judgments, judgments_columns(config)) if judgments is not None else None
    referenced = {LIVE: model_references(config), CANDIDATE: model_references(config, CANDIDATE)}
    cascades = open_cascades(
        {name: pinned(config, references) for name, references in referenced.items()}
    )
    try:
        documents = cascades[LIVE].documents
        at = clock_of(config, documents)
        if requests is not None:
            queries = read_requests(requests, documents.schema, at)
            by_text = {text: query_id for query_id, text in read.texts.items()} if read else {}
            queries = [replace(q, id=by_text.get(q.text, f"request {q.id}")) for q in queries]
            queries = list({query.id: query for query in queries}.values())
        else:
            queries = [Query(q, text, time=at) for q, text in read.texts.items()] if read else []
        found = compare(cascades, queries, progress=progress)
    finally:
        for cascade in cascades.values():
            cascade.engine.close()
    report = _report(config, found[LIVE], found[CANDIDATE], queries, referenced)
    judged = [q for q in found[LIVE].run.query_ids if read and q in read.grades]
    if read is None or not judged:
        return report
    return replace(
        report,
        judged=len(judged),
        measures={
            str(measure): _bootstrap(config).difference(
                measure.per_query(_only(found[CANDIDATE].run, judged), read),
                measure.per_query(_only(found[LIVE].run, judged), read),
            )
            for measure in measures_of(config)
        },
    )


def pinned(config: Config, references: Sequence[str]) -> Config:
    """Return the configuration with exactly these bundles, one a stage."""
    settings = config.settings
    stages = [
        stage.model_copy(update={"model": reference})
        for stage, reference in zip(settings.stages, references, strict=True)
    ]
    return replace(config, settings=settings.model_copy(update={"stages": stages}))


def _report(
    config: Config,
    live: Outcome,
    candidate: Outcome,
    queries: Sequence[Query],
    models: Mapping[str, Sequence[str]],
) -> ShadowReport:
    close = overlaps(live.run, candidate.run, config.settings.shadow.p)
    tens = [
        a[:10] == b[:10] for a, b in zip(live.run.rankings, candidate.run.rankings, strict=True)
    ]
    return ShadowReport(
        queries=len(queries),
        models={name: list(references) for name, references in models.items()},
        overlap=_bootstrap(config).intervals(close[:, None])[0],
        same=float(np.mean(tens)),
        ms={
            name: {f"p{int(100 * share)}": outcome.percentile(share) for share in (0.5, 0.95, 0.99)}
            for name, outcome in ((LIVE, live), (CANDIDATE, candidate))
        },
        farthest=[
            (queries[i].text, float(close[i])) for i in np.argsort(close, kind="stable")[:10]
        ],
    )


def _bootstrap(config: Config) -> Bootstrap:
    settings = config.settings
    return Bootstrap(
        settings.evaluation.resamples, settings.gate.level, seed=settings.evaluation.seed
    )


def _only(run: Run, query_ids: Sequence[str]) -> Run:
    at = {query_id: i for i, query_id in enumerate(run.query_ids)}
    return Run(tuple(query_ids), tuple(run.rankings[at[q]] for q in query_ids))
