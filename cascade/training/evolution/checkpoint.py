"""A search on disk: it continues after any interruption as if there had been none."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cascade.errors import ChecksumError, InputError

Value: TypeAlias = "NDArray[Any] | int | float | str"
State: TypeAlias = "Mapping[str, Value]"
FORM = 1
INDEX = "search.json"


@dataclass(frozen=True)
class Checkpoint:
    """Keep the state of one search in a folder.

    A save writes the arrays to a file of their own and then replaces `search.json`, which names
    it with its checksum. The replacement is one step of the file system: a process that is killed
    at any moment leaves the whole of the earlier or the whole of the later state.

    Attributes:
        folder: Where; made when something is saved.
        setup: What the search is, in words or a hash. A state that another setup wrote is refused.
    """

    folder: Path
    setup: str = ""

    def save(self, state: State) -> None:
        """Write a state in place of the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {k: v for k, v in state.items() if isinstance(v, np.ndarray)}
        plain = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        content = stream.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        name = f"search-{digest[:16]}.npz"
        _replace(self.folder / name, content)
        index = {"form": FORM, "setup": self.setup, "arrays": name, "sha256": digest}
        _replace(self.folder / INDEX, json.dumps({**index, "values": plain}, indent=1).encode())
        for old in self.folder.glob("search-*.npz"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def load(self) -> dict[str, Value] | None:
        """Return the state as it was saved, bit for bit; None if there is none.

        Raises:
            InputError: If another setup wrote it.
            ChecksumError: If the arrays are not those that were written.
        """
        path = self.folder / INDEX
        if not path.exists():
            return None
        index = json.loads(path.read_bytes())
        if index.get("form") != FORM or index.get("setup") != self.setup:
            raise InputError(
                f"{path}: is of a search with other settings; continue it with those, "
                "or give another folder"
            )
        content = (self.folder / index["arrays"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != index["sha256"]:
            raise ChecksumError(f"{self.folder / index['arrays']}: is not what was written")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {**index["values"], **{name: arrays[name] for name in arrays.files}}


def nested(prefix: str, state: State) -> dict[str, Value]:
    """Return a part's state under a prefix, as `prefix/name`."""
    return {f"{prefix}/{name}": value for name, value in state.items()}


def part(prefix: str, state: State) -> dict[str, Value]:
    """Return what `nested` put under a prefix."""
    head = f"{prefix}/"
    return {k.removeprefix(head): v for k, v in state.items() if k.startswith(head)}


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.writing")
    with beside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
