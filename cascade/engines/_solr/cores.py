"""The indexes of a standalone Solr: each is a core, and a core's name is what a swap moves.

An index is known by the folder that its core was made in, which stays with the documents, while
`SWAP` exchanges names. So after `SWAP products, products-000008` the core called `products` is the
index `products-000008`, and the core called `products-000008` is what was live before.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from cascade.engines._solr.client import SolrClient, admin, reading
from cascade.engines.connection import IndexShape
from cascade.errors import EngineError, NotFoundError, RefusedError

_CORES = "/admin/cores"
_EMPTY = ".empty."
_NUMBERED = re.compile(r"-\d{6}(\.[0-9a-f]{8})?\Z")
"""How the name of an index of ours ends, and a core's whose name was taken."""


class Cores:
    """Make, remove and swap cores, and know what an index is called.

    Args:
        client: The server.
        shape: How new cores are made.
    """

    def __init__(self, client: SolrClient, shape: IndexShape) -> None:
        self._client = client
        self._shape = shape
        self._names: Mapping[str, str] = {}  # the core's name by the index's
        self._lock = threading.Lock()

    @property
    def swaps(self) -> bool:
        """A name may come to mean another index."""
        return True

    def holder(self, name: str, *, fresh: bool = False) -> str | None:
        """Return what the core of an index is called, None if there is none."""
        found = self._look() if fresh or name not in self._names else self._names
        if name in found:
            return found[name]
        # A core of others may lie in a folder of another name.
        folder = _folder_of(found, name)
        return name if folder is not None and not _moved(name, folder) else None

    def make(self, name: str) -> None:
        """Make an empty core in a folder of the index's name.

        Raises:
            EngineError: If the server fails.
        """
        taken = self._status()
        # After swaps the index's own name may be another's; what counts is the folder.
        core = name if name not in taken else f"{name}.{uuid.uuid4().hex[:8]}"
        self._create(core, name)
        self._look()

    def remove(self, name: str) -> None:
        """Remove the core of an index, its documents and its folder."""
        core = self.holder(name, fresh=True)
        if core is not None:
            self._unload(core)
            self._look()

    def concrete(self) -> list[str]:
        """Return the names of all indexes."""
        return [index for index in self._look() if _EMPTY not in index]

    def target(self, alias: str) -> str | None:
        """Return the index behind a core's name; the name of an index gives itself."""
        found = self._look()
        if alias in found and _NUMBERED.search(alias):
            return alias
        behind = _folder_of(found, alias)
        if behind is None:
            return alias if alias in found else None
        return None if _EMPTY in behind or _moved(alias, behind) else behind

    def point(self, alias: str, name: str) -> None:
        """Exchange the names of the core called `alias` and of the index's core.

        Raises:
            RefusedError: If the index has another alias: a core has one name.
            NotFoundError: If there is no such index.
        """
        found = self._look()
        if name not in found:
            raise NotFoundError(f"{self._client.where} has no index {name!r} to point at")
        core = found[name]
        if core == alias:
            return
        if core != name and not _moved(core, name):
            raise RefusedError(
                f"the core of {name!r} is called {core!r} already, and a core of a standalone Solr "
                f"has one name; take {alias!r} for another index, or use SolrCloud, which has "
                "aliases"
            )
        if alias not in found.values():
            self._create(alias, f"{alias}{_EMPTY}{uuid.uuid4().hex[:8]}")
        self._client.send(admin(_CORES, "SWAP", core=alias, other=core))
        for index, held in self._look().items():
            if index.startswith(f"{alias}{_EMPTY}") and held != alias:
                self._unload(held)

    def made(self, name: str) -> str:
        """Return where a core's documents lie."""
        status = self._status().get(self.holder(name) or name, {})
        return f"{status.get('instanceDir', '')}|{status.get('dataDir', '')}"

    def _create(self, core: str, folder: str) -> None:
        refresh = f"{max(1, round(self._shape.refresh_s * 1000))}"
        settings = {
            "name": core,
            "instanceDir": folder,
            "configSet": self._shape.config_set,
            "property.solr.autoSoftCommit.maxTime": refresh,
        }
        self._client.send(admin(_CORES, "CREATE", **settings))

    def _unload(self, core: str) -> None:
        gone = dict.fromkeys(("deleteIndex", "deleteDataDir", "deleteInstanceDir"), "true")
        self._client.send(admin(_CORES, "UNLOAD", core=core, **gone))

    def _look(self) -> Mapping[str, str]:
        """Ask what every core is called; return and remember it by the name of its index."""
        with self._lock:
            found = {
                _folder(str(status.get("instanceDir", name))): name
                for name, status in self._status().items()
            }
            self._names = found
            return found

    def _status(self) -> dict[str, Any]:
        answer = self._client.json(reading(_CORES, action="STATUS", indexInfo="false"))
        status = answer.get("status")
        if not isinstance(status, dict):
            raise EngineError(f"{self._client.where} does not tell its cores; is it a Solr?")
        return {name: one for name, one in status.items() if one}


def _folder(path: str) -> str:
    kind = PureWindowsPath if "\\" in path else PurePosixPath
    return kind(path.rstrip("/\\")).name


def _folder_of(found: Mapping[str, str], core: str) -> str | None:
    return next((folder for folder, name in found.items() if name == core), None)


def _moved(core: str, folder: str) -> bool:
    """Return whether a core's name is that of another index of its kind, which it was swapped with.

    So `products-000008` may be what `products-000007` is called; any other name is an alias.
    """
    own, other = _NUMBERED.search(folder), _NUMBERED.search(core)
    return bool(own and other) and _index(core) == _index(folder)


def _index(name: str) -> str:
    return _NUMBERED.sub("", name)
