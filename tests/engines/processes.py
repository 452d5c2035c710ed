"""Start an assembled server as a process of its own on loopback, and stop it."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.engines.assembly import HERE, UnavailableError, assembled, cache_folder, major_of
from tests.engines.jdk import find_jdk

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 30
# Elasticsearch and OpenSearch refuse to run as root.
NOBODY = 65534
HEAP = ("-Xms512m", "-Xmx1g")
FAST_START = ("-XX:-AlwaysPreTouch", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True)
class Launch:
    """What starts a server: its command, environment, address and the page that says it is up."""

    command: list[str]
    environment: dict[str, str]
    url: str
    ready: str


@dataclass(frozen=True)
class Process:
    """A started server; `folder` holds its data and log and goes when it is stopped."""

    url: str
    pid: int
    folder: Path
    launch: Launch | None = None
    child: subprocess.Popen[bytes] | None = None


def start(
    kind: str,
    version: str,
    *,
    spawned: Callable[[Process], object] = lambda process: None,
) -> Process:
    """Assemble and start a server with empty data on free ports, and wait until it answers.

    `spawned` is told of the process before it answers, so that a caller can stop it meanwhile.

    Raises:
        UnavailableError: it cannot be assembled here, no fitting Java, or it did not come up.
    """
    home = assembled(kind.removesuffix(CLOUD), version)
    folder = cache_folder() / "run" / f"{kind}-{secrets.token_hex(4)}"
    (folder / "tmp").mkdir(parents=True)
    try:
        launch = LAUNCHES[kind](home, version, folder)
        _hand_over(folder)
        return _bring_up(launch, folder, spawned)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def stop(process: Process) -> None:
    """Terminate a server, kill it if it stays, and remove its folder.

    A process that is not the one started in the folder is left alone.
    """
    if _runs(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        if not _ends(process):
            kill(process)
    shutil.rmtree(process.folder, ignore_errors=True)


def kill(process: Process) -> None:
    """End a server at once, as a power cut would; its data stay for `revive`."""
    if _runs(process):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _ends(process)


def revive(process: Process) -> Process:
    """Start a killed server again, on its data and at its address.

    Raises:
        UnavailableError: it did not come up.
    """
    assert process.launch is not None, "only a process that `start` gave can be revived"
    return _bring_up(process.launch, process.folder, lambda process: None)


def free_ports(count: int) -> list[int]:
    """Return ports that were free on loopback a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def _elasticsearch(home: Path, version: str, folder: Path) -> Launch:
    java = _java(21 if major_of(version) >= 9 else 17, None)
    http, transport = free_ports(2)
    config = folder / "config"
    shutil.copytree(home / "config", config)
    settings = _node_settings(folder, http, transport) + "xpack.security.enabled: false\n"
    if major_of(version) >= 9:
        settings += "xpack.ml.enabled: false\n"
    (config / "elasticsearch.yml").write_text(settings, "utf-8")
    # Its relative log and dump files would be written into the shared folder.
    unwanted = ("-Xlog", "-XX:ErrorFile", "-XX:HeapDumpPath", "9-:-Xlog")
    lines = (config / "jvm.options").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(unwanted)]
    (config / "jvm.options").write_text("".join(kept), "utf-8")
    (config / "jvm.options.d").mkdir(exist_ok=True)
    (config / "jvm.options.d" / "test.options").write_text(
        "\n".join([*HEAP, *FAST_START, ""]), "utf-8"
    )
    environment = {
        "ES_JAVA_HOME": str(java),
        "ES_PATH_CONF": str(config),
        "ES_TMPDIR": str(folder / "tmp"),
    }
    url = f"http://127.0.0.1:{http}"
    command = [str(home / "bin" / "elasticsearch"), "-p", str(folder / "pid")]
    return Launch(command, environment, url, f"{url}{HEALTHY}")


def _opensearch(home: Path, version: str, folder: Path) -> Launch:
    modern = major_of(version) >= 3
    # Version 2 needs the security manager, which Java 24 has removed.
    java = _java(21, None) if modern else _java(17, 23)
    http, transport = free_ports(2)
    config = folder / "config"
    config.mkdir()
    (config / "opensearch.yml").write_text(_node_settings(folder, http, transport), "utf-8")
    (config / "log4j2.properties").write_text(CONSOLE_LOGGING, "utf-8")
    command = [str(java / "bin" / "java"), *HEAP, *FAST_START, "-XX:+UseSerialGC"]
    command += [
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Djna.tmpdir={folder / 'tmp'}",
        "-Dlog4j.shutdownHookEnabled=false",
        "-Dlog4j2.disable.jmx=true",
        "-Dio.netty.noUnsafe=true",
        "-Dio.netty.noKeySetOptimization=true",
    ]
    if modern:
        bootstrap = home / "agent" / f"opensearch-agent-bootstrap-{version}.jar"
        command += ["--enable-native-access=ALL-UNNAMED", f"-Xbootclasspath/a:{bootstrap}"]
    else:
        command += ["-Djava.security.manager=allow"]
    command += [
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={config}",
        "-Dopensearch.distribution.type=tar",
        "-Dopensearch.bundled_jdk=true",
        "-cp",
        f"{home}/lib/*",
        "org.opensearch.bootstrap.OpenSearch",
    ]
    url = f"http://127.0.0.1:{http}"
    return Launch(command, {}, url, f"{url}{HEALTHY}")


def _solr(home: Path, version: str, folder: Path, *, cloud: bool = False) -> Launch:
    java = _java(11, 17) if major_of(version) < 9 else _java(17, None)
    http, zookeeper = free_ports(2)
    data = folder / "home"
    (data / "cores").mkdir(parents=True)
    shutil.copytree(HERE / "solr" / "_default", data / "configsets" / "_default")
    shutil.copy(HERE / "solr" / "solr.xml", data)
    shutil.copy(HERE / "solr" / "log4j2.xml", folder)
    command = [str(java / "bin" / "java"), "-Xms256m", "-Xmx512m", *FAST_START]
    command += [
        "-XX:+UseSerialGC",
        # The launcher speaks HTTP/1.1 alone, so nodes must ask each other in it.
        "-Dsolr.http1=true",
        f"-Dsolr.log.dir={folder}",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog4j.configurationFile={folder / 'log4j2.xml'}",
        f"-Dsolr.default.confdir={data / 'configsets' / '_default' / 'conf'}",
    ]
    if cloud:
        shutil.copy(HERE / "solr" / "zoo.cfg", data)
        command += [f"-DzkRun=127.0.0.1:{zookeeper}", "-Dzookeeper.admin.enableServer=false"]
    command += ["-cp", f"{home}/classes:{home}/lib/*", "SolrLauncher", str(data), str(http)]
    url = f"http://127.0.0.1:{http}/solr"
    return Launch(command, {}, url, f"{url}/admin/info/system?wt=json")


def _java(oldest: int, newest: int | None) -> Path:
    jdk = find_jdk(oldest, newest)
    if jdk is None:
        span = f"Java {oldest} or later" if newest is None else f"Java {oldest} to {newest}"
        raise UnavailableError(f"no {span} was found: set CASCADE_TEST_JAVA_HOME to one")
    return jdk.home


def _node_settings(folder: Path, http: int, transport: int) -> str:
    return (
        "cluster.name: cascade-tests\n"
        "node.name: cascade-test\n"
        "discovery.type: single-node\n"
        "network.host: 127.0.0.1\n"
        f"http.port: {http}\n"
        f"transport.port: {transport}\n"
        f"path.data: {folder / 'data'}\n"
        f"path.logs: {folder / 'logs'}\n"
        "cluster.routing.allocation.disk.threshold_enabled: false\n"
    )


def _hand_over(folder: Path) -> None:
    """Give the folder to the user that runs the server."""
    folder.parent.chmod(0o755)
    if os.geteuid() == 0:
        for parent in folder.parents:
            if not parent.stat().st_mode & 0o001:
                raise UnavailableError(
                    f"user {NOBODY}, which runs the server, cannot enter {parent}: "
                    "set CASCADE_TEST_CACHE to a folder that it can"
                )
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)


def _bring_up(launch: Launch, folder: Path, spawned: Callable[[Process], object]) -> Process:
    child = _spawn(launch, folder)
    process = Process(launch.url, child.pid, folder, launch, child)
    try:
        spawned(process)
        _wait_until_ready(child, launch, folder)
    except BaseException:
        kill(process)
        raise
    return process


def _spawn(launch: Launch, folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in {"JAVA_HOME", "ES_HOME", "JAVA_TOOL_OPTIONS", "CLASSPATH"}
    }
    environment |= launch.environment | {"HOME": str(folder)}
    root = os.geteuid() == 0
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            launch.command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=NOBODY if root else None,
            group=NOBODY if root else None,
            extra_groups=[] if root else None,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], launch: Launch, folder: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise UnavailableError(
                f"the server ended with {process.returncode}:\n{_end_of_log(folder)}"
            )
        with suppress(OSError), urllib.request.urlopen(launch.ready, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise UnavailableError(
        f"the server did not answer within {START_TIMEOUT_S} s:\n{_end_of_log(folder)}"
    )


def _end_of_log(folder: Path) -> str:
    return (folder / "server.log").read_text("utf-8", "replace")[-3000:]


def _runs(process: Process) -> bool:
    """Say whether the process lives and is the one of this folder, not a later one."""
    if process.child is not None:
        return process.child.poll() is None
    if not Path("/proc/self").exists():
        with suppress(ProcessLookupError):
            os.kill(process.pid, 0)
            return True
        return False
    entry = Path("/proc") / str(process.pid)
    try:
        known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
    except OSError:
        return False
    return str(process.folder).encode() in known


def _ends(process: Process) -> bool:
    until = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < until:
        if not _runs(process):
            return True
        time.sleep(0.1)
    return False


HEALTHY = "/_cluster/health?wait_for_status=yellow&timeout=1s"
CONSOLE_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %marker%m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""
CLOUD = "-cloud"
LAUNCHES: dict[str, Callable[[Path, str, Path], Launch]] = {
    "elasticsearch": _elasticsearch,
    "opensearch": _opensearch,
    "solr": _solr,
    f"solr{CLOUD}": partial(_solr, cloud=True),
}
