"""Rows that do not fit into memory, given to XGBoost listing by listing."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.candidates import Int64
from cascade.training.dataset import Dataset

SHARD_VALUES = 1 << 24  # 64 MB of float32


def beyond_memory(dataset: Dataset, memory_mb: int) -> bool:
    """Return whether rows lie in a file and are more than may stand in memory."""
    return isinstance(dataset.matrix, np.memmap) and dataset.matrix.nbytes > memory_mb << 20


def within_memory(dataset: Dataset, memory_mb: int, seed: int) -> Dataset:
    """Return a dataset, or a draw of its listings that memory holds where it lies beyond it.

    Args:
        dataset: The rows.
        memory_mb: How much of them may stand in memory.
        seed: Of the draw.
    """
    if not beyond_memory(dataset, memory_mb):
        return dataset
    lengths = np.diff(dataset.offsets)
    order = np.random.default_rng(seed).permutation(len(lengths))
    width = dataset.matrix.shape[1] * dataset.matrix.itemsize
    chosen = np.zeros(len(lengths), dtype=np.bool_)
    chosen[order] = np.cumsum(lengths[order]) * width <= memory_mb << 20
    drawn = dataset.select(chosen)
    return replace(drawn, matrix=np.array(drawn.matrix))


def shards(offsets: Int64, rows: int) -> list[tuple[int, int]]:
    """Return the listings of each shard: whole ones, with at most `rows` rows, but at least one.

    Args:
        offsets: int64[q + 1].
        rows: How many rows a shard may have.
    """
    found, start, count = [], 0, len(offsets) - 1
    while start < count:
        stop = int(np.searchsorted(offsets, offsets[start] + rows, side="right")) - 1
        stop = max(start + 1, stop)
        found.append((start, stop))
        start = stop
    return found


@contextmanager
def external_matrices(
    xgboost: Any,  # noqa: ANN401  (a lazy import)
    datasets: Sequence[Dataset],
    folder: Path | None = None,
    shard_values: int = SHARD_VALUES,
) -> Iterator[list[Any]]:
    """Give XGBoost's external-memory form of datasets, the first of which decides the bins.

    Rows are read shard by shard; XGBoost keeps them in a cache on disk, as bins of a byte or two a
    value. The cache is removed at the end.

    Args:
        xgboost: The module.
        datasets: The rows to train on, then those to watch.
        folder: Where the cache is made; None means the system's place for such files.
        shard_values: How many float32 values are read at once.
    """

    class Shards(xgboost.DataIter):  # type: ignore[misc]
        def __init__(self, dataset: Dataset, cache: str) -> None:
            self._dataset = dataset
            width = max(1, dataset.matrix.shape[1])
            self._parts = shards(dataset.offsets, max(1, shard_values // width))
            self._at = 0
            super().__init__(cache_prefix=cache)

        def next(self, input_data: Any) -> bool:  # noqa: ANN401
            if self._at == len(self._parts):
                return False
            start, stop = self._parts[self._at]
            self._at += 1
            input_data(**_shard(self._dataset, start, stop))
            return True

        def reset(self) -> None:
            self._at = 0

    with tempfile.TemporaryDirectory(dir=folder, prefix="xgboost-") as caches:
        made: list[Any] = []
        for number, dataset in enumerate(datasets):
            made.append(
                xgboost.ExtMemQuantileDMatrix(
                    Shards(dataset, str(Path(caches) / f"rows{number}")),
                    missing=np.nan,
                    ref=made[0] if made else None,
                )
            )
        try:
            yield made
        finally:
            # XGBoost removes its cache files when a matrix dies, and warns if they are gone.
            made.clear()
            gc.collect()


def _shard(dataset: Dataset, start: int, stop: int) -> dict[str, Any]:
    first, last = int(dataset.offsets[start]), int(dataset.offsets[stop])
    lengths = np.diff(dataset.offsets[start : stop + 1])
    given: dict[str, Any] = {
        "data": np.ascontiguousarray(dataset.matrix[first:last]),
        "label": dataset.grades[first:last],
        "qid": np.repeat(np.arange(start, stop), lengths),
    }
    if dataset.weights is not None:
        given["weight"] = dataset.weights[start:stop]
    return given
