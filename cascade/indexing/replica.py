"""A store elsewhere: generations are published there, and pulled into a folder of this machine."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cascade.errors import CascadeError, ChecksumError, InputError, RefusedError
from cascade.indexing.generations import CHECKPOINT, MANIFEST, Generation, Leftovers, Store
from cascade.indexing.objects import FolderObjects, Objects, RemoteObjects
from cascade.indexing.verify import verify_files

TRIES = 3
_PULLING = ".pulling-"
# An index that takes updates names its files here: read first, so that what it names is there.
_FIRST = "engine/meta.json"
_FILE = "file://"


class CachedStore(Store):
    """Keep generations elsewhere, and copies of those that are used in a folder.

    A copy is there whole or not at all, and every checksum of it was compared.

    Args:
        objects: Where generations are published.
        index: The index's name.
        cache: The folder of the copies.
    """

    def __init__(self, objects: Objects, index: str, cache: Path) -> None:
        super().__init__(cache, index)
        self.objects = objects

    def names(self) -> list[str]:
        """Return the whole generations that are published, the oldest first."""
        return [
            name
            for name in sorted(self._published())
            if self.objects.read(f"{name}/{MANIFEST}") is not None
        ]

    def get(self, name: str) -> Generation:
        """Return a generation by name, pulled to this machine if it is not there yet.

        Raises:
            ChecksumError: If it is not whole, or not what it promises.
        """
        found = self.listed(name)
        if not self._is_here(found):
            with self._pulling():
                if not self._is_here(found):
                    self._pull(found)
        return found

    @contextmanager
    def stage(
        self, leftovers: Leftovers | None = None, taken: Iterable[str] = ()
    ) -> Iterator[tuple[str, Path]]:
        """Give the name of a generation and the folder to build it in, on this machine."""
        with super().stage(leftovers, (*taken, *self._published())) as staged:
            yield staged

    def publish(self, name: str, staged: Path, manifest: Mapping[str, Any]) -> Generation:
        """Copy a finished folder into the store, its manifest last, and keep it here.

        Raises:
            RefusedError: If another build has published this name.
        """
        if self.objects.read(f"{name}/{MANIFEST}") is not None:
            raise RefusedError(
                f"{name} is in {self.objects.label} already, by another build; build again"
            )
        for key in FolderObjects(staged).keys(""):
            if key not in (MANIFEST, CHECKPOINT):
                self.objects.upload(staged / key, f"{name}/{key}")
        content = json.dumps({"generation": name, "created": time.time(), **manifest}).encode()
        (staged / MANIFEST).write_bytes(content)
        shutil.rmtree(self.root / name, ignore_errors=True)
        staged.rename(self.root / name)
        self.objects.write(f"{name}/{MANIFEST}", content)
        return self.get(name)

    def remove(self, name: str) -> None:
        """Remove a generation, and the copy of it."""
        super().remove(name)
        shutil.rmtree(self.root / name, ignore_errors=True)

    def trim(self, wanted: Collection[str]) -> None:
        """Remove the copies of other generations than these."""
        if not self.root.is_dir():
            return
        for path in self.root.iterdir():
            if self._pattern.match(path.name) and path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    def _published(self) -> list[str]:
        return [name for name in self.objects.folders() if self._pattern.match(name)]

    def _is_here(self, found: Generation) -> bool:
        """Return whether the copy is of this very build: an index made anew has other dates."""
        try:
            return bool(json.loads((found.path / MANIFEST).read_bytes()) == found.manifest)
        except (OSError, ValueError):
            return False

    @contextmanager
    def _pulling(self) -> Iterator[None]:
        """Hold off other processes that pull into the same folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _pull(self, found: Generation) -> None:
        for left in self.root.glob(f"{_PULLING}*"):
            shutil.rmtree(left, ignore_errors=True)
        staged = self.root / f"{_PULLING}{found.name}"
        try:
            self._copy(found, staged)
            (staged / MANIFEST).write_text(json.dumps(dict(found.manifest)), encoding="utf-8")
            shutil.rmtree(found.path, ignore_errors=True)
            staged.rename(found.path)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _copy(self, found: Generation, staged: Path) -> None:
        """Copy a generation and verify it, again where files changed under the copying."""
        for tried in range(1, TRIES + 1):
            shutil.rmtree(staged, ignore_errors=True)
            try:
                for key in self._keys(found.name):
                    if not self.objects.download(f"{found.name}/{key}", staged / key):
                        raise ChecksumError(f"{self.objects.label}/{found.name}/{key} is gone")
                verify_files(Generation(found.name, staged, found.manifest))
            except CascadeError as error:
                if tried == TRIES:
                    raise ChecksumError(
                        f"{found.name} cannot be pulled from {self.objects.label}: {error}"
                    ) from error
            else:
                return

    def _keys(self, name: str) -> list[str]:
        keys = [key.removeprefix(f"{name}/") for key in self.objects.keys(name)]
        return sorted((key for key in keys if key != MANIFEST), key=lambda k: (k != _FIRST, k))


def open_store(location: Path | str, index: str, cache: Path | None) -> Store:
    """Return the store at a place.

    Args:
        location: A folder, or a URL that fsspec reads.
        index: The index's name.
        cache: The folder of this machine for copies; None opens a folder's generations where
            they lie.

    Raises:
        InputError: If an object store is given without a folder for copies.
        OptionalDependencyError: If what reaches such stores is not installed.
    """
    if isinstance(location, str) and location.startswith(_FILE):
        location = Path(location.removeprefix(_FILE))
    if isinstance(location, Path):
        if cache is None:
            return Store(location, index)
        return CachedStore(FolderObjects(location), index, cache)
    if cache is None:
        raise InputError(
            f"index.store: {location} is no folder of this machine; give index.cache, the folder "
            "into which its generations are pulled"
        )
    return CachedStore(RemoteObjects(location), index, cache)
