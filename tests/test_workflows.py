"""Whole jobs on the demo marketplace: what they print, and that held-out queries are held out."""

import json
import shutil
from pathlib import Path

import pytest

from cascade.candidates import Query
from cascade.config import Config, load_config, open_cascade, registry_of
from cascade.config.stage_settings import SplitSettings
from cascade.errors import FingerprintError, InputError
from cascade.evaluation import to_json
from cascade.judgments import JudgmentColumns, read_judgments
from cascade.registry import text_digest
from cascade.workflows import Protocol, evaluate_config, train_config
from cascade.workflows.split import divide, part_of

COLUMNS = JudgmentColumns(query_id="query_id")


@pytest.fixture(scope="module")
def demo(demo_folder: Path) -> Config:
    return load_config(demo_folder / "cascade.toml")["shop"]


@pytest.fixture(scope="module")
def report(demo: Config, demo_folder: Path) -> dict:
    return to_json(evaluate_config(demo, demo_folder / "shop" / "judgments.tsv"))


def test_the_report_has_the_form_that_scripts_read(report):
    assert report["protocol"] == "full"
    assert list(report["systems"]) == ["random", "bm25", "stage:linear", "stage:trees", "final"]
    for system in report["systems"].values():
        assert set(system["nDCG@10"]) == {"mean", "low", "high"}
        assert set(system["delta"]["nDCG@10"]) == {"mean", "low", "high"}
    assert {"100", "1000"} <= set(report["recall"])
    assert report["seconds"] > 0
    json.dumps(report, allow_nan=False)


def test_the_cascade_beats_bm25_with_the_whole_interval(report):
    assert report["systems"]["final"]["delta"]["nDCG@10"]["low"] > 0
    assert report["systems"]["random"]["delta"]["nDCG@10"]["high"] < 0


def test_a_busy_machine_changes_no_number(demo_folder, report):
    """Serving skips a stage that is predicted to outlast its budget; a measurement must not."""
    hurried = ["stages.0.budget_ms=1e-6", "stages.1.budget_ms=1e-6"]
    config = load_config(demo_folder / "cascade.toml", hurried)["shop"]
    found = to_json(evaluate_config(config, demo_folder / "shop" / "judgments.tsv"))
    assert found["systems"] == report["systems"]


def test_no_query_that_a_model_saw_is_evaluated(demo, demo_folder, report):
    judgments = read_judgments(demo_folder / "shop" / "judgments.tsv", COLUMNS)
    trained: set[str] = set()
    for stage in demo.settings.stages:
        manifest = registry_of(demo).load(demo.settings.model_name(stage)).manifest
        trained |= set(manifest.trained_queries)
    held = [q for q, text in judgments.texts.items() if text_digest(text) not in trained]
    assert 0 < len(held) < len(judgments.texts)
    assert report["data"]["evaluated_queries"] == len(held)
    assert all(part_of(judgments.texts[q], demo.settings.split) == "test" for q in held)


def test_another_file_of_queries_is_evaluated_whole(demo, demo_folder, tmp_path):
    source = read_judgments(demo_folder / "shop" / "judgments.tsv", COLUMNS)
    query_id = next(iter(source.texts))
    path = tmp_path / "other.tsv"
    rows = [
        f"x{n}\t{text} please\t{doc_id}\t{grade:g}"
        for n, text in enumerate([*source.texts[query_id].split(), "gift", "handmade"])
        for doc_id, grade in source.grades[query_id].items()
    ]
    path.write_text("query_id\tquery\tdoc_id\tgrade\n" + "\n".join(rows) + "\n")
    found = to_json(evaluate_config(demo, path))
    assert found["data"]["evaluated_queries"] == found["data"]["judged_queries"]


def test_a_file_of_trained_queries_alone_is_refused(demo, demo_folder, tmp_path):
    source = (demo_folder / "shop" / "judgments.tsv").read_text().splitlines()
    split = demo.settings.split
    kept = [line for line in source[1:] if part_of(line.split("\t")[1], split) == "train"]
    path = tmp_path / "trained.tsv"
    path.write_text("\n".join([source[0], *kept]) + "\n")
    with pytest.raises(InputError, match="--all-queries"):
        evaluate_config(demo, path)
    assert to_json(evaluate_config(demo, path, seen_too=True))["queries"] > 0


def test_the_pool_protocol_ranks_the_judged_documents_alone(demo, demo_folder):
    path = demo_folder / "shop" / "judgments.tsv"
    pool = to_json(evaluate_config(demo, path, protocol=Protocol.POOL))
    assert pool["protocol"] == "pool"
    assert pool["recall"]["1000"] == pytest.approx(1.0, abs=0.02)
    assert pool["systems"]["final"]["delta"]["nDCG@10"]["mean"] > 0


def test_the_evaluated_stage_order_is_the_served_one(demo, report):
    cascade = open_cascade(demo)
    page = cascade.search(Query("1", "silver ring"))
    assert [stage.name for stage in page.trace.stages] == ["linear", "trees", "business"]
    assert all(stage.outcome == "ran" for stage in page.trace.stages)
    assert page.models.keys() == {"linear", "trees"}


def test_training_twice_makes_a_new_version_with_the_same_bytes(demo, demo_folder, tmp_path):
    shutil.copytree(demo_folder, tmp_path / "demo")
    config = load_config(tmp_path / "demo" / "cascade.toml", ["stages.1.trees.rounds=10"])["shop"]
    judgments = tmp_path / "demo" / "shop" / "judgments.tsv"
    first, second = (train_config(config, judgments) for _ in range(2))
    registry = registry_of(config)
    assert [s.model for s in first.stages] == ["shop-linear/2", "shop-trees/2"]
    assert [s.model for s in second.stages] == ["shop-linear/3", "shop-trees/3"]
    for name in ("shop-linear", "shop-trees"):
        one, two = registry.load(f"{name}@2"), registry.load(f"{name}@3")
        assert one.manifest.model_sha256 == two.manifest.model_sha256
        assert registry.aliases(name) == {"live": 1, "candidate": 3}


def test_a_model_of_another_analysis_is_refused_by_the_index(demo, demo_folder, tmp_path):
    shutil.copytree(demo_folder, tmp_path / "demo")
    path = tmp_path / "demo" / "shop" / "schema.toml"
    path.write_text(
        path.read_text().replace('type = "text"\n', 'type = "text"\nanalyser = "plain"\n', 1)
    )
    config = load_config(tmp_path / "demo" / "cascade.toml")["shop"]
    with pytest.raises(FingerprintError, match="title"):
        open_cascade(config)


def test_a_query_falls_into_the_same_part_in_every_file():
    split = SplitSettings(validation=0.2, test=0.3)
    texts = {str(i): f"query {i}" for i in range(4_000)}
    parts = divide(texts, split)
    shares = [len(parts[p]) / len(texts) for p in ("train", "validation", "test")]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.03)
    again = divide({"other": "Query  7 "}, split)
    assert "7" in parts[next(p for p, ids in again.items() if ids)]


def test_the_cascade_gives_nearly_what_its_last_model_gives_on_all_rows(demo_folder, report):
    """A window that is too small would show here: trees on 300 rows against trees on 1,000."""
    wide = load_config(demo_folder / "cascade.toml", ["stages.1.window=1000"])["shop"]
    judgments = demo_folder / "shop" / "judgments.tsv"
    everywhere = to_json(evaluate_config(wide, judgments))["systems"]["final"]["nDCG@10"]["mean"]
    assert report["systems"]["final"]["nDCG@10"]["mean"] > 0.98 * everywhere
    # The comparison means something only if a window can be too small: one row is.
    narrow = load_config(demo_folder / "cascade.toml", ["stages.1.window=1"])["shop"]
    few = to_json(evaluate_config(narrow, judgments))["systems"]["final"]["nDCG@10"]["mean"]
    assert few < 0.98 * everywhere


def test_frequencies_in_the_judgments_split_the_queries_by_traffic(demo, demo_folder, tmp_path):
    lines = (demo_folder / "shop" / "judgments.tsv").read_text().splitlines()
    held = [x for x in lines[1:] if part_of(x.split("\t")[1], demo.settings.split) == "test"]
    top = held[0].split("\t")[0]
    path = tmp_path / "asked.tsv"
    rows = [f"{x}\t{1_000_000 if x.split(chr(9))[0] == top else 1}" for x in held]
    path.write_text("\n".join([f"{lines[0]}\tasked", *rows]) + "\n")
    config = load_config(demo_folder / "cascade.toml", ["judgments.frequency=asked"])["shop"]
    found = to_json(evaluate_config(config, path))
    assert found["split"] == "thirds of traffic"
    # One query has nearly all of the traffic, and all others are the tail.
    assert found["buckets"]["head"]["queries"] == 1
    assert set(found["buckets"]) == {"head", "tail"}
