"""The pipeline on a real shop: what a run does, keeps, refuses, and goes on with after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cascade.config import load_config, registry_of
from cascade.errors import InputError
from cascade.registry import CANDIDATE
from cascade.workflows.pipeline import STEPS, pipeline_status, run_pipeline

# The lines for drift and latency say nothing on so few queries and so busy a machine.
QUICK = [
    "stages.0.linear.iterations=5",
    "stages.1.trees.rounds=5",
    "retrieval.size=150",
    "stages.0.window=150",
    "stages.1.window=40",
    "training.negatives=10",
    "split.test=0.6",
    "split.validation=0.1",
    "gate.psi=50",
    "gate.slower=1000",
    "gate.requests=20",
]
# A gain that nothing can reach.
STRICT = "gate.min_gain=0.9"


@pytest.fixture
def shop(demo_folder: Path, tmp_path: Path) -> Path:
    """The trained demo, with judgments of half of its queries."""
    folder = tmp_path / "demo"
    shutil.copytree(demo_folder, folder)
    judgments = folder / "shop" / "judgments.tsv"
    header, *rows = judgments.read_text().splitlines(keepends=True)
    few = set(list(dict.fromkeys(row.split("\t")[0] for row in rows))[:150])
    judgments.write_text(header + "".join(r for r in rows if r.split("\t")[0] in few))
    return folder


def configured(shop: Path, *overrides: str):
    return load_config(shop / "cascade.toml", [*QUICK, *overrides])["shop"]


def statuses(records):
    return {record.name: record.status for record in records}


def kept(report):
    return {record.name for record in report.steps if record.status == "kept"}


def test_a_run_promotes_what_passes_and_the_next_one_keeps_it(shop):
    # A gate that accepts any loss: whether the new models are better is not asked here.
    easy = ["gate.min_gain=-1.0", "gate.margin=1.0", "gate.bucket_loss=1.0"]
    judgments, held = shop / "shop" / "judgments.tsv", shop / "held.tsv"
    shutil.copy(judgments, held)
    config = configured(shop, *easy, "gate.judgments='held.tsv'")
    before = registry_of(config).aliases("shop-trees")["live"]
    first = run_pipeline(config, judgments)
    assert statuses(first.steps) == dict.fromkeys(STEPS, "done")
    after = registry_of(config).aliases("shop-trees")
    assert after["live"] == before + 1
    assert after["previous"] == before
    second = run_pipeline(config, judgments)
    assert statuses(second.steps) == dict.fromkeys(STEPS, "kept")
    assert registry_of(config).versions("shop-trees")[-1] == before + 1
    with held.open("a") as stream:
        stream.write("\n")
    judged = run_pipeline(config, judgments)
    assert kept(judged) == {"features", "train", "evaluate"}
    changed = [*easy, "gate.judgments='held.tsv'", "evaluation.resamples=200"]
    assert kept(run_pipeline(configured(shop, *changed), judgments)) == {"features", "train"}


def test_a_refused_run_says_why_and_leaves_what_is_live(shop):
    config, judgments = configured(shop, STRICT), shop / "shop" / "judgments.tsv"
    registry = registry_of(config)
    before = registry.aliases("shop-trees")["live"]
    report = run_pipeline(config, judgments)
    assert statuses(report.steps)["gate"] == "refused"
    assert statuses(report.steps)["promote"] == "not run"
    assert "quality" in report.bad.reason
    assert registry.aliases("shop-trees")["live"] == before
    assert statuses(pipeline_status(config))["gate"] == "refused"
    registry.point("shop-trees", CANDIDATE, before)
    with_others = run_pipeline(config, judgments)
    assert "another training came between" in with_others.bad.reason


def test_a_killed_run_goes_on_with_the_step_it_was_at(shop):
    command = [sys.executable, "-m", "cascade", "pipeline", "run", "--json"]
    command += ["--judgments", "shop/judgments.tsv"]
    for override in (*QUICK, STRICT):
        command += ["--set", override]
    process = subprocess.Popen(command, cwd=shop, stdout=subprocess.DEVNULL)
    folder = shop / "var" / "pipeline" / "shop"
    until = time.monotonic() + 120
    while not (folder / "features.json").exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "train.json").exists()
    done = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    found = {s["name"]: s["status"] for s in json.loads(done.stdout)["steps"]}
    assert list(found) == list(STEPS)
    assert list(found.values()) == ["kept", "done", "done", "refused", "not run"]


def test_judgments_must_be_named(shop):
    with pytest.raises(InputError, match=r"set pipeline\.judgments"):
        run_pipeline(configured(shop))
    with pytest.raises(InputError, match="there is no file"):
        run_pipeline(configured(shop, "pipeline.judgments='nowhere.tsv'"))


def test_rows_without_an_engine_are_refused_at_the_start(shop):
    config = configured(shop, "judgments.format='svmlight'")
    with pytest.raises(InputError, match="nothing is held out"):
        run_pipeline(config, shop / "shop" / "judgments.tsv")
