"""The commands: what they print, and the exit code of every kind of failure."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cascade.cli import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def config(demo_folder: Path) -> Path:
    return demo_folder / "cascade.toml"


def test_search_prints_one_json_document_and_nothing_else(config):
    result = run(
        "search", "--config", config, "silver ring", "--size", 3, "--json", "--facet", "category"
    )
    assert result.exit_code == 0
    page = json.loads(result.stdout)
    assert len(page["items"]) == 3
    assert page["facets"]["category"]


def test_search_prints_a_table(config):
    result = run("search", "--config", config, "silver ring")
    assert result.exit_code == 0
    assert "match." in result.stdout


def test_explain_tells_features_and_steps(config):
    page = json.loads(run("search", "--config", config, "silver ring", "--json").stdout)
    doc_id = page["items"][0]["id"]
    told = json.loads(run("explain", "--config", config, "silver ring", doc_id, "--json").stdout)
    assert told["final_rank"] == 1
    assert [s["step"] for s in told["steps"]] == ["retrieval", "linear", "trees", "business"]
    assert "bm25_title" in told["steps"][1]["features"]
    text = run("explain", "--config", config, "silver ring", doc_id).stdout
    assert "ends at rank 1" in text
    assert "bm25_title" in text


def test_a_preference_changes_the_order_within_its_bound(config):
    plain = json.loads(run("search", "--config", config, "gift", "--json", "--size", 50).stdout)
    result = run(
        "search", "--config", config, "gift", "--json", "--size", 50, "--prefer", "revenue=0.9"
    )
    before = [item["id"] for item in plain["items"]]
    after = [item["id"] for item in json.loads(result.stdout)["items"]]
    assert before != after
    moved = [abs(after.index(i) - before.index(i)) for i in before if i in after]
    assert max(moved) <= 20


def test_models_are_listed_and_verified(config):
    listed = json.loads(run("models", "list", "--config", config, "--json").stdout)
    assert {m["name"] for m in listed["models"]} == {"shop-linear", "shop-trees"}
    assert "good, 0 refused" in run("models", "verify", "--config", config).stdout
    assert "shop-trees" in run("models", "list", "--config", config).stdout


def test_a_changed_model_is_refused_with_exit_code_4(config, tmp_path):
    shutil.copytree(config.parent, tmp_path / "demo")
    model = tmp_path / "demo" / "ltr_models" / "shop-trees" / "1" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    copied = tmp_path / "demo" / "cascade.toml"
    assert run("models", "verify", "--config", copied).exit_code == 4
    result = run("search", "--config", copied, "ring")
    assert result.exit_code == 4
    assert "train the model again" in result.stderr


def test_status_and_its_verification(config):
    found = json.loads(run("index", "status", "--config", config, "--verify", "--json").stdout)
    assert found["verified"] is True
    assert found["documents"] == 2_000


def test_a_damaged_catalogue_is_found_with_exit_code_4(config, tmp_path):
    shutil.copytree(config.parent, tmp_path / "demo")
    copied = tmp_path / "demo" / "cascade.toml"
    (live,) = (tmp_path / "demo" / "indexes").glob("listings-*")
    largest = max((live / "catalogue").iterdir(), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 1
    largest.write_bytes(content)
    result = run("index", "status", "--config", copied, "--verify")
    assert result.exit_code == 4
    assert largest.name in result.stderr


def test_a_damaged_engine_file_is_found_with_exit_code_4(config, tmp_path):
    shutil.copytree(config.parent, tmp_path / "demo")
    (live,) = (tmp_path / "demo" / "indexes").glob("listings-*")
    largest = max((live / "engine").iterdir(), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 1
    largest.write_bytes(content)
    result = run("index", "status", "--config", tmp_path / "demo" / "cascade.toml", "--verify")
    assert result.exit_code == 4
    assert largest.name in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "x", "--config", "nope.toml"], 3, "there is no such file"),
        (["search", "x", "--size", "ten"], 2, "'ten' is not a valid integer"),
        (["evaluate", "--judgments", "nope.csv"], 2, "does not exist"),
        (["bench", "nope"], 3, "no benchmark 'nope'"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_exit_codes(arguments, code, message):
    result = run(*arguments)
    assert result.exit_code == code
    assert message in result.stderr


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--size", "0"], 3, "size is 0"),
        (["--filters", '{"categry": "x"}'], 3, "did you mean 'category'"),
        (["--filters", "{"], 3, "not valid JSON"),
        (["--prefer", "revenue"], 3, "'revenue' is no operating point"),
        (["--prefer", "revenue", "--prefer", "x=1"], 3, "NAME=SHARE"),
        (["--prefer", "revenu=1"], 3, "revenue"),
        (["--prefer", "revenue=nan"], 3, "nan"),
        (["--set", "retrieval.size=0"], 3, "retrieval.size: is 0"),
        (["--cascade", "shp"], 3, "did you mean 'shop'"),
    ],
)
def test_a_request_that_cannot_be_served_says_why(config, extra, code, message):
    result = run("search", "--config", config, "ring", *extra)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""


def test_builds_report_what_they_left_out(config, tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(config.parent, folder)
    products = (folder / "shop" / "products.ndjson").read_text().splitlines()[:50]
    bad = tmp_path / "products.ndjson"
    bad.write_text("\n".join([*products, "{oops"]))
    arguments = ["index", "build", "--config", folder / "cascade.toml", "--input", bad]
    refused = run(*arguments)
    assert refused.exit_code == 3
    assert "line 51, column 2" in refused.stderr
    kept = run(*arguments, "--on-error", "skip", "--json")
    assert kept.exit_code == 0
    report = json.loads(kept.stdout)
    assert (report["documents"], report["skipped"], report["generation"]) == (
        50,
        1,
        "listings-000002",
    )


def test_train_and_evaluate_print_json(config, tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(config.parent, folder)
    judgments = folder / "shop" / "judgments.tsv"
    options = ["--config", folder / "cascade.toml", "--judgments", judgments]
    trained = run("train", *options, "--set", "stages.1.trees.rounds=5", "--json")
    assert trained.exit_code == 0
    stages = json.loads(trained.stdout)["stages"]
    assert [s["parity"]["rows"] >= 10_000 for s in stages] == [True, True]
    page = tmp_path / "report.html"
    evaluated = run("evaluate", *options, "--json", "--html", page)
    assert json.loads(evaluated.stdout)["systems"]["final"]["nDCG@10"]["mean"] > 0
    assert "<svg" in page.read_text()


def test_the_help_of_every_command_is_a_sentence():
    assert "Exit codes" in run("--help").stdout
    for command in main.commands:
        assert run(command, "--help").exit_code == 0


def test_svmlight_files_train_and_evaluate(tmp_path):
    rows = []
    for query in range(80):
        for row in range(12):
            grade = (row * 7 + query) % 3
            rows.append(
                f"{grade} qid:{query} 0:{grade + ((row * 13 + query * 5) % 10) / 20} 1:{row}"
            )
    data = tmp_path / "rows.txt"
    data.write_text("\n".join(rows) + "\n")
    config = tmp_path / "rows.toml"
    config.write_text(
        'name = "rows"\n[judgments]\nformat = "svmlight"\n'
        '[[stages]]\nname = "linear"\nranker = "linear"\nwindow = 100\n'
        '[[stages]]\nname = "trees"\nranker = "trees"\nwindow = 10\n[stages.trees]\nrounds = 20\n'
    )
    assert run("train", "--config", config, "--judgments", data).exit_code == 0
    refused = run("evaluate", "--config", config, "--judgments", data)
    assert refused.exit_code == 3
    assert "--all-queries" in refused.stderr
    result = run("evaluate", "--config", config, "--judgments", data, "--json", "--all-queries")
    systems = json.loads(result.stdout)["systems"]
    assert list(systems) == ["random", "stage:linear", "stage:trees", "final"]
    # Feature 0 is the grade and less than half a grade of noise: the order can be found.
    assert systems["final"]["nDCG@10"]["mean"] > 0.95


def test_brackets_in_a_title_are_shown_as_they_are(tmp_path, config):
    folder = tmp_path / "demo"
    shutil.copytree(config.parent, folder)
    products = tmp_path / "products.ndjson"
    products.write_text(json.dumps({"id": "a[/b]", "title": "[NEW] ring [/foo]", "stock": 3}))
    options = ["--config", folder / "cascade.toml"]
    assert run("index", "build", *options, "--input", products).exit_code == 0
    result = run("search", *options, "ring")
    assert result.exit_code == 0
    assert "[NEW] ring [/foo]" in result.stdout
    assert "a[/b]" in result.stdout


def test_a_place_that_cannot_be_written_is_named(config):
    judgments = config.parent / "shop" / "judgments.tsv"
    options = ["--config", config, "--judgments", judgments]
    result = run("train", *options, "--set", f"models.root={json.dumps(str(judgments))}")
    assert result.exit_code == 3
    assert str(judgments) in result.stderr
    assert "Traceback" not in result.stderr
