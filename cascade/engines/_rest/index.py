"""What an index of Elasticsearch or OpenSearch is called, and says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from cascade.engines._rest.client import RestClient, reason
from cascade.errors import EngineUnavailableError, InputError

MADE_BY = "cascade"
MADE_BY_KEY = "made_by"
"""The key of a mapping's `_meta` that says whose an index is."""

CARD_PARAMS = {
    "filter_path": "error,*.settings.index.uuid,*.settings.index.number_of_shards,*.mappings._meta"
}

_NO_ROOM = frozenset({503})
_FORBIDDEN = re.compile(r'[\\/*?"<>|\s,#:]|\A[-_+]|\A\.{0,2}\Z')


@dataclass(frozen=True, slots=True)
class Card:
    """Hold what an index says of itself.

    Attributes:
        name: Its concrete name.
        identity: Its UUID.
        ours: Whether this system made it.
        about: What was written into it when it was made; empty unless it is ours.
        shards: Into how many parts it is split.
    """

    name: str
    identity: str
    ours: bool
    about: Mapping[str, str]
    shards: int


def card_of(name: str, index: Mapping[str, Any]) -> Card:
    """Return the card of an index from what `GET /<index>` with `CARD_PARAMS` says of it."""
    meta = index.get("mappings", {}).get("_meta", {})
    ours = meta.get(MADE_BY_KEY) == MADE_BY
    about = {key: str(value) for key, value in meta.items() if key != MADE_BY_KEY}
    about = about if ours else {}
    settings = index["settings"]["index"]
    return Card(name, str(settings["uuid"]), ours, about, int(settings["number_of_shards"]))


def counted(client: RestClient, card: Card) -> tuple[int, int]:
    """Return how many documents a search sees, and how many parts do not answer.

    Raises:
        EngineUnavailableError: If the server has no room to say.
    """
    answer = client.request("GET", f"{at(card.name)}/_count", allow=_NO_ROOM)
    if answer.status in _NO_ROOM:
        if b"all shards failed" in answer.body:
            return 0, card.shards
        raise EngineUnavailableError(
            f"the server has no room to count {card.name!r}: {reason(answer.body)}"
        )
    found = orjson.loads(answer.body)
    shards = found["_shards"]
    return int(found["count"]), int(shards["total"] - shards["successful"])


def checked(name: str) -> str:
    """Return a name that stands for one index or alias, wherever it is put.

    Raises:
        InputError: If it might stand for several, or for something else.
    """
    if bad := _FORBIDDEN.search(name):
        raise InputError(
            f"{name!r} can be no index's name because of {bad.group()!r}; accepted are small "
            "letters, digits, `.`, and `-` or `_` but not in the first place"
        )
    return name


def at(name: str) -> str:
    """Return the path of an index or alias.

    Raises:
        InputError: If the name might stand for several.
    """
    return f"/{quote(checked(name), safe='')}"


def several(alias: str, names: Sequence[str]) -> str:
    """Say that an alias stands for more than one index."""
    return (
        f"the alias {alias!r} stands for {len(names)} indexes ({', '.join(names[:8])}); let it "
        "stand for one, or name one of them"
    )


def interval(seconds: float) -> str:
    """Return a time as the servers write it."""
    return f"{max(1, round(seconds * 1000))}ms"


def filling(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an index as it is while it is filled: without refresh and copies."""
    settings = body["settings"]
    index = {**settings["index"], "refresh_interval": "-1", "number_of_replicas": 0}
    return {**body, "settings": {**settings, "index": index}}
