"""Checkpoints: how far a build came, so that a later one goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from cascade.errors import ChecksumError, EngineError, NotFoundError
from cascade.hosting import IndexHost, Place, Rejected
from cascade.indexing.generations import CHECKPOINT
from cascade.indexing.sources import Source
from cascade.schema import Kind, Schema
from cascade.text import analyser

ASKED_AGAIN = 10
ASKED_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Builder:
    """Name the process that builds, for whoever must wait for it."""

    pid: int
    host: str
    started: str

    @classmethod
    def this(cls) -> Builder:
        """Return this process."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), started)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Hold what a build must find unchanged to go on, and how far it came.

    Attributes:
        source: The identity of what it reads.
        schema: The digest of the fields and their analysis.
        kind: The engine's name.
        build: Drawn for each build, and written into its index when that is made.
        builder: Who builds.
        identity: That of the index; "" before it is made.
        acknowledged: How many documents, counted from the first, the server has answered for.
        refused: Those among them that it refused.
        log_position: Where in the log of updates the build began, if there is a log.
        replaying: Whether the log's updates are on their way into the index, whose documents can
            then no longer be counted: such a build is not gone on with.
    """

    source: str
    schema: str
    kind: str
    build: str = field(default_factory=lambda: uuid.uuid4().hex)
    builder: Builder = field(default_factory=Builder.this)
    identity: str = ""
    acknowledged: int = 0
    refused: tuple[Rejected, ...] = ()
    log_position: int | None = None
    replaying: bool = False

    def write(self, folder: Path) -> None:
        """Put it in its place, durably, in place of the one before."""
        staged = folder / f".{CHECKPOINT}"
        with staged.open("w", encoding="utf-8") as stream:
            json.dump(asdict(self), stream)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(folder / CHECKPOINT)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @classmethod
    def read(cls, folder: Path) -> Checkpoint | None:
        """Return the checkpoint of a folder; None if there is none that can be read."""
        try:
            told = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
            told["builder"] = Builder(**told["builder"])
            told["refused"] = tuple(Rejected(**one) for one in told["refused"])
            return cls(**{f.name: told[f.name] for f in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Resuming:
    """Go on with what a killed build of the same documents and fields left, or remove it.

    Attributes:
        host: Who holds the indexes.
        source: What is read.
        begun: The checkpoint of a build that begins.
        sleep: Waits, seconds.
    """

    host: IndexHost
    source: Source
    begun: Checkpoint
    sleep: Callable[[float], None] = time.sleep

    def resumes(self, name: str, folder: Path) -> bool:
        """Return whether a folder holds this very build, and the server what it acknowledged.

        Raises:
            EngineError: If the server cannot be asked.
        """
        left = Checkpoint.read(folder)
        if left is None or not left.acknowledged or left.replaying:
            return False
        if (left.source, left.schema, left.kind) != (
            self.begun.source,
            self.begun.schema,
            self.begun.kind,
        ) or not self.source.ready(folder):
            return False
        return self._identity(place_in(name, folder)) == left.identity

    def _identity(self, place: Place) -> str | None:
        """Return the identity of an index, None if there is none.

        A server that has just come up may not know all of its indexes yet, or still read its log
        of them: it is asked again before hours of work are given up.

        Raises:
            EngineError: If the server cannot be asked to the last.
        """
        for _ in range(ASKED_AGAIN):
            with suppress(NotFoundError, ChecksumError, EngineError):
                return self.host.state(place).identity
            self.sleep(ASKED_EVERY_S)
        try:
            return self.host.state(place).identity
        except (NotFoundError, ChecksumError):
            return None

    def release(self, name: str, folder: Path) -> None:
        """Drop the index that a folder's build made; one that another build made is kept.

        Raises:
            EngineError: If the server cannot be asked.
        """
        left = Checkpoint.read(folder)
        if left is None or left.kind != self.host.kind:
            return
        place = place_in(name, folder)
        try:
            made_by = self.host.state(place).about.get("build")
        except (NotFoundError, ChecksumError):
            return
        if made_by == left.build:
            self.host.drop(place)


def place_in(name: str, folder: Path) -> Place:
    """Return the place of the index of a generation in a folder."""
    return Place(name, folder / "engine")


def schema_digest(schema: Schema) -> str:
    """Return a digest over the fields, their analysers and the rules of their synonyms."""
    analysed: Iterable[tuple[str, str]] = [
        (f.name, analyser(f.analyser, f.synonyms).fingerprint)
        for f in schema.of_kind(Kind.TEXT, Kind.KEYWORD)
    ]
    content = json.dumps([schema.definition(), list(analysed)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
