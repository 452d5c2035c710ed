"""`cascade bench`: the committed benchmarks, each a ratio to a peer in the same run."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click
from rich.table import Table

from cascade.cli.console import console, told
from cascade.errors import NotFoundError, nearest


@dataclass(frozen=True)
class Benchmark:
    """Name one benchmark: its file, its first line, and whether the README quotes it."""

    path: Path
    summary: str
    quoted: bool


def benchmarks() -> Mapping[str, Benchmark]:
    """Return the benchmarks of this checkout by name.

    Raises:
        NotFoundError: If the package was installed without them.
    """
    folder = Path(str(resources.files("cascade"))).parent / "benchmarks"
    if not folder.is_dir():
        raise NotFoundError("benchmarks come with a checkout of the source, not with the package")
    found = {}
    for path in sorted(folder.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        summary = (ast.get_docstring(tree) or "").splitlines()[0]
        quoted = any(
            isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "QUOTED_IN_README" for t in node.targets)
            for node in tree.body
        )
        found[path.stem] = Benchmark(path, summary, quoted)
    return found


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--readme", is_flag=True, help="Run those that the README quotes.")
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@told
def bench(readme: bool, name: str | None, arguments: tuple[str, ...]) -> None:
    """List the benchmarks, or run one by NAME; what follows goes to it."""
    known = benchmarks()
    if readme:
        given = ((name,) if name else ()) + arguments
        codes = [_run(mark, given) for mark in known.values() if mark.quoted]
        sys.exit(max(codes, default=0))
    if name is None:
        table = Table("name", "what it measures")
        for label, mark in known.items():
            table.add_row(label, mark.summary)
        console().print(table)
        return
    if name not in known:
        raise NotFoundError(f"there is no benchmark {name!r}; {nearest(name, known)}")
    sys.exit(_run(known[name], arguments))


def _run(mark: Benchmark, arguments: tuple[str, ...]) -> int:
    return subprocess.run([sys.executable, str(mark.path), *arguments], check=False).returncode
