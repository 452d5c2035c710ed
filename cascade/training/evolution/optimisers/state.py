"""Read the states of optimisers, as they are or as a file gives them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError


def text(state: Mapping[str, Any], name: str) -> str:
    """Return a text; raise InputError if it is not there."""
    return str(_scalar(state, name))


def whole(state: Mapping[str, Any], name: str) -> int:
    """Return a count; raise InputError if it is not there, no whole number, or below 0."""
    value = _scalar(state, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"optimiser state: {name!r} is {value!r}; it must be a whole number >= 0")
    return value


def number(state: Mapping[str, Any], name: str) -> float:
    """Return a finite number; raise InputError if it is not there or is none."""
    value = _scalar(state, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InputError(f"optimiser state: {name!r} is {value!r}; it must be a finite number")
    return float(value)


def array(state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Float64:
    """Return a copy of an array, float64; raise InputError unless it has the shape, all finite."""
    values = np.asarray(_value(state, name))
    if values.shape != shape or values.dtype != np.float64 or not np.isfinite(values).all():
        raise InputError(
            f"optimiser state: {name!r} is {values.dtype}{list(values.shape)}; "
            f"it must be finite float64{list(shape)}"
        )
    return np.array(values, order="C")


def _value(state: Mapping[str, Any], name: str) -> object:
    if name not in state:
        held = ", ".join(sorted(state)) or "nothing"
        raise InputError(f"optimiser state: {name!r} is missing; it holds {held}")
    return state[name]


def _scalar(state: Mapping[str, Any], name: str) -> object:
    value = np.asarray(_value(state, name))
    if value.ndim:
        raise InputError(f"optimiser state: {name!r} is an array; it must be one value")
    return value.item()
