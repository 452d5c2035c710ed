"""Training stage after stage on the demo shop: what is passed on, distillation, aliases."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cascade.candidates import Query
from cascade.config import Config, load_config, open_cascade, registry_of
from cascade.errors import InputError
from cascade.pipeline import run_stages
from cascade.protocols import NEVER
from cascade.workflows import train_config

QUICK = ["stages.1.trees.rounds=10", "stages.0.window=300", "stages.1.window=60"]


@pytest.fixture
def copied(demo_folder: Path, tmp_path: Path) -> tuple[Config, Path]:
    shutil.copytree(demo_folder, tmp_path / "demo")
    config = load_config(tmp_path / "demo" / "cascade.toml", QUICK)["shop"]
    return config, tmp_path / "demo" / "shop" / "judgments.tsv"


def test_the_trees_read_the_linear_score_and_survive_its_absence(copied):
    config, judgments = copied
    train_config(config, judgments)
    manifest = registry_of(config).load("shop-trees@candidate").manifest
    (definition,) = [d for d in manifest.features if d["kind"] == "stage_score"]
    assert definition["name"] == "stage:linear"
    cascade = open_cascade(config, models="candidate")
    found = cascade.engine.retrieve([Query("q", "silver ring")], 300).candidates
    linear, trees = cascade.stages
    both, traces = run_stages((linear, trees), found, NEVER)
    alone, skipped = run_stages((trees,), found, NEVER)
    cascade.engine.close()
    assert [str(t.outcome) for t in (*traces, *skipped)] == ["ran"] * 3
    head = both.head(60)
    assert np.isfinite(head.columns["stage:linear"]).all()
    assert np.isfinite(alone.head(60).scores).all()
    assert head.columns["stage:linear"].min() >= both.columns["stage:linear"][60:].max()


def test_rows_beyond_the_window_are_not_trained_on(copied):
    config, judgments = copied
    train_config(config, judgments)
    rows = {
        name: registry_of(config).load(f"{name}@candidate").manifest.data["rows"]
        for name in ("shop-linear", "shop-trees")
    }
    assert rows["shop-trees"] < rows["shop-linear"]


def test_a_teacher_changes_its_pupils_alone_and_is_named(copied):
    config, judgments = copied
    train_config(config, judgments)
    train_config(config, judgments, distil_from="trees")
    registry = registry_of(config)
    before, after = (registry.load(f"shop-linear@{v}").manifest for v in (2, 3))
    assert before.model_sha256 != after.model_sha256
    assert after.data["distilled_from"] == "shop-trees/2"
    assert "distilled_from" not in registry.load("shop-trees@3").manifest.data


def test_the_first_stage_teaches_none(copied):
    config, judgments = copied
    with pytest.raises(InputError, match="'linear' is the first stage"):
        train_config(config, judgments, distil_from="linear")
