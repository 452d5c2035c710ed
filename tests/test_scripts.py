"""The scripts refuse what they cannot work with, and the pins hold what the project declares."""

import os
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ["bench", "check", "demo", "test"]


def run(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / script)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_there_are_four_scripts_and_each_can_be_run():
    executable = [p.name for p in (ROOT / "scripts").iterdir() if os.access(p, os.X_OK)]
    assert sorted(executable) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_old_python_is_refused_with_its_version(tmp_path, script):
    old = tmp_path / "bin" / "python3"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    path = f"{old.parent}{os.pathsep}{os.environ['PATH']}"
    done = run(script, {"PATH": path, "CASCADE_VENV": str(tmp_path / "venv")})
    assert done.returncode == 1
    assert "python3 is Python 3.9.2; Python 3.11 or later is needed." in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "venv").exists()


def test_a_folder_that_is_no_environment_is_left_as_it_was(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run("check", {"CASCADE_VENV": str(tmp_path)})
    assert done.returncode == 1
    assert f"{tmp_path} exists and is not a virtual environment." in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_every_declared_dependency_is_pinned_at_a_version_it_accepts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {
        canonicalize_name(pin.name): pin.specifier
        for pin in map(Requirement, (line for line in lines if line and line[0] != "#"))
    }
    for requirement in map(Requirement, declared):
        (pin,) = pins[canonicalize_name(requirement.name)]
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), requirement
