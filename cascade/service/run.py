"""Running the application: one process on one socket, bound before anything else is loaded."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from cascade.errors import InputError

BACKLOG = 2_048
GRACE_SECONDS = 10
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; callers wait until the application runs.

    Args:
        host: A name or address of this machine.
        port: 0 takes a free one.

    Raises:
        InputError: If the port is in use or the address cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise InputError(f"cannot listen on {host!r}: {error}; give --host an address") from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A port is free again at once when the service before this one has ended.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {host} is in use; stop what listens there, or give another one "
                "with --port (0 takes a free one)"
            ) from None
        raise InputError(
            f"cannot listen on port {port} of {host}: {error.strerror}; give another --host "
            "or --port"
        ) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the URL under which this machine reaches a listening socket."""
    host, port = listening.getsockname()[:2]
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: FastAPI, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM, then finish those that are under way.

    Args:
        app: What answers.
        listening: The socket it answers on.
        ready: Told once, when requests are answered and signals are heeded.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    if threading.current_thread() is threading.main_thread():
        # The server raises the signal anew when it has ended; by default that would kill us
        # before files are closed.
        signal.signal(signal.SIGTERM, _end)
    with suppress(KeyboardInterrupt):
        _Server(config, ready).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tell when it has started."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
