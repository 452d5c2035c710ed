"""Shadowing and drift in service: off the response's path, bounded, counted, and true."""

import json
import threading
import time
from dataclasses import replace
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cascade.config import open_cascade, open_cascades, registry_of, store_of
from cascade.config.gate_settings import DriftSettings, ShadowSettings
from cascade.config.settings import ServiceSettings
from cascade.protocols import NEVER
from cascade.registry import CANDIDATE, LIVE
from cascade.service import Metrics, Service, Switch, Watcher, live_models
from cascade.service.background import Background
from cascade.service.bodies import SearchBody
from cascade.service.drift import Drift
from cascade.service.shadow import CandidateStages, Shadow
from tests.cup_models import MODEL, QUERIES, configured, linear, save, slowed
from tests.small_shop import CHEAPEST, write_shop

BEST, WORST = linear(-1.0), linear(1.0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("cups"))


@pytest.fixture
def config(shop, tmp_path):
    config = configured(shop, tmp_path / "models")
    save(config, BEST, alias=LIVE)
    return config


def serving(config, metrics, observers):
    switch = Switch({"plain": open_cascade(config)})
    return Service(switch, ServiceSettings(), time.time, metrics, observers=observers)


def asked(service, texts):
    for text in texts:
        answer = json.loads(service.search(SearchBody(text=text, size=5), NEVER).body)
        assert [item["id"] for item in answer["items"]] == CHEAPEST[:5]


def told(metrics, name, **labels):
    """Return the value of a metric's sample, None where there is none."""
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def shadowed(config, texts, **settings):
    metrics = Metrics()
    shadow = Shadow({"plain": config}, ShadowSettings(**{"rate": 1.0, **settings}), metrics)
    service = serving(config, metrics, (shadow,))
    shadow.start()
    asked(service, texts)
    shadow.wait()
    shadow.stop()
    return metrics


def test_an_equal_candidate_overlaps_whole(config):
    save(config, linear(-2.0))
    metrics = shadowed(config, QUERIES[:8])
    assert told(metrics, "cascade_shadow_requests_total", outcome="ranked") == 8
    assert told(metrics, "cascade_shadow_overlap_sum", cascade="plain") == pytest.approx(8)
    assert told(metrics, "cascade_shadow_seconds_count") == 8
    assert told(metrics, "cascade_shadow_live_seconds_count") == 8


def test_an_inverted_candidate_overlaps_little_and_shoppers_see_nothing_of_it(config):
    save(config, WORST)
    metrics = shadowed(config, QUERIES[:8])
    # Of 200 rows the first 100 of the one order are the last 100 of the other.
    assert told(metrics, "cascade_shadow_overlap_sum", cascade="plain") == pytest.approx(
        0, abs=1e-3
    )


def test_without_a_candidate_nothing_is_ranked(config):
    metrics = shadowed(config, QUERIES[:3])
    assert told(metrics, "cascade_shadow_overlap_count", cascade="plain") is None


def test_a_candidate_that_fails_is_counted_and_harms_nobody(config):
    save(config, BEST, fingerprint="0" * 64)
    metrics = shadowed(config, QUERIES[:3])
    assert told(metrics, "cascade_shadow_requests_total", outcome="failed") == 3
    assert told(metrics, "cascade_shadow_overlap_count", cascade="plain") is None


def test_a_share_of_the_searches_is_shadowed(config):
    save(config, BEST)
    shadow = Shadow({"plain": config}, ShadowSettings(rate=0.25), Metrics())
    share = sum(shadow.wants(f"query {i}") for i in range(4_000)) / 4_000
    assert share == pytest.approx(0.25, abs=0.03)
    assert not any(Shadow({}, ShadowSettings(), Metrics()).wants(str(i)) for i in range(100))


def test_a_full_queue_drops_and_counts_and_no_answer_waits(config):
    save(config, slowed(BEST))
    metrics = Metrics()
    shadow = Shadow({"plain": config}, ShadowSettings(rate=1.0, queue=1), metrics)
    service = serving(config, metrics, (shadow,))
    # The thread is not started: the queue takes one search and no more.
    asked(service, QUERIES[:5])
    assert told(metrics, "cascade_shadow_requests_total", outcome="dropped") == 4


def test_a_newer_candidate_is_found_while_it_serves(config):
    save(config, BEST)
    registry = registry_of(config)
    registry.point(MODEL, LIVE, registry.aliases(MODEL)[CANDIDATE])
    now = [0.0]
    candidates = CandidateStages(config, clock=lambda: now[0])
    schema = open_cascade(config).documents.schema
    assert candidates.stages(schema) == ()
    save(config, WORST)
    assert candidates.stages(schema) == ()
    now[0] = 6.0
    assert [stage.model for stage in candidates.stages(schema)] == [f"{MODEL}/3"]


def drifting(config, texts):
    metrics = Metrics()
    drift = Drift({"plain": config}, DriftSettings(rate=1.0, block=50), metrics)
    service = serving(config, metrics, (drift,))
    drift.start()
    for start in range(0, len(texts), 20):
        asked(service, texts[start : start + 20])
        drift.wait()
    drift.stop()
    return metrics


def test_drift_is_told_by_feature_and_score(config):
    metrics = drifting(config, QUERIES + QUERIES[:20])
    labels = {"cascade": "plain", "stage": "cheap"}
    assert told(metrics, "cascade_drift_listings", **labels) == 60
    assert told(metrics, "cascade_feature_psi", feature="price", **labels) < 0.1
    assert told(metrics, "cascade_feature_psi", feature="stock", **labels) < 0.1
    assert told(metrics, "cascade_score_psi", **labels) < 0.1


def test_a_planted_shift_is_told_and_too_few_requests_tell_nothing(config):
    def other_prices(reference):
        price = reference.features["price"]
        moved = replace(price, edges=tuple(edge * 3 for edge in price.edges))
        return replace(reference, features={**reference.features, "price": moved})

    save(config, BEST, alias=LIVE, reference=other_prices)
    metrics = drifting(config, QUERIES + QUERIES[:20])
    assert told(metrics, "cascade_feature_psi", feature="price") > 0.25
    assert told(metrics, "cascade_feature_psi", feature="stock") < 0.1
    few = drifting(config, QUERIES[:40])
    assert told(few, "cascade_drift_listings") == 40
    assert told(few, "cascade_feature_psi", feature="price") is None


def test_a_model_without_a_reference_tells_nothing(config):
    save(config, BEST, alias=LIVE, reference=None)
    metrics = drifting(config, QUERIES)
    assert told(metrics, "cascade_drift_listings") is None


def test_work_that_fails_ends_no_thread_and_work_after_the_end_is_dropped():
    done, failed, dropped = [], [], []

    def act(item):
        if item == 2:
            raise ValueError("no")
        done.append(item)

    background = Background(act, 10, dropped.append, failed.append, "work")
    background.start()
    for item in (1, 2, 3):
        background.put(item)
    background.wait()
    background.stop()
    background.put(4)
    assert (done, failed, dropped) == ([1, 3], [2], [4])
    assert "work" not in {thread.name for thread in threading.enumerate()}


def test_what_is_promoted_answers_without_a_restart(config):
    configs = {"plain": config}
    switch = Switch(open_cascades(configs))
    watcher = Watcher(
        {"plain": store_of(config)}, partial(open_cascades, configs), switch, Metrics()
    )
    watcher.models = partial(live_models, configs)
    assert not watcher.poll()
    save(config, WORST)
    assert not watcher.poll()
    registry_of(config).promote({MODEL: 2}, {MODEL: 1})
    assert watcher.poll()
    with switch.held() as cascades:
        assert cascades["plain"].models == {"cheap": f"{MODEL}/2"}
    assert not watcher.poll()
    registry_of(config).rollback([MODEL])
    assert watcher.poll()
    switch.close()
