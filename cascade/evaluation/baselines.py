"""Baselines: runs that a system has to beat before its numbers mean anything."""

from __future__ import annotations

import zlib

import numpy as np

from cascade.protocols import Run

RANDOM = "random"


def random_run(run: Run, seed: int = 0) -> Run:
    """Return the same documents in random order: one shuffle of each ranking.

    A query's shuffle depends on the seed, its id and its ranking alone, so it stays the same
    when other queries come or go. One shuffle is enough: its noise averages out over queries and
    stands in the interval.
    """
    return Run(
        run.query_ids,
        tuple(
            tuple(ranking[i] for i in _shuffle(query_id, len(ranking), seed))
            for query_id, ranking in zip(run.query_ids, run.rankings, strict=True)
        ),
    )


def _shuffle(query_id: str, size: int, seed: int) -> list[int]:
    # crc32, because hash() of a string changes from process to process.
    draws = np.random.default_rng([seed, zlib.crc32(query_id.encode("utf-8", "replace"))])
    shuffled: list[int] = draws.permutation(size).tolist()
    return shuffled
