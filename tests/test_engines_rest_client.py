"""The clients of Elasticsearch and OpenSearch, against a server in the test that says its lines."""

import base64
import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cascade.engines._rest.client import Request, reason, refusal
from cascade.engines._server.connecting import Answer, authorization
from cascade.engines.connection import Auth, Connection
from cascade.engines.elasticsearch import ElasticsearchClient
from cascade.engines.opensearch import OpenSearchClient
from cascade.errors import (
    ConfigError,
    DeadlineError,
    EngineError,
    EngineUnavailableError,
    NotFoundError,
    OptionalDependencyError,
)

CLIENTS = {"elasticsearch": ElasticsearchClient, "opensearch": OpenSearchClient}
REQUEST = Request("POST", "/products/_search", {}, None, False)


@dataclass
class Script:
    """What a server says, and what it was asked.

    Attributes:
        product: The product that it names itself as, if any.
        status: Of its answers.
        body: Of its answers.
        wait_s: How long it takes.
        hang_up: How many requests it leaves without an answer before the first that it answers.
        asked: Method, target, headers and body of each request.
    """

    product: str | None
    status: int = 200
    body: bytes = b"{}"
    wait_s: float = 0.0
    hang_up: int = 0
    asked: list = field(default_factory=list)


def serve(script):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            script.asked.append((self.command, self.path, self.headers, body))
            if script.hang_up:
                script.hang_up -= 1
                self.close_connection = True
                return
            time.sleep(script.wait_s)
            self.send_response(script.status)
            if script.product:
                self.send_header("X-elastic-product", script.product)
            self.send_header("content-type", "application/json; charset=UTF-8")
            self.send_header("content-length", str(len(script.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(script.body)

        do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

        def log_message(self, *args):
            pass

    class Listener(ThreadingHTTPServer):
        def handle_error(self, request, address):
            """A client that went away is what some tests are about."""

    server = Listener(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(params=sorted(CLIENTS))
def kind(request):
    return request.param


@pytest.fixture
def script(kind):
    return Script("Elasticsearch" if kind == "elasticsearch" else None)


@pytest.fixture
def url(script):
    server, url = serve(script)
    yield url
    server.shutdown()
    server.server_close()


@pytest.fixture
def connect(kind, url):
    clients = []

    def connect(**settings):
        clients.append(CLIENTS[kind](Connection(**{"urls": (url,), **settings})))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def free_url():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def test_a_request_goes_out_and_comes_back_as_it_is(connect, script, kind):
    script.body = '{"a": "zoë \\ud800", "n": 1.50}'.encode()
    client = connect()
    assert client.kind == kind
    params = {"filter_path": "hits.hits.sort,took", "q": "a b&c"}
    answer = client.request("POST", "/i%2Fx/_search", params=params, body='{"q":"ä"}'.encode())
    assert answer == Answer(200, script.body)
    method, target, headers, body = script.asked[0]
    assert (method, body) == ("POST", '{"q":"ä"}'.encode())
    assert target == "/i%2Fx/_search?filter_path=hits.hits.sort%2Ctook&q=a+b%26c"
    assert "json" in headers["content-type"]
    client.request("POST", "/_bulk", body=b"{}\n{}\n", ndjson=True)
    assert "x-ndjson" in script.asked[1][2]["content-type"]
    assert script.asked[1][3] == b"{}\n{}\n"
    client.request("GET", "/", timeout_s=5.0)
    assert script.asked[2][0] == "GET"


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (400, EngineError, "status 400.*bad: no"),
        (401, EngineError, "does not know who asks.*bad: no"),
        (403, EngineError, "does not permit POST /i/_search.*bad: no.*privilege"),
        (404, NotFoundError, "bad: no"),
        (429, EngineUnavailableError, "no room.*bad: no"),
        (500, EngineError, "status 500"),
        (503, EngineUnavailableError, "no room"),
    ],
)
def test_a_status_from_400_on_is_an_error_unless_it_is_allowed(
    connect, script, status, error, words
):
    script.status, script.body = status, b'{"error":{"type":"bad","reason":"no"},"status":1}'
    client = connect()
    with pytest.raises(error, match=words):
        client.request("POST", "/i/_search", body=b"{}")
    answer = client.request("POST", "/i/_search", body=b"{}", allow=frozenset({status}))
    assert answer == Answer(status, script.body)
    assert len(script.asked) == 2


def test_head_says_whether_something_is_there(connect, script):
    client = connect()
    assert client.request("HEAD", "/i").status == 200
    script.status = 404
    assert client.request("HEAD", "/i", allow=frozenset({404})).status == 404
    with pytest.raises(NotFoundError):
        client.request("HEAD", "/i")
    script.status = 403
    with pytest.raises(EngineError, match="does not permit HEAD"):
        client.request("HEAD", "/i", allow=frozenset({404}))


def test_no_server_is_unavailable(kind):
    client = CLIENTS[kind](Connection(urls=(free_url(),)))
    with pytest.raises(EngineUnavailableError, match=r"cannot be reached for PUT /i.*refused"):
        client.request("PUT", "/i")
    client.close()


def test_another_node_answers_for_one_that_is_gone(connect, url):
    client = connect(urls=(free_url(), url))
    for _ in range(4):  # whichever comes first
        assert client.request("PUT", "/i").status == 200


def test_only_what_reads_is_asked_again_when_an_answer_was_lost(connect, script):
    client = connect()
    for method, path in (("POST", "/i/_search"), ("GET", "/i"), ("POST", "/i/_msearch")):
        script.hang_up = 1
        assert client.request(method, path).status == 200
    asked = len(script.asked)
    script.hang_up = 1
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        client.request("POST", "/i/_bulk", body=b"{}")
    assert len(script.asked) == asked + 1
    script.hang_up = 99
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        client.request("GET", "/i")


def test_a_slow_server_is_left_in_time(connect, script):
    script.wait_s = 1.0
    start = time.monotonic()
    with pytest.raises(DeadlineError, match=r"did not answer GET / within 0.1 s"):
        connect().request("GET", "/", timeout_s=0.1)
    with pytest.raises(EngineUnavailableError, match="raise the timeout"):
        connect(timeout_s=0.1).request("GET", "/")
    with pytest.raises(DeadlineError):
        connect().request("GET", "/", timeout_s=-1.0)
    assert time.monotonic() - start < 0.9


def test_a_closed_client_says_so(connect):
    client = connect()
    client.close()
    client.close()
    with pytest.raises(EngineError, match="closed"):
        client.request("GET", "/")


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (Auth("basic", "ü", "p:w"), "Basic " + base64.b64encode("ü:p:w".encode()).decode()),
        (Auth("api_key", secret="abc=="), "ApiKey abc=="),
        (Auth("api_key", secret="id:key"), "ApiKey " + base64.b64encode(b"id:key").decode()),
        (Auth("bearer", secret="t"), "Bearer t"),
    ],
)
def test_who_we_are_stands_in_a_header(connect, script, auth, header):
    assert authorization(auth) == header
    connect(auth=auth).request("GET", "/")
    assert script.asked[0][2]["authorization"] == header


def test_the_wrong_product_is_refused(kind, script, connect):
    script.product = None if kind == "elasticsearch" else "Elasticsearch"
    with pytest.raises(EngineError, match="say kind = "):
        connect().request("GET", "/")


def test_a_server_older_than_the_client_is_refused_with_the_line_that_helps():
    why = "Accept version must be either version 8 or 7, but found 9"
    error = {"type": "media_type_header_exception", "reason": "No", "caused_by": {"reason": why}}
    script = Script("Elasticsearch", 400, json.dumps({"error": error}).encode())
    server, url = serve(script)
    client = ElasticsearchClient(Connection(urls=(url,)))
    with pytest.raises(EngineError, match=r'pip install "elasticsearch>=8.19,<9"') as refused:
        client.request("GET", "/", allow=frozenset({400}))
    assert why in str(refused.value)
    client.close()
    server.shutdown()
    server.server_close()


def test_what_a_server_cannot_do_is_refused_at_once(monkeypatch):
    with pytest.raises(ConfigError, match="Elasticsearch takes no"):
        ElasticsearchClient(Connection(("http://localhost:9200",), Auth("sigv4")))
    with pytest.raises(ConfigError, match="OpenSearch has none"):
        OpenSearchClient(Connection(cloud_id="x:y"))
    with pytest.raises(ConfigError, match="url: "):
        ElasticsearchClient(Connection(("localhost",)))
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(OptionalDependencyError, match=r"cascade-ranking\[aws\]"):
        OpenSearchClient(Connection(("http://localhost:9200",), Auth("sigv4", region="eu-west-1")))


@pytest.mark.parametrize(("kind", "package"), [("elasticsearch", None), ("opensearch", "py")])
def test_a_package_that_is_missing_is_named(monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, f"{kind}{package or ''}", None)
    with pytest.raises(OptionalDependencyError, match=rf"cascade-ranking\[{kind}\]"):
        CLIENTS[kind](Connection(("http://localhost:9200",)))


def test_a_certificate_authority_that_cannot_be_read_is_named(kind, tmp_path):
    connection = Connection(("https://localhost:9200",), ca_file=tmp_path / "none.pem")
    with pytest.raises(EngineError, match=r"none.pem cannot be read"):
        CLIENTS[kind](connection)


def test_tls_is_made_without_a_warning(kind):
    for verify in (True, False):
        client = CLIENTS[kind](Connection(("https://localhost:1",), verify=verify))
        with pytest.raises(EngineUnavailableError):
            client.request("GET", "/", timeout_s=2.0)
        client.close()


def test_passwords_in_a_url_are_not_shown(kind):
    host = free_url().removeprefix("http://")
    client = CLIENTS[kind](Connection((f"http://me:hidden@{host}",)))
    with pytest.raises(EngineUnavailableError) as error:
        client.request("GET", "/")
    assert "hidden" not in str(error.value)
    client.close()


def error_body(**more):
    return json.dumps({"error": {"type": "a", "reason": "b", **more}}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<h1>Bad gateway</h1>", "<h1>Bad gateway</h1>"),
        (b'{"error": "no handler found"}', "no handler found"),
        (error_body(caused_by={"type": "c", "reason": "d"}), "a: b; c: d"),
        (error_body(failed_shards=[{"reason": {"type": "e", "reason": "f"}}] * 2), "a: b; e: f"),
        (b"{}", ""),
        (b"", ""),
    ],
)
def test_the_servers_words_are_found(body, words):
    assert reason(body) == words


def test_time_that_was_up_at_the_server_is_a_deadline():
    body = b'{"error": {"type": "query_phase_execution_exception", "reason": "Time exceeded"}}'
    assert isinstance(refusal("here", REQUEST, Answer(500, body)), DeadlineError)
