"""Serving processes follow swaps: no error, no empty page, no page of two generations."""

import logging
import os
import threading
import time
from functools import partial

import pytest
from asgi_client import Client
from numbered_shop import build_number, follow_swaps, one, write_numbered

from cascade.config import open_cascades, open_host, store_of
from cascade.config.settings import ServiceSettings
from cascade.indexing.following import FollowState, write_state
from cascade.indexing.holds import fresh_holds, held
from cascade.indexing.log import Log
from cascade.indexing.swap import collect
from cascade.service import Metrics, Service, Switch, Watcher, app_of

SWAPS = int(os.environ.get("CASCADE_SWAPS", "8"))
SETTLED_S = 20


def until(condition, seconds=SETTLED_S):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)
    return found


@pytest.fixture
def shop(tmp_path):
    path = write_numbered(tmp_path)
    build_number(path, 1)
    return path


class Watched:
    """A service in this process whose watcher is moved by hand."""

    def __init__(self, path, *overrides, ready=False, **more):
        self.config = one(path, *overrides)
        configs = {"shop": self.config}
        self.switch = Switch(open_cascades(configs), ready=ready)
        self.service = Service(self.switch, ServiceSettings(), time.time, Metrics())
        self.store = store_of(self.config)
        reopen, metrics = partial(open_cascades, configs), self.service.metrics
        self.watcher = Watcher({"shop": self.store}, reopen, self.switch, metrics, **more)
        self.client = Client(app_of(self.service))

    def page(self):
        return self.client.post("/v1/search", {"text": "cup"}).json()

    def metrics(self):
        return self.client.get("/metrics").text


@pytest.fixture
def watched(shop):
    made = Watched(shop, ready=True)
    yield made
    made.watcher.stop()
    made.switch.close()


def test_a_new_generation_answers_after_a_poll(shop, watched):
    assert not watched.watcher.poll()
    build_number(shop, 2)
    assert watched.page()["generation"] == "cups-000001"
    assert watched.watcher.poll()
    page = watched.page()
    assert page["generation"] == "cups-000002"
    assert {item["fields"]["build"] for item in page["items"]} == {2}
    assert 'cascade_generation_switch_total{outcome="switched"} 1.0' in watched.metrics()
    assert 'cascade_generation_info{cascade="shop",generation="cups-000002"} 1.0' in (
        watched.metrics()
    )
    assert "cups-000001" not in watched.metrics()


def test_a_request_under_way_keeps_its_generation_and_then_it_is_closed(shop, watched):
    build_number(shop, 2)
    with watched.switch.held() as before:
        engine = before["shop"].engine
        watched.watcher.poll()
        watched.watcher.pulse()
        assert watched.page()["generation"] == "cups-000002"
        assert engine.healthy()
        assert set(held(watched.store.objects, "cups")) == {"cups-000001", "cups-000002"}
    assert not engine.healthy()
    watched.watcher.pulse()
    assert set(held(watched.store.objects, "cups")) == {"cups-000002"}


def test_a_cursor_of_the_generation_before_says_that_it_is_stale(shop, watched):
    following = watched.page()["next"]
    build_number(shop, 2)
    watched.watcher.poll()
    page = watched.client.post("/v1/search", {"text": "cup", "cursor": following}).json()
    assert page["degraded"] == [
        "the cursor is of generation cups-000001, this page of cups-000002: rows may be seen "
        "twice or not at all"
    ]


def test_a_generation_that_cannot_be_opened_leaves_the_one_that_answers(shop, watched, caplog):
    generation = build_number(shop, 2).generation
    (generation.catalogue / "manifest.json").rename(generation.path / "aside")
    with caplog.at_level(logging.ERROR):
        assert not watched.watcher.poll()
    assert "cannot switch cascade 'shop' to cups-000002" in caplog.text
    assert watched.page()["generation"] == "cups-000001"
    assert watched.client.get("/readyz").status_code == 200
    assert 'cascade_generation_switch_total{outcome="failed"} 1.0' in watched.metrics()
    # It is not tried again at once, and not given up.
    assert not watched.watcher.poll()
    assert 'outcome="failed"} 1.0' in watched.metrics()
    (generation.path / "aside").rename(generation.catalogue / "manifest.json")
    until(watched.watcher.poll)
    assert watched.page()["generation"] == "cups-000002"


def test_a_service_is_ready_when_its_cascades_are_warm(shop):
    made = Watched(shop)
    try:
        refused = made.client.get("/readyz")
        assert refused.status_code == 503
        assert "not warm yet" in refused.text
        made.watcher.start()
        assert made.client.get("/readyz").status_code == 200
    finally:
        made.watcher.stop()
        made.switch.close()
    assert fresh_holds(made.store.objects, "cups") == []


def test_what_is_opened_next_is_warmed_by_what_was_asked(shop, watched):
    for text in ("cup w3", "  ", "cup w4"):
        watched.client.post("/v1/search", {"text": text})
    assert list(watched.switch.asked) == [("shop", "cup w3"), ("shop", "cup w4")]


def test_documents_that_change_are_refreshed_between_swaps(watched):
    class Changing:
        count = 0

        def __init__(self, cascade):
            self.documents = self
            self.engine = cascade.engine
            self.generation = "cups-000001"

        def refresh(self):
            self.count += 1
            if self.count > 1:
                raise OSError("the log is away")

    with watched.switch.held() as cascades:
        changing = Changing(cascades["shop"])
    watched.switch.put({"shop": changing})
    for _ in range(3):
        watched.watcher.pulse()
    assert changing.count == 3


def test_requests_from_many_threads_never_meet_a_closed_engine(shop, watched):
    build_number(shop, 2)
    config = {"shop": watched.config}
    faults, ended = [], threading.Event()

    def read():
        while not ended.is_set():
            with watched.switch.held() as cascades:
                if not cascades["shop"].engine.healthy():
                    faults.append(cascades["shop"].documents.generation)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        watched.switch.put(open_cascades(config))
    ended.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(watched.switch.open_generations("shop")) == 1


def test_three_processes_follow_swaps_under_load(shop, tmp_path):
    readers = follow_swaps(shop, tmp_path, SWAPS)
    rate = sum(readers.pages.values()) / readers.seconds
    assert rate > 25, f"{rate:.0f} pages a second: the readers were starved"


def test_what_a_service_has_open_is_kept_until_it_has_switched(shop, watched):
    watched.watcher.pulse()
    for number in (2, 3, 4):
        build_number(shop, number)
    host = open_host(watched.config)
    found = collect(watched.store, host, 1)
    assert set(found.kept) == {"cups-000001", "cups-000003", "cups-000004"}
    assert found.kept["cups-000001"] == f"held by {watched.watcher.replica}"
    assert watched.page()["items"]
    watched.watcher.poll()
    watched.watcher.pulse()
    found = collect(watched.store, host, 1)
    assert found.removed == ("cups-000001",)
    assert set(found.kept) == {"cups-000003", "cups-000004"}


def test_how_far_an_index_of_others_is_followed_is_a_metric(shop, tmp_path):
    log = Log(tmp_path / "log")
    made = Watched(shop, followed={"theirs": log})
    try:
        made.watcher.pulse()
        assert 'index="theirs"' not in made.metrics()
        state = FollowState("theirs-1", "x", polled=time.time() - 50, reconciled=1_700_000_000.0)
        write_state(log, state)
        made.watcher.pulse()
        told = dict(line.rsplit(" ", 1) for line in made.metrics().splitlines() if line[0] != "#")
    finally:
        made.watcher.stop()
        made.switch.close()
    assert 50 <= float(told['cascade_follow_lag_seconds{index="theirs"}']) < 60
    of_ids = 'cascade_follow_reconciled_timestamp_seconds{index="theirs"}'
    assert float(told[of_ids]) == 1_700_000_000.0
    assert float(told['cascade_follow_flipped{index="theirs"}']) == 0
