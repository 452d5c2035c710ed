"""A cascade's quality and cost, against its last model run on all that was retrieved.

The peer is the same cascade with the last window as wide as the list: every row gets every feature
and the costly model's score. The two take turns on what retrieval found; timed, in processor time,
is all that stages do: listing features, features, scoring and ordering, once for one request at a
time as serving does and once for several together as evaluation does. Quality is the first measure
of the configuration over the queries that training left out. Without options, the demo shop is
trained and measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _shop import indexed, judgments, machine

from cascade.candidates import Candidates, Query, concatenated
from cascade.config import (
    Config,
    judgments_columns,
    load_config,
    measures_of,
    open_cascade,
    registry_of,
    store_of,
)
from cascade.judgments import Judgments, read_judgments
from cascade.pipeline import Stage, run_stages
from cascade.protocols import NEVER, Asked, Measure, Run
from cascade.registry import text_digest
from cascade.workflows import train_config
from cascade.workflows.draws import asked_at
from cascade.workflows.runs import unhurried

WINDOWS = (50, 100, 150, 200, 300, 500)
ROUNDS = 3
LISTINGS = 20_000


def with_last(stages: tuple[Stage, ...], window: int) -> tuple[Stage, ...]:
    """Return the stages with another window of the last one."""
    return (*stages[:-1], replace(stages[-1], window=window))


def ranked(stages: tuple[Stage, ...], found: Candidates) -> tuple[Candidates, float]:
    """Return the reordered lists and the seconds of processor that it took."""
    fresh = found.bare()
    start = time.process_time()
    final, _ = run_stages(stages, fresh, NEVER)
    return final, time.process_time() - start


def held_out(config: Config, path: Path) -> Judgments:
    """Return the judgments of queries that no stage was trained on."""
    read = read_judgments(path, judgments_columns(config))
    registry, seen = registry_of(config), set[str]()
    for stage in config.settings.stages:
        seen |= set(registry.load(config.settings.model_name(stage)).manifest.trained_queries)
    return read.only([q for q, text in read.texts.items() if text_digest(text) not in seen])


@dataclass(frozen=True)
class Found:
    """Hold what was measured, by the window of the last stage.

    Attributes:
        quality: The mean of the measure.
        alone_ms: Milliseconds of processor of a request that comes alone.
        together_ms: Those of a request among several.
        timed: How many requests were timed.
    """

    quality: dict[int, float]
    alone_ms: dict[int, float]
    together_ms: dict[int, float]
    timed: int


def measured(
    config: Config, held: Judgments, windows: Sequence[int], most_timed: int, batch: int
) -> Found:
    """Return quality and cost by the window of the last stage."""
    cascade = unhurried(open_cascade(config))
    (measure, *_) = measures_of(config)
    runs: dict[int, list[tuple[str, ...]]] = {window: [] for window in windows}
    full: list[Candidates] = []
    settings = config.settings.retrieval
    with closing(cascade.engine):
        at = store_of(config).get(cascade.documents.generation).created
        ask = asked_at(at, cascade.business)
        asked = Asked(minimum_match=settings.minimum_match)
        queries = [ask(query_id, text) for query_id, text in held.texts.items()]
        for query in queries:
            found = cascade.engine.retrieve([query], settings.size, asked).candidates
            if len(full) < most_timed and len(found) == settings.size:
                full.append(found)
            for window in windows:
                final, _ = ranked(with_last(cascade.stages, window), found)
                runs[window].append(tuple(final.take(final.ranks <= 100).ids()))
        together = [concatenated(full[i : i + batch]) for i in range(0, len(full), batch)]
        alone_ms = timed(cascade.stages, full, windows)
        together_ms = timed(cascade.stages, together, windows)
    quality = {w: _mean(measure, queries, runs[w], held) for w in windows}
    return Found(quality, alone_ms, together_ms, len(full))


def timed(
    stages: tuple[Stage, ...], lists: Sequence[Candidates], windows: Sequence[int]
) -> dict[int, float]:
    """Return the mean milliseconds of a request by window, the best of some rounds each."""
    best = {window: np.full(len(lists), np.inf) for window in windows}
    for _ in range(ROUNDS):
        for i, found in enumerate(lists):
            for window in windows:
                seconds = ranked(with_last(stages, window), found)[1]
                best[window][i] = min(best[window][i], seconds)
    requests = sum(len(found.queries) for found in lists)
    return {window: float(taken.sum()) * 1e3 / requests for window, taken in best.items()}


def _mean(
    measure: Measure, queries: Sequence[Query], rankings: list[tuple[str, ...]], held: Judgments
) -> float:
    run = Run(tuple(query.id for query in queries), tuple(rankings))
    return float(np.mean(measure.per_query(run, held)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="a configuration whose models are trained")
    parser.add_argument("--set", action="append", default=[], help="as of the other commands")
    parser.add_argument("--judgments", type=Path)
    parser.add_argument("--timed", type=int, default=200, help="requests that are timed")
    parser.add_argument("--batch", type=int, default=16, help="requests that come together")
    given = parser.parse_args()
    if given.config is None:
        config = indexed(LISTINGS)
        path = judgments(config)
        train_config(config, path)
    elif given.judgments is None:
        parser.error("--config needs --judgments")
    else:
        config, path = next(iter(load_config(given.config, given.set).values())), given.judgments
    held = held_out(config, path)
    size = config.settings.retrieval.size
    windows = [*(w for w in WINDOWS if w < size), size]
    found = measured(config, held, windows, given.timed, given.batch)
    names = ", ".join(f"{s.name} {s.window}" for s in config.settings.stages)
    print(f"{config.settings.name}: {names}; {len(held.texts):,} held-out queries")
    print(f"{machine()}; {found.timed} requests timed, alone and by {given.batch}")
    name = config.settings.evaluation.measures[0]
    print(
        f"{'last window':>12} {name:>10} {'of all':>8} {'ms alone':>10} {'of all':>8}"
        f" {'together':>10} {'of all':>8}"
    )
    for window in windows:
        quality, alone, together = (
            (by[window], by[window] / by[size])
            for by in (found.quality, found.alone_ms, found.together_ms)
        )
        print(
            f"{window:>12} {quality[0]:>10.4f} {quality[1]:>8.4f} {alone[0]:>10.2f}"
            f" {alone[1]:>8.1%} {together[0]:>10.2f} {together[1]:>8.1%}"
        )


if __name__ == "__main__":
    main()
