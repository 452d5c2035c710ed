"""The committed benchmarks: each is listed, and each can be read without running it."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from click.testing import CliRunner

from cascade.cli import main

FOLDER = Path(__file__).parent.parent / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def test_bench_lists_every_benchmark_with_what_it_measures() -> None:
    answer = CliRunner().invoke(main, ["bench"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    assert {"index_build", "lookup", "rank_1000", "retrieve", "serving_memory"} <= set(NAMES)
    assert {"engine_overhead", "solr_ltr"} <= set(NAMES)
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


def test_trees_given_to_solr_score_as_the_booster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    model = importlib.import_module("_solr_model")
    monkeypatch.delitem(sys.modules, "_solr_model")
    rng = np.random.default_rng(3)
    given = np.round(rng.normal(size=(300, 3)), 1).astype(np.float32)
    given[rng.random(given.shape) < 0.2] = np.nan
    known = np.nan_to_num(given, nan=model.MISSING)
    matrix = xgboost.DMatrix(known, label=rng.random(300))
    booster = xgboost.train({"max_depth": 4, "seed": 1}, matrix, 8)
    raw = model.missing_left(bytes(booster.save_raw("json")))

    trees = model.additive_trees(raw, ["a", "b", "c"])["trees"]
    scores = [solr_score(trees, dict(zip("abc", row, strict=True))) for row in known]
    np.testing.assert_array_equal(scores, booster.predict(matrix))

    loaded = xgboost.Booster(model_file=bytearray(raw))
    np.testing.assert_array_equal(loaded.predict(xgboost.DMatrix(given)), scores)
    every = json.dumps(trees)
    assert every.count('"feature"') > 50
    assert '"c"' in every


def solr_score(trees: list[dict[str, Any]], row: dict[str, np.float32]) -> np.float32:
    """Score as Solr's MultipleAdditiveTreesModel: float32, a threshold is raised by 1e-6."""
    total = np.float32(0)
    for tree in trees:
        node = tree["root"]
        while "value" not in node:
            limit = np.float32(node["threshold"]) + np.float32(1e-6)
            node = node["left"] if row[node["feature"]] <= limit else node["right"]
        total += np.float32(tree["weight"]) * np.float32(node["value"])
    return total
