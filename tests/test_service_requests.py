"""The request log: what the service keeps, how it is written, and what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.candidates import Query
from cascade.config import open_cascade
from cascade.errors import InputError, NotFoundError
from cascade.events.erasing import erase_rows
from cascade.events.pseudonyms import Pseudonyms
from cascade.events.request_import import LATER, RANKED, TWICE, import_requests
from cascade.events.request_log import RequestLog
from cascade.events.request_writer import DAY_S, RequestWriter, Writing
from cascade.events.requests import sampled
from cascade.events.rules import Rules
from cascade.events.tables import EventLog
from cascade.pipeline import Recording
from tests.logged_shop import NOON, Logging, opened_config, write_logged_shop

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged")
    write_logged_shop(folder)
    return folder


@pytest.fixture
def config(folder, tmp_path):
    """The shop with a log of its own."""
    return opened_config(folder, f'log.path="{tmp_path}/log"', f'log.salts="{tmp_path}/salts"')


def requests_of(config, query_id=None):
    return list(RequestLog(config.resolve(config.settings.log.path)).requests(query_id))


def counted(logging):
    lines = logging.metrics.exposition().decode().splitlines()
    found = [line for line in lines if line.startswith("cascade_logged_requests_total{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in found}


def test_a_request_is_kept_with_what_was_served(config):
    with Logging(config) as logging:
        page = logging.ask(
            text="cup red",
            filters={"price": {"lte": 150}},
            preference={"stocked": 0.5},
            surface="app",
            session=["d003", "d004"],
            session_id="s-1",
            visitor="v-1",
            query_id="q1",
            size=7,
        )
    [kept] = requests_of(config)
    assert (kept.query_id, kept.route, kept.text, kept.surface) == (
        "q1",
        "search",
        "cup red",
        "app",
    )
    assert kept.filters == {"price": {"lte": 150}}
    assert kept.preference == {"stocked": 0.5}
    assert kept.time == NOON
    assert kept.seen == ("d003", "d004")
    assert (kept.cascade, kept.generation) == ("shop", page["generation"])
    assert kept.models == page["models"] == {"cheap": "shop-cheap/1", "dear": "shop-dear/1"}
    assert list(kept.results) == [item["id"] for item in page["items"]]
    assert (kept.offset, kept.size) == (0, 7)
    final = [kept.candidates[at] for at in kept.order]
    assert final[:7] == list(kept.results)
    assert [float(s) for s in kept.scores[:7]] == [item["score"] for item in page["items"]]
    # d199 costs 164 and is filtered out, so the pin does not hold here.
    assert kept.admitted == 0
    assert kept.business.outcome == "ran"
    assert kept.business.preference == {"stocked": 0.5}
    assert len(kept.business.utilities) == 20
    outcomes = [(s.name, s.outcome, len(s.scores)) for s in kept.stages]
    assert outcomes == [("cheap", "ran", 100), ("dear", "ran", 30)]
    assert counted(logging)["written"] == 1


def test_the_matrix_is_what_the_model_saw(config):
    with Logging(config) as logging:
        logging.ask(text="cup blue", query_id="q1")
        cascade = logging.cascades["shop"]
        listing = cascade.engine.retrieve([Query("q1", "cup blue", time=NOON)], 120).candidates
        stage = cascade.stages[0]
        head = stage.ranker.prepared(listing).head(100)
        expected = stage.features.matrix(head)
    [kept] = requests_of(config)
    cheap = kept.stages[0]
    assert cheap.names == stage.features.names
    assert cheap.matrix.dtype == np.float32
    np.testing.assert_array_equal(cheap.matrix.view(np.uint32), expected.view(np.uint32))
    assert list(kept.candidates) == listing.ids()
    np.testing.assert_array_equal(kept.engine_scores, listing.scores)
    assert set(kept.columns) == {"engine_score", "engine_rank"}
    again = stage.ranker.score_matrix(cheap.matrix).order
    np.testing.assert_array_equal(again.view(np.uint32), cheap.scores.view(np.uint32))


def test_an_admitted_pin_and_the_moves_of_rules_are_kept(config):
    with Logging(config) as logging:
        page = logging.ask(text="cup red", query_id="q1", size=3)
        logging.ask(text="cup blue", query_id="q2", size=3)
    kept, boosted = requests_of(config, "q1")[0], requests_of(config, "q2")[0]
    assert page["items"][1]["id"] == "d199"
    assert kept.candidates[kept.order[1]] == "d199"
    assert page["trace"]["admitted"] == ["d199"] * kept.admitted
    assert [m[:2] for m in kept.business.moves] == [("lead", "d199")]
    assert {m[0] for m in boosted.business.moves} == {"push"}


def test_a_ranking_of_the_callers_candidates_is_kept(config):
    with Logging(config) as logging:
        found = {"ids": ["d001", "nowhere", "d002"], "scores": [1.0, 3.0, 2.0]}
        answer = logging.ask("rank", text="cup", candidates=found, query_id="r1")
    [kept] = requests_of(config)
    assert answer["query_id"] == kept.query_id == "r1"
    assert kept.route == "rank"
    assert kept.candidates == ("nowhere", "d002", "d001")
    assert list(kept.results) == answer["ids"]
    assert [kept.candidates[at] for at in kept.order] == answer["ids"]


def test_a_skipped_stage_is_kept_with_its_reason(config):
    with Logging(config) as logging:
        cheap = logging.cascades["shop"].stages[0]
        cheap.cost.record(rows=100, ms=1e9)
        logging.ask(text="cup", query_id="q1", budget_ms=1000)
    cheap, dear = requests_of(config)[0].stages
    assert (cheap.outcome, len(cheap.scores), cheap.matrix.shape[0]) == ("skipped", 0, 0)
    assert cheap.reason.startswith("needs ")
    assert (dear.outcome, dear.matrix.shape[0]) == ("ran", 30)


def test_sessions_and_visitors_are_pseudonyms(config):
    with Logging(config) as logging:
        logging.ask(text="cup", session_id="s-1", visitor="v-1", query_id="a")
        logging.ask(text="cup", session_id="s-1", visitor="v-2", query_id="b")
    one, other = requests_of(config, "a")[0], requests_of(config, "b")[0]
    assert one.session == other.session != "s-1"
    assert one.visitor != other.visitor
    salts = Pseudonyms(config.resolve(config.settings.log.salts), 30)
    assert [one.session, one.visitor] == salts.of(["s-1", "v-1"], NOON)
    path = config.resolve(config.settings.log.path)
    written = b"".join(file.read_bytes() for file in path.iterdir())
    assert b"s-1" not in written


@pytest.mark.parametrize(("said", "assumed"), [(False, True), (None, False)])
def test_without_consent_nothing_links_and_no_session_is_used(config, said, assumed):
    body = {"text": "cup", "session": ["d003"], "session_id": "s-1", "visitor": "v-1"}
    with Logging(config, assume_consent=assumed) as logging:
        logging.ask(**body, consent=said, query_id="q1")
    [kept] = requests_of(config)
    assert (kept.session, kept.visitor, kept.consent, kept.seen) == (None, None, False, ())


def test_consent_that_is_said_counts_where_it_is_asked(config):
    with Logging(config, assume_consent=False) as logging:
        logging.ask(text="cup", session=["d003"], session_id="s-1", consent=True)
    [kept] = requests_of(config)
    assert kept.consent
    assert kept.session is not None
    assert kept.seen == ("d003",)


def test_all_pages_of_a_cursor_are_one_query(config):
    with Logging(config) as logging:
        first = logging.ask(text="cup", size=10)
        second = logging.ask(text="cup", size=10, cursor=first["next"])
    assert first["query_id"] == second["query_id"]
    kept = requests_of(config)
    assert sorted(request.offset for request in kept) == [0, 10]
    assert {request.query_id for request in kept} == {first["query_id"]}


def test_the_rate_is_a_stable_share_of_ids(folder, tmp_path):
    settings = (f'log.path="{tmp_path}/log"', f'log.salts="{tmp_path}/salts"', "log.rate=0.3")
    config = opened_config(folder, *settings)
    ids = [f"q{number}" for number in range(40)]
    with Logging(config) as logging:
        for query_id in ids:
            logging.ask(text="cup", query_id=query_id, size=1)
    expected = [query_id for query_id in ids if sampled(query_id, 0.3)]
    assert 0 < len(expected) < 40
    assert [request.query_id for request in requests_of(config)] == expected
    share = sum(sampled(str(number), 0.3) for number in range(20_000)) / 20_000
    assert abs(share - 0.3) < 0.01


def test_no_request_is_recorded_that_nobody_wants(folder, tmp_path):
    config = opened_config(folder, f'log.path="{tmp_path}/log"', "log.rate=0.0")
    with Logging(config) as logging:
        logging.ask(text="cup")
    with pytest.raises(NotFoundError, match=r"holds no request log; `cascade serve` writes one"):
        requests_of(config)


@pytest.fixture(scope="module")
def sample(folder, tmp_path_factory):
    """One request of the log."""
    scratch = tmp_path_factory.mktemp("sample")
    config = opened_config(folder, f'log.path="{scratch}/log"', f'log.salts="{scratch}/salts"')
    with Logging(config) as logging:
        logging.ask(text="cup", query_id="sample", session_id="s-1", size=5)
    return requests_of(config)[0]


def write(root, requests, **settings):
    counts = {}
    writing = Writing(**settings)
    writer = RequestWriter(root, writing, lambda o, n: counts.update({o: counts.get(o, 0) + n}))
    writer.start()
    for request in requests:
        writer.put(lambda request=request: request)
    writer.stop()
    return {outcome: number for outcome, number in counts.items() if number}


def test_files_are_split_by_rows_and_read_in_order(sample, tmp_path):
    ids = [f"q{number}" for number in range(25)]
    counts = write(tmp_path, [replace(sample, query_id=i) for i in ids], rows=10)
    assert counts == {"written": 25}
    assert [pq.read_metadata(path).num_rows for path in RequestLog(tmp_path).files()] == [10, 10, 5]
    assert [request.query_id for request in RequestLog(tmp_path).requests()] == ids
    assert [r.query_id for r in RequestLog(tmp_path).requests("q13")] == ["q13"]
    chosen = [request.query_id for request in RequestLog(tmp_path).sample(7)]
    assert chosen == [request.query_id for request in RequestLog(tmp_path).sample(7)]
    assert len(set(chosen)) == 7
    assert chosen == sorted(chosen, key=ids.index)


def test_a_file_is_finished_after_its_time(sample, tmp_path):
    writer = RequestWriter(tmp_path, Writing(flush_s=0.05))
    writer.start()
    writer.put(lambda: sample)
    end = time.monotonic() + 10
    while not list(tmp_path.glob("*.parquet")) and time.monotonic() < end:
        time.sleep(0.01)
    assert [r.query_id for r in RequestLog(tmp_path).requests()] == ["sample"]
    writer.stop()


def test_a_full_queue_drops_and_counts_and_never_waits(sample, tmp_path):
    counts = {}
    writer = RequestWriter(
        tmp_path, Writing(queue=2), lambda o, n: counts.update({o: counts.get(o, 0) + n})
    )
    go = threading.Event()
    begun = threading.Event()

    def slow():
        begun.set()
        go.wait(10)
        return sample

    writer.start()
    assert writer.put(slow)
    assert begun.wait(10)
    took = [writer.put(lambda: sample) for _ in range(5)]
    assert took == [True, True, False, False, False]
    go.set()
    writer.stop()
    assert (counts["written"], counts["dropped"]) == (3, 3)


def test_a_request_that_cannot_be_kept_costs_no_other(sample, tmp_path):
    counts = {}
    writer = RequestWriter(
        tmp_path, Writing(), lambda o, n: counts.update({o: counts.get(o, 0) + n})
    )

    def broken():
        raise ValueError("nothing was recorded")

    writer.start()
    writer.put(broken)
    writer.put(lambda: sample)
    writer.stop()
    assert (counts["failed"], counts["written"]) == (1, 1)


def test_a_folder_that_goes_costs_the_log_and_not_the_service(sample, tmp_path):
    counts = {}
    root = tmp_path / "log"
    writer = RequestWriter(root, Writing(), lambda o, n: counts.update({o: counts.get(o, 0) + n}))
    writer.start()
    root.rmdir()
    writer.put(lambda: sample)
    writer.stop()
    assert counts["failed"] == 1


def test_old_files_and_abandoned_parts_are_removed(sample, tmp_path):
    write(tmp_path, [sample])
    [path] = RequestLog(tmp_path).files()
    part = tmp_path / "requests-20200101T000000-0-000001.part"
    part.write_bytes(b"PAR1")
    os.utime(part, (0, 0))
    later = time.time() + 3 * DAY_S
    for keep, left in ((5, [path]), (2, [])):
        writer = RequestWriter(tmp_path, Writing(keep_days=keep), clock=lambda: later)
        writer.start()
        writer.stop()
        assert sorted(tmp_path.iterdir()) == left


def test_a_killed_process_leaves_whole_files_and_a_part_nobody_reads(folder, tmp_path):
    script = f"""
import sys, time
from pathlib import Path
from cascade.events.request_log import RequestLog
from tests.logged_shop import Logging, opened_config
config = opened_config(Path({str(folder)!r}), 'log.path="{tmp_path}/log"',
                       'log.salts="{tmp_path}/salts"', "log.rows=5")
with Logging(config) as logging:
    for number in range(8):
        logging.ask(text="cup", query_id=f"q{{number}}", size=1)
    for number in range(40):
        logging.ask(text="cup", query_id=f"later{{number}}", size=1)
    while len(list(Path("{tmp_path}/log").glob("*.parquet"))) < 9:
        time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = list(RequestLog(tmp_path / "log").requests())
    # 48 requests in files of 5: the last three were not finished.
    assert len(found) == 45
    assert [r.query_id for r in found[:8]] == [f"q{number}" for number in range(8)]


def test_a_service_that_is_ended_writes_what_waits(folder, tmp_path):
    """The command itself, on a socket: SIGTERM finishes the file long before its time."""
    command = [sys.executable, "-m", "cascade", "serve", "--port", "0"]
    command += ["--config", str(folder / "cascade.toml")]
    command += ["--set", f'log.path="{tmp_path}/log"', "--set", f'log.salts="{tmp_path}/salts"']
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.readline()
    url = next(word for word in told.split() if word.startswith("http"))
    content = json.dumps({"text": "cup", "query_id": "q1", "budget_ms": 10_000}).encode()
    with urllib.request.urlopen(f"{url}/v1/search", content, timeout=30) as answer:
        page = json.load(answer)
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        assert b"cascade_logged_requests_total" in answer.read()
    assert list((tmp_path / "log").glob("*.parquet")) == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()
    [kept] = RequestLog(tmp_path / "log").requests()
    assert list(kept.results) == [item["id"] for item in page["items"]]
    # Warming up searches too, and is no request.
    assert kept.query_id == "q1"


def test_a_part_of_a_file_is_no_file(sample, tmp_path):
    write(tmp_path, [sample])
    [path] = RequestLog(tmp_path).files()
    whole = path.read_bytes()
    (tmp_path / "requests-x.part").write_bytes(whole[: len(whole) // 2])
    assert len(list(RequestLog(tmp_path).requests())) == 1
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        list(RequestLog(tmp_path).requests())


def test_another_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"query_id": ["q1"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="is no request log: it has no column route, text"):
        list(RequestLog(tmp_path).requests())


def test_a_session_is_erased_and_the_rest_stays_bit_for_bit(sample, tmp_path):
    others = [replace(sample, query_id=f"o{n}", session="other") for n in range(3)]
    nan = sample.stages[0].matrix.copy()
    nan[0, 0] = np.nan
    odd = replace(sample.stages[0], matrix=nan)
    others[1] = replace(others[1], stages=(odd, sample.stages[1]), business=None)
    write(tmp_path, [sample, *others])
    assert erase_rows(tmp_path, "session", [sample.session]) == (1, 1)
    left = list(RequestLog(tmp_path).requests())
    assert [request.query_id for request in left] == ["o0", "o1", "o2"]
    assert left[1].business is None
    np.testing.assert_array_equal(left[1].stages[0].matrix, nan)
    np.testing.assert_array_equal(left[0].scores, sample.scores)
    assert left[0].business == replace(
        left[0].business, policy=sample.business.policy, moves=sample.business.moves
    )


def test_pages_become_searches_of_the_event_log(sample, tmp_path):
    ids = [f"d{number:03d}" for number in range(12)]

    def page(query_id, offset, results, **other):
        return replace(sample, query_id=query_id, offset=offset, results=tuple(results), **other)

    requests = [
        page("two", 4, ids[4:8]),
        page("two", 0, ids[:4]),
        page("two", 0, ids[:4], time=NOON + 9),
        page("gap", 4, ids[4:8]),
        page("one", 0, ids[:3]),
        page("ranking", 0, ids, route="rank"),
    ]
    write(tmp_path / "log", requests)
    rules = Rules(searches_per_minute=0)
    files = RequestLog(tmp_path / "log").files()
    done = import_requests(tmp_path / "events", files, rules)
    assert done.kept == {"searches": 2, "events": 0}
    assert done.others == {LATER: 1, TWICE: 1, RANKED: 1}
    again = import_requests(tmp_path / "events", files, rules)
    assert again.known == (files[0].name,)
    with EventLog(tmp_path / "events").database() as database:
        rows = database.execute(
            "select doc_id, rank from impressions where query_id = 'two' order by rank"
        ).fetchall()
        assert rows == [(doc_id, rank) for rank, doc_id in enumerate(ids[:8], 1)]
        [[session, time_]] = database.execute(
            "select session, time from searches where query_id = 'one'"
        ).fetchall()
    assert (session, time_) == (sample.session, NOON)


def test_a_recorded_request_is_answered_as_any_other(config):
    cascade = open_cascade(config)
    query, recording = Query("q", "cup red", time=NOON), Recording()
    plain = cascade.search(query)
    kept = cascade.search(query, recording=recording)
    assert [i.id for i in kept.items] == [i.id for i in plain.items]
    assert [i.score for i in kept.items] == [i.score for i in plain.items]
    assert recording.final is not None
    assert recording.stages[1].scores is not None
    assert recording.final.ids()[:24] == [i.id for i in kept.items]
    cascade.engine.close()


def test_the_service_says_what_it_wrote(config):
    with Logging(config) as logging:
        logging.ask(text="cup", size=1)
    text = logging.metrics.exposition().decode()
    assert 'cascade_logged_requests_total{outcome="written"} 1.0' in text
