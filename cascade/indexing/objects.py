"""Where a store keeps its files: a folder, or an object store that fsspec reaches."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from cascade.errors import CascadeError, OptionalDependencyError

LOCAL_POLL_S = 0.25
REMOTE_POLL_S = 2.0
LEASE_S = 60.0
_RETRY_S = 0.2
_EXTRAS = {"s3": ("s3fs", "aws"), "s3a": ("s3fs", "aws")}


class Objects(Protocol):
    """Hold files by key, as `products-000007/generation.json`; a written file is there whole."""

    @property
    def label(self) -> str:
        """How it is named in messages."""
        ...

    @property
    def poll_s(self) -> float:
        """After how many seconds it is worth looking again, for what others write."""
        ...

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes, None if there is none."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Put a file in place of what was there; readers see the one or the other."""
        ...

    def folders(self) -> list[str]:
        """Return the names that keys begin with, up to the first `/`."""
        ...

    def keys(self, folder: str) -> list[str]:
        """Return the keys below a folder, sorted; locks are left out."""
        ...

    def download(self, key: str, path: Path) -> bool:
        """Copy a file to this machine; return whether it was there."""
        ...

    def upload(self, path: Path, key: str) -> None:
        """Copy a file of this machine."""
        ...

    def remove(self, key: str) -> None:
        """Remove a file, or a folder with all below it; one that is not there is no error."""
        ...

    def alone(self, name: str) -> AbstractContextManager[None]:
        """Hold off everyone else who asks for the same name."""
        ...


class FolderObjects:
    """Hold files in a folder.

    Args:
        root: The folder; made when something is written.
    """

    poll_s = LOCAL_POLL_S

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def label(self) -> str:
        """The folder."""
        return str(self._root)

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes, None if there is none."""
        try:
            return (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, content: bytes) -> None:
        """Write a file beside its place, make it durable and put it there."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with staged.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)

    def folders(self) -> list[str]:
        """Return the names of the folders."""
        if not self._root.is_dir():
            return []
        return sorted(path.name for path in self._root.iterdir() if path.is_dir())

    def keys(self, folder: str) -> list[str]:
        """Return the keys below a folder, sorted."""
        found = (path for path in (self._root / folder).rglob("*") if path.is_file())
        return sorted(p.relative_to(self._root).as_posix() for p in found if p.suffix != ".lock")

    def download(self, key: str, path: Path) -> bool:
        """Copy a file; return whether it was there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(self._root / key, path)
        except FileNotFoundError:
            return False
        return True

    def upload(self, path: Path, key: str) -> None:
        """Copy a file into the folder."""
        to = self._root / key
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)

    def remove(self, key: str) -> None:
        """Remove a file, or a folder with all below it."""
        path = self._root / key
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a lock on the folder, which ends with this process."""
        self._root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class RemoteObjects:
    """Hold files in an object store.

    Args:
        url: As fsspec reads it: `s3://bucket/shop`.

    Raises:
        OptionalDependencyError: If what reaches such stores is not installed.
        CascadeError: If nothing reaches them.
    """

    poll_s = REMOTE_POLL_S

    def __init__(self, url: str) -> None:
        import fsspec

        scheme = url.partition("://")[0]
        try:
            # What others write is to be seen at once, so listings are not kept.
            fs, base = fsspec.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            if scheme in _EXTRAS:
                raise OptionalDependencyError(*_EXTRAS[scheme]) from None
            raise CascadeError(f"the store {url} cannot be reached: {error}") from None
        except ValueError as error:
            raise CascadeError(f"the store {url} cannot be reached: {error}") from None
        self._fs: Any = fs
        self._base = str(base).rstrip("/")
        self._url = url

    @property
    def label(self) -> str:
        """The URL."""
        return self._url

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes, None if there is none."""
        with self._failing("read", key):
            try:
                return bytes(self._fs.cat_file(self._at(key)))
            except FileNotFoundError:
                return None

    def write(self, key: str, content: bytes) -> None:
        """Put a file in its place in one request."""
        with self._failing("write", key):
            self._fs.pipe_file(self._at(key), content)

    def folders(self) -> list[str]:
        """Return the names that keys begin with."""
        with self._failing("list", ""):
            try:
                found = self._fs.ls(self._base, detail=True)
            except FileNotFoundError:
                return []
            names = (str(f["name"]) for f in found if f["type"] == "directory")
            return sorted(name.rstrip("/").rpartition("/")[2] for name in names)

    def keys(self, folder: str) -> list[str]:
        """Return the keys below a folder, sorted."""
        with self._failing("list", folder):
            found = (str(name) for name in self._fs.find(self._at(folder)))
            below = len(self._base) + 1
            return sorted(name[below:] for name in found if not name.endswith(".lock"))

    def download(self, key: str, path: Path) -> bool:
        """Copy a file to this machine; return whether it was there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._failing("read", key):
            try:
                self._fs.get_file(self._at(key), str(path))
            except FileNotFoundError:
                return False
        return True

    def upload(self, path: Path, key: str) -> None:
        """Copy a file of this machine."""
        with self._failing("write", key):
            self._fs.put_file(str(path), self._at(key))

    def remove(self, key: str) -> None:
        """Remove a file, or everything below a folder."""
        with self._failing("remove", key), suppress(FileNotFoundError):
            self._fs.rm(self._at(key), recursive=True)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a lease: an object that only one can make, renewed while it is held.

        One that was not renewed for `LEASE_S` seconds is of a process that ended, and is taken.
        """
        key, owner = f"locks/{name}.json", uuid.uuid4().hex
        while not self._leased(key, owner):
            time.sleep(_RETRY_S)
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(LEASE_S / 4):
                with suppress(CascadeError):  # the next renewal may reach it
                    if self._owner(key) == owner:
                        self.write(key, _lease(owner))

        renewing = threading.Thread(target=renew, name="cascade-lease", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            # One that was not renewed in time, since this machine slept, is another's by then.
            if self._owner(key) == owner:
                self.remove(key)

    def _owner(self, key: str) -> str | None:
        try:
            return str(json.loads(self.read(key) or b"{}")["owner"])
        except (ValueError, KeyError, TypeError):
            return None

    def _leased(self, key: str, owner: str) -> bool:
        with self._failing("lock", key):
            try:
                self._fs.pipe_file(self._at(key), _lease(owner), mode="create")
            except FileExistsError:
                pass
            else:
                return True
        try:
            left = json.loads(self.read(key) or b"{}")
            stale = time.time() - float(left["time"]) > LEASE_S
        except (ValueError, KeyError, TypeError):
            return False
        if stale:
            self.remove(key)
        return False

    def _at(self, key: str) -> str:
        return f"{self._base}/{key}" if key else self._base

    @contextmanager
    def _failing(self, doing: str, key: str) -> Iterator[None]:
        """Turn whatever a store's client raises into an error of ours."""
        try:
            yield
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise CascadeError(
                f"cannot {doing} {key or 'the store'} in {self._url}: {what}"
            ) from error


def _lease(owner: str) -> bytes:
    return json.dumps({"owner": owner, "time": time.time()}).encode()
