"""Watching: a serving process follows the live generation of each of its indexes."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType

from cascade.errors import CascadeError
from cascade.indexing.following import read_state
from cascade.indexing.generations import Store
from cascade.indexing.holds import Hold, drop_hold, put_hold
from cascade.indexing.log import Log
from cascade.pipeline import Cascade
from cascade.service.metrics import Metrics
from cascade.service.switching import Switch, freshen, refresh, warm

PULSE_S = 0.25
HOLD_S = 5.0
LONGEST_PAUSE_S = 30.0
_END_S = 30.0
_LOG = logging.getLogger(__name__)


class Watcher:
    """Open the live generations beside those that answer, warm them, and switch to them.

    One thread does that; another takes in changes of documents and says what this process holds,
    also while a generation is being pulled and opened. A generation that cannot be opened leaves
    the one that answers, and is tried again after a while.

    Args:
        stores: Of the generations, by the name of the cascade.
        open_live: Opens every cascade on its live generation.
        switch: What answers.
        metrics: Counts switches.
        replica: Names this process among those that hold generations.
        followed: The log of each index that others write, by the index's name.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        open_live: Callable[[], Mapping[str, Cascade]],
        switch: Switch,
        metrics: Metrics,
        replica: str = "",
        followed: Mapping[str, Log] = MappingProxyType({}),
    ) -> None:
        self._stores = stores
        self._open_live = open_live
        self._switch = switch
        self._metrics = metrics
        self.replica = replica or _replica()
        self._followed = followed
        self.models: Callable[[], Mapping[str, Mapping[str, str]]] = dict
        """Gives the live bundle of each stage by cascade; others than those open are opened."""
        self._ended = threading.Event()
        self._pause_s = min((s.objects.poll_s for s in stores.values()), default=PULSE_S)
        self._opening: Mapping[str, str] = {}
        self._groups: dict[tuple[str, str], tuple[Store, list[str]]] = {}
        for name, store in stores.items():
            key = (store.objects.label, store.index)
            self._groups.setdefault(key, (store, []))[1].append(name)
        self._told: dict[tuple[str, str], tuple[tuple[str, ...], float]] = {}
        self._warned: frozenset[str] = frozenset()
        self._cold = False
        self._failed: tuple[Mapping[str, str], float, float] = ({}, 0.0, 0.0)
        self._threads = [
            threading.Thread(target=self._watch, name="cascade-watch", daemon=True),
            threading.Thread(target=self._pulse, name="cascade-pulse", daemon=True),
        ]

    def start(self) -> None:
        """Say what is held, warm what answers, and begin to watch."""
        self.pulse()
        self._warm_first()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End watching, and take back what was said to be held."""
        self._ended.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_END_S)
        for store, _ in self._groups.values():
            with suppress(CascadeError, OSError):  # it goes stale by itself
                drop_hold(store.objects, store.index, self.replica)

    def pulse(self) -> None:
        """Take in changes of documents, and say what is held if that is due.

        How far indexes of others are followed is told to the metrics.
        """
        with self._switch.held() as cascades:
            problems = frozenset(refresh(cascades))
        for problem in problems - self._warned:
            _LOG.warning("%s", problem)
        self._warned = problems
        for index, log in self._followed.items():
            if (state := read_state(log)) is not None:
                self._metrics.followed(index, state, time.time())
        for key, (store, names) in self._groups.items():
            holds = tuple(dict.fromkeys(each for name in names for each in self._holds(name)))
            said, at = self._told.get(key, ((), 0.0))
            if not holds or (holds == said and time.monotonic() - at < HOLD_S):
                continue
            hold = Hold(self.replica, holds[0], holds, time.time())
            put_hold(store.objects, store.index, hold)
            if said:
                pointer = store.pointer()
                back = () if pointer is None else (pointer.generation, pointer.previous or "")
                store.trim({*holds, *back})
            self._told[key] = holds, time.monotonic()

    def freshen(self) -> None:
        """Take in the newest counts of behaviour, and say how old those are that are read."""
        with self._switch.held() as cascades:
            problems = freshen(cascades)
            held = {name: c.documents.behaviour for name, c in cascades.items()}
        for problem in problems:
            _LOG.warning("%s", problem)
        now = time.time()
        self._metrics.behaviour({n: now - b.as_of for n, b in held.items() if b is not None})

    def poll(self) -> bool:
        """Switch if another generation or model is live; return whether it did."""
        wanted = {name: store.live_name() for name, store in self._stores.items()}
        models = self.models()
        with self._switch.held() as cascades:
            changed = {
                name: live
                for name, live in wanted.items()
                if live is not None
                and (
                    live != cascades[name].documents.generation
                    or models.get(name, cascades[name].models) != cascades[name].models
                )
            }
        failed, again, _ = self._failed
        if not changed or (changed == failed and time.monotonic() < again):
            return False
        try:
            self._opening = changed
            self._turn()
        except Exception as error:  # whatever it is, what answers goes on answering
            self._note(changed, error)
            return False
        finally:
            self._opening = {}
        self._failed = ({}, 0.0, 0.0)
        self._metrics.switched("switched")
        return True

    def _turn(self) -> None:
        """Open the live generations, warm them and let them answer."""
        self.pulse()
        fresh = self._open_live()
        try:
            warm(fresh, tuple(self._switch.asked))
            refresh(fresh)
        except BaseException:
            for cascade in fresh.values():
                cascade.engine.close()
            raise
        self._switch.put(fresh)
        self._switch.make_ready()
        self._metrics.generations({n: c.documents.generation for n, c in fresh.items()})

    def _note(self, changed: Mapping[str, str], error: Exception) -> None:
        """Log and count a switch that failed, and wait longer each time for the same one."""
        failed, _, pause = self._failed
        pause = min(2 * pause or self._pause_s, LONGEST_PAUSE_S) if changed == failed else 1.0
        self._failed = (changed, time.monotonic() + pause, pause)
        self._metrics.switched("failed")
        told = ", ".join(f"cascade {name!r} to {live}" for name, live in changed.items())
        expected = isinstance(error, CascadeError)
        _LOG.error("cannot switch %s: %s", told, error, exc_info=None if expected else error)

    def _warm_first(self) -> None:
        with self._switch.held() as cascades:
            self._metrics.generations({n: c.documents.generation for n, c in cascades.items()})
            try:
                warm(cascades)
            except CascadeError as error:
                if not self._cold:
                    _LOG.warning("not ready, the cascades cannot be warmed: %s", error)
                self._cold = True
                return
        self._switch.make_ready()

    def _holds(self, name: str) -> list[str]:
        """Return what a cascade has open, and what it is about to open."""
        opening = self._opening.get(name)
        return [*self._switch.open_generations(name), *([opening] if opening else [])]

    def _watch(self) -> None:
        while not self._ended.wait(self._pause_s):
            self._guarded(self.poll)
            self._guarded(self.freshen)
            if not self._switch.ready:
                self._guarded(self._warm_first)

    def _pulse(self) -> None:
        while not self._ended.wait(PULSE_S):
            self._guarded(self.pulse)

    def _guarded(self, act: Callable[[], object]) -> None:
        """Do what is tried again soon; a store that is away for a while ends no thread."""
        try:
            act()
        except (CascadeError, OSError) as error:
            _LOG.warning("%s", error)
        except Exception:
            _LOG.exception("watching failed; it goes on")


def _replica() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
