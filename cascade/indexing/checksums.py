"""Checksums of the engine's files, promised by a generation's manifest when it is published."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cascade.engines._embedded.index import UPDATED
from cascade.errors import ChecksumError

_AGAIN = "build the index again, or restore the folder from where it was copied"


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder by its relative path; locks hold nothing."""
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def compare(folder: Path, promised: Mapping[str, str] | None) -> bool:
    """Compare an engine's files with what was promised; return whether it took updates since.

    Updates add files, take files away and write JSON files anew, and change no other: what is
    left of the build's own files is compared after them as well.

    Raises:
        ChecksumError: Naming the file that is missing or not what was promised.
    """
    if promised is None:
        raise ChecksumError(f"the generation of {folder} promises no checksums of it; {_AGAIN}")
    updated = (folder / UPDATED).is_file()
    for name, promise in promised.items():
        path = folder / name
        if not path.is_file():
            if not updated:
                raise ChecksumError(f"{path} is missing; {_AGAIN}")
        elif _sha256(path) != promise and not (updated and path.suffix == ".json"):
            raise ChecksumError(f"{path} is not what its generation promises; {_AGAIN}")
    return updated


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
