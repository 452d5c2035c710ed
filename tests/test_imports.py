"""The house has floors: what a module may import, and what an import may do."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cascade"

FLOORS = {
    **dict.fromkeys(
        ["behaviour", "candidates", "errors", "filters", "judgments", "schema", "text"], 0
    ),
    **dict.fromkeys(["catalogue", "hosting", "protocols"], 1),
    **dict.fromkeys(
        ["business", "drift", "engines", "features", "market", "measures", "rankers"], 2
    ),
    **dict.fromkeys(["pipeline", "registry"], 3),
    **dict.fromkeys(["evaluation", "events", "experiments", "indexing", "shop", "training"], 4),
    **dict.fromkeys(["config", "workflows"], 5),
    **dict.fromkeys(["relevance", "service"], 6),
    "cli": 7,
    "__main__": 8,
}
# The two lowest floors are one vocabulary each; above them a noun does not know its neighbours.
SHARED_FLOORS = {0, 1}
SIBLINGS_ALLOWED = {("pipeline", "registry"), ("workflows", "config")}

# Whole markets are measured by what learns and by what accepts it, never by what serves.
OFFLINE = {"market"}
SERVING = [noun for noun, floor in FLOORS.items() if floor <= 3 and noun not in OFFLINE]
SERVING += ["config", "service"]
# What training and analysis need and a serving process must not carry.
HEAVY = {"duckdb", "numba", "onnx", "pandas", "scipy", "torch", "xgboost"}
NATIVE = ["numpy", "onnxruntime", "tantivy"]


def modules_of(package: Path) -> dict[str, Path]:
    """Return every module's dotted name and file; a package stands under its own name."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def noun_of(module: str) -> str:
    """Return the name that has a floor: `cascade.engines.embedded` belongs to `engines`."""
    return module.split(".")[1] if "." in module else ""


def imported_names(module: str, path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, module and name of each import at any depth, inside functions too."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, source, alias.name
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"import_module", "__import__"}:
                yield node.lineno, str(node.args[0].value), ""


def violation(module: str, target: str, name: str) -> str:
    """Say what is wrong with one import inside the package, or return nothing."""
    importer, imported = noun_of(module), noun_of(target)
    if not imported:
        return "" if name.startswith("__") else "imports the package itself, name the module"
    if imported not in FLOORS:
        return f"imports {imported}, which has no floor"
    # The façade may show any floor; a module without a floor is reported once, by its file.
    if importer == imported or importer not in FLOORS:
        return ""
    above, below = FLOORS[importer], FLOORS[imported]
    if below > above:
        return f"on floor {above} imports upward, {imported} is on floor {below}"
    sibling = below == above and above not in SHARED_FLOORS
    if sibling and (importer, imported) not in SIBLINGS_ALLOWED:
        return f"imports its sibling {imported} on floor {above}"
    return ""


def violations(package: Path) -> list[str]:
    """Return every import that breaks the house's rules, with its place."""
    modules = modules_of(package)
    found = [
        f"{path.relative_to(package.parent)}: {noun_of(module)} has no floor"
        for module, path in modules.items()
        if noun_of(module) and noun_of(module) not in FLOORS
    ]
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        for line, source, name in imported_names(module, path):
            place = f"{path.relative_to(package.parent)}:{line}"
            if source.split(".")[0] != package.name:
                if noun_of(module) in SERVING and source.split(".")[0] in HEAVY:
                    found.append(f"{place}: serving code imports {source}")
                continue
            target = f"{source}.{name}" if f"{source}.{name}" in modules else source
            if wrong := violation(module, target, name):
                found.append(f"{place}: {module} {wrong}")
            if target in modules and noun_of(target):
                graph[module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("cycle: " + " -> ".join(reversed(error.args[1])))
    return found


def test_the_package_keeps_its_floors():
    assert violations(PACKAGE) == []


def plant(tmp_path: Path, files: dict[str, str]) -> Path:
    package = tmp_path / "cascade"
    for name, text in {"__init__.py": "", **files}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package


def test_a_house_in_order_has_no_violation(tmp_path):
    files = {
        "__init__.py": "from cascade.pipeline import Cascade\n__version__ = '1'\n",
        "errors.py": "import numpy\n",
        "candidates.py": "from cascade.errors import InputError\n",
        "catalogue.py": "from cascade import candidates, protocols\n",
        "protocols.py": "from .candidates import Candidates\n",
        "features/__init__.py": "from .bm25 import Bm25\n",
        "features/base.py": "from ..protocols import Feature\n",
        "features/bm25.py": "from cascade.features.base import Base\n",
        "pipeline.py": "import cascade.features.base\n",
        "training/__init__.py": "import onnx, xgboost\n",
        "config.py": "from cascade.pipeline import Cascade\n",
        "workflows/demo.py": "from cascade.config import load\n",
        "cli/__init__.py": "from cascade import __version__\n",
        "__main__.py": "from cascade.cli import main\n",
    }
    assert violations(plant(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"errors.py": "import cascade.cli", "cli.py": ""}, "errors.py:1: .* upward, cli"),
        (
            {"rankers/linear.py": "from ..pipeline import Stage", "pipeline.py": ""},
            "linear.py:1: .* upward, pipeline is on floor 3",
        ),
        (
            {"candidates.py": "def late():\n    from cascade import service", "service.py": ""},
            "candidates.py:2: .* upward, service",
        ),
        (
            {"schema.py": "import importlib\nimportlib.import_module('cascade.cli')", "cli.py": ""},
            "schema.py:2: .* upward, cli",
        ),
        (
            {"features/a.py": "from cascade.engines import b", "engines/b.py": ""},
            "imports its sibling engines on floor 2",
        ),
        (
            {"config.py": "import cascade.workflows", "workflows.py": ""},
            "imports its sibling workflows on floor 5",
        ),
        (
            {"errors.py": "import cascade.schema", "schema.py": "import cascade.errors"},
            "cycle: cascade.(errors|schema) -> ",
        ),
        (
            {"engines/__init__.py": "from .b import B", "engines/b.py": "from . import B"},
            "cycle: cascade.engines",
        ),
        ({"helpers.py": ""}, "helpers.py: helpers has no floor"),
        ({"cli.py": "from cascade import Candidates"}, "cli.py:1: .* name the module"),
        ({"registry.py": "def f():\n    import onnx"}, "registry.py:2: serving code imports onnx"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, files, expected):
    found = violations(plant(tmp_path, files))
    assert len(found) == 1
    assert re.search(expected, found[0])


PROBE = """
import json, logging, os, sys, threading, traceback

heavy, serving, native = json.loads(sys.argv[1])
for name in native:
    __import__(name)

class Witness:
    importers = {}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in heavy:
            frames = traceback.extract_stack()
            own = [f"{f.filename}:{f.lineno}" for f in frames if "importlib" not in f.filename]
            cls.importers.setdefault(name, own[-2])

def native_threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

def log_state():
    loggers = [logging.root, *(logging.getLogger(n) for n in list(logging.root.manager.loggerDict)
                               if n.split(".")[0] == "cascade")]
    return [[l.name, l.level, len(l.handlers)] for l in loggers if l.handlers or l.level]

sys.meta_path.insert(0, Witness)
logs, threads = log_state(), native_threads()
for name in serving:
    __import__(name)
print(json.dumps({
    "heavy": {n: Witness.importers.get(n) for n in sorted(heavy) if n in sys.modules},
    "threads": [t.name for t in threading.enumerate()],
    "native_threads": [threads, native_threads()],
    "logs": [logs, log_state()],
}))
"""


def probe(serving: list[str], folder: Path) -> dict[str, object]:
    """Import modules in a fresh interpreter and return what that left behind."""
    argument = json.dumps([sorted(HEAVY), serving, NATIVE])
    command = [sys.executable, "-W", "error", "-c", PROBE, argument]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def after_import() -> dict[str, object]:
    serving = [name for name in modules_of(PACKAGE) if noun_of(name) in {"", *SERVING}]
    return probe(serving, ROOT)


def test_serving_loads_nothing_that_only_training_needs(after_import):
    assert after_import["heavy"] == {}


def test_importing_starts_no_thread(after_import):
    assert after_import["threads"] == ["MainThread"]
    before, after = after_import["native_threads"]
    assert after == before


def test_importing_leaves_logging_alone(after_import):
    before, after = after_import["logs"]
    assert after == before == [["root", 30, 0]]


def test_the_probe_sees_what_a_module_does_on_import(tmp_path):
    text = "import logging, threading, time, scipy\nlogging.basicConfig()\n"
    text += "threading.Thread(target=time.sleep, args=(9,), daemon=True, name='pool').start()\n"
    plant(tmp_path, {"service.py": text})
    seen = probe(["cascade.service"], tmp_path)
    assert seen["heavy"]["scipy"].endswith("service.py:1")
    assert seen["threads"] == ["MainThread", "pool"]
    assert seen["logs"][1] == [["root", 30, 1]]
