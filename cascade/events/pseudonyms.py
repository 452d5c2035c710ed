"""Pseudonyms: names for visitors that say nothing of them, and change with a rotating salt.

A pseudonym is the keyed hash (BLAKE2b, RFC 7693) of an id. Its key, the salt, holds for one
period: within it an id has one pseudonym, across periods nobody without the salts can link them.
Each salt is a file that names its period; a pseudonym can be found again as long as it is kept.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from cascade.errors import InputError, RefusedError

DAY_S = 86_400
SALT_BYTES = 32
PSEUDONYM_BYTES = 12
_SUFFIX = ".salt"


@dataclass(frozen=True)
class Pseudonyms:
    """Give pseudonyms under the salts of a folder, and make the salt of a period when it begins.

    Attributes:
        folder: Holds one file a salt, readable by its owner alone; it is made when needed.
        rotate_days: The length of a period, 1 or more whole days; periods begin at 1970-01-01 UTC.
    """

    folder: Path
    rotate_days: int = 30
    _salts: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rotate_days < 1:
            raise InputError(f"rotate_days is {self.rotate_days}; accepted is 1 or more")

    def of(self, ids: Sequence[str | None], time: float) -> list[str | None]:
        """Return the pseudonyms of ids at a time in seconds since 1970; None stays None.

        Raises:
            RefusedError: If the file of a salt is damaged.
        """
        return self._named(ids, int(time // (self.rotate_days * DAY_S)))

    def column(self, ids: Sequence[str | None], times: ArrayLike) -> list[str | None]:
        """Return the pseudonym of each id at its own time, as `of` does for one time."""
        periods = np.floor_divide(np.asarray(times, np.float64), self.rotate_days * DAY_S)
        first = periods[0] if len(periods) else 0.0
        if (periods == first).all():
            return self._named(ids, int(first))
        named: list[str | None] = [None] * len(ids)
        for period in np.unique(periods).tolist():
            at = np.nonzero(periods == period)[0].tolist()
            found = self._named([ids[i] for i in at], int(period))
            for i, name in zip(at, found, strict=True):
                named[i] = name
        return named

    def every(self, name: str) -> list[str]:
        """Return the pseudonyms of an id under every salt that is kept, also of other periods."""
        return [_pseudonym(name, _read(path)) for path in self._files()]

    def forget(self, before: float) -> int:
        """Remove the salts whose period ended by a time; return how many.

        What they named can no longer be linked to an id, so remove first what they named.
        """
        gone = 0
        for path in self._files():
            start, days = _named(path)
            if start + days * DAY_S <= before:
                path.unlink(missing_ok=True)
                self._salts.pop(start // (self.rotate_days * DAY_S), None)
                gone += 1
        return gone

    def _named(self, ids: Sequence[str | None], period: int) -> list[str | None]:
        """Return pseudonyms of one period; each id is hashed once."""
        names = {name for name in ids if name is not None}
        # A period in which nobody came needs no salt.
        salt = self._salt(period) if names else b""
        known: dict[str | None, str | None] = {name: _pseudonym(name, salt) for name in names}
        return [known.get(name) for name in ids]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{_SUFFIX}"))

    def _salt(self, period: int) -> bytes:
        if period not in self._salts:
            start = period * self.rotate_days * DAY_S
            path = self.folder / f"{start}-{self.rotate_days}{_SUFFIX}"
            if not path.exists():
                _make(path)
            self._salts[period] = _read(path)
        return self._salts[period]


def _pseudonym(name: str, salt: bytes) -> str:
    return blake2b(name.encode(), key=salt, digest_size=PSEUDONYM_BYTES).hexdigest()


def _named(path: Path) -> tuple[int, int]:
    start, _, days = path.name.removesuffix(_SUFFIX).rpartition("-")
    try:
        return int(start), int(days)
    except ValueError:
        raise RefusedError(f"{path} is no salt of this system; move it elsewhere") from None


def _read(path: Path) -> bytes:
    salt = path.read_bytes()
    if len(salt) != SALT_BYTES:
        raise RefusedError(
            f"{path} holds {len(salt)} bytes, a salt has {SALT_BYTES}; restore it from a backup, "
            "or remove it and lose the link from ids to what it named"
        )
    return salt


def _make(path: Path) -> None:
    """Write a salt whole; where another process was first, its salt stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(SALT_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(staged, path)
        except FileExistsError:
            return
    finally:
        staged.unlink(missing_ok=True)
