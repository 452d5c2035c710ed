"""Asking Solr over HTTP: nodes that are away, answers that are none, times that are up.

The servers are sockets of this process that say what the test tells them to.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cascade.engines._solr.client import SolrClient, admin, reading
from cascade.engines._solr.cores import Cores
from cascade.engines._solr.index import Found, Hit, SolrIndex
from cascade.engines._solr.writer import BatchSender, Item, SolrBulkWriter
from cascade.engines.connection import Auth, Connection, IndexShape
from cascade.errors import (
    ConfigError,
    DeadlineError,
    EngineError,
    EngineUnavailableError,
    NotFoundError,
)
from cascade.hosting import BulkOptions
from cascade.schema import Field, Kind, Schema

SCHEMA = Schema("id", (Field("title", Kind.TEXT),))


class Node:
    """A server that notes requests and answers with what `answer(path, body)` gives."""

    def __init__(self, answer):
        self.asked = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                node.asked.append((self.command, self.path, dict(self.headers), body))
                status, data = answer(self.path, body)
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _answer

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # who asked did not wait for the answer
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def nodes():
    started = []

    def start(answer):
        started.append(Node(answer))
        return started[-1]

    yield start
    for node in started:
        node.close()


def always(status, value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda path, body: (status, data)


def client(*urls, **more):
    return SolrClient(Connection(urls, timeout_s=more.pop("timeout_s", 5.0), **more))


AWAY = "http://127.0.0.1:9"  # nothing listens to the port of `discard`


def test_a_node_that_is_away_is_passed_over_and_not_asked_first_again(nodes):
    node = nodes(always(200, {"a": 1}))
    asking = client(AWAY, node.url)
    assert asking.json(reading("/x")) == {"a": 1}
    assert asking._first == 1
    # A request that changes something goes on as well: the first node never had it.
    assert asking.send(admin("/admin/cores", "SWAP")).status == 200
    asking.close()


def test_no_node_is_unavailable_and_the_message_says_what_to_do():
    asking = client(AWAY)
    with pytest.raises(
        EngineUnavailableError, match=r"cannot be reached for GET /x: .*that it runs"
    ):
        asking.send(reading("/x"))
    asking.close()


def test_a_busy_node_hands_over_to_the_next(nodes):
    busy = nodes(always(503, {"error": {"msg": "warming"}}))
    node = nodes(always(200, {}))
    assert client(busy.url, node.url).send(reading("/x")).status == 200
    with pytest.raises(EngineUnavailableError, match=r"no room .*warming"):
        client(busy.url).send(reading("/x"))


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (400, EngineError, "refused GET /x .status 400.: undefined field x"),
        (401, EngineError, "does not know who asks"),
        (403, EngineError, "docs/solr.md"),
        (404, NotFoundError, "has not what GET /x asks for"),
        (429, EngineUnavailableError, "no room"),
        (500, EngineError, "status 500"),
    ],
)
def test_statuses_become_errors_of_ours(nodes, status, error, words):
    node = nodes(always(status, {"error": {"msg": "undefined field x", "code": status}}))
    with pytest.raises(error, match=words):
        client(node.url).send(reading("/x"))
    assert client(node.url).send(reading("/x"), allow=frozenset({status})).status == status


def test_a_page_of_another_server_is_no_answer(nodes):
    node = nodes(always(200, b"<html>hello</html>"))
    with pytest.raises(EngineError, match=r"no answer of Solr to GET /x.*is the url right"):
        client(node.url).json(reading("/x"))


def test_time_that_is_up_is_told_apart(nodes):
    hold = threading.Event()
    node = nodes(lambda path, body: (200, b"{}" if hold.wait(5) else b""))
    with pytest.raises(DeadlineError, match=r"within 0\.05 s, which was all the time"):
        client(node.url).send(reading("/x"), timeout_s=0.05)
    with pytest.raises(EngineUnavailableError, match="raise the timeout"):
        client(node.url, timeout_s=0.05).send(reading("/x"))
    with pytest.raises(DeadlineError):
        client(node.url).send(reading("/x"), timeout_s=-1.0)
    hold.set()


def test_who_we_are_is_said_and_never_shown(nodes):
    node = nodes(always(200, {}))
    client(node.url, auth=Auth("basic", "ann", "pw")).send(reading("/x"))
    client(node.url, auth=Auth("bearer", secret="token")).send(reading("/x"))
    sent = [headers["authorization"] for _, _, headers, _ in node.asked]
    assert sent == ["Basic YW5uOnB3", "Bearer token"]


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        (Connection(), "at least one node"),
        (Connection(("localhost:8983",)), "accepted is http://HOST:PORT"),
        (Connection(("http://x",), auth=Auth("sigv4")), "'sigv4'; accepted by Solr: basic, bearer"),
        (Connection(("http://x",), cloud_id="a:b"), "cloud_id: belongs to Elasticsearch"),
    ],
)
def test_what_solr_cannot_do_is_refused(connection, problem):
    with pytest.raises(ConfigError) as caught:
        SolrClient(connection)
    assert problem in str(caught.value)


def test_a_closed_client_says_so(nodes):
    node = nodes(always(200, {}))
    asking = client(node.url)
    asking.close()
    with pytest.raises(EngineError, match="closed"):
        asking.send(reading("/x"))


class Standalone:
    """Two cores under names that a test may swap; each knows documents of its own index."""

    def __init__(self):
        self.names = {"i-000001": "i-000001", "i-000002": "i-000002"}  # the name's folder
        self.updates = []
        self.swap_at = None
        self.partial = False
        self.bad = []
        self.busy = 0
        self.seen = []  # how many documents each count finds, the last one again and again

    def swap(self):
        one, two = self.names["i-000001"], self.names["i-000002"]
        self.names = {"i-000001": two, "i-000002": one}

    def __call__(self, path, body):
        core, _, handler = path.partition("?")[0].removeprefix("/solr/").partition("/")
        if self.swap_at == handler:
            self.swap_at = None
            self.swap()
        if core == "admin":
            status = {n: {"instanceDir": f"/var/cores/{f}"} for n, f in self.names.items()}
            return 200, json.dumps({"status": status}).encode()
        return getattr(self, handler)(self.names[core], path, body)

    def select(self, index, path, body):
        raw = json.dumps({"made_by": "cascade", "identity": "x", "about": {}})
        docs = [{"cascade_raw": raw}] if f"cascade%2F{index}" in path else []
        if body:
            asked = json.loads(body)["params"]["generation"]
            docs = [{"cascade_row": 7, "score": 1.5}] if asked == index else []
        found = len(docs)
        if self.seen:
            found = self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        answer = {
            "responseHeader": {"partialResults": self.partial},
            "response": {"numFound": found, "docs": docs},
        }
        return 200, json.dumps(answer).encode()

    def update(self, index, path, body):
        if self.busy:
            self.busy -= 1
            return 503, b'{"error": {"msg": "busy"}}'
        text = body.decode()
        if text == "{}":
            return 200, b"{}"  # a commit
        if f"cascade/{index}" not in text:
            return 409, b'{"error": {"msg": "version conflict"}}'
        for doc_id in self.bad:
            if f'"{doc_id}"' in text:
                return 400, json.dumps({"error": {"msg": f"ERROR: [doc={doc_id}] bad"}}).encode()
        if '"mute' in text:
            return 400, b'{"error": {"msg": "something is wrong"}}'
        self.updates.append((index, text))
        return 200, b"{}"


@pytest.fixture
def solr(nodes):
    server = Standalone()
    asking = client(nodes(server).url)
    yield server, SolrIndex(asking, Cores(asking, IndexShape()), "i-000001")
    asking.close()


def found_rows(index):
    body = {"query": "x", "filter": index.own_filters, "params": index.own_params}
    return [hit.cascade_row for hit in index.search(body, Found[Hit]).response.docs]


def test_a_search_follows_an_index_whose_name_was_swapped(solr):
    server, index = solr
    assert (index.path, found_rows(index)) == ("/i-000001", [7])
    server.swap_at = "select"  # between the look at the names and the search
    assert found_rows(index) == [7]
    assert index.path == "/i-000002"
    server.swap()
    assert found_rows(index) == [7]


def test_a_change_never_reaches_the_index_that_took_the_name(solr):
    server, index = solr
    server.swap_at = "update"
    assert index.send([b'"delete":["a"]']) == ""
    assert [held for held, _ in server.updates] == ["i-000001"]
    assert server.updates[0][1].index("cascade/i-000001") < server.updates[0][1].index("delete")


def test_an_answer_of_a_part_is_no_answer(solr):
    server, index = solr
    server.partial = True
    with pytest.raises(DeadlineError, match="only a part of 'i-000001'"):
        found_rows(index)


def items(*ids):
    return [
        Item(doc_id, row, b'"add":{"doc":{"id":"%b"}}' % doc_id.encode())
        for row, doc_id in enumerate(ids)
    ]


def sender(index, **options):
    return BatchSender(index, BulkOptions(backoff_s=0.001, **options), threading.Event())


def test_a_document_that_is_named_is_taken_out_of_the_batch(solr):
    server, index = solr
    server.bad = ["b", "d"]
    rejected = sender(index).send(items("a", "b", "c", "d", "e"))
    assert [(one.doc_id, one.row) for one in rejected] == [("b", 1), ("d", 3)]
    assert "bad" in rejected[0].reason
    (sent,) = [text for _, text in server.updates]
    assert [one in sent for one in ('"a"', '"b"', '"c"', '"d"', '"e"')] == [True, False] * 2 + [
        True
    ]


def test_a_document_that_is_not_named_is_found_by_halves(solr):
    server, index = solr
    rejected = sender(index).send(items("a", "b", "mute1", "c", "mute2"))
    assert [one.doc_id for one in rejected] == ["mute1", "mute2"]
    sent = " ".join(text for _, text in server.updates)
    assert [f'"{one}"' in sent for one in ("a", "b", "c", "mute1")] == [True, True, True, False]


def test_a_server_without_room_is_asked_again_and_not_for_ever(solr):
    server, index = solr
    server.busy = 3
    assert sender(index, retries=3).send(items("a")) == []
    assert len(server.updates) == 1
    server.busy = 99
    with pytest.raises(EngineUnavailableError, match=r"sent 4 times .*busy"):
        sender(index, retries=3).send(items("b"))


def test_what_a_writer_has_answered_for_is_counted_in_order(solr):
    server, index = solr
    server.bad = ["4"]
    stop, told = threading.Event(), []
    options = BulkOptions(documents=3, in_flight=2, backoff_s=0.001, skip=2, skip_refused=1)
    writer = SolrBulkWriter(
        BatchSender(index, options, stop),
        lambda row, document: b'"add":{"doc":{"id":"%b"}}' % document.id.encode(),
        options,
        stop,
        told.append,
    )
    for i in range(10):
        writer.add(i, SCHEMA.document({"id": str(i), "title": "x"}), {})
    end = time.monotonic() + 5
    while writer.acknowledged < 8 and time.monotonic() < end:
        time.sleep(0.005)
    assert writer.acknowledged == 8
    writer.finish()
    assert (writer.acknowledged, told) == (10, [8])
    assert [one.doc_id for one in writer.rejected] == ["4"]
    sent = " ".join(text for _, text in server.updates)
    assert [f'"{i}"' in sent for i in range(10)] == [False] * 2 + [True] * 2 + [False] + [True] * 5
    with pytest.raises(EngineError, match="ended"):
        writer.add(10, SCHEMA.document({"id": "10", "title": "x"}), {})


def test_commits_go_on_until_what_was_taken_is_seen(solr):
    server, index = solr
    server.seen = [0, 0, 5]
    assert index.commit_at_least(5, threading.Event()) == 5
    assert server.seen == [5]
    assert index.commit_at_least(4, threading.Event()) == 5


def test_what_is_never_seen_is_told_when_the_time_is_up_or_it_is_stopped(solr):
    server, index = solr
    server.seen = [3]
    assert index.commit_at_least(5, threading.Event(), 0.0) == 3
    stop = threading.Event()
    stop.set()
    assert index.commit_at_least(5, stop) == 3


def test_a_failure_is_raised_by_the_next_call(solr):
    server, index = solr
    server.busy = 10**6
    stop = threading.Event()
    options = BulkOptions(documents=1, in_flight=1, retries=0, backoff_s=0.001)
    writer = SolrBulkWriter(
        BatchSender(index, options, stop), lambda row, document: b"", options, stop, lambda *_: None
    )
    document = SCHEMA.document({"id": "1", "title": "x"})
    writer.add(0, document, {})
    with pytest.raises(EngineUnavailableError, match="busy"):
        writer.add(1, document, {})
    writer.abandon()
    assert writer.acknowledged == 0
