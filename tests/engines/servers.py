"""The search servers that tests run against; also a command that starts and stops them.

python tests/engines/servers.py start elasticsearch opensearch solr --env servers.env
python tests/engines/servers.py stop --env servers.env
python tests/engines/servers.py hold solr    # until standard input ends
"""

import argparse
import json
import shlex
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.engines.assembly import UnavailableError
from tests.engines.containers import start_container
from tests.engines.processes import Process, start, stop

VERSIONS = {
    "elasticsearch": "9.5.3",
    "opensearch": "3.8.0",
    "solr": "9.10.1",
    "solr-cloud": "9.10.1",
}
PROCESS_LINE = "# process"


@dataclass(frozen=True)
class Server:
    """A server that answers at `url` (for Solr with the path `/solr`)."""

    kind: str
    url: str
    version: str


def url_variable(kind: str) -> str:
    """Return the environment variable that names a running server of this kind."""
    return f"CASCADE_TEST_{kind.upper().replace('-', '_')}_URL"


def server_at(kind: str, url: str) -> Server:
    """Ask a running server for its version.

    Raises:
        OSError: nothing answers at the address.
    """
    url = url.rstrip("/")
    page = f"{url}/admin/info/system?wt=json" if kind.startswith("solr") else url
    with urllib.request.urlopen(page, timeout=30) as answer:
        body = json.load(answer)
    if kind.startswith("solr"):
        return Server(kind, url, body["lucene"]["solr-spec-version"])
    return Server(kind, url, body["version"]["number"])


@dataclass(frozen=True)
class Order:
    """What to start."""

    kind: str
    version: str


def parse_order(text: str) -> Order:
    """Read `KIND[@VERSION]`."""
    kind, _, version = text.partition("@")
    if kind not in VERSIONS:
        raise argparse.ArgumentTypeError(
            f"{text!r} names no server; write one of {', '.join(VERSIONS)}, "
            "with @VERSION behind it if needed"
        )
    return Order(kind, version or VERSIONS[kind])


def start_all(orders: Sequence[Order]) -> dict[Order, Process]:
    """Start servers in parallel; if one does not come up, stop the others and raise its error."""
    with ThreadPoolExecutor(len(orders)) as pool:
        futures = {order: pool.submit(start, order.kind, order.version) for order in orders}
    failures = [error for future in futures.values() if (error := future.exception())]
    started = {order: f.result() for order, f in futures.items() if f.exception() is None}
    if failures:
        for process in started.values():
            stop(process)
        raise failures[0]
    return started


def _start(orders: Sequence[Order], env: Path) -> None:
    if env.exists() and PROCESS_LINE in env.read_text("utf-8"):
        sys.exit(f"{env} names started servers; stop them first: stop --env {env}")
    try:
        started = start_all(orders)
    except UnavailableError as error:
        sys.exit(str(error))
    lines = []
    for order, process in started.items():
        lines.append(f"export {url_variable(order.kind)}={shlex.quote(process.url)}")
        lines.append(f"{PROCESS_LINE} {process.pid} {process.folder}")
    env.write_text("\n".join([*lines, ""]), "utf-8")


def _stop(env: Path) -> None:
    processes = []
    for line in env.read_text("utf-8").splitlines():
        if line.startswith(PROCESS_LINE):
            pid, folder = line.removeprefix(PROCESS_LINE).split(maxsplit=1)
            processes.append(Process("", int(pid), Path(folder)))
    with ThreadPoolExecutor(max(1, len(processes))) as pool:
        list(pool.map(stop, processes))
    env.unlink()


def _hold(order: Order) -> None:
    """Run one server, from Docker or else here, until standard input ends.

    One line of JSON on standard output holds its address, or the reason why there is none.
    """
    stopping: list[Callable[[], None]] = []
    answer = {"error": "starting it failed in an unforeseen way; standard error says how"}

    def bring_up() -> None:
        try:
            answer["url"] = _provide(order, stopping)
        except UnavailableError as error:
            answer["error"] = str(error)
        finally:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    threading.Thread(target=bring_up, daemon=True).start()
    sys.stdin.read()
    for end in stopping:
        end()


def _provide(order: Order, stopping: list[Callable[[], None]]) -> str:
    try:
        container = start_container(order.kind, order.version)
    except UnavailableError as error:
        no_docker = error
    else:
        stopping.append(container.stop)
        return container.url
    try:
        return start(
            order.kind,
            order.version,
            spawned=lambda process: stopping.append(partial(stop, process)),
        ).url
    except UnavailableError as error:
        raise UnavailableError(f"{no_docker}; {error}") from error


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Start or stop search servers for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start servers and write their addresses")
    starting.add_argument(
        "orders", nargs="+", type=parse_order, metavar="KIND[@VERSION]", help=", ".join(VERSIONS)
    )
    starting.add_argument("--env", type=Path, required=True, help="file of shell exports to write")
    stopping = commands.add_parser("stop", help="stop the servers that a file names")
    stopping.add_argument("--env", type=Path, required=True, help="file that start wrote")
    holding = commands.add_parser("hold", help="run one server until standard input ends")
    holding.add_argument("order", type=parse_order, metavar="KIND[@VERSION]")
    options = parser.parse_args()
    if options.command == "start":
        _start(options.orders, options.env)
    elif options.command == "hold":
        _hold(options.order)
    else:
        _stop(options.env)


if __name__ == "__main__":
    main()
