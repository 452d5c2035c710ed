"""The parity gate: native, exported and served scores of one model are the same numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.errors import ParityError

TOLERANCE = 1e-5  # absolute, and relative where a score is beyond 1
TOP = 10
MINIMUM_ROWS = 10_000
MINIMUM_MISSING_ROWS = 500
JITTERED = 0.25  # share of a probe's values that move onto or next to a split point
LONGEST_LISTING = 200

Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ParityProbe:
    """Hold the rows that a model's parity is tested on.

    Attributes:
        matrix: float32[n, f], NaN where a value is missing.
        offsets: int64[q + 1], where the listings begin and end in it.
    """

    matrix: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Whether each row has a missing value: bool[n]."""
        return np.asarray(np.isnan(self.matrix).any(axis=1))


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Say how closely a model's scores agree.

    Attributes:
        rows: How many rows were compared.
        missing_rows: How many of them have a missing value.
        listings: How many listings they form.
        max_absolute: The largest absolute difference between two of the scores of a row.
        max_relative: The largest relative one, to the larger of the two.
        top10_agreement: The share of listings whose top 10 are the same rows in the same order;
            in the others, rows whose scores are equal within the tolerance change places.
    """

    rows: int
    missing_rows: int
    listings: int
    max_absolute: float
    max_relative: float
    top10_agreement: float


def parity_rows(
    matrix: NDArray[np.float32],
    *,
    rows: int = MINIMUM_ROWS,
    missing: float = 0.1,
    seed: int,
    splits: Sequence[NDArray[np.float32]] | None = None,
) -> ParityProbe:
    """Make a probe from a training matrix: real rows, moved to where a model's sides meet.

    Rows are drawn with replacement. A quarter of the values then moves: onto a split point of
    their column or to the next number above or below it, or, where none is known, to the next
    number above or below themselves. Values are knocked out, and the first row is missing whole.

    Args:
        matrix: float32[m, f], the training matrix.
        rows: How many rows to make.
        missing: The share of values to knock out.
        seed: The same seed gives the same probe.
        splits: The split points of each column, f arrays.

    Raises:
        ParityError: The matrix is empty, the share is not one, or `splits` does not fit.
    """
    if matrix.ndim != 2 or not matrix.size:
        raise ParityError(
            f"a probe needs a training matrix of rows and features, given the shape {matrix.shape}"
        )
    if not 0 <= missing < 1 or rows < 1:
        raise ParityError(
            f"a probe of {rows} rows with a share of {missing} missing cannot be made; accepted: "
            "1 row or more, and a share from 0 to below 1"
        )
    features = matrix.shape[1]
    if splits is not None and len(splits) != features:
        raise ParityError(
            f"split points of {len(splits)} columns do not fit a matrix of {features} columns"
        )
    random = np.random.default_rng(seed)
    probe = matrix[random.integers(0, len(matrix), rows)].astype(np.float32)
    for column in range(features):
        points = np.empty(0, np.float32) if splits is None else splits[column]
        probe[:, column] = _jittered(probe[:, column], points, random)
    probe[random.random(probe.shape) < missing] = np.nan
    probe[0] = np.nan
    lengths = random.integers(1, LONGEST_LISTING + 1, rows)
    ends = np.minimum(np.cumsum(lengths, dtype=np.int64), rows)
    offsets = np.concatenate([[0], ends[: int(np.searchsorted(ends, rows)) + 1]])
    return ParityProbe(probe, offsets.astype(np.int64))


def check_parity(
    probe: ParityProbe,
    *,
    native: Scores,
    onnx: Scores,
    served: Scores | None = None,
    name: str = "the model",
) -> ParityReport:
    """Return how closely a model's scores agree, or refuse the model.

    Two scores a and b of a row agree when |a - b| <= 1e-5 max(1, |a|, |b|). Two listings have
    the same top 10 when at each of the ten ranks (scores descending, ties in row order) they
    hold the same row, or two rows whose scores agree on both sides: a tie that rounding broke
    is no difference, two rows that one side tells apart are.

    Args:
        probe: The rows that were scored.
        native: float[n], the scores of the code that trained the model.
        onnx: float[n], the scores of the exported graph.
        served: float[n], the scores of the ranker that serving would use; None leaves it out.
        name: What to call the model in a message.

    Raises:
        ParityError: Scores differ, a top 10 differs, a score is not finite, or the probe is too
            small to tell: fewer than 10,000 rows, or hardly a missing value among them.
    """
    missing = probe.missing
    _refuse_weak_probe(probe, int(missing.sum()), name)
    kinds = {"native": native, "onnx": onnx} | ({} if served is None else {"served": served})
    scores = {kind: _checked(given, kind, probe, name) for kind, given in kinds.items()}
    listings = len(probe.offsets) - 1
    listing = np.repeat(np.arange(listings), np.diff(probe.offsets))
    orders = {kind: np.lexsort((-values, listing)) for kind, values in scores.items()}
    # Every order keeps the listings' blocks, so a rank is a place within its block.
    top = np.arange(len(listing)) - probe.offsets[listing] < TOP
    tops = {kind: order[top] for kind, order in orders.items()}

    absolute = relative = 0.0
    changed = np.zeros(listings, np.bool_)
    for first, second in itertools.combinations(scores, 2):
        pair = f"{name}: {first} and {second}"
        a, b = scores[first], scores[second]
        _refuse_differences(pair, a, b, missing)
        _refuse_other_top(pair, (a, tops[first]), (b, tops[second]), listing)
        difference = np.abs(a - b)
        larger = np.maximum(np.abs(a), np.abs(b))
        absolute = max(absolute, float(difference.max()))
        relative = max(relative, float((difference / np.where(larger > 0, larger, 1)).max()))
        changed[listing[tops[first][tops[first] != tops[second]]]] = True
    return ParityReport(
        rows=len(missing),
        missing_rows=int(missing.sum()),
        listings=listings,
        max_absolute=absolute,
        max_relative=relative,
        top10_agreement=1.0 - float(changed.mean()),
    )


def _jittered(
    values: NDArray[np.float32], points: NDArray[np.float32], random: np.random.Generator
) -> NDArray[np.float32]:
    """Return one column with a share of its values on, just below or just above a split point."""
    moved = random.random(len(values)) < JITTERED
    step = random.integers(-1, 2, len(values))
    target = random.choice(points, len(values)) if len(points) else values
    towards = np.where(step < 0, -np.inf, np.inf).astype(np.float32)
    with np.errstate(over="ignore"):
        beside = np.where(step == 0, target, np.nextafter(target, towards))
    # Stepping beyond the largest float32 would probe infinity, which no training data holds.
    return np.where(moved & np.isfinite(beside), beside, values)


def _refuse_weak_probe(probe: ParityProbe, missing_rows: int, name: str) -> None:
    """Raise where the probe could not tell a damaged export from a good one."""
    rows, offsets = len(probe.matrix), probe.offsets
    if rows < MINIMUM_ROWS or missing_rows < MINIMUM_MISSING_ROWS:
        raise ParityError(
            f"{name}: parity was tried on {rows} rows, {missing_rows} with a missing value; "
            f"accepted: {MINIMUM_ROWS} rows or more, {MINIMUM_MISSING_ROWS} of them with one "
            "(parity_rows makes such a probe from a training matrix)"
        )
    if list(offsets[[0, -1]]) != [0, rows] or (np.diff(offsets) < 0).any():
        raise ParityError(
            f"{name}: the probe's offsets run from {offsets[0]} to {offsets[-1]}; accepted: "
            f"ascending ones from 0 to its {rows} rows"
        )


def _checked(given: Scores, kind: str, probe: ParityProbe, name: str) -> NDArray[np.float64]:
    """Return float64[n], one finite score a row."""
    values = np.asarray(given, np.float64)
    if values.shape != (len(probe.matrix),):
        raise ParityError(
            f"{name}: {kind} scores have the shape {values.shape}; accepted: one score for each "
            f"of the {len(probe.matrix)} rows"
        )
    unusable = ~np.isfinite(values)
    if unusable.any():
        row = int(np.argmax(unusable))
        raise ParityError(
            f"{name}: {int(unusable.sum())} {kind} scores are not finite, the first is "
            f"{values[row]} in row {row}; the model is not fit to serve, train it anew"
        )
    return values


def _agree(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether two scores are equal within the tolerance."""
    scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return np.asarray(np.abs(a - b) <= TOLERANCE * scale)


def _refuse_differences(
    pair: str, a: NDArray[np.float64], b: NDArray[np.float64], missing: NDArray[np.bool_]
) -> None:
    """Raise where two scores of one row differ."""
    wrong = ~_agree(a, b)
    if not wrong.any():
        return
    row = int(np.argmax(np.where(wrong, np.abs(a - b), -1.0)))
    raise ParityError(
        f"{pair} scores differ in {int(wrong.sum())} of {len(a)} rows "
        f"({int((wrong & missing).sum())} of these have a missing value), most in row {row}: "
        f"{a[row]:.9g} and {b[row]:.9g}. Accepted: a difference of at most {TOLERANCE:g}, "
        "absolute or relative, whichever is larger. The model must not be written: check that "
        "both were made from the same booster and boosting rounds"
    )


def _refuse_other_top(
    pair: str,
    first: tuple[NDArray[np.float64], NDArray[np.intp]],
    second: tuple[NDArray[np.float64], NDArray[np.intp]],
    listing: NDArray[np.intp],
) -> None:
    """Raise where the top 10 of a listing holds other rows, ties apart."""
    (a, top_a), (b, top_b) = first, second
    wrong = ~(_agree(a[top_a], a[top_b]) & _agree(b[top_a], b[top_b]))
    if not wrong.any():
        return
    at = int(np.argmax(wrong))
    row_a, row_b = int(top_a[at]), int(top_b[at])
    raise ParityError(
        f"{pair} order the top {TOP} differently in "
        f"{len(np.unique(listing[top_a[wrong]]))} listings, the first is listing "
        f"{int(listing[row_a])}: row {row_a} ({a[row_a]:.9g} and {b[row_a]:.9g}) or row {row_b} "
        f"({a[row_b]:.9g} and {b[row_b]:.9g}). Accepted: the same rows, or rows whose scores "
        f"are equal within {TOLERANCE:g}. The model must not be written"
    )
