"""The vocabulary as arrays: concepts, the forms that say them, the words that forms consist of."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.shop.vocabulary import ATTRIBUTES, MATERIALS, TYPES

# The attributes of a listing, in the order of the columns of every attribute matrix.
ATTRIBUTE_KINDS = ("material", "colour", "style", "motif", "occasion", "recipient", "price")
MATERIAL, COLOUR, STYLE, MOTIF, OCCASION, RECIPIENT, PRICE = range(len(ATTRIBUTE_KINDS))
CANONICAL_SHARE = 0.65
MAX_FORM_WORDS = 3


@dataclass(frozen=True)
class Lexicon:
    """Hold every concept with its forms, and what a product type is.

    Attributes:
        forms: Text of each form.
        form_concept: `int16[forms]`.
        first_form: `int16[concepts]`, the canonical form; the others follow it.
        form_count: `int16[concepts]`.
        spans: Kind of concept -> (first concept, one past the last).
        words: Distinct stems of all forms.
        form_words: `int16[forms, 3]` indices into `words`, -1 where a form has fewer.
        form_length: `int16[forms]`, words in a form.
        type_category: `int16[types]`, counted from the first category.
        category_department: `int16[categories]`, counted from the first department.
        type_price: `float64[types]`, median price.
        type_weight: `float64[types]`, summing to 1.
        type_materials: `float64[types, materials]`, cumulative chance of a material.
    """

    forms: tuple[str, ...]
    form_concept: NDArray[np.int16]
    first_form: NDArray[np.int16]
    form_count: NDArray[np.int16]
    spans: dict[str, tuple[int, int]]
    words: tuple[str, ...]
    form_words: NDArray[np.int16]
    form_length: NDArray[np.int16]
    type_category: NDArray[np.int16]
    category_department: NDArray[np.int16]
    type_price: NDArray[np.float64]
    type_weight: NDArray[np.float64]
    type_materials: NDArray[np.float64]

    def count(self, kind: str) -> int:
        """Return how many concepts of a kind there are."""
        start, stop = self.spans[kind]
        return stop - start

    def canonical(self, concept: int) -> str:
        """Return the first form of a concept."""
        return self.forms[int(self.first_form[concept])]

    def concept_forms(self, concept: int) -> tuple[str, ...]:
        """Return all forms of a concept, the canonical one first."""
        start = int(self.first_form[concept])
        return self.forms[start : start + int(self.form_count[concept])]

    def speak(self, concepts: NDArray[np.int16], luck: NDArray[np.float64]) -> NDArray[np.int16]:
        """Choose a form of each concept.

        Args:
            concepts: Any shape; -1 stands for none and gives -1.
            luck: The same shape, uniform in [0, 1); below .65 gives the canonical form.
        """
        safe = np.maximum(concepts, 0)
        others = self.form_count[safe] - 1
        share = np.maximum(luck - CANONICAL_SHARE, 0.0) / (1.0 - CANONICAL_SHARE)
        pick = 1 + np.floor(share * others).astype(np.int16)
        pick = np.where((luck < CANONICAL_SHARE) | (others == 0), 0, np.minimum(pick, others))
        spoken = self.first_form[safe] + pick
        return np.where(concepts < 0, -1, spoken).astype(np.int16)


def stem(word: str) -> str:
    """Return a word without its plural ending; enough for this vocabulary."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _split(text: str, mark: str = ",") -> list[str]:
    return [part.strip() for part in text.split(mark) if part.strip()]


@dataclass(frozen=True)
class _TypeTable:
    departments: list[list[str]]
    categories: list[list[str]]
    category_department: list[int]
    types: list[list[str]]
    type_category: list[int]
    groups: list[list[str]]
    prices: list[float]
    weights: list[float]


def _read_types() -> _TypeTable:
    table = _TypeTable([], [], [], [], [], [], [], [])
    for line in _split(TYPES, "\n"):
        if line.startswith("="):
            table.departments.append(_split(line[1:]))
        elif line.startswith("-"):
            table.categories.append(_split(line[1:]))
            table.category_department.append(len(table.departments) - 1)
        else:
            forms, groups, price, weight = _split(line, ";")
            table.types.append(_split(forms))
            table.type_category.append(len(table.categories) - 1)
            table.groups.append(groups.split())
            table.prices.append(float(price))
            table.weights.append(float(weight))
    return table


def _material_groups() -> dict[str, list[list[str]]]:
    rows = (line.split(":", 1) for line in _split(MATERIALS, "\n"))
    return {name: [_split(forms) for forms in _split(rest, "|")] for name, rest in rows}


def _material_chances(
    table: _TypeTable, groups: dict[str, list[list[str]]], names: list[str]
) -> NDArray[np.float64]:
    chances = np.zeros((len(table.types), len(names)))
    for row, group_names in enumerate(table.groups):
        for share, group in zip((1.0, 0.6, 0.3), group_names, strict=False):
            for rank, forms in enumerate(groups[group]):
                chances[row, names.index(forms[0])] += share / (rank + 1.5)
    cumulative: NDArray[np.float64] = np.cumsum(chances, axis=1)
    cumulative /= cumulative[:, -1:]
    return cumulative


@functools.cache
def lexicon() -> Lexicon:
    """Return the marketplace's vocabulary; built once a process."""
    table, groups = _read_types(), _material_groups()
    materials = {forms[0]: forms for group in groups.values() for forms in group}
    kinds: dict[str, list[list[str]]] = {
        "department": table.departments,
        "category": table.categories,
        "type": table.types,
        "material": list(materials.values()),
    }
    kinds |= {kind: [_split(c) for c in _split(text, "|")] for kind, text in ATTRIBUTES.items()}

    concepts: list[list[str]] = []
    spans = {}
    for kind, rows in kinds.items():
        spans[kind] = (len(concepts), len(concepts) + len(rows))
        concepts.extend(rows)
    forms = tuple(form for row in concepts for form in row)
    counts = np.array([len(row) for row in concepts])
    stems = [[stem(w) for w in form.replace("-", " ").split()] for form in forms]
    words = tuple(sorted({word for row in stems for word in row}))
    place = {word: index for index, word in enumerate(words)}
    form_words = np.full((len(forms), MAX_FORM_WORDS), -1, np.int16)
    for index, row in enumerate(stems):
        form_words[index, : len(row)] = [place[word] for word in row[:MAX_FORM_WORDS]]
    weights = np.array(table.weights)
    return Lexicon(
        forms=forms,
        form_concept=np.repeat(np.arange(len(concepts)), counts).astype(np.int16),
        first_form=(np.cumsum(counts) - counts).astype(np.int16),
        form_count=counts.astype(np.int16),
        spans=spans,
        words=words,
        form_words=form_words,
        form_length=np.array([len(row) for row in stems], np.int16),
        type_category=np.array(table.type_category, np.int16),
        category_department=np.array(table.category_department, np.int16),
        type_price=np.array(table.prices),
        type_weight=weights / weights.sum(),
        type_materials=_material_chances(table, groups, list(materials)),
    )
