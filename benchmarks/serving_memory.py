"""Serving: private memory and start-to-ready of `cascade serve`, against the files it maps.

A server of its own process answers 200 searches over a socket. Private is what `smaps_rollup`
calls anonymous; the rest of its memory are pages of files, shared with every other process that
maps them. The peer of the ratio is the size of index and catalogue, what a process would hold that
loaded them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time

from _shop import generation_bytes, indexed, judgments, machine, memory_kb, query_texts, shown

from cascade.config import Config, registry_of
from cascade.errors import CascadeError
from cascade.workflows.train import train_config

QUOTED_IN_README = True

SEARCHES = 200
PATIENCE_S = 120.0
POLL_S = 0.01


def trained(config: Config) -> None:
    """Train the shop's stages unless their bundles can be loaded."""
    registry = registry_of(config)
    try:
        for stage in config.settings.stages:
            registry.load(config.settings.model_name(stage))
    except CascadeError:
        train_config(config, judgments(config))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_ready(port: int, server: subprocess.Popen[bytes]) -> float:
    """Return the seconds until /readyz answers 200."""
    start = time.perf_counter()
    while time.perf_counter() - start < PATIENCE_S:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return time.perf_counter() - start
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(POLL_S)
    raise SystemExit(f"the server was not ready within {PATIENCE_S:.0f} s")


def searched(port: int, texts: list[str]) -> list[float]:
    """Search each text and return the seconds of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    seconds = []
    for text in texts:
        body = json.dumps({"text": text, "size": 24, "facets": ["category", "colour"]})
        start = time.perf_counter()
        connection.request("POST", "/v1/search", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        seconds.append(time.perf_counter() - start)
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"{answer.status}: {content.decode()[:300]}")
    connection.close()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=20_000)
    asked = parser.parse_args()
    config = indexed(asked.listings)
    trained(config)
    port = free_port()
    command = [sys.executable, "-m", "cascade", "serve", "--config", str(config.path)]
    with tempfile.TemporaryFile() as told:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=told, stderr=told
        )
        try:
            ready = wait_ready(port, server)
            idle = memory_kb(server.pid, "smaps_rollup", "Anonymous") / 1024
            texts = query_texts(config, SEARCHES)
            seconds = searched(port, texts)
            private = memory_kb(server.pid, "smaps_rollup", "Anonymous") / 1024
            resident = memory_kb(server.pid, "smaps_rollup", "Rss") / 1024
        finally:
            server.terminate()
            server.wait(30)
    files = generation_bytes(config) / 2**20
    print(f"serving {asked.listings:,} listings; {machine()}")
    print(f"  start to ready            {ready:8.2f} s    (target: 3 s at 1,000,000)")
    print(f"  private memory, ready     {idle:8.0f} MB")
    print(f"  after {len(seconds)} searches        {private:8.0f} MB   (target: 400 MB)")
    print(f"  mapped file pages         {resident - private:8.0f} MB   (shared)")
    print(f"  index and catalogue       {files:8.0f} MB   on disk")
    print(f"  a search over the socket  {shown(seconds)}")
    print(f"ratio: private memory is {private / files:.2f} x the files")


if __name__ == "__main__":
    main()
