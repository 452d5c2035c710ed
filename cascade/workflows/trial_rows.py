"""The rows that trials read: training rows, and whole lists of validation queries, on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64, Int64
from cascade.measures import GradedRun, Ranked
from cascade.training.dataset import Dataset

ARRAYS = ("matrix", "grades", "lengths", "retrieved")
ABOUT, IDEAL = "rows.json", "ideal.npy"


@dataclass(frozen=True)
class Held:
    """Hold every retrieved row of the validation queries, in the order of retrieval.

    Attributes:
        matrix: float32[n, f].
        grades: float32[n], NaN where nobody judged.
        offsets: int64[q + 1].
        query_ids: The q queries.
        ideal: All judged documents of the queries, retrieved or not, in their best order.
    """

    matrix: Float32
    grades: Float32
    offsets: Int64
    query_ids: tuple[str, ...]
    ideal: Ranked

    def graded(self, ranks: Int64) -> GradedRun:
        """Return where the judged documents stand, given 1-based ranks int64[n] of all rows."""
        lengths = np.diff(self.offsets)
        judged = np.flatnonzero(~np.isnan(self.grades))
        owner = np.repeat(np.arange(len(lengths)), lengths)[judged]
        order = np.lexsort((ranks[judged], owner))
        judged, owner = judged[order], owner[order]
        found = Ranked(owner, ranks[judged], self.grades[judged].astype(np.float64))
        return GradedRun(len(lengths), found, self.ideal, lengths.astype(np.int64))


@dataclass(frozen=True)
class TuningRows:
    """Hold what trials need.

    Attributes:
        key: A digest of all that the rows depend on.
        folder: Where they are.
        train: Judged rows of the training queries, and unjudged ones that were drawn as grade 0.
        retrieved: int64[q], how many rows each training listing has in full.
        held: The validation queries.
        data: Where the rows come from, for records.
    """

    key: str
    folder: Path
    train: Dataset
    retrieved: Int64
    held: Held
    data: Mapping[str, Any]


def read_rows(folder: Path) -> TuningRows:
    """Return rows that were prepared."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    train, held = (
        {name: np.load(folder / f"{part}.{name}.npy", mmap_mode="r") for name in ARRAYS}
        for part in ("train", "held")
    )
    names = tuple(about["names"])
    dataset = Dataset(
        names=names,
        matrix=train["matrix"],
        grades=np.asarray(train["grades"]),
        offsets=_offsets(train["lengths"]),
        query_ids=tuple(about["train"]),
        counts={},
    )
    ideal = np.load(folder / IDEAL)
    return TuningRows(
        key=about["key"],
        folder=folder,
        train=dataset,
        retrieved=np.asarray(train["retrieved"]),
        held=Held(
            matrix=held["matrix"],
            grades=np.asarray(held["grades"]),
            offsets=_offsets(held["lengths"]),
            query_ids=tuple(about["held"]),
            ideal=_ideal(ideal[0].astype(np.int64), ideal[1]),
        ),
        data=about["data"],
    )


def ideal_of(grades: Sequence[Sequence[float]]) -> Ranked:
    """Return judged documents in their best order, given the grades of each query."""
    query = np.repeat(np.arange(len(grades)), [len(g) for g in grades])
    grade = np.array([g for each in grades for g in each], dtype=np.float64)
    return _ideal(query, grade)


def _ideal(query: Int64, grade: Float64) -> Ranked:
    order = np.lexsort((-grade, query))
    best = Ranked(query[order], np.zeros(len(query), np.int64), grade[order])
    return Ranked(best.query, best.places(), best.grade)


def _offsets(lengths: NDArray[Any]) -> Int64:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
