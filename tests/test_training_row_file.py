"""Rows in a file: the same rows, and the same of all that is made of them."""

import numpy as np
import pytest

from cascade.training import row_file
from cascade.training.row_file import (
    RowFile,
    blanked_at,
    columns_of,
    in_file,
    picked,
    stacked,
)


@pytest.fixture
def both(monkeypatch):
    """One matrix in memory and in a file that is read in blocks of a few rows."""
    monkeypatch.setattr(row_file, "BLOCK_VALUES", 50)
    matrix = np.random.default_rng(0).normal(size=(103, 6)).astype(np.float32)
    rows = RowFile(None, 0)
    rows.add(matrix[:40])
    rows.add(matrix[40:])
    return matrix, rows.matrix(6)


@pytest.mark.parametrize("memory_mb", [0, 1, 100])
def test_a_row_file_gives_back_what_was_added(tmp_path, memory_mb):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 5)).astype(np.float32) for n in (3, 0, 40_000, 50_000, 1)]
    rows = RowFile(tmp_path / "rows", memory_mb)
    for part in parts:
        rows.add(part)
    matrix = rows.matrix(5)
    np.testing.assert_array_equal(matrix, np.concatenate(parts))
    assert isinstance(matrix, np.memmap) == (memory_mb < 100)
    assert not list(tmp_path.glob("rows/*"))


def test_no_rows_are_a_matrix_too(tmp_path):
    assert RowFile(tmp_path, 1).matrix(4).shape == (0, 4)


def test_selections_of_a_file_lie_in_a_file(both):
    matrix, filed = both
    mask = np.random.default_rng(1).random(103) < 0.4
    index = np.flatnonzero(mask)
    made = {
        "rows": (picked(filed, mask), matrix[mask]),
        "columns": (columns_of(filed, [5, 0, 0]), matrix[:, [5, 0, 0]]),
        "stack": (stacked([filed, matrix, filed]), np.concatenate([matrix] * 3)),
        "blank": (blanked_at(filed, index, np.array([1, 3])), matrix.copy()),
    }
    made["blank"][1][np.ix_(index, [1, 3])] = np.nan
    for name, (found, expected) in made.items():
        assert in_file(found), name
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32


def test_selections_in_memory_stay_there(both):
    matrix, _ = both
    mask = np.ones(103, dtype=bool)
    made = [
        picked(matrix, mask),
        columns_of(matrix, [0]),
        stacked([matrix]),
        blanked_at(matrix, np.array([0]), np.array([0])),
    ]
    assert not any(map(in_file, made))
    assert not np.isnan(matrix).any()
