"""Start a server from its official image, where a Docker engine answers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.engines.assembly import UnavailableError

HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 300
HEALTHY = "/_cluster/health?wait_for_status=yellow&timeout=1s"
NODE = {
    "discovery.type": "single-node",
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}


@dataclass(frozen=True)
class Image:
    """An image, how it is configured for a test, and the page that says it is up."""

    name: str
    port: int
    ready: str
    path: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    folders: dict[str, Path] = field(default_factory=dict)


# The image's own configsets lie where the core API does not look.
PREPARE_SOLR = (
    "init-var-solr && mkdir -p /var/solr/data/configsets"
    " && cp -r /configsets/_default /var/solr/data/configsets/ && exec solr-foreground"
)
SOLR = Image(
    "solr",
    8983,
    "/solr/admin/info/system?wt=json",
    path="/solr",
    environment={"SOLR_HEAP": "512m"},
    command=("bash", "-c", PREPARE_SOLR),
    folders={"/configsets/_default": HERE / "solr" / "_default"},
)
IMAGES = {
    "elasticsearch": Image(
        "docker.elastic.co/elasticsearch/elasticsearch",
        9200,
        HEALTHY,
        environment=NODE | {"xpack.security.enabled": "false", "ES_JAVA_OPTS": "-Xms512m -Xmx1g"},
    ),
    "opensearch": Image(
        "opensearchproject/opensearch",
        9200,
        HEALTHY,
        environment=NODE
        | {
            "DISABLE_SECURITY_PLUGIN": "true",
            "DISABLE_INSTALL_DEMO_CONFIG": "true",
            "OPENSEARCH_JAVA_OPTS": "-Xms512m -Xmx1g",
        },
    ),
    "solr": SOLR,
    "solr-cloud": replace(SOLR, command=("solr-foreground", "-c")),
}


@dataclass(frozen=True)
class Started:
    """A running container's address, and what removes it."""

    url: str
    stop: Callable[[], None]


def start_container(kind: str, version: str) -> Started:
    """Start a server from its image and wait until it answers.

    Raises:
        UnavailableError: testcontainers is not installed, no Docker engine answers, or the
            container did not come up.
    """
    try:
        import docker
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import HttpWaitStrategy
    except ImportError as error:
        raise UnavailableError(f"no Docker: {error}") from error
    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except docker.errors.DockerException as error:
        raise UnavailableError("no Docker engine answers") from error
    client.close()
    image = IMAGES[kind]
    up = HttpWaitStrategy(image.port, image.ready).with_startup_timeout(START_TIMEOUT_S)
    container = DockerContainer(f"{image.name}:{version}").with_exposed_ports(image.port)
    container.with_envs(**image.environment).waiting_for(up)
    for target, source in image.folders.items():
        container.with_volume_mapping(source, target, "ro")
    if image.command:
        container.with_command(list(image.command))
    try:
        container.start()
    except (docker.errors.DockerException, TimeoutError) as error:
        container.stop()
        raise UnavailableError(f"Docker could not start {image.name}:{version}: {error}") from error
    host, port = container.get_container_host_ip(), container.get_exposed_port(image.port)
    return Started(f"http://{host}:{port}{image.path}", container.stop)
