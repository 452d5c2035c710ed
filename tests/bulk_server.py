"""A small HTTP server that speaks `_bulk` as Elasticsearch does, and fails as it is told.

It holds what it was sent in plain dicts, so that a test sees what arrived, how often, and when.
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", list[str]], bool]
"""Gets a request's handler and its ids; answers itself and says True, or leaves it with False."""


class BulkServer:
    """Serve one index named `things`; `faults` are used up one a bulk request, in order."""

    def __init__(self) -> None:
        self.documents: dict[str, Mapping[str, object]] = {}
        self.requests: list[list[str]] = []
        self.paths: list[tuple[str, str]] = []
        self.settings: dict[str, object] = {}
        self.identity = "u-1"
        self.failing_puts = 0
        self.made_by = "cascade"
        self.faults: list[Fault] = []
        self.refuse: Callable[[str, int], tuple[int, str] | None] = lambda doc_id, times: None
        self.times: dict[str, int] = {}
        self.lock = threading.Lock()
        self.most_at_once = self.at_once = 0
        handler = type("Bound", (Handler,), {"shop": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shop: BulkServer

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: object, raw: bytes | None = None) -> None:
        data = json.dumps(body).encode() if raw is None else raw
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def drop(self) -> None:
        """Close the connection without a word."""
        self.close_connection = True

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        data = self.body()
        if not path.endswith("/_bulk"):
            self.shop.paths.append(("POST", path))
            self.answer(200, {"_shards": {"total": 1, "successful": 1, "failed": 0}})
            return
        pairs = pairs_of(data)
        ids = [doc_id for _, doc_id, _ in pairs]
        with self.shop.lock:
            self.shop.at_once += 1
            self.shop.most_at_once = max(self.shop.most_at_once, self.shop.at_once)
            self.shop.requests.append(ids)
            fault = self.shop.faults.pop(0) if self.shop.faults else None
        try:
            if fault is None or not fault(self, ids):
                self.answer(200, self.apply(pairs))
        finally:
            with self.shop.lock:
                self.shop.at_once -= 1

    def apply(self, pairs: list[tuple[str, str, object]]) -> object:
        items = []
        with self.shop.lock:
            for action, doc_id, source in pairs:
                times = self.shop.times[doc_id] = self.shop.times.get(doc_id, 0) + 1
                if refused := self.shop.refuse(doc_id, times):
                    status, kind = refused
                    error = {"type": kind, "reason": f"{doc_id} is refused"}
                    items.append({action: {"_id": doc_id, "status": status, "error": error}})
                elif action == "delete":
                    found = self.shop.documents.pop(doc_id, None)
                    items.append({action: {"status": 404 if found is None else 200}})
                else:
                    self.shop.documents[doc_id] = source
                    items.append({action: {"_id": doc_id, "status": 201}})
        errors = any("error" in item for one in items for item in one.values())
        return {"errors": errors, "items": items}

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.shop.paths.append(("GET", path))
        if path == "/things":
            meta = {"made_by": self.shop.made_by, "generation": "g1"}
            index = {"settings": {"index": {"uuid": self.shop.identity, "number_of_shards": "1"}}}
            self.answer(200, {"things": {**index, "mappings": {"_meta": meta}}})
        elif path == "/things/_count":
            shards = {"total": 1, "successful": 1, "failed": 0}
            self.answer(200, {"count": len(self.shop.documents), "_shards": shards})
        else:
            self.answer(200, {"status": "green"})

    def do_PUT(self) -> None:
        if self.shop.failing_puts:
            self.shop.failing_puts -= 1
            self.body()
            self.drop()
            return
        self.shop.paths.append(("PUT", self.path.partition("?")[0]))
        self.shop.settings = json.loads(self.body())
        self.answer(200, {"acknowledged": True})


def pairs_of(data: bytes) -> list[tuple[str, str, object]]:
    """Return (action, id, source) of a bulk body."""
    assert data.endswith(b"\n")
    lines = iter(data.splitlines())
    pairs = []
    for line in lines:
        ((action, about),) = json.loads(line).items()
        source = None if action == "delete" else json.loads(next(lines))
        pairs.append((action, about["_id"], source))
    return pairs
