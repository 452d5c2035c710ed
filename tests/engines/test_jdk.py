from pathlib import Path

import pytest

from tests.engines.jdk import JAVA_HOME_VARIABLE, find_jdk


def make_home(folder: Path, version: str, *programs: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    for program in programs:
        (folder / "bin" / program).touch()
    (folder / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.mark.parametrize(("version", "major"), [("21.0.5", 21), ("25", 25), ("1.8.0_402", 8)])
def test_the_chosen_java_is_read_and_outranks_the_others(tmp_path, monkeypatch, version, major):
    home = make_home(tmp_path / "java", version, "java", "javac")
    monkeypatch.setenv(JAVA_HOME_VARIABLE, str(home))
    found = find_jdk(8, compiler=True)
    assert (found.home, found.major, found.java) == (home, major, home / "bin" / "java")


@pytest.mark.parametrize(
    ("oldest", "newest", "compiler"),
    [(22, None, False), (17, 20, False), (21, None, True)],
    ids=["too old", "too new", "no compiler"],
)
def test_a_java_that_does_not_fit_is_passed_over(tmp_path, monkeypatch, oldest, newest, compiler):
    home = make_home(tmp_path / "java", "21.0.5", "java")
    monkeypatch.setenv(JAVA_HOME_VARIABLE, str(home))
    found = find_jdk(oldest, newest, compiler=compiler)
    assert found is None or found.home != home


def test_a_machine_without_a_fitting_java_has_none():
    assert find_jdk(900) is None
