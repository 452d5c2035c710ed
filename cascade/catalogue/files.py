"""The files of a catalogue: raw arrays, and a manifest that promises their bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.errors import ChecksumError, NotFoundError

FORMAT = 1
MANIFEST = "manifest.json"
BLOCK_BYTES = 65_536
SAMPLED_BLOCKS = 6
_AGAIN = "build the index again, or restore the folder from where it was copied"


@dataclass(frozen=True)
class ArrayFile:
    """Say what one file holds: dtype, shape, checksum, and checksums of sampled blocks."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str
    blocks: Mapping[str, str]

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


def write_array(folder: Path, name: str, array: NDArray[Any]) -> None:
    """Write one array as it lies in memory."""
    with (folder / name).open("wb") as stream:
        stream.write(np.ascontiguousarray(array).data)


def write_manifest(
    folder: Path, content: Mapping[str, Any], arrays: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
    """Describe every file, write the manifest and make all of it durable."""
    files = {}
    for name, (dtype, shape) in arrays.items():
        path = folder / name
        described = _described(path, dtype, shape)
        if path.stat().st_size != described.bytes:
            raise ChecksumError(f"{path} has {path.stat().st_size} bytes, not {described.bytes}")
        files[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "sha256": described.sha256,
            "blocks": described.blocks,
        }
    whole = {"format": FORMAT, **content, "files": files}
    whole["digest"] = _digest(whole)
    with (folder / MANIFEST).open("w", encoding="utf-8") as stream:
        json.dump(whole, stream, indent=1)
    for path in folder.iterdir():
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a manifest whose own bytes are whole.

    Raises:
        NotFoundError: If there is no such folder.
        ChecksumError: If it is damaged, half-written or of another format.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no catalogue at {folder}; `cascade index build` makes one")
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        promised = content.pop("digest")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ChecksumError(
            f"the catalogue {folder} is half-written or damaged ({MANIFEST}: {error}); {_AGAIN}"
        ) from None
    if _digest(content) != promised:
        raise ChecksumError(f"{folder / MANIFEST} was changed after it was written; {_AGAIN}")
    if content["format"] != FORMAT:
        raise ChecksumError(
            f"{folder} is of format {content['format']}, this release reads {FORMAT}; {_AGAIN}"
        )
    return content


def open_arrays(
    folder: Path, files: Mapping[str, Mapping[str, Any]], *, verify: bool
) -> dict[str, NDArray[Any]]:
    """Map every array read-only, after checking length and sampled blocks of each.

    Args:
        folder: The catalogue.
        files: The manifest's description of each file.
        verify: Compare the checksum of every byte as well.

    Raises:
        ChecksumError: Naming the file that is not what the manifest promises.
    """
    return {name: _open(folder / name, _parsed(raw), verify) for name, raw in files.items()}


def _open(path: Path, promised: ArrayFile, verify: bool) -> NDArray[Any]:
    try:
        size = path.stat().st_size
    except OSError:
        raise ChecksumError(f"{path} is missing; {_AGAIN}") from None
    if size != promised.bytes:
        raise ChecksumError(f"{path} has {size:,} bytes, not {promised.bytes:,}; {_AGAIN}")
    if size == 0:
        return np.empty(promised.shape, dtype=promised.dtype)
    found = _blocks(path, (int(number) for number in promised.blocks))
    damaged = found != dict(promised.blocks)
    if damaged or (verify and _sha256(path) != promised.sha256):
        raise ChecksumError(f"{path} is not what its manifest promises; {_AGAIN}")
    mapped = np.memmap(path, dtype=promised.dtype, mode="r", shape=promised.shape)
    # A plain array over the same pages: indexing a memmap object costs microseconds more.
    return mapped.view(np.ndarray)


def _parsed(raw: Mapping[str, Any]) -> ArrayFile:
    return ArrayFile(str(raw["dtype"]), tuple(raw["shape"]), str(raw["sha256"]), raw["blocks"])


def _described(path: Path, dtype: str, shape: tuple[int, ...]) -> ArrayFile:
    count = -(-path.stat().st_size // BLOCK_BYTES)
    sampled = sorted({round(i * (count - 1) / (SAMPLED_BLOCKS - 1)) for i in range(SAMPLED_BLOCKS)})
    blocks = _blocks(path, (b for b in sampled if b < count)) if count else {}
    return ArrayFile(dtype, shape, _sha256(path), blocks)


def _blocks(path: Path, numbers: Iterable[int]) -> dict[str, str]:
    found = {}
    with path.open("rb") as stream:
        for number in numbers:
            stream.seek(number * BLOCK_BYTES)
            found[str(number)] = xxhash.xxh3_64_hexdigest(stream.read(BLOCK_BYTES))
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()
