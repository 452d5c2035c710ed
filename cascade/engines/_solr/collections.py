"""The indexes of a SolrCloud: each is a collection with a configset of its own, under an alias."""

from __future__ import annotations

from typing import Any

from cascade.engines._solr.client import BAD_REQUEST, SolrClient, admin, reading, reason, refusal
from cascade.engines.connection import IndexShape
from cascade.errors import CascadeError, EngineError, NotFoundError

_COLLECTIONS = "/admin/collections"
_CONFIGS = "/admin/configs"
_OWN = "cascade-"
_DEFAULT = "_default"


class Collections:
    """Make, remove and point at collections.

    Args:
        client: The server.
        shape: How new collections are made.
    """

    def __init__(self, client: SolrClient, shape: IndexShape) -> None:
        self._client = client
        self._shape = shape
        self._known: frozenset[str] = frozenset()

    @property
    def swaps(self) -> bool:
        """A collection keeps its name."""
        return False

    def holder(self, name: str, *, fresh: bool = False) -> str | None:
        """Return the name of a collection or alias, None if there is none."""
        if fresh or name not in self._known:
            self._known = frozenset([*self.concrete(), *self._aliases()])
        return name if name in self._known else None

    def make(self, name: str) -> None:
        """Make an empty collection, with a copy of the configset where Solr lets us have one.

        Raises:
            EngineError: If the server fails.
        """
        settings = {
            "name": name,
            "numShards": str(self._shape.shards),
            "replicationFactor": str(1 + self._shape.replicas),
            "waitForFinalState": "true",
            "property.solr.autoSoftCommit.maxTime": f"{max(1, round(self._shape.refresh_s * 1e3))}",
        }
        config_set = self._copied(name)
        if config_set is not None:
            settings["collection.configName"] = config_set
        try:
            self._client.send(admin(_COLLECTIONS, "CREATE", **settings))
        except CascadeError:
            self._forget(name)
            raise

    def _copied(self, name: str) -> str | None:
        """Return the configset of a new collection; None has Solr copy its default by itself."""
        base = self._shape.config_set
        if base == _DEFAULT:
            return None
        self._forget(name)
        # A base that is immutable would make copies that no field can be added to.
        ask = admin(
            _CONFIGS,
            "CREATE",
            name=_OWN + name,
            baseConfigSet=base,
            **{"configSetProp.immutable": "false"},
        )
        answer = self._client.send(ask, allow=frozenset({401}))
        if answer.status < 400:
            return _OWN + name
        if "trusted" in reason(answer.body):
            # Solr lets nobody copy it who did not say who he is; then it is shared.
            return base
        raise refusal(self._client.where, ask, answer)

    def _forget(self, name: str) -> None:
        """Remove the configset that was made for a collection, if there is one."""
        known = self._client.json(reading(_CONFIGS, action="LIST")).get("configSets", ())
        if _OWN + name in known:
            # One that is in use is left: it belongs to a collection of that name.
            ask = admin(_CONFIGS, "DELETE", name=_OWN + name)
            self._client.send(ask, allow=frozenset({BAD_REQUEST}))

    def remove(self, name: str) -> None:
        """Remove a collection, its configset and the aliases that name nothing else."""
        for alias, behind in self._aliases().items():
            if behind == name:
                self._client.send(admin(_COLLECTIONS, "DELETEALIAS", name=alias))
        if name in self.concrete():
            self._client.send(admin(_COLLECTIONS, "DELETE", name=name))
        self._forget(name)
        self._known -= {name}

    def concrete(self) -> list[str]:
        """Return the names of all collections."""
        found = self._client.json(reading(_COLLECTIONS, action="LIST")).get("collections")
        if not isinstance(found, list):
            raise EngineError(f"{self._client.where} does not tell its collections; is it a Solr?")
        return [str(name) for name in found]

    def target(self, alias: str) -> str | None:
        """Return the collection behind an alias; the name of a collection gives itself."""
        behind = self._aliases().get(alias)
        if behind is not None:
            return behind
        return alias if alias in self.concrete() else None

    def point(self, alias: str, name: str) -> None:
        """Let an alias name a collection.

        Raises:
            NotFoundError: If there is no such collection.
        """
        if name not in self.concrete():
            raise NotFoundError(f"{self._client.where} has no index {name!r} to point at")
        self._client.send(admin(_COLLECTIONS, "CREATEALIAS", name=alias, collections=name))

    def made(self, name: str) -> str:
        """Return when a collection was made, or else in which state it is kept."""
        name = self.target(name) or name
        answer = self._client.json(reading(_COLLECTIONS, action="CLUSTERSTATUS", collection=name))
        found: dict[str, Any] = answer.get("cluster", {}).get("collections", {}).get(name, {})
        return f"{name}|{found.get('creationTimeMillis', found.get('configName', ''))}"

    def _aliases(self) -> dict[str, str]:
        found = self._client.json(reading(_COLLECTIONS, action="LISTALIASES")).get("aliases")
        return {str(alias): str(behind) for alias, behind in (found or {}).items()}
