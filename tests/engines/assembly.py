"""Assemble a server's folder from Maven artefacts, once a machine and version."""

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.jdk import find_jdk

HERE = Path(__file__).resolve().parent
CACHE_VARIABLE = "CASCADE_TEST_CACHE"
MAVEN_TIMEOUT_S = 900
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
# No checksum of this file is published, so these are held here.
ELASTICSEARCH_SHA256 = {
    "8.19.21": "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a",
    "9.5.3": "bec49f3b8d00e75c8d1cec85c35298635ec9fbd3ae80ef5aeb6bc05abdb3db2d",
}


class UnavailableError(Exception):
    """This machine cannot assemble or start a server; the message says what is missing."""


@dataclass(frozen=True)
class Module:
    """An OpenSearch module: its class, its own jars by prefix, and the modules it extends."""

    artifact: str
    classname: str
    jars: tuple[str, ...] = ()
    extends: str = ""


# Class names stand below org.opensearch. In version 2 they end in Plugin, not ModulePlugin, but for
# KEPT_CLASSNAMES.
MODULES = {
    "transport-netty4": Module(
        "transport-netty4-client", "transport.Netty4ModulePlugin", ("netty-", "opensearch-netty4-")
    ),
    "analysis-common": Module(
        "analysis-common", "analysis.common.CommonAnalysisModulePlugin", extends="lang-painless"
    ),
    "lang-painless": Module(
        "lang-painless",
        "painless.PainlessModulePlugin",
        ("opensearch-scripting-painless-spi-", "antlr4-runtime-", "asm-"),
    ),
    "lang-expression": Module(
        "lang-expression",
        "script.expression.ExpressionModulePlugin",
        ("lucene-expressions-", "antlr4-runtime-", "asm-"),
    ),
    "lang-mustache": Module(
        "lang-mustache-client", "script.mustache.MustacheModulePlugin", ("compiler-",)
    ),
    "search-pipeline-common": Module(
        "search-pipeline-common",
        "search.pipeline.common.SearchPipelineCommonModulePlugin",
        extends="lang-painless",
    ),
    "rank-eval": Module("rank-eval-client", "index.rankeval.RankEvalModulePlugin"),
    "reindex": Module(
        "reindex-client",
        "index.reindex.ReindexModulePlugin",
        (
            "opensearch-rest-client-",
            "opensearch-ssl-config-",
            "httpclient",
            "httpcore",
            "httpasyncclient",
            "commons-codec-",
            "commons-logging-",
            "slf4j-api-",
        ),
    ),
    "mapper-extras": Module("mapper-extras-client", "index.mapper.MapperExtrasModulePlugin"),
    "parent-join": Module("parent-join-client", "join.ParentJoinModulePlugin"),
    "percolator": Module("percolator-client", "percolator.PercolatorModulePlugin"),
    "aggs-matrix-stats": Module(
        "aggs-matrix-stats-client", "search.aggregations.matrix.MatrixAggregationModulePlugin"
    ),
    "ingest-common": Module(
        "ingest-common",
        "ingest.common.IngestCommonModulePlugin",
        ("opensearch-grok-", "joni-", "jcodings-", "opensearch-dissect-"),
        extends="lang-painless",
    ),
    "geo": Module("geo", "geo.GeoModulePlugin"),
}


def cache_folder() -> Path:
    """Return where assembled servers are kept, traversable by the user that runs them."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).resolve()
    if os.geteuid() == 0:
        return Path("/var/tmp/cascade-ranking-servers")
    return Path.home() / ".cache" / "cascade-ranking" / "servers"


def assembled(kind: str, version: str) -> Path:
    """Return the folder of a server that is ready to start, made first if it is missing.

    Raises:
        UnavailableError: no Maven, no compiler, or an artefact that Maven could not get.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"{kind}-{version}-{_sources_digest(kind)}"
    with _locked(cache / f"{kind}-{version}.lock"):
        if home.exists():
            return home
        for left in cache.glob(f"{home.name}.partial-*"):
            shutil.rmtree(left, ignore_errors=True)
        partial = home.with_name(f"{home.name}.partial-{secrets.token_hex(4)}")
        partial.mkdir()
        ASSEMBLERS[kind](partial, version)
        _make_readable(partial)
        partial.rename(home)
    return home


def major_of(version: str) -> int:
    """Return the first number of a version."""
    return int(version.split(".", 1)[0])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sources_digest(kind: str) -> str:
    """Name what the folder is made from, so that a change of it makes another folder."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted([*HERE.glob(f"pom-{kind}*.xml"), *(HERE / "java" / kind).rglob("*.java")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _make_readable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _maven(*arguments: str) -> None:
    if shutil.which("mvn") is None:
        raise UnavailableError("no `mvn` on PATH: install Maven, start Docker or name a URL")
    # Maven's own folder of artefacts bears one writer.
    with _locked(cache_folder() / "maven.lock"):
        done = subprocess.run(
            ["mvn", "-q", "-B", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MAVEN_TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise UnavailableError(f"mvn {' '.join(arguments)} failed:\n{done.stdout[-2000:]}")


def _copy_dependencies(pom: str, version: str, to: Path, *more: str) -> None:
    _maven(
        f"--file={HERE / pom}",
        f"-Dserver.version={version}",
        *more,
        f"{DEPENDENCY_PLUGIN}:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={to}",
    )


def _compile(sources: list[Path], classpath: str, to: Path, release: int) -> None:
    jdk = find_jdk(release, compiler=True)
    if jdk is None:
        raise UnavailableError(f"no Java {release} or later with a compiler (javac) was found")
    to.mkdir(parents=True)
    command = [str(jdk.javac), "-nowarn", "--release", str(release), "-cp", classpath]
    command += ["-d", str(to), *map(str, sorted(sources))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{' '.join(command)} failed:\n{done.stderr}")


def _assemble_elasticsearch(home: Path, version: str) -> None:
    coordinates = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
    _maven(f"{DEPENDENCY_PLUGIN}:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={home}")
    archive = home / f"elasticsearch-{version}.zip"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != ELASTICSEARCH_SHA256.get(version, digest):
        raise UnavailableError(f"{archive.name} has the unexpected sha256 {digest}")
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            entry.filename = entry.filename.partition("/")[2]
            if entry.filename:
                extracted = Path(opened.extract(entry, home))
                extracted.chmod(entry.external_attr >> 16 & 0o777 or 0o755)
    archive.unlink()
    _install_plugin(home, version)


def _install_plugin(home: Path, version: str) -> None:
    """Build the plugin that gives the reduced distribution what the complete one has."""
    release = 21 if major_of(version) >= 9 else 17
    plugin = home / "plugins" / "cascade-common-analysis"
    classes = home / "classes"
    sources = HERE / "java" / "elasticsearch"
    files = [*sources.glob("*.java"), *(sources / str(major_of(version))).glob("*.java")]
    _compile(files, f"{home}/lib/*", classes, release)
    plugin.mkdir(parents=True)
    _jar(classes, plugin / "cascade-common-analysis.jar")
    shutil.rmtree(classes)
    descriptor = {
        "name": "cascade-common-analysis",
        "description": "Analysis components of the complete distribution",
        "version": "1",
        "elasticsearch.version": version,
        "java.version": str(release),
        "classname": "cascade.tests.CommonAnalysisPlugin",
    }
    _write_properties(plugin / "plugin-descriptor.properties", descriptor)


def _assemble_opensearch(home: Path, version: str) -> None:
    jars = home / "jars"
    modern = major_of(version) >= 3
    _copy_dependencies("pom-opensearch.xml", version, jars, *(["-P", "agent"] if modern else []))
    for part in ("bin", "plugins", "lib", "agent", "modules"):
        (home / part).mkdir()
    owned: set[Path] = set()
    for name, module in MODULES.items():
        prefixes = (f"{module.artifact}-{version}", *module.jars)
        own = [jar for jar in sorted(jars.iterdir()) if jar.name.startswith(prefixes)]
        folder = home / "modules" / name
        folder.mkdir()
        for jar in own:
            shutil.copy(jar, folder)
        owned.update(own)
        _write_properties(folder / "plugin-descriptor.properties", _descriptor(name, version))
        if not modern:
            (folder / "plugin-security.policy").write_text(OLD_POLICY, "utf-8")
    for jar in set(jars.iterdir()) - owned:
        agent = jar.name.startswith((f"opensearch-agent-{version}", *AGENT_JARS))
        shutil.copy(jar, home / ("agent" if agent else "lib"))
    shutil.rmtree(jars)


def _descriptor(name: str, version: str) -> dict[str, str]:
    module = MODULES[name]
    modern = major_of(version) >= 3
    kept = modern or name in KEPT_CLASSNAMES
    classname = module.classname if kept else module.classname.replace("ModulePlugin", "Plugin")
    descriptor = {
        "name": name,
        "description": name,
        "version": version,
        "opensearch.version": version,
        "java.version": "21" if modern else "11",
        "classname": f"org.opensearch.{classname}",
    }
    return descriptor | ({"extended.plugins": module.extends} if module.extends else {})


def _assemble_solr(home: Path, version: str) -> None:
    old = major_of(version) < 9
    _copy_dependencies("pom-solr-8.xml" if old else "pom-solr.xml", version, home / "lib")
    files = list((HERE / "java" / "solr").glob("*.java"))
    _compile(files, f"{home}/lib/*", home / "classes", 11)


def _jar(classes: Path, to: Path) -> None:
    with zipfile.ZipFile(to, "w") as archive:
        for path in sorted(classes.rglob("*.class")):
            archive.write(path, path.relative_to(classes))


def _write_properties(path: Path, properties: dict[str, str]) -> None:
    lines = [f"{key}={value}\n" for key, value in properties.items()]
    path.write_text("".join(lines), "utf-8")


# What the modules of version 2 need of its security manager.
OLD_POLICY = """\
grant {
  permission java.lang.RuntimePermission "createClassLoader";
  permission java.lang.RuntimePermission "getClassLoader";
  permission java.lang.RuntimePermission "accessDeclaredMembers";
  permission java.lang.reflect.ReflectPermission "suppressAccessChecks";
  permission java.net.SocketPermission "*", "accept,connect,resolve";
  permission org.opensearch.script.ClassPermission "*";
};
"""
AGENT_JARS = ("opensearch-agent-bootstrap", "byte-buddy")
KEPT_CLASSNAMES = {"geo", "search-pipeline-common"}
ASSEMBLERS = {
    "elasticsearch": _assemble_elasticsearch,
    "opensearch": _assemble_opensearch,
    "solr": _assemble_solr,
}
