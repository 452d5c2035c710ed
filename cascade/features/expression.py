"""Features derived from other features by a formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cascade.candidates import Candidates, Float32
from cascade.features.base import BaseFeature
from cascade.features.formula import Formula, parse_formula
from cascade.features.registry import feature_kind
from cascade.protocols import Feature


@feature_kind("expression")
@dataclass(frozen=True, kw_only=True)
class Expression(BaseFeature):
    """Return a formula over features that stand earlier in the set, row by row.

    Attributes:
        formula: As `formula` describes it.
        inputs: The features that the formula names; the set fills them in.
    """

    formula: str
    inputs: tuple[Feature, ...] = field(default=(), metadata={"setting": False})

    def __post_init__(self) -> None:
        named = self.parsed.names
        if self.inputs and {feature.name for feature in self.inputs} != set(named):
            raise ValueError(f"inputs: the formula reads {', '.join(named)}; give exactly these")

    @cached_property
    def parsed(self) -> Formula:
        """The parsed formula."""
        return parse_formula(self.formula)

    @property
    def keepable(self) -> bool:
        """Whether every input is."""
        return all(is_keepable(feature) for feature in self.inputs)

    @property
    def portable(self) -> bool:
        """Whether every input is."""
        return all(feature.portable for feature in self.inputs)

    def definition(self) -> dict[str, Any]:
        """Return the kind, the name and the formula."""
        return {"kind": self.kind, "name": self.name, "formula": self.formula}

    def of(self, columns: Mapping[str, Float32]) -> Float32:
        """Return float32[n] of the inputs' columns."""
        return self.parsed.of(columns)

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; an input of listing scope is read where it has been prepared."""
        columns = {feature.name: values_of(feature, candidates) for feature in self.inputs}
        return self.of(columns)


def values_of(feature: Feature, candidates: Candidates) -> Float32:
    """Return float32[n]: the prepared column of a feature of listing scope, or its values.

    Raises:
        ValueError: If the feature gives anything but one number for each row.
    """
    if feature.scope == "listing" and feature.name in candidates.columns:
        return candidates.columns[feature.name]
    values = np.asarray(feature.values(candidates), dtype=np.float32)
    if values.shape != (len(candidates),):
        raise ValueError(
            f"feature {feature.name!r} gave an array of shape {values.shape} for "
            f"{len(candidates)} rows; a feature gives one number for each row"
        )
    return values


def is_keepable(feature: Feature) -> bool:
    """Return whether the values follow from query and document alone."""
    return feature.scope == "row" and bool(getattr(feature, "keepable", True))
