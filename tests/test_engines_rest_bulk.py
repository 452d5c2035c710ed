"""Filling an index in bulk, against a server that has no room, breaks off and refuses."""

import random
import threading
import time

import orjson
import pytest
from bulk_server import BulkServer

from cascade.engines._rest.bulk import (
    delete_action,
    index_action,
    requests_of,
)
from cascade.engines._rest.host import ELASTICSEARCH, RestHost
from cascade.engines._server.sending import wait_s
from cascade.engines.connection import Connection, IndexShape
from cascade.engines.elasticsearch import ElasticsearchClient
from cascade.errors import DocumentError, EngineError, EngineUnavailableError, RefusedError
from cascade.hosting import BulkOptions, Change, Place
from cascade.schema import Field, Kind, Schema

SCHEMA = Schema("id", (Field("title", Kind.TEXT),))
QUICK = BulkOptions(documents=10, in_flight=2, retries=4, backoff_s=0.001)


@pytest.fixture
def server():
    server = BulkServer()
    yield server
    server.close()


@pytest.fixture
def host(server):
    client = ElasticsearchClient(Connection(urls=(server.url,), timeout_s=5.0))
    shape = IndexShape(replicas=1, refresh_s=2.5)
    host = RestHost(client, ELASTICSEARCH, shape, lambda name, schema, documents: None)
    yield host
    host.close()


@pytest.fixture
def place(tmp_path):
    return Place("things", tmp_path)


def document(i, **more):
    return SCHEMA.document({"id": f"d{i}", "title": f"cup {i}", **more})


def fill(writer, count, first=0):
    for row in range(first, count):
        writer.add(row, document(row), {})


def expected(*rows):
    """What the index holds of some documents."""
    return {
        f"d{i}": {
            "cascade_row": i,
            "cascade_id": f"d{i}",
            "cascade_raw": {"id": f"d{i}", "title": f"cup {i}"},
            "title": [f"cup {i}"],
        }
        for i in rows
    }


def bulk_threads():
    return [t for t in threading.enumerate() if t.name.startswith("cascade-bulk")]


def whole(status):
    """A fault that answers the whole request with a status."""

    def fault(handler, ids):
        handler.answer(status, {"error": {"type": "busy", "reason": "no room"}})
        return True

    return fault


def dropped(handler, ids):
    """The connection breaks off before the server has done anything."""
    handler.drop()
    return True


def test_documents_arrive_as_they_are_and_the_index_is_made_ready(host, server, place):
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 35)
    assert len(server.requests) <= 3  # the last five wait for more
    writer.finish()
    assert server.documents == expected(*range(35))
    assert sorted(map(len, server.requests)) == [5, 10, 10, 10]
    assert (writer.acknowledged, list(writer.rejected)) == (35, [])
    assert server.settings == {"index": {"refresh_interval": "2500ms", "number_of_replicas": 1}}
    done = server.paths[-4:]
    assert [path for _, path in done] == [
        "/things/_settings",
        "/_cluster/health/things",
        "/things/_refresh",
        "/things/_count",
    ]
    assert not bulk_threads()


def test_a_request_ends_at_its_bytes_or_its_documents():
    actions = [index_action(f"d{i}", i, b"x" * 50) for i in range(7)]
    size = len(actions[0].lines)
    by_bytes = list(requests_of(actions, BulkOptions(bytes=3 * size + 1)))
    assert list(map(len, by_bytes)) == [3, 3, 1]
    assert list(map(len, requests_of(actions, BulkOptions(documents=4)))) == [4, 3]
    assert list(map(len, requests_of(actions, BulkOptions(bytes=1)))) == [1] * 7
    assert list(requests_of([], QUICK)) == []


def test_a_writer_counts_bytes_too(host, server, place):
    writer = host.open_writer(place, SCHEMA, BulkOptions(documents=1000, bytes=1000))
    for row in range(12):
        writer.add(row, document(row, pad="x" * 300), {})
    writer.finish()
    assert [len(ids) for ids in sorted(server.requests)] == [2] * 6


def test_a_storm_of_429_is_outlasted(host, server, place):
    server.faults = [whole(429)] * 3 + [whole(503)] * 2 + [whole(500)]
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 200)
    writer.finish()
    assert server.documents == expected(*range(200))
    assert len(server.requests) == 20 + 6


def test_only_the_items_without_room_are_sent_again(host, server, place):
    chance = random.Random(3)
    busy = {f"d{i}": chance.choice([1, 2, 3]) for i in range(100) if chance.random() < 0.3}

    def refuse(doc_id, times):
        late = times <= busy.get(doc_id, 0)
        return (429, "es_rejected_execution_exception") if late else None

    server.refuse = refuse
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 100)
    writer.finish()
    assert server.documents == expected(*range(100))
    assert server.times == {f"d{i}": 1 + busy.get(f"d{i}", 0) for i in range(100)}
    assert (writer.acknowledged, list(writer.rejected)) == (100, [])


def test_refused_documents_are_named_and_the_others_are_in(host, server, place):
    bad = {"d7", "d500", "d999"}
    server.refuse = lambda doc_id, times: (
        (400, "document_parsing_exception") if doc_id in bad else None
    )
    writer = host.open_writer(place, SCHEMA, BulkOptions(documents=100))
    fill(writer, 1000)
    writer.finish()
    assert [(r.doc_id, r.row) for r in writer.rejected] == [("d7", 7), ("d500", 500), ("d999", 999)]
    assert writer.rejected[0].reason == "document_parsing_exception: d7 is refused"
    assert len(server.documents) == 997
    assert writer.acknowledged == 1000
    assert sum(server.times[doc_id] for doc_id in bad) == 3  # none was sent again


def test_a_lost_answer_loses_and_doubles_nothing(host, server, place):
    def applied_and_dropped(handler, ids):
        handler.apply([("index", i, expected(int(i[1:]))[i]) for i in ids])
        handler.drop()
        return True

    server.faults = [applied_and_dropped, dropped, applied_and_dropped]
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 60)
    writer.finish()
    assert server.documents == expected(*range(60))
    assert len(server.requests) == 6 + 3


def test_a_broken_off_answer_is_asked_for_again(host, server, place):
    def halved(handler, ids):
        handler.answer(200, None, raw=b'{"errors":false,"items":[{"index":{"sta')
        return True

    server.faults = [halved]
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 10)
    writer.finish()
    assert len(server.requests) == 2
    assert len(server.documents) == 10


def test_answers_for_too_few_documents_are_an_error(host, server, place):
    def short(handler, ids):
        handler.answer(200, {"errors": False, "items": [{"index": {"status": 201}}]})
        return True

    server.faults = [short]
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 10)
    with pytest.raises(EngineError, match="answered for 1 of 10 documents"):
        writer.finish()
    writer.abandon()


def test_a_server_without_room_to_the_last_is_unavailable(host, server, place):
    server.refuse = lambda doc_id, times: (429, "es_rejected_execution_exception")
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 10)
    with pytest.raises(EngineUnavailableError, match="10 documents for 'things' were sent 5 times"):
        writer.finish()
    assert server.times == {f"d{i}": 5 for i in range(10)}
    assert writer.acknowledged == 0
    writer.abandon()
    assert not bulk_threads()


def test_a_failure_stops_the_next_add(host, server, place):
    server.refuse = lambda doc_id, times: (403, "cluster_block_exception")
    writer = host.open_writer(place, SCHEMA, QUICK)
    with pytest.raises(EngineError, match="takes no documents: 403 cluster_block_exception"):
        fill(writer, 10_000)
    writer.abandon()
    assert len(server.requests) <= 4
    with pytest.raises(EngineError, match="has ended"):
        writer.add(0, document(0), {})


def test_what_the_server_refuses_whole_is_not_sent_again(host, server, place):
    server.faults = [whole(400)]
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 10)
    with pytest.raises(EngineError, match="no room"):
        writer.finish()
    writer.abandon()
    assert len(server.requests) == 1


def test_a_request_that_is_too_large_is_halved(host, server, place):
    def at_most_three(handler, ids):
        if len(ids) <= 3 and "d5" not in ids:
            return False
        handler.answer(413, None, raw=b"")
        return True

    server.faults = [at_most_three] * 100
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 10)
    writer.finish()
    assert server.documents == expected(*[i for i in range(10) if i != 5])
    (refused,) = writer.rejected
    assert (refused.doc_id, refused.row) == ("d5", 5)
    assert "more than the server takes" in refused.reason


def test_what_cannot_be_sent_is_refused_without_asking(host, server, place):
    writer = host.open_writer(place, SCHEMA, QUICK)
    writer.add(0, document("x" * 512), {})
    writer.add(1, document(1), {})
    writer.add(2, document(2, odd={1}), {})
    fill(writer, 12, first=3)
    writer.add(12, document("ü" * 256), {})
    writer.finish()
    assert [(r.row, r.reason) for r in writer.rejected] == [
        (0, "its id has 513 bytes; accepted are 512"),
        (2, "Object of type set is not JSON serializable"),
        (12, "its id has 513 bytes; accepted are 512"),
    ]
    assert server.documents == expected(1, *range(3, 12))
    assert writer.acknowledged == 13


def test_numbers_beyond_64_bits_are_sent_whole(host, server, place):
    writer = host.open_writer(place, SCHEMA, QUICK)
    writer.add(0, document(0, odd=[10**30, "ü", "\udfff"]), {})
    writer.finish()
    assert server.documents["d0"]["cascade_raw"]["odd"] == [10**30, "ü", "\ufffd"]


def test_documents_that_an_earlier_run_brought_are_passed_over(host, server, place):
    server.documents = expected(*range(25))
    writer = host.open_writer(place, SCHEMA, BulkOptions(documents=10, skip=20))
    assert writer.acknowledged == 20
    fill(writer, 40)
    writer.finish()
    assert sorted(i for ids in server.requests for i in ids) == sorted(expected(*range(20, 40)))
    assert server.documents == expected(*range(40))
    assert writer.acknowledged == 40


def test_what_is_acknowledged_is_a_prefix(host, server, place):
    gate = threading.Event()

    def held(handler, ids):
        assert gate.wait(10)
        return False

    server.faults = [held]
    writer = host.open_writer(place, SCHEMA, QUICK)
    try:
        fill(writer, 10)
        until(lambda: len(server.requests) == 1)
        fill(writer, 30, first=10)
        until(lambda: len(server.documents) == 20)
        assert writer.acknowledged == 0
    finally:
        gate.set()
    writer.finish()
    assert writer.acknowledged == 30


def test_adding_waits_for_the_server(host, server, place):
    gate = threading.Event()
    added = []

    def held(handler, ids):
        assert gate.wait(10)
        return False

    server.faults = [held] * 100
    writer = host.open_writer(place, SCHEMA, QUICK)

    def add():
        for row in range(200):
            writer.add(row, document(row), {})
            added.append(row)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        until(lambda: len(server.requests) == 2 and len(added) >= 29)
        time.sleep(0.1)
        assert len(added) == 29  # two requests under way; the thirtieth waits to hand over a third
    finally:
        gate.set()
        thread.join()
    writer.finish()
    assert len(server.documents) == 200
    assert server.most_at_once == 2


def test_abandon_ends_a_writer_that_waits_to_send_again(host, server, place):
    server.refuse = lambda doc_id, times: (429, "es_rejected_execution_exception")
    writer = host.open_writer(place, SCHEMA, BulkOptions(documents=10, backoff_s=60.0))
    fill(writer, 20)
    until(lambda: len(server.requests) == 2)
    start = time.monotonic()
    writer.abandon()
    assert time.monotonic() - start < 5
    assert not bulk_threads()
    assert len(server.requests) == 2
    writer.abandon()


def test_a_server_that_is_away_while_the_index_is_made_ready_is_waited_for(host, server, place):
    server.failing_puts = 3
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 20)
    writer.finish()
    assert server.settings["index"]["number_of_replicas"] == 1
    assert len(server.documents) == 20


def test_a_server_that_stays_away_is_unavailable(host, server, place):
    server.failing_puts = 1000
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 20)
    with pytest.raises(EngineUnavailableError, match="cannot be reached for PUT"):
        writer.finish()
    assert server.failing_puts == 1000 - (QUICK.retries + 1)


def test_an_index_that_lacks_documents_is_not_finished(host, server, place):
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 20)
    until(lambda: len(server.documents) == 20)
    del server.documents["d3"]
    with pytest.raises(EngineError, match="holds 19 documents, but 20 were taken"):
        writer.finish()


def test_an_index_made_anew_meanwhile_is_not_finished(host, server, place):
    writer = host.open_writer(place, SCHEMA, QUICK)
    fill(writer, 20)
    server.identity = "u-2"
    with pytest.raises(EngineError, match="made anew by another while it was filled"):
        writer.finish()


def test_an_index_of_others_is_not_filled(host, server, place):
    server.made_by = "them"
    with pytest.raises(RefusedError, match="was not made by this system, so it is not filled"):
        host.open_writer(place, SCHEMA)
    with pytest.raises(RefusedError, match="so it is not changed"):
        host.apply(place, SCHEMA, [Change("d1")])
    assert server.requests == []


def test_changes_are_applied_the_last_of_each_id(host, server, place):
    server.documents = expected(1, 2, 3)
    server.faults = [whole(429), dropped]
    changes = [
        Change("d1", 1, document(4)),
        Change("d1"),
        Change("d2"),
        Change("d2", 2, document(2, title="blue")),
        Change("unknown"),
        Change("d9", -1, document(9)),
    ]
    host.apply(place, SCHEMA, changes)
    assert set(server.documents) == {"d2", "d3", "d9"}
    assert server.documents["d2"]["cascade_raw"]["title"] == "blue"
    assert "cascade_row" not in server.documents["d9"]
    assert server.requests[-1] == ["d1", "d2", "unknown", "d9"]
    assert server.paths[-1] == ("POST", "/things/_refresh")


def test_changes_that_are_refused_are_named_and_the_rest_applied(host, server, place):
    server.refuse = lambda doc_id, times: (400, "too_bad") if doc_id == "d1" else None
    changes = [Change(f"d{i}", i, document(i)) for i in range(3)]
    changes.append(Change("d3", 3, document(3, odd={1})))
    changes.append(Change("x" * 513))
    with pytest.raises(DocumentError) as raised:
        host.apply(place, SCHEMA, changes, refresh=False)
    assert "refused 3 of 5 changes; the others are applied" in str(raised.value)
    assert "'d1': too_bad: d1 is refused" in str(raised.value)
    assert server.documents == expected(0, 2)
    assert ("POST", "/things/_refresh") not in server.paths


def test_no_change_asks_for_nothing_but_whose_index_it_is(host, server, place):
    host.apply(place, SCHEMA, [])
    assert server.requests == []
    assert server.paths == [("GET", "/things")]


def test_ids_are_data_in_a_request():
    odd = 'a"b\\c\n{"delete":{}}\u2028ü'
    action, delete = index_action(odd, 0, b"{}"), delete_action(odd)
    assert action.lines.count(b"\n") == 2
    assert orjson.loads(action.lines.splitlines()[0]) == {"index": {"_id": odd}}
    assert orjson.loads(delete.lines) == {"delete": {"_id": odd}}


def test_waiting_doubles_and_has_an_end():
    for attempt, most in [(1, 0.5), (2, 1.0), (4, 4.0), (6, 10.0), (60, 10.0)]:
        waits = [wait_s(0.5, attempt) for _ in range(200)]
        assert most / 2 <= min(waits) < max(waits) <= most
    assert len(set(waits)) > 100


def until(true, seconds=10.0):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)
