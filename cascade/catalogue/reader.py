"""Reading a catalogue: the documents of one generation in memory-mapped columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64, Int32, Int64, Ragged, TextStatistics
from cascade.catalogue.files import open_arrays, read_manifest
from cascade.catalogue.strings import PARTS, StringTable
from cascade.errors import FingerprintError, QueryError, nearest
from cascade.schema import Kind, Schema
from cascade.text import Analyser, analyser

# Lists longer than this on average are copied one by one, which is faster than one by one value.
_COPIED_LENGTH = 40
_COMPARED = ("kind", "analyser", "synonyms", "dims", "source", "strip_html")

_Value = TypeVar("_Value")


class Catalogue:
    """Hold documents in columns, shared by every process that opens them.

    Open one by `Catalogue.open`. It implements `Documents`.
    """

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        manifest: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
    ) -> None:
        self.path = folder
        self.schema = schema
        self.generation = str(manifest["generation"])
        self._count = int(manifest["documents"])
        self._arrays = arrays
        self._number_at = {name: i for i, name in enumerate(manifest["numbers"])}
        self._numbers: Float64 = arrays["numbers"]
        seeds = manifest["seeds"]
        self._ids = _table(arrays, "ids", seeds["ids/"])
        self._vocabulary = _table(arrays, "vocabulary", seeds["vocabulary/"])
        self._values = {
            f.name: _table(arrays, f"{f.name}.values", seeds[f.name])
            for f in schema.of_kind(Kind.KEYWORD)
        }
        self._vectors: dict[str, Float32] = {
            f.name: arrays[f"{f.name}.vectors"] for f in schema.of_kind(Kind.VECTOR)
        }
        self._analysers: dict[str, Analyser] = {
            f.name: analyser(f.analyser, f.synonyms)
            for f in schema.of_kind(Kind.TEXT, Kind.KEYWORD)
        }
        self._statistics = {
            name: TextStatistics(raw["documents"], raw["tokens"], arrays[f"{name}.frequency"])
            for name, raw in manifest["statistics"].items()
        }

    @classmethod
    def open(cls, folder: Path, schema: Schema, *, verify: bool = False) -> Catalogue:
        """Map a catalogue, after checking manifest, lengths and sampled blocks.

        Args:
            folder: Where `CatalogueWriter` put it.
            schema: The fields that it should have been made from.
            verify: Compare the checksum of every byte.

        Raises:
            NotFoundError: If there is none.
            ChecksumError: If a file is damaged or missing.
            FingerprintError: If it was made from another schema or by other analysers.
        """
        manifest = read_manifest(folder)
        _refuse_other(schema, manifest["schema"], folder)
        arrays = open_arrays(folder, manifest["files"], verify=verify)
        synonyms = manifest["synonyms"]
        fields = tuple(
            replace(f, synonyms=folder / synonyms[f.name]) if f.name in synonyms else f
            for f in schema.fields
        )
        kept = replace(schema, fields=fields)
        for field in kept.of_kind(Kind.TEXT, Kind.KEYWORD):
            made = manifest["analysis"][field.name]
            ours = analyser(field.analyser, field.synonyms).fingerprint
            if made != ours:
                raise FingerprintError(
                    f"{folder}: field {field.name!r} was analysed by {made}, and this release "
                    f"analyses by {ours}; build the index again"
                )
        return cls(folder, kept, manifest, arrays)

    def __len__(self) -> int:
        return self._count

    @property
    def stale(self) -> tuple[str, ...]:
        """No field: a snapshot does not know how old it is."""
        return ()

    @property
    def behaviour(self) -> None:
        """None: what shoppers do comes in after a build; a `LiveCatalogue` knows more."""
        return None

    @property
    def vocabulary_size(self) -> int:
        """How many distinct terms all fields have together."""
        return len(self._vocabulary)

    def ids(self, rows: Int32) -> list[str]:
        """Return the document ids of rows, "" for unknown ones."""
        return self._ids.strings(rows)

    def rows(self, ids: Sequence[str]) -> Int32:
        """Return the row of each document id, -1 where it is unknown."""
        return self._ids.numbers(ids)

    def deleted(self, rows: Int32) -> NDArray[np.bool_]:
        """Return bool[n] of False: what a build wrote stays; a `LiveCatalogue` knows more."""
        return np.zeros(len(rows), dtype=np.bool_)

    def numbers(self, names: Sequence[str], rows: Int32) -> Float64:
        """Return number and date columns, float64[n, len(names)], NaN where absent."""
        at = [self._at(self._number_at, name, "number or date") for name in names]
        if not self._count:
            return np.full((len(rows), len(names)), np.nan)
        found: Float64 = self._numbers.take(rows, axis=0).take(at, axis=1)
        unknown = rows < 0
        if unknown.any():
            found[unknown] = np.nan
        return found

    def keywords(self, name: str, rows: Int32) -> Ragged:
        """Return the codes of the values of a keyword field for each row."""
        self._at(self._values, name, "keyword")
        return gathered(self._arrays[f"{name}.code_offsets"], self._arrays[f"{name}.codes"], rows)

    def keyword_codes(self, name: str, values: Sequence[str]) -> Int32:
        """Return the code of each value of a keyword field, -1 where no document has it."""
        return self._at(self._values, name, "keyword").numbers(values)

    def keyword_values(self, name: str, codes: Int32) -> list[str]:
        """Return the values that these codes stand for, "" for -1."""
        return self._at(self._values, name, "keyword").strings(codes)

    def keyword_terms(self, name: str, codes: Int32) -> Ragged:
        """Return the term ids of the values that these codes stand for."""
        self._at(self._values, name, "keyword")
        return gathered(self._arrays[f"{name}.term_offsets"], self._arrays[f"{name}.terms"], codes)

    def keyword_count(self, name: str) -> int:
        """Return how many distinct values a keyword field has; codes lie below it."""
        return len(self._at(self._values, name, "keyword"))

    def tokens(self, name: str, rows: Int32) -> Ragged:
        """Return the term ids of a text field in the order of the text, for each row."""
        self._at(self._statistics, name, "text")
        return gathered(self._arrays[f"{name}.token_offsets"], self._arrays[f"{name}.tokens"], rows)

    def vectors(self, name: str, rows: Int32) -> Float32:
        """Return a vector field, float32[n, dims], NaN where absent."""
        stored = self._at(self._vectors, name, "vector")
        if not self._count:
            return np.full((len(rows), stored.shape[1]), np.nan, dtype=np.float32)
        found = stored[rows]
        found[rows < 0] = np.nan
        return found

    def analyse(self, name: str, text: str) -> Int32:
        """Return the term ids of a text as a field analyses it; unknown terms are -2, -3, ..."""
        tokens = self._at(self._analysers, name, "text or keyword").tokens(text)
        terms = self._vocabulary.numbers(tokens)
        missing = np.flatnonzero(terms < 0)
        if len(missing):
            numbered: dict[str, int] = {}
            for i in missing.tolist():
                terms[i] = numbered.setdefault(tokens[i], -2 - len(numbered))
        return terms

    def terms(self, tokens: Sequence[str]) -> Int32:
        """Return the term id of each token, as an analyser made it, -1 where no document has it."""
        return self._vocabulary.numbers(tokens)

    def statistics(self, name: str) -> TextStatistics:
        """Return the corpus statistics of a text field."""
        return self._at(self._statistics, name, "text")

    def _at(self, table: Mapping[str, _Value], name: str, kind: str) -> _Value:
        try:
            return table[name]
        except KeyError:
            message = f"there is no {kind} field {name!r}; {nearest(name, self.schema.by_name)}"
            raise QueryError(message) from None


def gathered(offsets: Int64, values: Int32, rows: Int32 | Int64) -> Ragged:
    """Return the lists of `rows` from lists in one array; a row below 0 has none."""
    ends = np.zeros(len(rows) + 1, dtype=np.int64)
    if len(offsets) < 2:
        return Ragged(ends, np.empty(0, dtype=np.int32))
    absent = len(rows) > 0 and int(rows.min()) < 0
    # Converted once, since every look-up by other integers converts them again.
    known = (np.maximum(rows, 0) if absent else rows).astype(np.int64, copy=False)
    starts = offsets.take(known)
    lengths = offsets.take(known + 1) - starts
    if absent:
        lengths[rows < 0] = 0
    lengths.cumsum(out=ends[1:])
    total = int(ends[-1])
    if total > _COPIED_LENGTH * len(rows):
        pairs = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
        view = values.data
        copied = bytearray().join([view[start:stop] for start, stop in pairs])
        return Ragged(ends, np.frombuffer(copied, dtype=np.int32))
    at = (starts - ends[:-1]).repeat(lengths)
    at += np.arange(total)
    return Ragged(ends, values[at])


def _table(arrays: Mapping[str, NDArray[Any]], name: str, seed: int) -> StringTable:
    return StringTable({part: arrays[f"{name}.{part}"] for part in PARTS}, seed)


def _refuse_other(schema: Schema, made: Mapping[str, Any], folder: Path) -> None:
    """Refuse a catalogue whose fields were read in another way than the schema says."""
    ours = {f["name"]: f for f in schema.definition()["fields"]}
    theirs = {f["name"]: f for f in made["fields"]}
    problems = [f"field {n!r} is not in it" for n in ours.keys() - theirs.keys()]
    if schema.id != made["id"]:
        problems.append(f"its id field is {made['id']!r}, the schema says {schema.id!r}")
    problems += [f"field {n!r} is not in the schema" for n in theirs.keys() - ours.keys()]
    problems += [
        f"{key} of field {name!r} is {theirs[name][key]!r}, the schema says {ours[name][key]!r}"
        for name in ours.keys() & theirs.keys()
        for key in _COMPARED
        if ours[name][key] != theirs[name][key]
    ]
    if problems:
        raise FingerprintError(
            f"{folder} was made from another schema: {'; '.join(sorted(problems))}. "
            "Build the index again"
        )
