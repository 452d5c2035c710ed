"""What lies in the embedded engine's folder: its fields, its documents, and the seal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import tantivy

from cascade.engines.asking import searched_fields
from cascade.errors import ChecksumError, EngineError, NotFoundError
from cascade.schema import Document, Kind, Schema

FORMAT = 1
SEAL = "engine.json"
UPDATED = "updated.json"
UPDATE_MEMORY_MB = 32
_META = "meta.json"
ID, ROW, SOURCE = "_id", "_row", "_source"

# The bits of int32 -1: a document without a catalogue row sorts behind all that have one.
NO_ROW = 2**32 - 1


def index_schema(schema: Schema) -> tantivy.Schema:
    """Return the index's own fields for a schema.

    Texts keep term frequencies but no positions, since phrases are matched by features on the
    catalogue; their terms come analysed, parted by one space. Keywords, numbers and dates are
    both indexed (`In`) and held in columns (ranges, `Exists`, facets, sort).
    """
    builder = tantivy.SchemaBuilder()
    for field in searched_fields(schema):
        builder.add_text_field(field.name, tokenizer_name="whitespace", index_option="freq")
    for field in schema.of_kind(Kind.KEYWORD):
        builder.add_text_field(field.name, fast=True, tokenizer_name="raw", index_option="basic")
    for field in schema.of_kind(Kind.NUMBER, Kind.DATE):
        builder.add_float_field(field.name, indexed=True, fast=True)
    builder.add_unsigned_field(ROW, fast=True)
    builder.add_text_field(ID, stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_bytes_field(SOURCE, stored=True)
    return builder.build()


def index_document(
    searched: frozenset[str],
    row: int | None,
    document: Document,
    tokens: Mapping[str, Sequence[str]],
) -> tantivy.Document:
    """Return a document as the index takes it.

    Args:
        searched: The names of the text fields that the index has.
        row: Its catalogue row, None if the catalogue does not have it.
        document: The checked document.
        tokens: Its terms by text field.
    """
    made = tantivy.Document()
    for name, terms in tokens.items():
        if terms and name in searched:
            made.add_text(name, " ".join(terms))
    for name, values in document.keywords.items():
        for value in values:
            made.add_text(name, value)
    for name, number in document.numbers.items():
        made.add_float(name, number + 0.0)  # -0.0 is another term than 0.0
    made.add_unsigned(ROW, NO_ROW if row is None else row)
    made.add_text(ID, document.id)
    made.add_bytes(SOURCE, source_bytes(document.raw))
    return made


def source_bytes(raw: Mapping[str, Any]) -> bytes:
    """Return a raw document as JSON; lone surrogates become U+FFFD."""
    try:
        return orjson.dumps(raw)
    except TypeError:
        text = json.dumps(raw, ensure_ascii=False, default=str)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def source_of(content: bytes) -> dict[str, Any]:
    """Return the raw document of `source_bytes`."""
    try:
        found: dict[str, Any] = orjson.loads(content)
    except orjson.JSONDecodeError:  # the standard library also writes NaN
        found = json.loads(content)
    return found


def stored(document: tantivy.Document, name: str) -> Any:  # noqa: ANN401
    """Return what a found document keeps under `ID` (str) or `SOURCE` (bytes)."""
    return document.get_first(name)


def count_of(result: tantivy.SearchResult) -> int:
    """Return how many documents match."""
    count: int = result.count  # type: ignore[attr-defined] # missing from the stubs
    return count


def row_ranges(folder: Path, index: tantivy.Index) -> list[tuple[int, int]]:
    """Return the first and last row of each segment, in the index's order.

    To be called while nothing writes to the index.
    """
    searcher = index.searcher()
    ranges = []
    for at, segment in enumerate(orjson.loads((folder / _META).read_bytes())["segments"]):
        ends = [tantivy.DocAddress(at, 0), tantivy.DocAddress(at, int(segment["max_doc"]) - 1)]
        low, high = searcher.fast_field_values(ROW, ends)
        ranges.append((int(low or 0), int(high or 0)))
    return ranges


def put_in_row_order(folder: Path) -> None:
    """List the segments by their rows, so that equal documents come in the order of rows.

    A segment is sorted by row within; the index lists its segments by their random names.
    """
    ranges = row_ranges(folder, tantivy.Index.open(str(folder)))
    meta = orjson.loads((folder / _META).read_bytes())
    meta["segments"] = [
        segment
        for _, segment in sorted(
            zip(ranges, meta["segments"], strict=True), key=lambda pair: pair[0]
        )
    ]
    staged = folder / f".{_META}.new"
    staged.write_bytes(orjson.dumps(meta, option=orjson.OPT_INDENT_2))
    staged.replace(folder / _META)


def is_in_row_order(ranges: Sequence[tuple[int, int]]) -> bool:
    """Return whether each segment's rows come after those of the segment before it."""
    return all(before[1] < after[0] for before, after in pairwise(ranges))


def seal(folder: Path, schema: Schema, documents: int) -> None:
    """Write the seal, the last file of a build: a folder without it is half-written."""
    content = {"format": FORMAT, "documents": documents, "fields": _layout(schema)}
    (folder / SEAL).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def open_index(folder: Path, schema: Schema) -> tantivy.Index:
    """Open a sealed index.

    Raises:
        NotFoundError: If there is no index in the folder.
        ChecksumError: If the index is half-written, damaged, or made for another schema.
    """
    if not (folder / SEAL).is_file():
        if not folder.is_dir() or not any(folder.iterdir()):
            raise NotFoundError(f"there is no index in {folder}; run `cascade index build`")
        raise ChecksumError(
            f"the index in {folder} is half-written: it has no {SEAL}; run `cascade index build`"
        )
    try:
        content = orjson.loads((folder / SEAL).read_bytes())
        format_, fields = int(content["format"]), dict(content["fields"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ChecksumError(
            f"{folder / SEAL} is damaged ({error}); build the index again"
        ) from None
    if format_ != FORMAT:
        raise ChecksumError(
            f"the index in {folder} has format {format_}, this version reads {FORMAT}; "
            "build the index again"
        )
    expected = _layout(schema)
    for name in sorted(fields.keys() | expected.keys()):
        if fields.get(name) != expected.get(name):
            raise ChecksumError(
                f"the index in {folder} was built for another schema: field {name!r} was "
                f"{fields.get(name, 'absent')}, the schema says {expected.get(name, 'absent')}; "
                "build the index again"
            )
    try:
        index = tantivy.Index.open(str(folder))
        index.config_reader(reload_policy="manual")
        index.searcher()
    except ValueError as error:
        raise ChecksumError(f"the index in {folder} is damaged: {error}") from error
    return index


def was_updated(folder: Path) -> bool:
    """Return whether the index took changes since its build."""
    return (folder / UPDATED).is_file()


def stamp_of(folder: Path) -> tuple[int, int] | None:
    """Return what changes whenever the index does, None if it is not there."""
    try:
        found = (folder / _META).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def open_updates(folder: Path, index: tantivy.Index) -> tantivy.IndexWriter:
    """Record that the files are no longer those of the build, and open the index for changes."""
    with (folder / UPDATED).open("wb") as stream:
        stream.write(orjson.dumps({"updated": True}))
        stream.flush()
        os.fsync(stream.fileno())
    writer = index.writer(UPDATE_MEMORY_MB * 2**20, num_threads=1)
    _remove_unfinished(folder)
    return writer


def _remove_unfinished(folder: Path) -> None:
    """Remove the lists of deleted documents that a killed process wrote and did not commit.

    The next commit would give its own the same name, and fail. The caller holds the index's lock.
    """
    committed = int(orjson.loads((folder / _META).read_bytes())["opstamp"])
    for path in folder.glob("*.del"):
        number = path.name.split(".")[1]
        if number.isdigit() and int(number) > committed:
            path.unlink(missing_ok=True)


def _layout(schema: Schema) -> dict[str, str]:
    """Return what the index must know of each field, in one phrase; weights may change freely."""
    layout = {}
    for field in schema.fields:
        if field.kind is Kind.TEXT:
            searched = "searched" if field.boost > 0 else "not searched"
            rules = f", synonyms {field.synonyms.name}" if field.synonyms else ""
            layout[field.name] = f"text, {field.analyser}{rules}, {searched}"
        elif field.kind is not Kind.VECTOR:
            layout[field.name] = str(field.kind)
    return layout


@contextmanager
def failing(doing: str) -> Iterator[None]:
    """Turn what the index raises into an `EngineError`."""
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        raise EngineError(f"the embedded engine failed to {doing}: {error}") from error
