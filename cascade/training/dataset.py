"""Training data: the feature matrix of judged and sampled rows, listing by listing."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float32, Float64, Int32, Int64, Query
from cascade.errors import JudgmentsError
from cascade.judgments import Judgments
from cascade.protocols import Asked, Engine, FeatureSet
from cascade.training.row_file import RowFile, columns_of, picked, stacked

BATCH_QUERIES = 32
T = TypeVar("T", bound=np.generic)
Progress = Callable[[int, int], None]
Ask = Callable[[str, str], Query]


@dataclass(frozen=True)
class Dataset:
    """Hold n rows of q listings with their grades.

    Attributes:
        names: The f features.
        matrix: float32[n, f], NaN where missing.
        grades: float32[n].
        offsets: int64[q + 1]; listing i is the rows `offsets[i]` to `offsets[i + 1] - 1`.
        query_ids: The q queries.
        counts: How the rows came about: judged, sampled, unretrieved.
        tasks: float32[n] by name: how often a row was clicked, bought and so on.
        weights: float32[q], how much each listing counts; None counts all alike.
        positions: int32[n], the 1-based rank at which each row was shown; 0 where it was not.
        times: float64[q], seconds since 1970 of each listing.
    """

    names: tuple[str, ...]
    matrix: Float32
    grades: Float32
    offsets: Int64
    query_ids: tuple[str, ...]
    counts: Mapping[str, int]
    tasks: Mapping[str, Float32] = field(default_factory=dict)
    weights: Float32 | None = None
    positions: Int32 | None = None
    times: Float64 | None = None

    def __len__(self) -> int:
        return len(self.grades)

    def select(self, chosen: NDArray[np.bool_]) -> Dataset:
        """Return the listings that a mask bool[q] selects."""
        lengths = np.diff(self.offsets)
        rows = np.repeat(chosen, lengths)
        return replace(
            self,
            matrix=picked(self.matrix, rows),
            grades=self.grades[rows],
            offsets=np.concatenate([[0], np.cumsum(lengths[chosen])]).astype(np.int64),
            query_ids=tuple(q for q, c in zip(self.query_ids, chosen, strict=True) if c),
            tasks={name: events[rows] for name, events in self.tasks.items()},
            weights=None if self.weights is None else self.weights[chosen],
            positions=None if self.positions is None else self.positions[rows],
            times=None if self.times is None else self.times[chosen],
        )

    def rows(self, chosen: NDArray[np.bool_]) -> Dataset:
        """Return the rows that a mask bool[n] selects; a listing may end up empty."""
        owners = np.repeat(np.arange(len(self.query_ids)), np.diff(self.offsets))
        lengths = np.bincount(owners[chosen], minlength=len(self.query_ids))
        return replace(
            self,
            matrix=picked(self.matrix, chosen),
            grades=self.grades[chosen],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            tasks={name: events[chosen] for name, events in self.tasks.items()},
            positions=None if self.positions is None else self.positions[chosen],
        )

    def columns(self, names: Sequence[str]) -> Dataset:
        """Return the dataset with these features alone, in this order."""
        at = [self.names.index(name) for name in names]
        return replace(self, names=tuple(names), matrix=columns_of(self.matrix, at))

    def followed_by(self, other: Dataset) -> Dataset:
        """Return the listings of this dataset and then those of another with the same features.

        What only one of them has is filled in: no events, weight 1, not shown, no time (NaN).
        """
        tasks = dict.fromkeys([*self.tasks, *other.tasks])
        return replace(
            self,
            matrix=stacked([self.matrix, other.matrix]),
            grades=np.concatenate([self.grades, other.grades]),
            offsets=np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            query_ids=self.query_ids + other.query_ids,
            tasks={
                name: np.concatenate([part.tasks.get(name, _zeros(part)) for part in (self, other)])
                for name in tasks
            },
            weights=_both(self.weights, other.weights, _ones(self), _ones(other)),
            positions=_both(self.positions, other.positions, _unshown(self), _unshown(other)),
            times=_both(self.times, other.times, _timeless(self), _timeless(other)),
        )

    def informative(self) -> Dataset:
        """Return the listings that have more than one grade: the others teach no order."""
        starts = self.offsets[:-1]
        filled = np.diff(self.offsets) > 0
        chosen = np.zeros(len(self.query_ids), dtype=bool)
        if filled.any():
            low = np.minimum.reduceat(self.grades, starts[filled])
            high = np.maximum.reduceat(self.grades, starts[filled])
            chosen[filled] = high > low
        return self.select(chosen)


def _both(
    first: NDArray[T] | None, second: NDArray[T] | None, without: NDArray[T], either: NDArray[T]
) -> NDArray[T] | None:
    """Return two arrays in one, each replaced by its stand-in where it is None but not both."""
    if first is None and second is None:
        return None
    return np.concatenate(
        [without if first is None else first, either if second is None else second]
    )


def _zeros(dataset: Dataset) -> Float32:
    return np.zeros(len(dataset), dtype=np.float32)


def _ones(dataset: Dataset) -> Float32:
    return np.ones(len(dataset.query_ids), dtype=np.float32)


def _unshown(dataset: Dataset) -> Int32:
    return np.zeros(len(dataset), dtype=np.int32)


def _timeless(dataset: Dataset) -> Float64:
    return np.full(len(dataset.query_ids), np.nan)


@dataclass(frozen=True)
class Sampling:
    """Say which retrieved rows training sees.

    Attributes:
        size: How many candidates are retrieved for a query, as in serving.
        negatives: How many unjudged rows of a listing are added as grade 0.
        minimum_match: As in serving.
        seed: Of the sample.
        pass_on: Returns what of the retrieved listings comes to the stage that is trained, with
            the columns that earlier stages add; None means all of it.
        memory_mb: How much of the rows stays in memory; beyond it they go to a file.
    """

    size: int = 1_000
    negatives: int = 40
    minimum_match: float = 0.0
    seed: int = 0
    pass_on: Callable[[Candidates], Candidates] | None = None
    memory_mb: int = 4_096


def retrieved_dataset(
    engine: Engine,
    features: FeatureSet,
    judgments: Judgments,
    sampling: Sampling,
    ask: Ask = Query,
    progress: Progress | None = None,
) -> Dataset:
    """Retrieve every judged query as serving does, and return judged and sampled rows.

    Features of listing scope are computed on the whole retrieved listing before rows are
    sampled, so that a row has the same features as in serving. Judged documents that retrieval
    does not bring are counted and left out: no ranker will ever see them. Which rows are drawn,
    and their order, follow from query and document: engines that retrieve the same documents give
    the same rows, in whatever order they bring them.

    Args:
        engine: Retrieves.
        features: What the rows are told by.
        judgments: The queries and grades.
        sampling: Which rows are taken.
        ask: Makes the query of an id and a text, with the time and filters that serving adds.
        progress: Told how many queries are done, and of how many.
    """
    query_ids = judgments.query_ids
    rows = RowFile(None, sampling.memory_mb)
    parts: list[tuple[Float32, Int64]] = []
    judged = sampled = 0
    asked = Asked(minimum_match=sampling.minimum_match)
    for start in range(0, len(query_ids), BATCH_QUERIES):
        batch = query_ids[start : start + BATCH_QUERIES]
        queries = [ask(q, judgments.texts[q]) for q in batch]
        found = features.prepared(engine.retrieve(queries, sampling.size, asked).candidates)
        if sampling.pass_on is not None:
            found = sampling.pass_on(found)
        grades = grades_of(found, judgments)
        chosen = _chosen(found, np.isfinite(grades), sampling)
        known = int(np.count_nonzero(np.isfinite(grades)))
        judged, sampled = judged + known, sampled + len(chosen) - known
        taken = found.take(chosen)
        rows.add(features.matrix(taken))
        parts.append((np.nan_to_num(grades[chosen]), taken.lengths))
        if progress is not None:
            progress(min(start + BATCH_QUERIES, len(query_ids)), len(query_ids))
    lengths = np.concatenate([p[1] for p in parts])
    return Dataset(
        names=features.names,
        matrix=rows.matrix(len(features.names)),
        grades=np.concatenate([p[0] for p in parts]).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        query_ids=query_ids,
        counts={"judged": judged, "sampled": sampled, "unretrieved": len(judgments) - judged},
    )


def grades_of(candidates: Candidates, judgments: Judgments) -> Float32:
    """Return the grade of each row, float32[n], NaN where it is not judged."""
    grades = np.full(len(candidates), np.nan, dtype=np.float32)
    documents = candidates.documents
    for i, query in enumerate(candidates.queries):
        part = slice(int(candidates.offsets[i]), int(candidates.offsets[i + 1]))
        given = judgments.grades.get(query.id, {})
        rows = documents.rows(list(given))
        values = np.fromiter(given.values(), dtype=np.float32, count=len(given))
        order = np.argsort(rows, kind="stable")
        rows, values = rows[order], values[order]
        listed = candidates.rows[part]
        at = np.searchsorted(rows, listed)
        at[at == len(rows)] = 0
        if len(rows):
            known = (rows[at] == listed) & (listed >= 0)
            grades[part][known] = values[at[known]]
    return grades


def _chosen(candidates: Candidates, judged: NDArray[np.bool_], sampling: Sampling) -> Int64:
    """Return the judged rows and, of each listing, up to `negatives` others, by catalogue row."""
    draw = _draws(candidates, sampling.seed)
    order = np.lexsort((draw, judged, candidates.listing))
    ranks = np.empty(len(candidates), dtype=np.int64)
    ranks[order] = candidates.ranks
    chosen = np.flatnonzero(judged | (ranks <= sampling.negatives))
    return chosen[np.lexsort((candidates.rows[chosen], candidates.listing[chosen]))]


def _draws(candidates: Candidates, seed: int) -> NDArray[np.uint64]:
    """Return uint64[n]: SplitMix64 (Steele et al., OOPSLA 2014) of the query and the row."""
    seeds = [
        xxhash.xxh64_intdigest(f"{seed}:{query.id}".encode("utf-8", "replace"))
        for query in candidates.queries
    ]
    rows = candidates.rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = np.array(seeds, dtype=np.uint64)[candidates.listing] + rows
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn: NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return drawn


def svmlight_dataset(path: Path) -> Dataset:
    """Read rows in SVMlight form; an absent feature is 0, as the form says.

    Groups come from `qid:N` or, without it, from the sizes in a file beside it: `rank.train.gz`
    has `rank.train.query`.

    Raises:
        JudgmentsError: Naming the line that is not of the form.
    """
    grades: list[float] = []
    groups: list[str] = []
    rows: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    with _opened(path) as stream:
        for number, line in enumerate(stream, 1):
            content = line.split("#", 1)[0].split()
            if not content:
                continue
            try:
                cells = [cell.split(":", 1) for cell in content[1:]]
                if cells and cells[0][0] == "qid":
                    groups.append(cells.pop(0)[1])
                grades.append(float(content[0]))
                rows.append(np.array([_number(k) for k, _ in cells], dtype=np.int64))
                values.append(np.array([float(v) for _, v in cells], dtype=np.float32))
            except ValueError as error:
                message = f"{path}, line {number}: not 'grade [qid:N] feature:value ...': {error}"
                raise JudgmentsError(message) from None
    if not grades:
        raise JudgmentsError(f"{path} has no rows")
    lengths = _group_lengths(path, groups, len(grades))
    width = 1 + max((int(r.max()) for r in rows if r.size), default=0)
    matrix = np.zeros((len(grades), width), dtype=np.float32)
    owners = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    matrix[owners, np.concatenate(rows)] = np.concatenate(values)
    return Dataset(
        names=tuple(f"f{i}" for i in range(width)),
        matrix=matrix,
        grades=np.array(grades, dtype=np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        query_ids=tuple(f"{path.name}:{i}" for i in range(len(lengths))),
        counts={"judged": len(grades), "sampled": 0, "unretrieved": 0},
    )


def _number(written: str) -> int:
    number = int(written)
    if number < 0:
        raise ValueError(f"{number} is below 0 and numbers no feature")
    return number


def _group_lengths(path: Path, groups: list[str], rows: int) -> NDArray[np.int64]:
    if groups:
        if len(groups) != rows:
            raise JudgmentsError(f"{path}: {len(groups)} of {rows} lines have a qid")
        changes = [i for i in range(1, rows) if groups[i] != groups[i - 1]]
        bounds: Int64 = np.array([0, *changes, rows], dtype=np.int64)
        return bounds[1:] - bounds[:-1]
    sizes = path.with_name(path.name.removesuffix(".gz") + ".query")
    try:
        lengths = np.array([int(x) for x in sizes.read_text().split()], dtype=np.int64)
    except OSError:
        raise JudgmentsError(
            f"{path} has no qid, and there is no {sizes.name} beside it with the group sizes"
        ) from None
    except ValueError as error:
        raise JudgmentsError(f"{sizes}: accepted is one group size a line: {error}") from None
    if lengths.sum() != rows or (lengths < 0).any():
        raise JudgmentsError(f"{sizes} adds up to {lengths.sum()} rows; {path} has {rows}")
    return lengths


def _opened(path: Path) -> IO[str]:
    try:
        return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    except OSError as error:
        raise JudgmentsError(f"cannot open {path}: {error.strerror}") from None
