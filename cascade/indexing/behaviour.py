"""Counts beside the generations of an index: `<store>/behaviour/<index>/000001-*.counts`.

Each update adds a file and then says that it is the live one; an index is not built again for it.
"""

from __future__ import annotations

import json
import logging
import math
import uuid
from contextlib import suppress
from dataclasses import dataclass

from cascade.behaviour import BoundCounts, Snapshot, open_snapshot, write_snapshot
from cascade.behaviour.binding import Named
from cascade.errors import CascadeError, ChecksumError, NotFoundError
from cascade.indexing.generations import Store

FOLDER = "behaviour"
POINTER = "live.json"
SUFFIX = ".counts"
KEPT = 3
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class BehaviourStore:
    """Keep the counts of one index in its store; the newest `KEPT` stay.

    Attributes:
        store: The store of the index's generations.
    """

    store: Store

    @property
    def folder(self) -> str:
        """The folder within the store."""
        return f"{FOLDER}/{self.store.index}"

    def names(self) -> list[str]:
        """Return the snapshots, the oldest first."""
        found = (key.rpartition("/")[2] for key in self.store.objects.keys(self.folder))
        return sorted(n.removesuffix(SUFFIX) for n in found if n.endswith(SUFFIX) and n[0] != ".")

    def live(self) -> str | None:
        """Return the snapshot that is live, None without any.

        Raises:
            ChecksumError: If what says so is damaged.
        """
        raw = self.store.objects.read(f"{self.folder}/{POINTER}")
        if raw is None:
            return None
        try:
            return str(json.loads(raw)["snapshot"])
        except (ValueError, KeyError, TypeError):
            raise ChecksumError(
                f"{self.store.objects.label}/{self.folder}/{POINTER} is damaged; "
                "`cascade behaviour update` writes it again"
            ) from None

    def install(self, snapshot: Snapshot) -> str:
        """Write a snapshot, make it the live one and return its name."""
        objects = self.store.objects
        with objects.alone(f"{self.store.index}.{FOLDER}"):
            names = self.names()
            number = int(names[-1].partition("-")[0]) + 1 if names else 1
            # Never a name that a copy on some machine has, though the store was made anew.
            name = f"{number:06d}-{uuid.uuid4().hex[:8]}"
            key = f"{self.folder}/{name}{SUFFIX}"
            write_snapshot(self.store.root / key, snapshot)
            if key not in objects.keys(self.folder):
                objects.upload(self.store.root / key, key)
            objects.write(f"{self.folder}/{POINTER}", json.dumps({"snapshot": name}).encode())
            for old in [*names, name][:-KEPT]:
                objects.remove(f"{self.folder}/{old}{SUFFIX}")
        self._trim()
        return name

    def open(self, name: str) -> Snapshot:
        """Open a snapshot, which is copied to this machine if it is elsewhere.

        Raises:
            NotFoundError: If there is none of this name.
            ChecksumError: If it is damaged.
        """
        key = f"{self.folder}/{name}{SUFFIX}"
        path = self.store.root / key
        if not path.is_file():
            staged = path.with_name(f".{uuid.uuid4().hex}")
            try:
                if not self.store.objects.download(key, staged):
                    raise NotFoundError(f"there are no counts {name} of {self.store.index!r}")
                staged.replace(path)
            finally:
                staged.unlink(missing_ok=True)
            self._trim()
        return open_snapshot(path)

    def _trim(self) -> None:
        """Remove this machine's copies but the newest; what is mapped stays readable."""
        here = sorted((self.store.root / self.folder).glob(f"[0-9]*{SUFFIX}"))
        for path in here[:-KEPT]:
            path.unlink(missing_ok=True)


class LiveCounts:
    """Follow the live snapshot of a store; it implements `Counts`.

    Args:
        store: Where the snapshots are.
        max_age_s: How old counts may be at the time of a query, seconds.
    """

    def __init__(self, store: BehaviourStore, max_age_s: float = math.inf) -> None:
        self._store = store
        self._max_age_s = max_age_s
        self._seen: str | None = None
        self._asked = False

    def newer(self, documents: Named) -> BoundCounts | None:
        """Return the live counts for these documents, None if they were given before.

        The first answer is never an error, since documents serve without counts too: where the
        live ones cannot be read it is the newest of the others that can, or None, and a warning
        says so.

        Raises:
            ChecksumError: If they are damaged, which is said once; what was given before stays.
            NotFoundError: If they are not there, which is said once.
            CascadeError: If the store cannot be reached.
        """
        first, self._asked = not self._asked, True
        try:
            live = self._live()
            if live is None or live == self._seen:
                return None
            return self._bound(live, documents)
        except (CascadeError, OSError) as error:
            if not first:
                raise
            return self._instead(documents, error)

    def _live(self) -> str | None:
        try:
            return self._store.live()
        except ChecksumError:
            if self._seen == POINTER:
                return POINTER  # said before
            self._seen = POINTER
            raise

    def _bound(self, name: str, documents: Named) -> BoundCounts:
        before, self._seen = self._seen, name
        try:
            return BoundCounts(self._store.open(name), documents, self._max_age_s)
        except (ChecksumError, NotFoundError):
            raise  # asking again would not help
        except (CascadeError, OSError):
            self._seen = before
            raise

    def _instead(self, documents: Named, error: Exception) -> BoundCounts | None:
        """Return the newest kept counts that can be read, without asking for them again."""
        seen, index = self._seen, self._store.store.index
        with suppress(CascadeError, OSError):
            for name in reversed(self._store.names()):
                with suppress(CascadeError, OSError):
                    found = self._bound(name, documents)
                    self._seen = seen
                    _LOG.warning(
                        "%s; features of %r read the counts %s instead", error, index, name
                    )
                    return found
        self._seen = seen
        _LOG.warning("%s; features of %r find no counts", error, index)
        return None
