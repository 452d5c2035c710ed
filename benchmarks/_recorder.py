"""What a client sends, recorded on its way to a server, and sent again over a plain socket."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK = 1 << 16


class Recorder:
    """Stand between a client and a server, and keep the bytes of each request.

    Args:
        url: The server's address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._streams: list[bytearray] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}{parts.path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()

    def forget(self) -> None:
        """Forget what was sent so far."""
        for stream in self._streams:
            stream.clear()

    def requests(self) -> list[bytes]:
        """Return the requests that were sent since `forget`, whole."""
        found = []
        for stream in self._streams:
            rest = bytes(stream)
            while rest:
                head, _, body = rest.partition(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n")[1:]:
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                    if name.lower() == b"transfer-encoding":
                        raise ValueError("a chunked request cannot be replayed")
                found.append(head + b"\r\n\r\n" + body[:length])
                rest = body[length:]
        return found

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = bytearray()
            self._streams.append(stream)
            for ends, kept in (((client, server), stream), ((server, client), None)):
                threading.Thread(target=_carry, args=(*ends, kept), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            if kept is not None:
                kept += data
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Replayer:
    """Send recorded requests over one connection that stays open.

    Args:
        url: The server's address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, request: bytes) -> bytes:
        """Return the body of the answer, as it came."""
        self._socket.sendall(request)
        answer = http.client.HTTPResponse(self._socket)
        answer.begin()
        body = answer.read()
        if answer.status >= 400:
            raise ValueError(f"{answer.status}: {body[:300]!r}")
        return body
