"""The columns of a market: gains, number fields, objectives and formulas over them, and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from cascade.business.objectives import BaseObjective
from cascade.candidates import Candidates, Float32, Int32
from cascade.config.evolution_settings import EvolutionSettings
from cascade.errors import ConfigError, InputError, nearest
from cascade.features.formula import Formula, parse_formula
from cascade.schema import Kind, Schema
from cascade.training.evolution.anatomy import Anatomy, Names, anatomy
from cascade.training.evolution.fitness import FitnessSettings
from cascade.training.evolution.lint import terms_of

GAIN = "gain"


@dataclass(frozen=True)
class MarketColumns:
    """Hold what the columns of a market are made from.

    Attributes:
        names: What measures may read.
        formulas: By the name of the column.
        fields: The number fields that a formula or a measure reads; all of them where a function
            is raised, which may read any.
        objectives: Each is a column.
    """

    names: Names
    formulas: Mapping[str, Formula]
    fields: tuple[str, ...]
    objectives: tuple[BaseObjective, ...]

    @classmethod
    def of(
        cls,
        wanted: EvolutionSettings,
        schema: Schema,
        objectives: tuple[BaseObjective, ...],
        source: str = "configuration",
    ) -> MarketColumns:
        """Return the columns of a configuration.

        Args:
            wanted: The settings.
            schema: The fields of the documents.
            objectives: Those that are declared.
            source: What the configuration is called in messages.

        Raises:
            ConfigError: With a line for every problem.
        """
        problems: list[str] = []
        numbers = [f.name for f in schema.of_kind(Kind.NUMBER, Kind.DATE)]
        known = dict.fromkeys([GAIN, *(o.name for o in objectives), *numbers])
        formulas = {}
        measured = (text for texts in written(wanted).values() for text in texts)
        read = {name for parts in readable(measured) for name in parts.read}
        if "function" in (wanted.fitness or {}):
            read.update(numbers)
        for name, text in wanted.columns.items():
            here = f"evolution.columns.{name}"
            if name in known:
                problems.append(f"{here}: {name!r} is there already; choose another name")
                continue
            try:
                formulas[name] = parse_formula(text)
            except ValueError as error:
                problems.append(f"{here}: {error}")
                continue
            for used in formulas[name].names:
                if used not in known:
                    problems.append(f"{here}: {used!r} is no column; {nearest(used, known)}")
                read.add(used)
            known[name] = None
        keywords = [f.name for f in schema.of_kind(Kind.KEYWORD)]
        problems += [
            f"evolution.groups: {name!r} is no keyword field; {nearest(name, keywords)}"
            for name in wanted.groups
            if name not in keywords
        ]
        fields = tuple(name for name in numbers if name in read)
        problems += [
            f"{what} is named {GAIN!r}, as the column of the grades of the judgments is, which the "
            "search reads; give it another name"
            for what, names in (
                ("schema: a number field", fields),
                ("business.objectives: one", [o.name for o in objectives]),
            )
            if GAIN in names
        ]
        if problems:
            raise ConfigError(source, problems)
        return cls(Names(frozenset(known), frozenset(wanted.groups)), formulas, fields, objectives)

    def values(self, window: Candidates, gains: Float32) -> dict[str, Float32]:
        """Return float32[n] by name."""
        found: dict[str, Float32] = {}
        if self.fields:
            numbers = window.documents.numbers(self.fields, window.rows)
            found |= {n: numbers[:, i].astype(np.float32) for i, n in enumerate(self.fields)}
        found |= {o.name: o.values(window) for o in self.objectives}
        found[GAIN] = gains
        for name, formula in self.formulas.items():
            found[name] = formula.of(found)
        return found

    def codes(self, window: Candidates) -> dict[str, Int32]:
        """Return int32[n] by name: the code of the first value, -1 without one."""
        found = {}
        for name in sorted(self.names.groups):
            lists = window.documents.keywords(name, window.rows)
            codes = np.full(len(window), -1, dtype=np.int32)
            filled = lists.lengths > 0
            codes[filled] = lists.values[lists.offsets[:-1][filled]]
            found[name] = codes
        return found


def written(wanted: EvolutionSettings) -> dict[str, tuple[str, ...]]:
    """Return the measures that settings name, by the setting that names them."""
    return {
        "evolution.fitness": tuple(terms_of(FitnessSettings(**(wanted.fitness or {})))),
        "evolution.bounds": tuple(wanted.bounds),
        "evolution.acceptance": tuple(wanted.acceptance),
    }


def readable(texts: Iterable[str]) -> list[Anatomy]:
    """Return what measures are made of, of those that can be read."""
    found = []
    for text in texts:
        try:
            found.append(anatomy(text))
        except InputError:
            continue
    return found
