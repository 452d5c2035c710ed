"""Generations in a store: `<store>/<index>-000001/`, and a pointer to the live one."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cascade.errors import ChecksumError, NotFoundError, RefusedError
from cascade.hosting import Place
from cascade.indexing.holds import held
from cascade.indexing.objects import FolderObjects, Objects

MANIFEST = "generation.json"
IDENTITY = "store.json"
CHECKPOINT = "checkpoint.json"
"""The file of a staged folder that says how far a build came, and that it can be gone on with."""
BUILDING = ".building-"


class Leftovers(Protocol):
    """Say what becomes of the folders of builds that were killed."""

    def resumes(self, name: str, folder: Path) -> bool:
        """Return whether this build goes on where that one ended."""
        ...

    def release(self, name: str, folder: Path) -> None:
        """Let go of what lies elsewhere and belongs to a folder that is about to be removed."""
        ...


@dataclass(frozen=True, slots=True)
class Pointer:
    """Say which generation is live, and which was before it."""

    generation: str
    previous: str | None = None


@dataclass(frozen=True)
class Generation:
    """Name one build: an engine index, a catalogue and a manifest."""

    name: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def created(self) -> float:
        """When it was built, in seconds since 1970."""
        return float(self.manifest["created"])

    @property
    def current(self) -> float:
        """When what it was built from was current, in seconds since 1970, as far as is known."""
        return float(self.manifest.get("index", {}).get("read", self.created))

    @property
    def place(self) -> Place:
        """Where its index is."""
        index = self.manifest.get("index", {})
        return Place(str(index.get("name", self.name)), self.engine)

    @property
    def catalogue(self) -> Path:
        """The folder of the catalogue."""
        return self.path / "catalogue"

    @property
    def engine(self) -> Path:
        """The folder of the embedded engine's index."""
        return self.path / "engine"


class Store:
    """Keep the generations of one index.

    Args:
        root: The folder.
        index: The index's name.
    """

    def __init__(self, root: Path, index: str) -> None:
        self.root = root
        self.index = index
        self.objects: Objects = FolderObjects(root)
        self._pattern = re.compile(re.escape(index) + r"-(\d{6})\Z")

    def names(self) -> list[str]:
        """Return the whole generations, the oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(
            p.name
            for p in self.root.iterdir()
            if self._pattern.match(p.name) and (p / MANIFEST).is_file()
        )

    def pointer(self) -> Pointer | None:
        """Return which generation is live, if one is.

        Raises:
            ChecksumError: If what says so is damaged.
        """
        key = self._pointer_key()
        raw = self.objects.read(key)
        if raw is None:
            return None
        try:
            content = json.loads(raw)
            previous = content.get("previous")
            return Pointer(str(content["generation"]), None if previous is None else str(previous))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ChecksumError(f"{self.objects.label}/{key} is damaged: {error}") from None

    def live_name(self) -> str | None:
        """Return the name of the live generation, if there is one."""
        pointer = self.pointer()
        return None if pointer is None else pointer.generation

    def live(self) -> Generation:
        """Return the live generation.

        Raises:
            NotFoundError: If none was built.
            ChecksumError: If its folder is not whole.
        """
        return self.get(self.live_pointer().generation)

    def live_pointer(self) -> Pointer:
        """Return which generation is live.

        Raises:
            NotFoundError: If none was built.
        """
        pointer = self.pointer()
        if pointer is None:
            raise NotFoundError(
                f"there is no index {self.index!r} in {self.objects.label}; "
                "`cascade index build` makes one (from product files: --input FILE)"
            )
        return pointer

    def get(self, name: str) -> Generation:
        """Return a generation by name.

        Raises:
            ChecksumError: If its folder is not whole.
        """
        return self.listed(name)

    def listed(self, name: str) -> Generation:
        """Return what a generation says of itself; its files need not be on this machine.

        Raises:
            ChecksumError: If it is not whole.
        """
        raw = self.objects.read(f"{name}/{MANIFEST}")
        where = f"{self.objects.label}/{name}"
        if raw is None:
            raise ChecksumError(f"{where} is missing or half-written; build the index again")
        try:
            manifest = json.loads(raw)
        except ValueError as error:
            raise ChecksumError(f"{where}/{MANIFEST} is damaged: {error}") from None
        return Generation(name, self.root / name, manifest)

    @contextmanager
    def stage(
        self, leftovers: Leftovers | None = None, taken: Iterable[str] = ()
    ) -> Iterator[tuple[str, Path]]:
        """Give the name of a generation and the folder to build it in.

        A build that runs holds a lock on its folder, which ends with its process; so what builds
        of this index left behind when they were killed is told apart, and is gone on with or
        removed first. At the end the folder goes, unless it has a checkpoint to go on from.

        Args:
            leftovers: What becomes of them; without, they are removed.
            taken: Names that are not to be given, beside those of this folder.

        Raises:
            RefusedError: If a build of this index runs.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with self.alone():
            path, held = self._leftover(leftovers)
            if path is None:
                there = [p.name.removeprefix(BUILDING) for p in self.root.iterdir()]
                numbers = [int(m.group(1)) for m in map(self._pattern.match, [*there, *taken]) if m]
                name = f"{self.index}-{max(numbers, default=0) + 1:06d}"
                path = self.root / f"{BUILDING}{name}"
                path.mkdir()
                held = _locked(path, wait=True)
        try:
            yield path.name.removeprefix(BUILDING), path
        finally:
            if not (path / CHECKPOINT).is_file():
                shutil.rmtree(path, ignore_errors=True)
            os.close(held)

    def publish(self, name: str, staged: Path, manifest: Mapping[str, Any]) -> Generation:
        """Put a finished folder in its place, whole."""
        content = {"generation": name, "created": time.time(), **manifest}
        _write(staged / MANIFEST, content)
        staged.rename(self.root / name)
        return self.get(name)

    def make_live(self, name: str) -> None:
        """Let a generation be the one that new readers open."""
        before = self.pointer()
        if before is not None and before.generation == name:
            return
        self.point(Pointer(name, None if before is None else before.generation))

    def point(self, pointer: Pointer) -> None:
        """Say which generation is live."""
        content = {"generation": pointer.generation, "previous": pointer.previous}
        self.objects.write(self._pointer_key(), json.dumps(content).encode())

    def spared(self, keep: int) -> dict[str, str]:
        """Return why each of the generations that must stay does.

        The newest `keep` stay, the live one, the one before it, and those that a process holds.
        """
        spared = dict.fromkeys(self.names()[-keep:], f"one of the newest {keep}")
        for name, replicas in held(self.objects, self.index).items():
            spared[name] = f"held by {', '.join(sorted(replicas))}"
        if (pointer := self.pointer()) is not None:
            if pointer.previous is not None:
                spared[pointer.previous] = "a rollback goes back to it"
            spared[pointer.generation] = "live"
        return spared

    def prune(self, keep: int) -> list[str]:
        """Remove every generation that nothing spares; return their names."""
        spared = self.spared(keep)
        old = [name for name in self.names() if name not in spared]
        for name in old:
            self.remove(name)
        return old

    def remove(self, name: str) -> None:
        """Remove a generation; it is no longer one from the first moment on."""
        self.objects.remove(f"{name}/{MANIFEST}")
        self.objects.remove(name)
        # What others keep beside it under its name: refused lines, and how far it came in the log.
        for path in self.root.glob(f"{name}.*"):
            path.unlink(missing_ok=True)

    def trim(self, wanted: Collection[str]) -> None:
        """Remove copies that this machine made of other generations; a plain folder has none."""

    def identity(self) -> str:
        """Return what tells this store from every other, made when it is first asked for.

        It is kept in each index that is built, so that a store never takes another's for its own.
        """
        if (raw := self.objects.read(IDENTITY)) is None:
            with self.alone():
                if (raw := self.objects.read(IDENTITY)) is None:
                    raw = json.dumps({"store": uuid.uuid4().hex}).encode()
                    self.objects.write(IDENTITY, raw)
        return str(json.loads(raw)["store"])

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off other builds while the set of generations, or the live one, changes.

        Not to be entered again by whoever is in it.
        """
        with self.objects.alone(self.index):
            yield

    def _pointer_key(self) -> str:
        return f"{self.index}.live.json"

    def _leftover(self, leftovers: Leftovers | None) -> tuple[Path | None, int]:
        """Return the folder to go on with, locked; remove the others."""
        left = [
            path
            for path in sorted(self.root.glob(f"{BUILDING}*"), reverse=True)
            if self._pattern.match(path.name.removeprefix(BUILDING))
        ]
        locks: list[int] = []
        kept: tuple[Path | None, int] = (None, -1)
        try:
            for path in left:
                locks.append(self._locked_leftover(path))
            for path, lock in zip(left, locks, strict=True):
                name = path.name.removeprefix(BUILDING)
                if leftovers is not None and kept[0] is None and leftovers.resumes(name, path):
                    kept = path, lock
                    continue
                if leftovers is not None:
                    leftovers.release(name, path)
                shutil.rmtree(path, ignore_errors=True)
        except BaseException:
            kept = None, -1
            raise
        finally:
            for lock in locks:
                if lock != kept[1]:
                    os.close(lock)
        return kept

    def _locked_leftover(self, path: Path) -> int:
        try:
            return _locked(path, wait=False)
        except BlockingIOError:
            raise RefusedError(
                f"a build of {self.index!r} runs: {path.name.removeprefix(BUILDING)}, "
                f"{_builder(path)}; wait for it, or end that process"
            ) from None


def _locked(folder: Path, *, wait: bool) -> int:
    """Return the descriptor of a folder under a lock that ends when it is closed.

    Raises:
        OSError: If another holds it and this does not wait.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _builder(path: Path) -> str:
    """Say who builds in a folder, as its checkpoint tells."""
    try:
        told = json.loads((path / CHECKPOINT).read_text(encoding="utf-8"))["builder"]
        return f"by process {told['pid']} on {told['host']} since {told['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"which holds {path}"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
