"""Writing a catalogue: one document after the other, in bounded memory."""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.candidates import Int64
from cascade.catalogue.files import sync_folder, write_array, write_manifest
from cascade.catalogue.strings import Hash, UInt64, build_table, hashed
from cascade.errors import DocumentError, InputError
from cascade.schema import Document, Field, Kind, Schema
from cascade.text import Analyser, analyser

BLOCK_DOCUMENTS = 4_096
Described = dict[str, tuple[str, tuple[int, ...]]]


class CatalogueWriter:
    """Write documents as rows; the folder is there whole or not at all.

    Use it as a context manager: leaving it without `finish` removes what was written.

    Args:
        folder: Where the catalogue will stand; must not exist.
        schema: The fields.
        generation: The name of the build.
        digest: The hash of ids, for tests of its collisions.

    Raises:
        InputError: If the folder exists, or there is no such analyser.
        ConfigError: If a synonym file is bad.
    """

    def __init__(
        self, folder: Path, schema: Schema, generation: str, digest: Hash | None = None
    ) -> None:
        if folder.exists():
            raise InputError(f"{folder} is there already; remove it, or name another folder")
        # Whatever is wrong with an analyser shows before anything is written.
        for field in schema.of_kind(Kind.TEXT, Kind.KEYWORD):
            analyser(field.analyser, field.synonyms)
        self._folder = folder
        self._staged = folder.with_name(f".{folder.name}.new")
        self._schema = schema
        self._generation = generation
        self._digest = digest
        shutil.rmtree(self._staged, ignore_errors=True)
        self._staged.mkdir(parents=True)
        self._files: dict[str, BinaryIO] = {}
        self._count = 0
        self._vocabulary: dict[str, int] = {}
        self._ids = _Ids(self._file("ids.text"), digest)
        self._numeric = [f.name for f in schema.of_kind(Kind.NUMBER, Kind.DATE)]
        self._numbers = array("d")
        self._texts = [_TextColumn(f, self) for f in schema.of_kind(Kind.TEXT)]
        self._keywords = [_KeywordColumn(f, self) for f in schema.of_kind(Kind.KEYWORD)]
        self._columns: list[_TextColumn | _KeywordColumn] = [*self._texts, *self._keywords]
        self._vectors = schema.of_kind(Kind.VECTOR)

    def add(
        self, document: Document, tokens: Mapping[str, list[str]] | None = None
    ) -> Mapping[str, list[str]]:
        """Append a document as the next row and return its terms by text field.

        Args:
            document: The document.
            tokens: Its terms by text field, where the caller has analysed it by the fields' own
                analysers; None analyses it here.

        Raises:
            DocumentError: If a document of this id was added before; nothing is appended.
        """
        self._ids.add(document.id)
        vocabulary = self._vocabulary
        if tokens is None:
            tokens = {
                column.name: column.analyser.tokens_of(document.texts[column.name])
                for column in self._texts
                if column.name in document.texts
            }
        for column in self._texts:
            column.add(tokens.get(column.name, ()), vocabulary)
        for keyword in self._keywords:
            keyword.add(document.keywords.get(keyword.name, ()))
        numbers = document.numbers
        self._numbers.extend([numbers.get(name, np.nan) for name in self._numeric])
        for field in self._vectors:
            values_ = document.vectors.get(field.name)
            vector = np.full(field.dims, np.nan) if values_ is None else np.array(values_)
            self._file(f"{field.name}.vectors").write(vector.astype(np.float32).tobytes())
        self._count += 1
        if self._count % BLOCK_DOCUMENTS == 0:
            self._flush()
        return tokens

    def finish(self) -> None:
        """Write tables, statistics and manifest, and put the folder in its place."""
        self._flush()
        for field in self._vectors:
            self._file(f"{field.name}.vectors")
        arrays: Described = {
            "numbers": ("float64", (self._count, len(self._numeric))),
            **{f"{f.name}.vectors": ("float32", (self._count, f.dims)) for f in self._vectors},
        }
        seeds: dict[str, int] = {}
        for keyword in self._keywords:
            seeds[keyword.name] = keyword.finish(self._staged, arrays, self._vocabulary)
        size = len(self._vocabulary)
        statistics = {c.name: c.finish(self._staged, arrays, size) for c in self._texts}
        seeds["vocabulary/"] = write_strings(
            self._staged, "vocabulary", list(self._vocabulary), arrays
        )
        self._vocabulary.clear()
        seeds["ids/"] = self._ids.finish(self._staged, arrays)
        for stream in self._files.values():
            stream.close()
        self._files.clear()
        content = {
            "generation": self._generation,
            "documents": self._count,
            "schema": self._schema.definition(),
            "analysis": {c.name: c.analyser.fingerprint for c in self._columns},
            "numbers": self._numeric,
            "statistics": statistics,
            "seeds": seeds,
            "synonyms": self._copy_synonyms(arrays),
        }
        write_manifest(self._staged, content, arrays)
        self._staged.rename(self._folder)
        sync_folder(self._folder.parent)

    def __enter__(self) -> CatalogueWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in self._files.values():
            stream.close()
        shutil.rmtree(self._staged, ignore_errors=True)

    def _file(self, name: str) -> BinaryIO:
        if name not in self._files:
            self._files[name] = (self._staged / name).open("wb", buffering=1 << 20)
        return self._files[name]

    def _flush(self) -> None:
        self._file("numbers").write(self._numbers.tobytes())
        self._numbers = array("d")
        for column in self._columns:
            column.flush()

    def _copy_synonyms(self, arrays: Described) -> dict[str, str]:
        """Keep the very rules that the documents were analysed with, equal ones once.

        Fields of one analysis then share a file, and readers see that they are one analysis.
        """
        kept = {}
        for field in self._schema.fields:
            if field.synonyms is not None:
                content = field.synonyms.read_bytes()
                name = f"{xxhash.xxh3_128_hexdigest(content)}.synonyms"
                (self._staged / name).write_bytes(content)
                arrays[name] = ("uint8", (len(content),))
                kept[field.name] = name
        return kept


def write_strings(folder: Path, name: str, strings: list[str], arrays: Described) -> int:
    """Write a table of distinct strings and return its seed."""
    encoded = [s.encode() for s in strings]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    (folder / f"{name}.text").write_bytes(b"".join(encoded))
    return _write_table(folder, name, lengths, lambda seed: hashed(strings, seed), arrays)


def _write_table(
    folder: Path,
    name: str,
    lengths: Int64,
    hash_all: Callable[[int], UInt64],
    arrays: Described,
) -> int:
    seed, keys, slots = build_table(hash_all)
    offsets = _offsets(lengths)
    arrays[f"{name}.text"] = ("uint8", (int(offsets[-1]),))
    for part, values in (("offsets", offsets), ("keys", keys), ("slots", slots)):
        _put(folder, f"{name}.{part}", values, arrays)
    return seed


def _put(folder: Path, name: str, values: NDArray[Any], arrays: Described) -> None:
    write_array(folder, name, values)
    arrays[name] = (str(values.dtype), values.shape)


def _offsets(lengths: NDArray[Any]) -> Int64:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


class _Ids:
    """Collect distinct ids: their text on disk, their hashes in memory."""

    def __init__(self, stream: BinaryIO, digest: Hash | None) -> None:
        self._stream = stream
        self._digest: Hash = digest or xxhash.xxh3_64_intdigest
        self._first: dict[int, int] = {}
        self._collided: list[int] = []
        self._hashes = array("Q")
        self._ends = array("q", [0])

    def add(self, doc_id: str) -> None:
        encoded = doc_id.encode()
        value, row = self._digest(encoded, 0), len(self._hashes)
        first = self._first.setdefault(value, row)
        if first != row:
            if any(self._text(other) == encoded for other in (first, *self._collided)):
                raise DocumentError(f"the id {doc_id!r} was given to a document before")
            self._collided.append(row)
        self._hashes.append(value)
        self._ends.append(self._ends[-1] + len(encoded))
        self._stream.write(encoded)

    def finish(self, folder: Path, arrays: Described) -> int:
        self._stream.flush()
        self._first.clear()
        ends: Int64 = np.frombuffer(self._ends, dtype=np.int64)
        lengths: Int64 = ends[1:] - ends[:-1]
        return _write_table(folder, "ids", lengths, self._hash_all, arrays)

    def _hash_all(self, seed: int) -> UInt64:
        if seed == 0:
            return np.frombuffer(self._hashes, dtype=np.uint64)
        texts = map(self._text, range(len(self._hashes)))
        return np.array([self._digest(text, seed) for text in texts], dtype=np.uint64)

    def _text(self, row: int) -> bytes:
        self._stream.flush()
        start, end = self._ends[row], self._ends[row + 1]
        with Path(self._stream.name).open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)


class _TextColumn:
    """Collect the terms of one text field."""

    def __init__(self, field: Field, writer: CatalogueWriter) -> None:
        self.name = field.name
        self.analyser: Analyser = analyser(field.analyser, field.synonyms)
        self.lengths = array("i")
        self._terms = array("i")
        self._distinct = array("i")
        self._stream = writer._file(f"{field.name}.tokens")
        self._all_lengths: list[NDArray[np.int32]] = []
        self._frequency = np.zeros(0, dtype=np.int64)

    def add(self, tokens: Sequence[str], vocabulary: dict[str, int]) -> None:
        try:
            terms = [vocabulary[token] for token in tokens]
        except KeyError:
            terms = [vocabulary.setdefault(token, len(vocabulary)) for token in tokens]
        self.lengths.append(len(terms))
        self._terms.extend(terms)
        self._distinct.extend(set(terms))

    def flush(self) -> None:
        self._stream.write(self._terms.tobytes())
        self._all_lengths.append(np.array(self.lengths, dtype=np.int32))
        if self._distinct:
            counts = np.bincount(np.frombuffer(self._distinct, dtype=np.int32))
            if len(counts) > len(self._frequency):
                self._frequency.resize(max(len(counts), 2 * len(self._frequency)), refcheck=False)
            self._frequency[: len(counts)] += counts
        self.lengths, self._terms, self._distinct = array("i"), array("i"), array("i")

    def finish(self, folder: Path, arrays: Described, vocabulary: int) -> dict[str, int]:
        lengths = np.concatenate(self._all_lengths)
        offsets = _offsets(lengths)
        frequency = np.zeros(vocabulary, dtype=np.int32)
        known = min(vocabulary, len(self._frequency))
        frequency[:known] = self._frequency[:known]
        self._stream.flush()
        arrays[f"{self.name}.tokens"] = ("int32", (int(offsets[-1]),))
        _put(folder, f"{self.name}.token_offsets", offsets, arrays)
        _put(folder, f"{self.name}.frequency", frequency, arrays)
        return {
            "documents": int(np.count_nonzero(lengths)),
            "tokens": int(offsets[-1]),
        }


class _KeywordColumn:
    """Collect the values of one keyword field."""

    def __init__(self, field: Field, writer: CatalogueWriter) -> None:
        self.name = field.name
        self.analyser: Analyser = analyser(field.analyser, field.synonyms)
        self._values: dict[str, int] = {}
        self._codes = array("i")
        self._lengths = array("i")
        self._stream = writer._file(f"{field.name}.codes")
        self._all_lengths: list[NDArray[np.int32]] = []

    def add(self, values: tuple[str, ...]) -> None:
        known = self._values
        self._lengths.append(len(values))
        for value in values:
            self._codes.append(known.setdefault(value, len(known)))

    def flush(self) -> None:
        self._stream.write(self._codes.tobytes())
        self._all_lengths.append(np.array(self._lengths, dtype=np.int32))
        self._codes, self._lengths = array("i"), array("i")

    def finish(self, folder: Path, arrays: Described, vocabulary: dict[str, int]) -> int:
        offsets = _offsets(np.concatenate(self._all_lengths))
        self._stream.flush()
        arrays[f"{self.name}.codes"] = ("int32", (int(offsets[-1]),))
        _put(folder, f"{self.name}.code_offsets", offsets, arrays)
        terms = array("i")
        lengths = array("i")
        for value in self._values:
            tokens = self.analyser.tokens(value)
            lengths.append(len(tokens))
            terms.extend([vocabulary.setdefault(t, len(vocabulary)) for t in tokens])
        _put(folder, f"{self.name}.terms", np.array(terms, dtype=np.int32), arrays)
        counts = np.array(lengths, dtype=np.int32)
        _put(folder, f"{self.name}.term_offsets", _offsets(counts), arrays)
        return write_strings(folder, f"{self.name}.values", list(self._values), arrays)
