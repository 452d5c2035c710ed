"""Bringing what the log has into one index, from where it stands to the log's end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cascade.catalogue.entries import CHANGES, Entry, Op
from cascade.catalogue.files import read_manifest
from cascade.errors import ChecksumError, DocumentError
from cascade.hosting import Change, IndexHost, Place
from cascade.indexing.generations import Generation
from cascade.indexing.log import Log
from cascade.schema import Field, Kind, Role, Schema

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Applied:
    """Say how far an index has come in the log.

    Attributes:
        position: The last entry that it has.
        rows: How many rows the entries since its build take.
        identity: Of the index; another one under the same name has nothing of it.
    """

    position: int
    rows: int = 0
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Say which index receives the log.

    Attributes:
        place: Where it is.
        schema: Its fields.
        base: How many rows its build has; what comes later is numbered from there.
        start: The place in the log that its build began from, and where a replay begins.
    """

    place: Place
    schema: Schema
    base: int
    start: Applied

    @property
    def record(self) -> Path:
        """The file that says how far the index has come: beside the folder of its generation."""
        return self.place.folder.parent.parent / f"{self.place.name}.applied.json"

    def applied(self) -> Applied:
        """Return how far the index has come; where that is not known, as far as its build."""
        try:
            found = Applied(**json.loads(self.record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return self.start
        return found if found.identity == self.start.identity else self.start


def target_of(generation: Generation, schema: Schema) -> Target:
    """Return the index of a generation as a receiver of the log.

    Args:
        generation: Which.
        schema: The fields of today; a generation that was built from others keeps its own.
    """
    manifest = generation.manifest
    start = Applied(position_of(manifest), 0, str(manifest.get("index", {}).get("identity", "")))
    own = schema_of(generation, schema)
    return Target(generation.place, own, int(manifest["documents"]), start)


def position_of(manifest: Mapping[str, Any]) -> int:
    """Return where in the log a generation's build began, 0 if there was no log."""
    return int(manifest.get("log_position") or 0)


def schema_of(generation: Generation, schema: Schema) -> Schema:
    """Return the fields that a generation was built from.

    Raises:
        NotFoundError: If they are others than `schema`, and the catalogue that holds their
            synonyms is not on this machine.
    """
    made = generation.manifest["schema"]
    if made == schema.definition():
        return schema
    kept: dict[str, str] = {}
    if any(raw["synonyms"] for raw in made["fields"]):
        kept = read_manifest(generation.catalogue)["synonyms"]
    known = Field.__dataclass_fields__.keys()
    fields = []
    for raw in made["fields"]:
        given = {key: value for key, value in raw.items() if key in known and value is not None}
        given |= {"kind": Kind(raw["kind"]), "source": tuple(raw["source"])}
        if "roles" in raw:
            given["given_roles"] = frozenset(map(Role, raw["roles"]))
        if raw["synonyms"]:
            given["synonyms"] = generation.catalogue / kept[raw["name"]]
        fields.append(Field(**given))
    return Schema(made["id"], tuple(fields), source=str(generation.path))


def replay(log: Log, host: IndexHost, target: Target) -> list[str]:
    """Bring an index to the end of the log; return why the server refused what it refused.

    The index's place in the log is written after the server's acknowledgement, so what a killed
    process leaves is applied again, which changes nothing.

    Raises:
        ChecksumError: If the log ends before the index's place in it, or is damaged.
        EngineError: If the server fails.
    """
    applied = target.applied()
    if applied.position > (end := log.position):
        raise ChecksumError(
            f"the log {log.folder} ends at entry {end}, and {target.place.name} has those up to "
            f"{applied.position}: the log was lost; restore it, or build the index again"
        )
    refused = []
    for entries, is_last in _batches(log.read(applied.position)):
        changes, rows = changes_of(entries, target, applied.rows)
        if changes:
            try:
                host.apply(target.place, target.schema, changes, refresh=is_last)
            except DocumentError as error:
                refused.append(str(error))
        applied = Applied(entries[-1].seq, rows, applied.identity)
        _write(target.record, applied)
    return refused


def changes_of(entries: Sequence[Entry], target: Target, rows: int) -> tuple[list[Change], int]:
    """Return what entries do to an index, the last of each document alone, and the rows so far.

    An upsert that the schema does not accept takes a row and changes nothing, as in a
    `LiveCatalogue`.

    Args:
        entries: In order, without gaps.
        target: The index.
        rows: How many rows the entries before took.
    """
    changes: dict[str, Change] = {}
    for entry in entries:
        if entry.op not in CHANGES:
            continue
        change: Change | None = Change(entry.doc_id)
        if entry.op is Op.UPSERT:
            change = _upsert(entry, target, target.base + rows)
            rows += 1
        if change is not None:
            changes.pop(entry.doc_id, None)
            changes[entry.doc_id] = change
    return list(changes.values()), rows


def _upsert(entry: Entry, target: Target, row: int) -> Change | None:
    try:
        document = target.schema.document(entry.document or {})
    except DocumentError:
        return None
    return Change(document.id, row, document) if document.id == entry.doc_id else None


def _batches(entries: Iterator[Entry]) -> Iterator[tuple[list[Entry], bool]]:
    """Yield entries in batches, and whether each is the last."""
    batch: list[Entry] = []
    for entry in entries:
        if len(batch) == BATCH:
            yield batch, False
            batch = []
        batch.append(entry)
    if batch:
        yield batch, True


def _write(path: Path, applied: Applied) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(json.dumps(asdict(applied)), encoding="utf-8")
    staged.replace(path)
