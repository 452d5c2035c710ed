"""Switching: the cascades that answer, changed between two requests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from cascade.candidates import Query
from cascade.errors import CascadeError, DocumentError
from cascade.pipeline import Cascade, PageRequest
from cascade.protocols import Deadline

REMEMBERED = 50
WARM_SEARCHES = 8
WARM_BUDGET_MS = 10_000.0
_WARM_WORDS = 3


@runtime_checkable
class Refreshing(Protocol):
    """Documents that take in what others change."""

    def refresh(self) -> object:
        """Take in all changes up to this moment."""
        ...


@runtime_checkable
class Freshening(Protocol):
    """Documents whose counts of behaviour others write."""

    def freshen(self) -> bool:
        """Take in the newest counts, if they are others; return whether they were."""
        ...


@dataclass(eq=False)
class _Opened:
    """Count the requests that use one set of open cascades."""

    cascades: Mapping[str, Cascade]
    users: int = 0
    retired: bool = False


class Switch:
    """Hand out the cascades that answer, and put others in their place.

    A request holds one set from its beginning to its end, so retrieval, features and fields of an
    answer are of one generation. A set that was replaced is closed when its last request ended.

    Args:
        cascades: By the name that a request gives; the first answers those that give none.
        ready: Whether they answer at once; False until `make_ready` says that they are warm.
    """

    def __init__(self, cascades: Mapping[str, Cascade], *, ready: bool = True) -> None:
        self._lock = threading.Lock()
        self._current = _Opened(cascades)
        self._retired: list[_Opened] = []
        self._ready = ready
        self.asked: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        """The latest queries: the name of a cascade and a text. What follows is warmed by them."""

    @property
    def ready(self) -> bool:
        """Whether the cascades are warm."""
        return self._ready

    def make_ready(self) -> None:
        """Say that the cascades are warm."""
        self._ready = True

    @contextmanager
    def held(self) -> Iterator[Mapping[str, Cascade]]:
        """Give the cascades that answer now; they stay open until the end."""
        with self._lock:
            opened = self._current
            opened.users += 1
        try:
            yield opened.cascades
        finally:
            self._release(opened)

    def put(self, cascades: Mapping[str, Cascade]) -> None:
        """Let these cascades answer every request that begins after this call."""
        with self._lock:
            old, self._current = self._current, _Opened(cascades)
            old.retired = True
            old.users += 1
            self._retired.append(old)
        self._release(old)

    def open_generations(self, name: str) -> list[str]:
        """Return the generations that a cascade has open: the one that answers comes first."""
        with self._lock:
            found = [self._current, *self._retired]
            return [o.cascades[name].documents.generation for o in found if name in o.cascades]

    def close(self) -> None:
        """Close the cascades that answer, when their last request has ended."""
        self.put({})

    def _release(self, opened: _Opened) -> None:
        with self._lock:
            opened.users -= 1
            if opened.users or not opened.retired:
                return
            self._retired.remove(opened)
        for cascade in opened.cascades.values():
            cascade.engine.close()


def warm(cascades: Mapping[str, Cascade], asked: Sequence[tuple[str, str]] = ()) -> None:
    """Search each cascade a few times, so that files are in memory and every model has run.

    Args:
        cascades: By name.
        asked: Cascade and text of queries to search again; without any for a cascade, words of
            its documents are searched.

    Raises:
        CascadeError: If an engine fails.
    """
    for name, cascade in cascades.items():
        texts = [text for of, text in asked if of == name][-WARM_SEARCHES:]
        for text in texts or _words(cascade):
            query = Query("warm", text)
            cascade.search(query, PageRequest(), Deadline.after_ms(WARM_BUDGET_MS))


def refresh(cascades: Mapping[str, Cascade]) -> list[str]:
    """Let documents that others change take in the changes; return what went wrong."""
    problems = []
    seen = {id(c.documents): (name, c.documents) for name, c in cascades.items()}
    for name, documents in seen.values():
        if isinstance(documents, Refreshing):
            try:
                documents.refresh()
            except (CascadeError, OSError) as error:
                problems.append(f"cascade {name!r}: its changes cannot be read: {error}")
    return problems


def freshen(cascades: Mapping[str, Cascade]) -> list[str]:
    """Take in the newest counts of behaviour; return what went wrong.

    A request under way goes on with those that it has begun with.
    """
    problems = []
    seen = {id(c.documents): (name, c.documents) for name, c in cascades.items()}
    for name, documents in seen.values():
        if isinstance(documents, Freshening):
            try:
                documents.freshen()
            except (CascadeError, OSError) as error:
                problems.append(f"cascade {name!r}: its newest counts cannot be read: {error}")
    return problems


def _words(cascade: Cascade) -> list[str]:
    """Return the first words of a few documents."""
    documents = cascade.documents
    spread = np.linspace(0, max(len(documents) - 1, 0), min(WARM_SEARCHES, len(documents)))
    ids = documents.ids(np.unique(spread.astype(np.int32)))
    texts = []
    for page in cascade.engine.fetch(Query("warm", ""), ids):
        if page is None:
            continue
        try:
            found = documents.schema.document(page.fields).texts.values()
        except DocumentError:
            continue  # others may have changed it into what our schema does not accept
        texts += [" ".join(values[0].split()[:_WARM_WORDS]) for values in found][:1]
    return [text for text in texts if text.strip()]
