"""Evolution of a linear ranking policy against Evokit's `evo-rank`, and against a Python loop.

Two SVMlight files are made, one to search on and one held out: 500 queries of 100 rows with 20
features, a planted linear relevance with as much noise, and grades from 0 to 4 of which 10 % are
above 0. Both programs evaluate as many children in as many generations on nDCG@10 with the gain
2^grade - 1, which is `evo-rank`'s own. `--peer` is the path of a binary of it; without it that
part is skipped. `evo-rank` has no clock of its own for this, so it runs twice, and the time of the
shorter run is taken off that of the longer one. Runs alternate, and each side's best one counts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _shop import FOLDER, machine

from cascade.candidates import Float32, Float64
from cascade.market import Listings, PageNDCG, ranked
from cascade.training.dataset import Dataset
from cascade.training.evolution.optimisers import OptimiserSettings, make_optimiser
from cascade.training.svmlight import write_svmlight

QUERIES, ROWS, FEATURES = 500, 100, 20
MEASURE = PageNDCG(10)
# The peer draws its queries each generation, with a probability that may not be 1.
DRAWN = 0.999
LOOPED = 2


@dataclass(frozen=True)
class Rows:
    """Hold the rows of a file, and their listings with the gains as columns."""

    matrix: Float32
    grades: Float32
    listings: Listings


def made(path: Path, seed: int) -> None:
    """Write an SVMlight file."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(0).normal(size=FEATURES)
    matrix = rng.normal(size=(QUERIES * ROWS, FEATURES)).astype(np.float32)
    worth = matrix @ weights / np.linalg.norm(weights) + rng.normal(size=len(matrix))
    grades = np.searchsorted(np.quantile(worth, (0.9, 0.95, 0.98, 0.995)), worth)
    offsets = np.arange(0, len(matrix) + 1, ROWS, dtype=np.int64)
    names = tuple(f"x{i}" for i in range(FEATURES))
    ids = tuple(str(i) for i in range(QUERIES))
    write_svmlight(path, Dataset(names, matrix, grades.astype(np.float32), offsets, ids, {}))


def read(path: Path) -> Rows:
    """Read it."""
    matrix = np.zeros((QUERIES * ROWS, FEATURES), np.float32)
    grades = np.zeros(len(matrix), np.float32)
    for row, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        grade, _, *cells = line.split()
        grades[row] = float(grade)
        for name, _, value in (cell.partition(":") for cell in cells):
            matrix[row, int(name) - 1] = float(value)
    offsets = np.arange(0, len(matrix) + 1, ROWS, dtype=np.int64)
    columns = {"gain": (np.exp2(grades) - 1).astype(np.float32), "grade": grades}
    return Rows(matrix, grades, Listings(offsets, columns))


def fitness(rows: Rows, weights: Float64, threads: int, gain: str = "gain") -> Float64:
    """Return nDCG@10 of each child's weights, float64[c]."""
    children = np.ascontiguousarray(weights.T, np.float32)
    orders = ranked(
        rows.listings,
        lambda asked: rows.matrix.take(asked, axis=0) @ children,
        threads,
        children=len(weights),
    )
    return np.asarray(np.nanmean(PageNDCG(10, gain).per_request(orders), axis=0))


def searched(rows: Rows, children: int, generations: int, threads: int) -> dict[str, Any]:
    """Search, and return the weights with the time on the clock and on the cores."""
    settings = OptimiserSettings("nes", sigma=0.3, children=children)
    search = make_optimiser(settings, np.zeros(FEATURES), seed=1)
    fitness(rows, search.ask(), threads)  # what is worked out once serves every generation
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(generations):
        search.tell(fitness(rows, search.ask(), threads))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "weights": search.centre.tolist()}


def ours(asked: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Search in a process of its own."""
    command = [sys.executable, __file__, "--worker", str(threads)]
    command += ["--children", str(asked.children), "--generations", str(asked.generations)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def theirs(folder: Path, asked: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Run the peer for one generation and for all, and return the difference."""
    found: dict[str, Any] = {}
    spent = []
    for generations in (1, 1 + asked.generations):
        model = folder / "peer.json"
        command = [str(asked.peer), str(folder / "search.svm"), "--features", str(FEATURES + 1)]
        command += ["-m", str(DRAWN), "-k", "10", "-t", str(folder / "held.svm"), "--test-k", "10"]
        command += ["-l", str(asked.children // 2), "-i", str(generations), "-r", "1000000"]
        command += ["--save-model", str(model), "natural", "--fitness-shaping"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = time.perf_counter()
        env = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        wall = time.perf_counter() - wall
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent.append((wall, cpu))
        told = [line for line in done.stdout.splitlines() if line.startswith("Test Fitness")]
        found["told"] = float(told[0].rpartition(":")[2])
        # Its features are numbered from 0, and number 0 is in no row.
        found["weights"] = json.loads(model.read_text())["layers"][0]["w"][0][1:]
    found["wall"], found["cpu"] = (late - early for early, late in zip(*spent, strict=True))
    return found


def compared(folder: Path, asked: argparse.Namespace, held: Rows, threads: int) -> None:
    """Run both in turns and print what they reach."""
    work = asked.children * asked.generations * QUERIES
    mine, other = [], []
    for _ in range(asked.repeats):
        mine.append(ours(asked, threads))
        if asked.peer:
            other.append(theirs(folder, asked, threads))
    print(
        f"\n{threads} thread{'s' * (threads > 1)}, {asked.children} children, "
        f"{asked.generations} generations"
    )
    for name, runs, share in (("cascade", mine, 1.0), ("evo-rank", other, DRAWN)):
        if not runs:
            continue
        rate = work * share / min(run["wall"] for run in runs)
        busy = work * share / min(run["cpu"] for run in runs)
        best = np.array([runs[0]["weights"]])
        exp, plain = (fitness(held, best, 1, gain)[0] for gain in ("gain", "grade"))
        print(
            f"  {name:9s} {rate:12,.0f} child-queries/s  {busy:12,.0f} a core-second  "
            f"held-out nDCG@10 {exp:.4f} (gain = grade {plain:.4f})"
        )
        if "told" in runs[0]:
            print(f"  {'':9s} it tells {runs[0]['told']:.4f} for these weights itself")
    if other:
        wall, cpu = (
            min(run[clock] for run in other) / min(run[clock] for run in mine) / DRAWN
            for clock in ("wall", "cpu")
        )
        print(f"  ratio     {wall:12.1f} by the clock    {cpu:12.1f} by core time")


def looped(rows: Rows, weights: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """Return nDCG@10 of each child by a plain loop, and the seconds it takes."""
    matrix = rows.matrix.tolist()
    gains = [2.0**grade - 1.0 for grade in rows.grades.tolist()]
    start = time.perf_counter()
    means = []
    for child in weights:
        scores = [sum(w * x for w, x in zip(child, row, strict=True)) for row in matrix]
        means.append(loop_measure(scores, gains))
    return means, time.perf_counter() - start


def loop_measure(scores: Sequence[float], gains: Sequence[float]) -> float:
    """Return the mean nDCG@10 of all queries with a gain."""
    total, counted = 0.0, 0
    for begin in range(0, len(scores), ROWS):
        page = range(begin, begin + ROWS)
        order = sorted(page, key=lambda row: -scores[row])[:10]
        best = sorted((gains[row] for row in page), reverse=True)[:10]
        ideal = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(best))
        if ideal > 0:
            got = sum(gains[row] / math.log2(rank + 2) for rank, row in enumerate(order))
            total += got / ideal
            counted += 1
    return total / counted


def against_loop(rows: Rows, children: int) -> None:
    """Print the ratio to a loop over a few of the children, and how far their values are apart."""
    weights = np.random.default_rng(3).normal(size=(children, FEATURES))
    start = time.process_time()
    fitness(rows, weights, 1)
    first = time.process_time() - start
    spent = []
    for _ in range(5):
        start = time.process_time()
        fitness(rows, weights, 1)
        spent.append(time.process_time() - start)
    _, seconds = looped(rows, weights[:LOOPED].tolist())
    scores = rows.matrix @ weights[:LOOPED].T.astype(np.float32)
    mine = PageNDCG(10).per_request(ranked(rows.listings, scores, 1))
    gains = [2.0**grade - 1.0 for grade in rows.grades.tolist()]
    begun = time.perf_counter()
    same = [loop_measure(column, gains) for column in scores.T.tolist()]
    alone = time.perf_counter() - begun
    apart = float(np.abs(np.nanmean(mine, axis=0) - same).max())
    rate = children * QUERIES / min(spent)
    print(f"\nPython loop, one thread, on the same scores: values differ by at most {apart:.1e}")
    for what, took in (("scoring and measuring", seconds), ("measuring alone", alone)):
        plain = LOOPED * QUERIES / took
        print(f"  {what:21s} {plain:10,.0f} child-queries/s, ratio {rate / plain:8.1f}")
    print(f"  cascade, both         {rate:10,.0f} child-queries/s ({first * 1e3:.0f} ms at first)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="the path of a binary of evo-rank")
    parser.add_argument("--children", type=int, default=128, help="an even number")
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        # It is read when numpy is loaded: blocks take the threads, a product in one takes none.
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=env, check=False).returncode)
    folder = FOLDER / "evolution"
    if asked.worker:
        rows = read(folder / "search.svm")
        sys.stdout.write(
            json.dumps(searched(rows, asked.children, asked.generations, asked.worker))
        )
        return
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("search.svm", "held.svm"), start=1):
        made(folder / name, seed)
    rows, held = read(folder / "search.svm"), read(folder / "held.svm")
    print(
        f"{machine()}\n{QUERIES} queries x {ROWS} rows x {FEATURES} features, "
        f"{(rows.grades > 0).mean():.0%} of the grades above 0"
    )
    if not asked.peer:
        print("no --peer: the comparison with evo-rank is skipped")
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        compared(folder, asked, held, threads)
    against_loop(rows, asked.children)


if __name__ == "__main__":
    main()
