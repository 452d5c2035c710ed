"""Metrics: what Prometheus reads of the service."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

from cascade.indexing.following import FollowState
from cascade.pipeline import Trace

SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_ROWS = (0, 1, 10, 30, 100, 300, 1_000, 3_000, 10_000)
_PARTS = (("retrieve", "retrieval"), ("fetch", "fetch"))


class Metrics:
    """Count requests and stages, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        stage = ("cascade", "stage")
        self._rows = Histogram(
            "cascade_stage_rows",
            "Rows that a stage scored in a request.",
            stage,
            buckets=_ROWS,
            registry=self._registry,
        )
        self._seconds = Histogram(
            "cascade_stage_seconds",
            "Seconds that a stage, the retrieval or the fetch took in a request.",
            stage,
            buckets=SECONDS,
            registry=self._registry,
        )
        self._outcomes = Counter(
            "cascade_stage_outcome",
            "What became of a stage: ran, shrunk, skipped or reverted.",
            (*stage, "outcome"),
            registry=self._registry,
        )
        self._unknown = Counter(
            "cascade_unknown_rows",
            "Candidates that the catalogue does not have.",
            ("cascade",),
            registry=self._registry,
        )
        self._dropped = Counter(
            "cascade_dropped_rows",
            "Rows that were gone when their page was fetched.",
            ("cascade",),
            registry=self._registry,
        )
        self._deleted = Counter(
            "cascade_deleted_rows",
            "Retrieved rows left out because their documents were taken away since.",
            ("cascade",),
            registry=self._registry,
        )
        self._requests = Counter(
            "cascade_requests", "Requests answered.", ("route", "status"), registry=self._registry
        )
        self._latency = Histogram(
            "cascade_request_seconds",
            "Seconds from a request's first byte to its response's last.",
            ("route", "status"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._logged = Counter(
            "cascade_logged_requests",
            "Requests for the log: written, dropped (the queue was full) or failed.",
            ("outcome",),
            registry=self._registry,
        )

        self._switches = Counter(
            "cascade_generation_switch",
            "Switches to another generation: switched or failed.",
            ("outcome",),
            registry=self._registry,
        )
        self._generation = Gauge(
            "cascade_generation_info",
            "1 for the generation that a cascade answers from.",
            ("cascade", "generation"),
            registry=self._registry,
        )

        self._behaviour_age = Gauge(
            "cascade_behaviour_age_seconds",
            "How long ago the counts end that a cascade's features read.",
            ("cascade",),
            registry=self._registry,
        )
        self._follow_lag = Gauge(
            "cascade_follow_lag_seconds",
            "For how long changes in an index of others may have gone unseen.",
            ("index",),
            registry=self._registry,
        )
        self._follow_reconciled = Gauge(
            "cascade_follow_reconciled_timestamp_seconds",
            "When all ids of an index of others were last compared with the catalogue.",
            ("index",),
            registry=self._registry,
        )
        self._follow_flipped = Gauge(
            "cascade_follow_flipped",
            "1 while others serve another index than the catalogue was read from.",
            ("index",),
            registry=self._registry,
        )

    def behaviour(self, ages_s: Mapping[str, float]) -> None:
        """Say how old the counts of each cascade are that has some, seconds."""
        self._behaviour_age.clear()
        for cascade, age_s in ages_s.items():
            self._behaviour_age.labels(cascade).set(age_s)

    def followed(self, index: str, state: FollowState, now: float) -> None:
        """Say how far an index of others is followed; `now` in seconds since 1970."""
        self._follow_lag.labels(index).set(state.lag_s(now))
        self._follow_reconciled.labels(index).set(state.reconciled)
        self._follow_flipped.labels(index).set(1 if state.flipped else 0)

    def generations(self, answering: Mapping[str, str]) -> None:
        """Say which generation each cascade answers from."""
        self._generation.clear()
        for cascade, generation in answering.items():
            self._generation.labels(cascade, generation).set(1)

    def switched(self, outcome: str) -> None:
        """Count one switch to another generation, or one that failed."""
        self._switches.labels(outcome).inc()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, status).inc()
        self._latency.labels(route, status).observe(seconds)

    def trace(self, cascade: str, trace: Trace) -> None:
        """Count what the stages of one request did."""
        for part, name in _PARTS:
            if part in trace.ms:
                self._seconds.labels(cascade, name).observe(trace.ms[part] / 1e3)
        for stage in trace.stages:
            self._rows.labels(cascade, stage.name).observe(stage.rows)
            self._seconds.labels(cascade, stage.name).observe(stage.ms / 1e3)
            self._outcomes.labels(cascade, stage.name, str(stage.outcome)).inc()
        self._unknown.labels(cascade).inc(trace.unknown)
        self._dropped.labels(cascade).inc(trace.dropped)
        self._deleted.labels(cascade).inc(trace.deleted)

    def logged(self, outcome: str, requests: int) -> None:
        """Count requests that were written to the log, dropped, or failed to be written."""
        self._logged.labels(outcome).inc(requests)

    def register(self, collector: Collector) -> None:
        """Let another's metrics be read with these."""
        self._registry.register(collector)

    def exposition(self) -> bytes:
        """Return every metric in Prometheus' text format."""
        return generate_latest(self._registry)
