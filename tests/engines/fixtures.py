"""The fixtures that give a test its search servers.

`elasticsearch_server`, `opensearch_server`, `solr_server` and `solr_cloud_server` are one `Server`
each; `server` runs a test once for each of the first three. A server comes from a URL in the
environment, else from Docker, else from a process on this machine; where none can be had, the test
is skipped with the reasons. The servers that the collected tests need start together when the first
is asked for, and are stopped with the run. A test that uses one is marked `full`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.engines import servers
from tests.engines.assembly import UnavailableError
from tests.engines.servers import VERSIONS, Server, server_at, url_variable

FIXTURES = {f"{kind.replace('-', '_')}_server": kind for kind in VERSIONS}
EACH = "server"
KINDS = ("elasticsearch", "opensearch", "solr")
STOP_TIMEOUT_S = 90
WANTED = pytest.StashKey[tuple[str, ...]]()


class ServerPool:
    """The servers of one run: started together at the first use, stopped by `close`."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._threads = ThreadPoolExecutor(len(VERSIONS))
        self._futures: dict[str, Future[Server]] = {}
        self._holders: list[subprocess.Popen[str]] = []

    def get(self, kind: str) -> Server:
        """Return a running server.

        Raises:
            UnavailableError: none can be had; the message says why.
        """
        for each in (kind, *self._wanted):
            if each not in self._futures:
                self._futures[each] = self._threads.submit(self._provide, each)
        return self._futures[kind].result()

    def close(self) -> None:
        """Stop what was started, also what is still starting."""
        self._release()
        self._threads.shutdown(cancel_futures=True)
        self._release()
        for holder in self._holders:
            holder.wait(STOP_TIMEOUT_S)
            assert holder.stdout is not None
            holder.stdout.close()

    def _release(self) -> None:
        for holder in self._holders:
            assert holder.stdin is not None
            holder.stdin.close()

    def _provide(self, kind: str) -> Server:
        if url := os.environ.get(url_variable(kind)):
            return _given(kind, url)
        version = VERSIONS[kind]
        answer = self._hold(f"{kind}@{version}")
        if "url" not in answer:
            raise UnavailableError(
                f"no {kind} {version}: {url_variable(kind)} is not set; {answer['error']}"
            )
        return Server(kind, answer["url"], version)

    def _hold(self, order: str) -> dict[str, str]:
        """Start a server that ends when this process closes the pipe, or dies."""
        holder = subprocess.Popen(
            [sys.executable, servers.__file__, "hold", order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._holders.append(holder)
        assert holder.stdout is not None
        line = holder.stdout.readline()
        return json.loads(line) if line else {"error": "it was stopped while it started"}


def _given(kind: str, url: str) -> Server:
    try:
        return server_at(kind, url)
    except OSError as error:
        # A wrong address is a mistake to be seen, not a reason to skip.
        raise ConnectionError(f"{url_variable(kind)}={url} does not answer: {error}") from error


def _needed_by(item: pytest.Item) -> set[str]:
    names = getattr(item, "fixturenames", ())
    needed = {kind for name, kind in FIXTURES.items() if name in names}
    if EACH in names:
        callspec = getattr(item, "callspec", None)
        chosen = callspec.params.get(EACH) if callspec else None
        needed |= {chosen} if isinstance(chosen, str) else set(KINDS)
    return needed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server as `full`, before pytest selects by mark."""
    for item in items:
        if _needed_by(item):
            item.add_marker(pytest.mark.full)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which servers the selected tests need."""
    needed = set().union(*map(_needed_by, session.items))
    session.config.stash[WANTED] = tuple(sorted(needed))


@pytest.fixture(scope="session")
def server_pool(pytestconfig: pytest.Config) -> Iterator[ServerPool]:
    """Give the servers of this run, by kind."""
    pool = ServerPool(pytestconfig.stash[WANTED])
    try:
        yield pool
    finally:
        pool.close()


def _server(pool: ServerPool, kind: str) -> Server:
    try:
        return pool.get(kind)
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def elasticsearch_server(server_pool: ServerPool) -> Server:
    """Give a running Elasticsearch."""
    return _server(server_pool, "elasticsearch")


@pytest.fixture(scope="session")
def opensearch_server(server_pool: ServerPool) -> Server:
    """Give a running OpenSearch."""
    return _server(server_pool, "opensearch")


@pytest.fixture(scope="session")
def solr_server(server_pool: ServerPool) -> Server:
    """Give a running Solr, not in cloud mode."""
    return _server(server_pool, "solr")


@pytest.fixture(scope="session")
def solr_cloud_server(server_pool: ServerPool) -> Server:
    """Give a running Solr in cloud mode, with a ZooKeeper inside."""
    return _server(server_pool, "solr-cloud")


@pytest.fixture(scope="session", params=KINDS)
def server(server_pool: ServerPool, request: pytest.FixtureRequest) -> Server:
    """Give each kind of server in turn."""
    return _server(server_pool, request.param)
