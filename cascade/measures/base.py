"""What all measures of a graded run share: how they print, and what they are asked for."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any, ClassVar

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.judgments import Judgments
from cascade.measures.graded import GradedRun, graded
from cascade.protocols import Run


class GradedMeasure:
    """Measure a run by the grades of what it ranks.

    A class of this kind is a frozen dataclass whose fields are its settings: those that are not
    at their default are printed, `AT` after the sign @. The settings that several measures have
    mean the same in each:

    - `cutoff`: the last rank that counts; None counts every rank.
    - `rel`: the lowest grade that is relevant; None means every grade above 0.
    - `judged_only`: whether documents that nobody judged are passed over, as if they were not
      in the ranking.
    """

    __slots__ = ()

    NAME: ClassVar[str]
    AT: ClassVar[str] = "cutoff"

    def __post_init__(self) -> None:
        cutoff, rel = getattr(self, "cutoff", None), getattr(self, "rel", None)
        if cutoff is not None and cutoff < 1:
            raise InputError(f"{self.NAME}@{cutoff}: a cutoff is 1 or more")
        check_rel(self.NAME, rel)

    def __str__(self) -> str:
        return printed(self, self.NAME, self.AT)

    def per_query(self, run: Run, judgments: Judgments) -> Float64:
        """Return float64[q]; NaN where the measure is undefined."""
        depth = None if self._judged_only else getattr(self, "cutoff", None)
        return self.of(graded(run, judgments, depth))

    def of(self, run: GradedRun) -> Float64:
        """Return float64[q] from a run that was graded at least to the cutoff.

        With `judged_only` it is to be graded whole.
        """
        return self._of(run.condensed() if self._judged_only else run)

    @property
    def _judged_only(self) -> bool:
        return bool(getattr(self, "judged_only", False))

    def _of(self, run: GradedRun) -> Float64:
        raise NotImplementedError


def check_rel(name: str, rel: float | None) -> None:
    """Refuse a lowest relevant grade that is not above 0."""
    if rel is not None and not (math.isfinite(rel) and rel > 0):
        raise InputError(f"{name}(rel={rel:g}): the lowest relevant grade is above 0")


def printed(measure: Any, name: str, after: str) -> str:  # noqa: ANN401  (any dataclass)
    """Return a measure as people write it: the settings that are not at their default."""
    settings, at = [], ""
    for field in fields(measure):
        value = getattr(measure, field.name)
        if field.name == after:
            at = "" if value is None else f"@{_written(value)}"
        elif field.default is MISSING or value != field.default:
            settings.append(f"{field.name}={_written(value)}")
    return name + (f"({', '.join(settings)})" if settings else "") + at


def _written(value: Any) -> str:  # noqa: ANN401  (whatever a setting may hold)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # repr gives back the same number when it is read; a whole one is written without ".0".
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple):
        return "{" + ", ".join(f"{_written(k)}: {_written(v)}" for k, v in value) + "}"
    return repr(value)


def ratio(part: Float64, whole: Float64) -> Float64:
    """Return `part / whole`, NaN where the whole is not above 0."""
    found = np.full(len(whole), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def defined(values: Float64, relevant: Float64) -> Float64:
    """Return the values, NaN for queries without a relevant document."""
    return np.where(relevant > 0, values, np.nan)
