"""Inputs of a learned policy: named numbers that each row of the window has.

An input is written as `score`, `rank_percentile`, `z(price)`, `head(p_buy)`, `surface(web)`, or as
the name of a declared objective. A value that is absent is 0, which is also the middle of what is
standardised; none is ever NaN.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cascade.business.objectives import BaseObjective, Relevance
from cascade.business.where import number_of
from cascade.candidates import Candidates, Float32, Float64
from cascade.errors import nearest
from cascade.schema import Kind, Schema

VERSION = 1  # raised whenever an input of the same definition gives other numbers
LIMIT = 5.0  # standard deviations; beyond, an outlier says no more
_CALL = re.compile(r"(?P<kind>[a-z_]+)\((?P<what>.*)\)\Z")


def relevance_scores(candidates: Candidates) -> Float32:
    """Return the scores that a policy starts from, float32[n]: relevance, standardised.

    Relevance, as the objective of that name has it, never rises from one rank to the next, and
    neither do these: sorting by them keeps the order. Where all are equal they are 0.
    """
    relevance = Relevance().values(candidates).astype(np.float64)
    return standardised(relevance, candidates, limit=np.inf)


def standardised(values: Float64, candidates: Candidates, limit: float = LIMIT) -> Float32:
    """Return (value - mean) / standard deviation in each listing; 0 where absent.

    Args:
        values: float64[n], NaN where absent.
        candidates: The listings.
        limit: What is further from the mean than so many deviations is brought to them.

    Returns:
        float32[n], 0 where all values of a listing are equal.
    """
    present = np.isfinite(values)
    listings, owner = len(candidates.queries), candidates.listing
    # Squares must not overflow.
    known = np.where(present, np.clip(values, -1e100, 1e100), 0.0)
    counts = np.maximum(np.bincount(owner, weights=present, minlength=listings), 1)
    mean = np.bincount(owner, weights=known, minlength=listings) / counts
    apart = np.where(present, known - mean[owner], 0.0)
    variance = np.bincount(owner, weights=apart**2, minlength=listings) / counts
    deviation = np.sqrt(variance)
    # What rounding leaves of equal values is no deviation.
    real = deviation > 1e-9 * np.abs(mean)
    scaled = np.divide(apart, deviation[owner], out=np.zeros_like(apart), where=real[owner])
    narrow: Float32 = np.clip(scaled, -limit, limit).astype(np.float32)
    return narrow


@dataclass(frozen=True)
class BaseInput(ABC):
    """Give each row one number.

    Attributes:
        name: As the configuration writes it.
    """

    name: str

    @abstractmethod
    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n] of the window of one or many listings; NaN where absent."""

    def definition(self) -> dict[str, Any]:
        """Return the plain data that decides the values."""
        return {"input": self.name}


@dataclass(frozen=True)
class Score(BaseInput):
    """Give the last ranker's score, standardised in the listing, within +-5."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        scores: Float32 = np.clip(relevance_scores(candidates), -LIMIT, LIMIT)
        return scores


@dataclass(frozen=True)
class RankPercentile(BaseInput):
    """Give the share of the listing's other rows that stand below: 1 at the top, 0 at the end."""

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; 1 for a row alone."""
        others = np.repeat(np.maximum(candidates.lengths - 1, 1), candidates.lengths)
        shares: Float32 = (1.0 - (candidates.ranks - 1) / others).astype(np.float32)
        return shares


@dataclass(frozen=True)
class FieldDeviation(BaseInput):
    """Give a number or date field, standardised in the listing, within +-5.

    Attributes:
        field: The field.
    """

    field: str

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        return standardised(number_of(candidates, self.field), candidates)


@dataclass(frozen=True)
class Head(BaseInput):
    """Give a column that a ranker's head left with the candidates, such as `p_buy`.

    Attributes:
        column: The head.
    """

    column: str

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN for all rows where the stage with this head did not run."""
        found = candidates.columns.get(self.column)
        return np.full(len(candidates), np.nan, dtype=np.float32) if found is None else found


@dataclass(frozen=True)
class Surface(BaseInput):
    """Give 1 where the page is shown on one surface, else 0.

    Attributes:
        surface: The surface.
    """

    surface: str

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        shown = [query.surface == self.surface for query in candidates.queries]
        return np.repeat(np.array(shown, dtype=np.float32), candidates.lengths)


@dataclass(frozen=True)
class ObjectiveInput(BaseInput):
    """Give the value of a declared objective.

    Attributes:
        objective: The objective.
    """

    objective: BaseObjective

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]."""
        return self.objective.values(candidates)

    def definition(self) -> dict[str, Any]:
        """Return the name and the settings of the objective."""
        return {"input": self.name, **objective_definition(self.objective)}


@dataclass(frozen=True)
class PolicyInputs:
    """Hold the inputs of a policy, in order."""

    inputs: tuple[BaseInput, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs as they are written."""
        return tuple(one.name for one in self.inputs)

    def values(self, candidates: Candidates) -> dict[str, Float32]:
        """Return float32[n] by name, finite."""
        matrix = self.matrix(candidates)
        return {name: matrix[:, column] for column, name in enumerate(self.names)}

    def matrix(self, candidates: Candidates) -> Float32:
        """Return float32[n, f] of the window of one or many listings, finite."""
        matrix = np.empty((len(candidates), len(self.inputs)), dtype=np.float32)
        for column, one in enumerate(self.inputs):
            matrix[:, column] = one.values(candidates)
        matrix[~np.isfinite(matrix)] = 0.0
        return matrix

    def definitions(self) -> list[dict[str, Any]]:
        """Return what decides the values, input by input."""
        return [one.definition() for one in self.inputs]

    @cached_property
    def fingerprint(self) -> str:
        """A digest over definitions and implementation version, 64 hexadecimal digits."""
        said = [VERSION, *self.definitions()]
        written = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(written.encode()).hexdigest()


def objective_definition(objective: BaseObjective) -> dict[str, Any]:
    """Return the kind and the settings of an objective, as JSON holds them."""
    settings = {
        # 30 and 30.0 are one setting, and have one digest.
        name: float(value) if type(value) is int else value
        for name, value in asdict(objective).items()
    }
    return {"kind": objective.kind, **settings}


_WHOLE: Mapping[str, type[BaseInput]] = {"score": Score, "rank_percentile": RankPercentile}
_CALLS: Mapping[str, type[FieldDeviation] | type[Head] | type[Surface]] = {
    "z": FieldDeviation,
    "head": Head,
    "surface": Surface,
}


def read_inputs(
    raw: object,
    objectives: Sequence[BaseObjective],
    schema: Schema,
    path: str,
    problems: list[str],
) -> PolicyInputs | None:
    """Return the inputs that a list of names means, or None and a line for each problem.

    Args:
        raw: The names as the configuration has them.
        objectives: Those that are declared.
        schema: The fields of the documents.
        path: Where the list stands in the configuration.
        problems: Takes the lines.
    """
    if not isinstance(raw, list | tuple) or not raw:
        problems.append(f"{path}: is {raw!r}; accepted is a list of names that is not empty")
        return None
    declared = {objective.name: objective for objective in objectives}
    made: list[BaseInput] = []
    before = len(problems)
    for number, name in enumerate(raw):
        try:
            made.append(_input(name, declared, schema))
        except ValueError as error:
            problems.append(f"{path}[{number}]: {error}")
            continue
        if name in raw[:number]:
            problems.append(f"{path}[{number}]: {name!r} is named twice; name each once")
    return PolicyInputs(tuple(made)) if len(problems) == before else None


def _input(name: object, declared: Mapping[str, BaseObjective], schema: Schema) -> BaseInput:
    if not isinstance(name, str):
        raise ValueError(f"is {name!r}; accepted is a name")  # noqa: TRY004 (one kind for all)
    if name in _WHOLE:
        return _WHOLE[name](name)
    if name in declared:
        return ObjectiveInput(name, declared[name])
    numbers = [f.name for f in schema.of_kind(Kind.NUMBER, Kind.DATE)]
    call = _CALL.match(name)
    if call is not None and call["kind"] in _CALLS and call["what"]:
        if call["kind"] == "z" and call["what"] not in numbers:
            known = nearest(call["what"], numbers, most=len(numbers))
            raise ValueError(f"{call['what']!r} is no number or date field of the schema; {known}")
        return _CALLS[call["kind"]](name, call["what"])
    fields = [f"z({field})" for field in numbers]
    every = [*_WHOLE, *declared, *fields, "head(NAME)", "surface(NAME)"]
    raise ValueError(f"{name!r} is no input; " + nearest(name, every, most=len(every)))
