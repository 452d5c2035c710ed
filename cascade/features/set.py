"""Features in order: their matrix, their fingerprint, and what two sets differ in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

import numpy as np

from cascade.candidates import Candidates, Float32
from cascade.features.base import BaseFeature, read_numbers
from cascade.features.expression import Expression, is_keepable, values_of
from cascade.features.keyword import KeywordFeature, find_values
from cascade.features.listing import ListingFeature
from cascade.features.matching import Found, Group, find_matches
from cascade.features.numeric import NumberFeature
from cascade.features.query import QueryFeature
from cascade.features.terms import AnalysedQueries
from cascade.features.text import FieldFeature, FieldsFeature
from cascade.protocols import Feature

CHUNK_ROWS = 32_768
_Kind = TypeVar("_Kind", bound=BaseFeature)
_Together = TypeVar("_Together", FieldFeature, ListingFeature)


@dataclass(frozen=True, slots=True)
class _Block:
    """Hold features of text fields that differ in their field alone, to be computed together.

    Attributes:
        feature: Any of them.
        columns: The field of each and its column in the matrix.
        alike: What they have in common; two blocks that have it equal compute the same.
    """

    feature: FieldFeature
    columns: Sequence[tuple[str, int]]
    alike: Hashable

    def fill(self, matrix: Float32, found: Found, candidates: Candidates) -> None:
        """Write their values into the matrix; a later stage finds those of the same fields kept."""
        for group in found.groups:
            at = group.at
            here = [(at[name], column) for name, column in self.columns if name in at]
            if here:
                start, stop = min(here)[0], max(here)[0] + 1
                part = group.part(start, stop)

                def of(_: Candidates, part: Group = part) -> Float32:
                    return self.feature.of(part)

                values = candidates.derived((self.alike, part.fields), of)
                for i, column in here:
                    matrix[:, column] = values[:, i - start]


class Features:
    """Hold features in order; fulfils `protocols.FeatureSet`.

    Args:
        features: Of distinct names; an expression stands after what it reads.
        analyses: By schema field, what its analysis is (analyser, version, synonyms): enters the
            fingerprint for the fields that the features read.

    Raises:
        ValueError: If two features have one name or an expression reads a later one.
    """

    def __init__(
        self, features: Sequence[Feature], analyses: Mapping[str, str] | None = None
    ) -> None:
        self.features = tuple(features)
        self._position: dict[str, int] = {}
        self._formulas: dict[int, Expression] = {}
        for i, feature in enumerate(self.features):
            if feature.name in self._position:
                raise ValueError(f"two features are named {feature.name!r}; names are distinct")
            if isinstance(feature, Expression):
                self._formulas[i] = feature
                for name in feature.parsed.names:
                    if name not in self._position:
                        raise ValueError(f"{feature.name!r} reads {name!r}, which is not before it")
            self._position[feature.name] = i
        kept = {i: f for i, f in enumerate(self.features) if is_keepable(f)}
        self._blocks = _blocks(kept)
        self._wide = [(i, f) for i, f in kept.items() if _computed(f, FieldsFeature)]
        together = {i for block in self._blocks for _, i in block.columns}
        together.update(i for i, _ in self._wide)
        self._kept = [i for i in kept if i not in together]
        self._fresh = [i for i, f in enumerate(self.features) if not is_keepable(f)]
        read = {name for feature in self.features for name in getattr(feature, "reads", ())}
        self._analyses = {n: a for n, a in sorted((analyses or {}).items()) if n in read}
        self._texts = _fields(self.features, FieldFeature, FieldsFeature, QueryFeature)
        self._keywords = _fields(self.features, KeywordFeature)
        self._numbers = _fields(self.features, NumberFeature, ListingFeature)
        self._listing = [feature for feature in self.features if feature.scope == "listing"]
        self._compared = _alike(self._listing, ListingFeature)
        self._fingerprint = _digest([self.definitions(), self._analyses])

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        return f"Features({len(self)}, {self._fingerprint[:12]})"

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the matrix's columns."""
        return tuple(self._position)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over definitions, versions and the analyses of the fields read, 64 digits."""
        return self._fingerprint

    @property
    def engine_bound(self) -> tuple[str, ...]:
        """The names of the features that another engine would give other values."""
        return tuple(feature.name for feature in self.features if not feature.portable)

    @property
    def fields(self) -> tuple[str, ...]:
        """The schema fields that the features read, sorted."""
        return tuple(sorted({n for f in self.features for n in getattr(f, "reads", ())}))

    def definitions(self) -> list[dict[str, Any]]:
        """Return the definition and version of each feature, in order."""
        return [{**f.definition(), "version": f.version} for f in self.features]

    def prepared(self, candidates: Candidates) -> Candidates:
        """Return the candidates with a column for each feature of listing scope.

        To be called on the listing as it was retrieved. A column that is there already, because
        another stage has the feature, stays.
        """
        read_numbers(candidates, self._numbers)
        asked = [f for f in self._listing if f.name not in candidates.columns]
        if not asked:
            return candidates
        found: dict[str, Float32] = {}
        for alike in self._compared:
            same = [f for f in alike if f.name not in candidates.columns]
            if same:
                values = same[0].together(same, candidates)
                found |= zip((f.name for f in same), values, strict=True)
        columns = {
            f.name: found[f.name] if f.name in found else f.values(candidates) for f in asked
        }
        return candidates.with_columns(columns)

    def matrix(self, candidates: Candidates) -> Float32:
        """Return float32[n, f], a new array.

        Values of row scope are kept with the rows, so a later stage reads them again; more than
        `CHUNK_ROWS` rows are computed listing by listing in chunks, and not kept.
        """
        if len(candidates) <= CHUNK_ROWS:
            return self._matrix(candidates)
        matrix = np.empty((len(candidates), len(self)), dtype=np.float32)
        done = 0
        for part in chunks(candidates, CHUNK_ROWS):
            matrix[done : done + len(part)] = self._matrix(part)
            done += len(part)
        return matrix

    def _matrix(self, candidates: Candidates) -> Float32:
        kept = candidates.derived(("features", self._fingerprint), self._kept_values)
        matrix = kept.astype(np.float32)
        self._fill(matrix, self._fresh, candidates)
        return matrix

    def _kept_values(self, candidates: Candidates) -> Float32:
        matrix = np.zeros((len(candidates), len(self)), dtype=np.float32)
        read_numbers(candidates, self._numbers)
        queries = AnalysedQueries(candidates)
        find_values(candidates, self._keywords, queries)
        found = find_matches(candidates, self._texts, queries)
        for block in self._blocks:
            block.fill(matrix, found, candidates)
        for i, feature in self._wide:
            matrix[:, i] = feature.of(found)
        self._fill(matrix, self._kept, candidates)
        matrix.flags.writeable = False
        return matrix

    def _fill(self, matrix: Float32, columns: Sequence[int], candidates: Candidates) -> None:
        for i in columns:
            formula = self._formulas.get(i)
            if formula is None:
                matrix[:, i] = values_of(self.features[i], candidates)
            else:
                read = {n: matrix[:, self._position[n]] for n in formula.parsed.names}
                matrix[:, i] = formula.of(read)


def chunks(candidates: Candidates, rows: int) -> Iterator[Candidates]:
    """Yield whole listings, as many at a time as have at most `rows` rows, but at least one."""
    start, count = 0, len(candidates.queries)
    while start < count:
        end = np.searchsorted(candidates.offsets, candidates.offsets[start] + rows, side="right")
        stop = max(start + 1, int(end) - 1)
        yield candidates.listings(start, stop)
        start = stop


def difference(left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each feature that two lists of definitions do not share, by name.

    Args:
        left: As `Features.definitions` gives them, those of a model for example.
        right: The same, those that the code builds for example.
    """
    ours, theirs = ({str(d.get("name")): d for d in side} for side in (left, right))
    lines = [f"{name}: only the first has it" for name in ours if name not in theirs]
    lines += [f"{name}: only the second has it" for name in theirs if name not in ours]
    for name in ours:
        if name in theirs and _digest(ours[name]) != _digest(theirs[name]):
            one, two = ours[name], theirs[name]
            keys = [k for k in {**one, **two} if _digest(one.get(k)) != _digest(two.get(k))]
            changed = ", ".join(f"{k} {one.get(k)!r} against {two.get(k)!r}" for k in keys)
            lines.append(f"{name}: {changed}")
    if not lines and list(ours) != list(theirs):
        lines.append(f"the order: {', '.join(ours)} against {', '.join(theirs)}")
    return lines


def _fields(features: Sequence[Feature], *classes: type) -> tuple[str, ...]:
    """Return the distinct fields that the features of these classes read."""
    reading = [feature for feature in features if isinstance(feature, classes)]
    return tuple(
        dict.fromkeys(name for feature in reading for name in getattr(feature, "reads", ()))
    )


def _blocks(features: Mapping[int, Feature]) -> list[_Block]:
    """Return the features of text fields, by what they have in common."""
    columns = {feature.name: i for i, feature in features.items()}
    return [
        _Block(same[0], [(f.field, columns[f.name]) for f in same], same[0].alike)
        for same in _alike(features.values(), FieldFeature)
    ]


def _alike(features: Iterable[Feature], kind: type[_Together]) -> list[list[_Together]]:
    """Return the features of one kind, those side by side that are computed together."""
    alike: dict[Hashable, list[_Together]] = {}
    for feature in features:
        if _computed(feature, kind):
            alike.setdefault(feature.alike, []).append(feature)
    return list(alike.values())


def _computed(feature: Feature, kind: type[_Kind]) -> TypeGuard[_Kind]:
    """Return whether a feature is of this kind and computes as the kind does."""
    return isinstance(feature, kind) and type(feature).values is kind.values


def _digest(plain: object) -> str:
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
