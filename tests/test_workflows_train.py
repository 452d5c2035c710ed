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
from cascade.workflows.distil import Teacher

QUICK = [
    "stages.0.linear.iterations=5",
    "stages.1.trees.rounds=5",
    "retrieval.size=150",
    "stages.0.window=150",
    "stages.1.window=40",
    "training.negatives=10",
    "split.test=0.6",
    "split.validation=0.1",
]


@pytest.fixture(scope="module")
def trained(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The demo, whose models 1 saw four in five queries; 2 and 3 see fewer, 3 taught by trees 1."""
    folder = tmp_path_factory.mktemp("train") / "demo"
    shutil.copytree(demo_folder, folder)
    config = load_config(folder / "cascade.toml", QUICK)["shop"]
    judgments = folder / "shop" / "judgments.tsv"
    train_config(config, judgments)
    train_config(config, judgments, distil_from="shop-trees@1")
    return config


def test_the_trees_read_the_linear_score_and_survive_its_absence(trained):
    manifest = registry_of(trained).load("shop-trees@2").manifest
    (definition,) = [d for d in manifest.features if d["kind"] == "stage_score"]
    assert definition["name"] == "stage:linear"
    cascade = open_cascade(trained, models="candidate")
    found = cascade.engine.retrieve([Query("q", "silver ring")], 150).candidates
    linear, trees = cascade.stages
    both, traces = run_stages((linear, trees), found, NEVER)
    alone, skipped = run_stages((trees,), found, NEVER)
    cascade.engine.close()
    assert [str(t.outcome) for t in (*traces, *skipped)] == ["ran"] * 3
    head = both.head(40)
    assert np.isfinite(head.columns["stage:linear"]).all()
    assert np.isfinite(alone.head(40).scores).all()
    assert head.columns["stage:linear"].min() >= both.columns["stage:linear"][40:].max()


def test_rows_beyond_the_window_are_not_trained_on(trained):
    linear, trees = (
        registry_of(trained).load(f"{name}@2").manifest.data["rows"]
        for name in ("shop-linear", "shop-trees")
    )
    assert trees < linear


def test_a_teacher_changes_its_pupils_alone_and_is_named(trained):
    registry = registry_of(trained)
    before, after = (registry.load(f"shop-linear@{v}").manifest for v in (2, 3))
    assert before.model_sha256 != after.model_sha256
    assert after.data["distilled_from"] == "shop-trees/1"
    assert "distilled_from" not in registry.load("shop-trees@3").manifest.data


def test_what_a_teacher_was_trained_on_is_held_out_of_what_it_taught(trained):
    registry = registry_of(trained)

    def seen(label: str) -> set[str]:
        return set(registry.load(label).manifest.trained_queries)

    assert seen("shop-linear@2") < seen("shop-trees@1")
    assert seen("shop-linear@3") == seen("shop-trees@3") == seen("shop-trees@1")


def test_a_stage_teaches_those_before_it_by_its_candidate(trained):
    teacher = Teacher(trained, "trees")
    assert teacher.pupils == ("linear",)
    assert teacher.bundle.label == "shop-trees/3"
    with pytest.raises(InputError, match="'linear' is the first stage"):
        Teacher(trained, "linear")


@pytest.mark.parametrize("by", ["strict", "time"])
def test_rows_that_name_neither_documents_nor_times_are_divided_by_query_alone(tmp_path, by):
    rows = tmp_path / "rows.txt"
    rows.write_text("".join(f"{i % 2} qid:{i // 4} 1:{i % 3}\n" for i in range(80)))
    path = tmp_path / "rows.toml"
    path.write_text(
        f"""
        name = "rows"
        judgments = {{ format = "svmlight" }}
        split = {{ by = "{by}" }}
        stages = [{{ name = "one", ranker = "linear", window = 10 }}]
        """
    )
    with pytest.raises(InputError, match="neither documents nor times"):
        train_config(load_config(path)["rows"], rows)
