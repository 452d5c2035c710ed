"""A cascade's quality and cost, against its last model run on all that was retrieved.

The peer is the same cascade with the last window as wide as the list: every row gets every feature
and the costly model's score. The two take turns, query by query, on what retrieval found; timed is
all that stages do: listing features, features, scoring and ordering. Quality is the first measure
of the configuration over the queries that training left out. Without options, the demo shop is
trained and measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from _shop import indexed, judgments, machine

from cascade.candidates import Candidates, Query
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


def fresh(found: Candidates) -> Candidates:
    """Return the candidates as retrieval gives them, with nothing computed yet."""
    return found.bare()


def with_last(stages: tuple[Stage, ...], window: int) -> tuple[Stage, ...]:
    """Return the stages with another window of the last one."""
    return (*stages[:-1], replace(stages[-1], window=window))


def ranked(stages: tuple[Stage, ...], found: Candidates) -> tuple[Candidates, float]:
    """Return the reordered list and the seconds that it took."""
    listing = fresh(found)
    start = time.perf_counter()
    final, _ = run_stages(stages, listing, NEVER)
    return final, time.perf_counter() - start


def held_out(config: Config, path: Path) -> Judgments:
    """Return the judgments of queries that no stage was trained on."""
    read = read_judgments(path, judgments_columns(config))
    registry, seen = registry_of(config), set[str]()
    for stage in config.settings.stages:
        seen |= set(registry.load(config.settings.model_name(stage)).manifest.trained_queries)
    return read.only([q for q, text in read.texts.items() if text_digest(text) not in seen])


def measured(
    config: Config, held: Judgments, windows: Sequence[int], most_timed: int
) -> tuple[dict[int, float], dict[int, float]]:
    """Return the mean quality and the mean milliseconds by the window of the last stage."""
    cascade = unhurried(open_cascade(config))
    (measure, *_) = measures_of(config)
    runs: dict[int, list[tuple[str, ...]]] = {window: [] for window in windows}
    times: dict[int, list[float]] = {window: [] for window in windows}
    settings = config.settings.retrieval
    with closing(cascade.engine):
        at = store_of(config).get(cascade.documents.generation).created
        ask = asked_at(at, cascade.business)
        asked = Asked(minimum_match=settings.minimum_match)
        queries = [ask(query_id, text) for query_id, text in held.texts.items()]
        for number, query in enumerate(queries):
            found = cascade.engine.retrieve([query], settings.size, asked).candidates
            best = dict.fromkeys(windows, np.inf)
            for _ in range(ROUNDS if number < most_timed else 1):
                for window in windows:
                    final, seconds = ranked(with_last(cascade.stages, window), found)
                    best[window] = min(best[window], seconds)
                    last = tuple(final.take(final.ranks <= 100).ids())
                    runs[window][number:] = [last]
            if number < most_timed and len(found) == settings.size:
                for window in windows:
                    times[window].append(best[window] * 1e3)
    quality = {w: _mean(measure, queries, runs[w], held) for w in windows}
    return quality, {w: float(np.mean(times[w])) for w in windows}


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
    parser.add_argument("--timed", type=int, default=200, help="queries that are timed")
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
    quality, ms = measured(config, held, windows, given.timed)
    names = ", ".join(f"{s.name} {s.window}" for s in config.settings.stages)
    print(f"{config.settings.name}: {names}; {len(held.texts):,} held-out queries")
    print(machine())
    print(
        f"{'last window':>12} {config.settings.evaluation.measures[0]:>10} {'of all':>8}"
        f" {'ms':>8} {'of all':>8}"
    )
    for window in windows:
        kept, share = quality[window] / quality[size], ms[window] / ms[size]
        print(
            f"{window:>12} {quality[window]:>10.4f} {kept:>8.4f} {ms[window]:>8.2f} {share:>8.1%}"
        )


if __name__ == "__main__":
    main()
