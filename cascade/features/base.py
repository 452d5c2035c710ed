"""What every feature of this package is made of: settings, their checks, and missing values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float32
from cascade.schema import Kind

Scope = Literal["row", "listing"]
Bool = NDArray[np.bool_]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


def field_of(*kinds: Kind) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a setting that names a field of the schema, or several, of one of these kinds."""
    return field(metadata={"kinds": kinds})


def optional_field_of(*kinds: Kind) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a setting that names a field of one of these kinds, or "" for none."""
    return field(default="", metadata={"kinds": kinds})


@dataclass(frozen=True, kw_only=True)
class BaseFeature(ABC):
    """Give every candidate one number; the settings are the fields of the dataclass.

    Attributes:
        name: Unique within a feature set.
    """

    kind: ClassVar[str] = ""

    name: str

    @property
    def version(self) -> int:
        """The version of the implementation, raised whenever it gives other numbers."""
        return 1

    @property
    def scope(self) -> Scope:
        """What a value depends on: its query and document alone, or the whole listing."""
        return "row"

    @property
    def portable(self) -> bool:
        """Whether every engine gives the same value."""
        return True

    @property
    def keepable(self) -> bool:
        """Whether values follow from query and document alone, so they can be kept with rows.

        False for what reads columns or scores of the candidates, which change on the way.
        """
        return True

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields of the schema that the values depend on."""
        return fields_read(self)

    def definition(self) -> dict[str, Any]:
        """Return the kind, the name and every setting as plain data."""
        kind = self.kind or f"{type(self).__module__}:{type(self).__qualname__}"
        settings = {spec.name: _plain(getattr(self, spec.name)) for spec in fields(self)}
        return {"kind": kind, **settings}

    @abstractmethod
    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN says that the value is missing."""


def fields_read(feature: object) -> tuple[str, ...]:
    """Return the schema fields that the settings declared by `field_of` name."""
    named: list[str] = []
    for spec in fields(feature):  # type: ignore[arg-type]
        if "kinds" in spec.metadata:
            value = getattr(feature, spec.name)
            named.extend([value] if isinstance(value, str) else value)
    return tuple(name for name in named if name)


def settings_but(feature: object, *names: str) -> Hashable:
    """Return the class of a feature and its settings, without those of these names."""
    specs = fields(feature)  # type: ignore[arg-type]
    return type(feature), *(getattr(feature, s.name) for s in specs if s.name not in names)


def bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 of the same shape; what float32 cannot hold becomes its extreme."""
    return np.minimum(np.maximum(values, -_FLOAT32_MAX), _FLOAT32_MAX)


def narrowed(values: NDArray[np.float64]) -> Float32:
    """Return float32[n]; what float32 cannot hold becomes its extreme."""
    return bounded(values).astype(np.float32)


def per_row(candidates: Candidates, values: Sequence[float]) -> Float32:
    """Return float32[n] that gives every row the value of its query."""
    return np.repeat(np.asarray(values, dtype=np.float32), candidates.lengths)


def number_of(candidates: Candidates, name: str) -> NDArray[np.float64]:
    """Return a number or date field of each row, float64[n], NaN where absent."""

    def read(asked: Candidates) -> NDArray[np.generic]:
        return asked.documents.numbers((name,), asked.rows)[:, 0]

    return candidates.derived(("number", name), read).astype(np.float64, copy=False)


def read_numbers(candidates: Candidates, names: Sequence[str]) -> None:
    """Read several number or date fields in one go, for `number_of` to find."""
    block: list[NDArray[np.float64]] = []
    for i, name in enumerate(names):

        def column(asked: Candidates, i: int = i) -> NDArray[np.generic]:
            if not block:
                block.append(np.asfortranarray(asked.documents.numbers(names, asked.rows)))
            return block[0][:, i]

        candidates.derived(("number", name), column)


def column_of(candidates: Candidates, name: str) -> Float32:
    """Return a column of the candidates, float32[n], NaN where there is none."""
    column = candidates.columns.get(name)
    if column is None:
        return np.full(len(candidates), np.nan, dtype=np.float32)
    return column


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
