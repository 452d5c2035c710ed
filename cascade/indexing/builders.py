"""Builders elsewhere: a build of the same index that another machine runs on the same server."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

from cascade.errors import NotFoundError, RefusedError
from cascade.hosting import IndexHost, IndexState, Place

MADE_BY = "cascade"
WATCHED_S = 2.0
STARTING_S = 30.0


def refuse_other_builders(
    host: IndexHost,
    index: str,
    own: Collection[str],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Refuse a build while another machine fills an index of the same name on the server.

    No lock outlives a machine that dies, so what counts is what can be seen: an index of ours
    that is newer than the one behind the alias and is not of this store, and that either takes
    documents while it is watched, or is empty and was made a moment ago. One that stands still is
    what a build left that was killed, or a generation of another store; it is in nobody's way.

    Args:
        host: Who holds the indexes.
        index: The index's name.
        own: The concrete indexes of this store.
        sleep: Waits, seconds.

    Raises:
        RefusedError: Naming that build.
    """
    live = host.target(index) or ""
    before = {
        name: state
        for name in host.names(index)
        if name not in own and name > live and (state := _of_ours(host, name)) is not None
    }
    if not before:
        return
    sleep(WATCHED_S)
    for name, first in before.items():
        state = _of_ours(host, name)
        if state is None:
            continue
        grows = state.documents != first.documents
        if grows or (not state.documents and _age_s(state) < STARTING_S):
            raise RefusedError(
                f"a build of {index!r} runs elsewhere: {name}, by {_builder(state)}; wait for it, "
                "or end that process"
            )


def is_ours(state: IndexState) -> bool:
    """Return whether this system made an index.

    A host that marks its indexes itself tells of those alone what they are about.
    """
    return bool(state.about) and state.about.get("made_by", MADE_BY) == MADE_BY


def _of_ours(host: IndexHost, name: str) -> IndexState | None:
    try:
        state = host.state(Place(name, Path(name)))
    except NotFoundError:
        return None
    return state if is_ours(state) else None


def _age_s(state: IndexState) -> float:
    try:
        started = datetime.fromisoformat(state.about["started"])
    except (KeyError, ValueError):
        return float("inf")
    return abs((datetime.now(UTC) - started).total_seconds())


def _builder(state: IndexState) -> str:
    return f"{state.about.get('builder', 'a process')} since {state.about.get('started', '?')}"
