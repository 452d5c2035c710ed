"""Shadowing: candidates rank live searches too, off the response's path, and are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from prometheus_client import Counter, Histogram

from cascade.candidates import Candidates
from cascade.config import Config
from cascade.config.gate_settings import ShadowSettings
from cascade.config.wire import model_references, open_stages
from cascade.drift import overlap
from cascade.errors import CascadeError
from cascade.events.requests import share_of
from cascade.pipeline import Cascade, Stage, run_stages
from cascade.pipeline.finding import Admission
from cascade.pipeline.listing import followed
from cascade.protocols import NEVER
from cascade.schema import Schema
from cascade.service.background import Background
from cascade.service.metrics import SECONDS, Metrics
from cascade.service.observing import Served

DEPTH = 100
LOOK_S = 5.0
_OVERLAPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
RANKED, DROPPED, FAILED = "ranked", "dropped", "failed"


class CandidateStages:
    """Give the stages of a cascade's candidates, and look now and then for newer ones.

    Args:
        config: The settings of the cascade.
        clock: Monotonic seconds.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._due = float("-inf")
        self._references: list[str] = []
        self._opened: tuple[Stage, ...] = ()
        self._problem: CascadeError | None = None

    def stages(self, schema: Schema) -> tuple[Stage, ...]:
        """Return the stages with candidates in place of live models; none if there is no candidate.

        Raises:
            CascadeError: If a candidate cannot be opened.
        """
        if self._clock() >= self._due:
            self._due = self._clock() + LOOK_S
            live, wanted = (model_references(self._config, m) for m in ("live", "candidate"))
            references = wanted if wanted != live else []
            if references != self._references:
                self._references, self._opened, self._problem = references, (), None
                try:
                    if references:
                        self._opened = open_stages(self._config, schema, "candidate")
                except CascadeError as error:
                    self._problem = error
        if self._problem is not None:
            raise self._problem
        return self._opened


class Shadow:
    """Rank a share of the searches by the candidates too, and report the difference.

    It ranks the very rows that were retrieved for the shopper, in a thread of its own, with no
    deadline. What has no room in its queue is dropped and counted.

    Args:
        configs: The settings by the name of the cascade.
        settings: How much is shadowed.
        metrics: Receives `cascade_shadow_overlap`, `_seconds`, `_live_seconds` and `_requests`.
    """

    def __init__(
        self, configs: Mapping[str, Config], settings: ShadowSettings, metrics: Metrics
    ) -> None:
        self._candidates = {c.settings.name: CandidateStages(c) for c in configs.values()}
        self._settings = settings
        label = ("cascade",)
        self._overlap = Histogram(
            "cascade_shadow_overlap",
            "Rank-biased overlap of the candidate's first 100 ranks with the served ones.",
            label,
            buckets=_OVERLAPS,
            registry=None,
        )
        self._seconds = Histogram(
            "cascade_shadow_seconds",
            "Seconds that the candidate's stages took for a search.",
            label,
            buckets=SECONDS,
            registry=None,
        )
        self._live = Histogram(
            "cascade_shadow_live_seconds",
            "Seconds that the served stages took for the same searches.",
            label,
            buckets=SECONDS,
            registry=None,
        )
        self._requests = Counter(
            "cascade_shadow_requests",
            "Searches for the candidate: ranked, dropped (the queue was full) or failed.",
            (*label, "outcome"),
            registry=None,
        )
        for collector in (self._overlap, self._seconds, self._live, self._requests):
            metrics.register(collector)
        self._background = Background[Served](
            self._compare,
            settings.queue,
            lambda served: self._count(served, DROPPED),
            lambda served: self._count(served, FAILED),
            "cascade-shadow",
        )

    def start(self) -> None:
        """Begin to compare."""
        self._background.start()

    def stop(self) -> None:
        """End; searches that wait are dropped."""
        self._background.stop()

    def wait(self) -> None:
        """Wait until every search that was taken is compared."""
        self._background.wait()

    def wants(self, query_id: str) -> bool:
        """Return whether this query's searches are shadowed."""
        return share_of(query_id, "shadow") < self._settings.rate

    def take(self, served: Served) -> None:
        """Take note of a search; return at once."""
        if self._shadowed(served):
            self._background.put(served)

    def _shadowed(self, served: Served) -> bool:
        # Another order was asked for, or none of it was ranked here.
        return (
            served.route == "search"
            and served.request.sort is None
            and served.cascade.name in self._candidates
            and self.wants(served.query.id)
        )

    def _compare(self, served: Served) -> None:
        cascade, recording = served.cascade, served.recording
        if recording.listing is None or recording.final is None:
            return
        stages = self._candidates[cascade.name].stages(cascade.documents.schema)
        if not stages:
            return
        final, took = ranked_by(cascade, stages, recording.listing, recording.admitted)
        first, second = (np.array(part.ids()) for part in (recording.final, final))
        label = cascade.name
        self._overlap.labels(label).observe(
            overlap(first[:DEPTH], second[:DEPTH], self._settings.p)
        )
        self._seconds.labels(label).observe(took)
        self._live.labels(label).observe(sum(s.trace.ms for s in recording.stages) / 1e3)
        self._count(served, RANKED)

    def _count(self, served: Served, outcome: str) -> None:
        self._requests.labels(served.cascade.name, outcome).inc()


def ranked_by(
    cascade: Cascade,
    stages: tuple[Stage, ...],
    listing: Candidates,
    admitted: Candidates | None = None,
) -> tuple[Candidates, float]:
    """Return a retrieved list in the order of other stages, and the seconds that they took.

    Args:
        cascade: What served it; its business layer has the last word here too.
        stages: The other stages.
        listing: The rows that rankers saw.
        admitted: Pinned documents that the listing lacked.

    Raises:
        CascadeError: If a stage was reverted: the order would not be the candidate's.
    """
    head, below = listing.bare().split(cascade.size)
    start = time.perf_counter()
    ranked, traces = run_stages(stages, head, NEVER)
    took = time.perf_counter() - start
    wrong = [
        f"stage {trace.name} {trace.outcome}: {trace.reason}" for trace in traces if trace.reason
    ]
    if wrong:
        raise CascadeError("; ".join(wrong))
    pins = Admission(admitted)
    whole = replace(cascade, stages=(), exploration=None)
    final, _, _ = whole.reorder(followed(ranked, below), pins=pins)
    return final, took
