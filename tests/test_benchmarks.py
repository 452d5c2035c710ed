"""The committed benchmarks: each is listed, and each can be read without running it."""

import importlib
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cascade.cli import main

FOLDER = Path(__file__).parent.parent / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def test_bench_lists_every_benchmark_with_what_it_measures() -> None:
    answer = CliRunner().invoke(main, ["bench"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    assert {"index_build", "lookup", "rank_1000", "retrieve", "serving_memory"} <= set(NAMES)
    for name in NAMES:
        assert name in answer.stdout
    assert "Ranking 1,000 candidates" in answer.stdout


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_benchmark_runs_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    assert callable(module.main)
    assert (module.__doc__ or "").splitlines()[0].endswith((".", ","))
    assert capsys.readouterr().out == ""
