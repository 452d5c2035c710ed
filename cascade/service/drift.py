"""Drift in service: the features and scores of live requests against the training reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cascade.config import Config, registry_of
from cascade.config.gate_settings import DriftSettings
from cascade.drift import SCORE, DriftMonitor, read_reference
from cascade.events.requests import share_of
from cascade.registry import REFERENCE, Registry
from cascade.service.background import Background
from cascade.service.metrics import Metrics
from cascade.service.observing import Served

QUEUE = 64


class Drift(Collector):
    """Compare what stages are given with what training saw, and tell it when metrics are read.

    Args:
        configs: The settings by the name of the cascade.
        settings: How much is compared.
        metrics: Receives `cascade_feature_psi`, `cascade_score_psi` and `cascade_drift_listings`.
    """

    def __init__(
        self, configs: Mapping[str, Config], settings: DriftSettings, metrics: Metrics
    ) -> None:
        self._registries: dict[str, Registry] = {
            config.settings.name: registry_of(config) for config in configs.values()
        }
        self._settings = settings
        self._monitors: dict[tuple[str, str], tuple[str, DriftMonitor | None]] = {}
        self.dropped = 0
        self._background = Background[Served](
            self._observe, QUEUE, self._drop, self._drop, "cascade-drift"
        )
        metrics.register(self)

    def start(self) -> None:
        """Begin to compare."""
        self._background.start()

    def stop(self) -> None:
        """End."""
        self._background.stop()

    def wait(self) -> None:
        """Wait until every request that was taken is compared."""
        self._background.wait()

    def wants(self, query_id: str) -> bool:
        """Return whether this query's requests are compared."""
        return share_of(query_id, "drift") < self._settings.rate

    def take(self, served: Served) -> None:
        """Take note of a request; return at once."""
        if served.cascade.name in self._registries and self.wants(served.query.id):
            self._background.put(served)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics as they are at this moment."""
        stage = ["cascade", "stage"]
        features = GaugeMetricFamily(
            "cascade_feature_psi",
            "Population stability index of a feature against the training reference.",
            labels=[*stage, "feature"],
        )
        scores = GaugeMetricFamily(
            "cascade_score_psi",
            "Population stability index of a stage's score against the training reference.",
            labels=stage,
        )
        listings = GaugeMetricFamily(
            "cascade_drift_listings",
            "Requests that the stability indices are over; fewer than a block tell nothing.",
            labels=stage,
        )
        for key, (_, monitor) in list(self._monitors.items()):
            if monitor is None:
                continue
            listings.add_metric(list(key), monitor.listings)
            for name, psi in monitor.psi().items():
                if name == SCORE:
                    scores.add_metric(list(key), psi)
                else:
                    features.add_metric([*key, name], psi)
        yield from (features, scores, listings)

    def _observe(self, served: Served) -> None:
        for record in served.recording.stages:
            if record.matrix is None or record.scores is None or not record.model:
                continue
            monitor = self._monitor(served.cascade.name, record.name, record.model)
            if monitor is not None:
                monitor.observe(record.matrix, record.scores)

    def _monitor(self, cascade: str, stage: str, model: str) -> DriftMonitor | None:
        """Return the monitor of a stage's model, a new one when the stage has another model."""
        known, monitor = self._monitors.get((cascade, stage), ("", None))
        if known != model:
            name, _, version = model.partition("/")
            held = self._registries[cascade].load(f"{name}@{version}").files.get(REFERENCE)
            monitor = None
            if held is not None:
                monitor = DriftMonitor(read_reference(held), self._settings.block)
            self._monitors[cascade, stage] = model, monitor
        return monitor

    def _drop(self, _served: Served) -> None:
        self.dropped += 1
