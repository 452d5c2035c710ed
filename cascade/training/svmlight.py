"""Rows with their features in SVMlight form, as LETOR and RankLib take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cascade.training.dataset import Dataset


def write_svmlight(path: Path, dataset: Dataset) -> None:
    """Write one row a line: `grade qid:N 1:value ...`; a feature that is 0 is left out.

    Features are numbered from 1 in the dataset's order, queries in the order of its listings.
    Values keep every bit: each is written as the shortest text of its float32.
    """
    owners = np.repeat(np.arange(1, len(dataset.offsets)), np.diff(dataset.offsets))
    with path.open("w", encoding="utf-8") as stream:
        for grade, owner, row in zip(
            dataset.grades.tolist(), owners.tolist(), dataset.matrix, strict=True
        ):
            at = np.nonzero(row)[0]
            cells = " ".join(f"{k + 1}:{v!s}" for k, v in zip(at.tolist(), row[at], strict=True))
            stream.write(f"{grade:g} qid:{owner} {cells}".rstrip() + "\n")
