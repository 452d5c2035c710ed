"""Evaluating the demo: other models, another cascade, parts left out, the shop's measures."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from cascade.cli import main
from cascade.config import load_config
from cascade.errors import InputError
from cascade.evaluation import to_json
from cascade.workflows import Compared, Parts, Protocol, Rival, evaluate_config

QUICK = ["evaluation.resamples=200"]


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with a candidate of the trees beside the live one, made of fewer rounds."""
    copied = tmp_path_factory.mktemp("evaluated") / "demo"
    shutil.copytree(demo_folder, copied)
    lines = (copied / "shop" / "judgments.tsv").read_text("utf-8").splitlines()
    few = list(dict.fromkeys(line.split("\t")[0] for line in lines[1:]))[:60]
    kept = [line for line in lines if line.split("\t")[0] in {"query_id", *few}]
    (copied / "few.tsv").write_text("\n".join(kept), "utf-8")
    options = ["--config", str(copied / "cascade.toml"), "--set", "stages.1.trees.rounds=2"]
    judgments = str(copied / "few.tsv")
    done = CliRunner().invoke(
        main, ["train", *options, "--judgments", judgments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return copied


def evaluated(folder: Path, *overrides: str, **options: object) -> dict:
    config = load_config(folder / "cascade.toml", [*QUICK, *overrides])["shop"]
    return to_json(evaluate_config(config, folder / "few.tsv", **options))


def test_the_candidate_is_evaluated_unless_live_is_asked_for(folder):
    candidate = evaluated(folder)
    live = evaluated(folder, compared=Compared(models="live"))
    assert candidate["data"]["models"]["trees"] != live["data"]["models"]["trees"]
    assert candidate["systems"]["final"] != live["systems"]["final"]


def test_another_cascade_takes_the_place_of_the_baseline(folder):
    config = load_config(folder / "cascade.toml", QUICK)["shop"]
    rival = Rival("live", config)
    report = evaluated(folder, compared=Compared(against=rival))
    assert report["baseline"] == "live"
    assert list(report["systems"])[-2:] == ["live", "final"]
    alone = evaluated(folder, compared=Compared(models="live"))
    mean = report["systems"]["live"]["nDCG@10"]["mean"]
    assert mean == alone["systems"]["final"]["nDCG@10"]["mean"]
    delta = report["systems"]["final"]["delta"]["nDCG@10"]["mean"]
    assert delta == pytest.approx(report["systems"]["final"]["nDCG@10"]["mean"] - mean)
    assert report["windows"]["linear"]["source"] == "bm25"
    assert report["data"]["models of live"] == alone["data"]["models"]


def test_a_cascade_that_differs_in_nothing_differs_in_nothing(folder):
    config = load_config(folder / "cascade.toml", QUICK)["shop"]
    report = evaluated(folder, compared=Compared(models="live", against=Rival("same", config)))
    final = report["systems"]["final"]
    assert final["delta"]["nDCG@10"] == {"mean": 0, "low": 0, "high": 0}
    assert final["p"]["nDCG@10"]["p"] == 1.0


def test_leaving_groups_of_features_out(folder):
    compared = Compared(models="live", ablate=(Parts.FEATURES,))
    report = evaluated(folder, compared=compared)
    losses = {loss["part"]: loss for loss in report["losses"]}
    assert {"kind:bm25", "field:title"} <= set(losses)
    # The title is what the demo's relevance comes from; a query's length orders no documents.
    assert losses["field:title"]["delta"]["nDCG@10"]["mean"] < 0
    assert losses["kind:query_length"]["delta"]["nDCG@10"] == {"mean": 0, "low": 0, "high": 0}
    means = [loss["delta"]["nDCG@10"]["mean"] for loss in report["losses"]]
    assert means == sorted(means)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_leaving_stages_out(folder, protocol):
    compared = Compared(models="live", ablate=(Parts.STAGES,))
    report = evaluated(folder, protocol=protocol, compared=compared)
    losses = {loss["part"]: loss for loss in report["losses"]}
    assert set(losses) == {"stage:linear", "stage:trees"}
    # Without the last stage stands what the stage before it made.
    systems = report["systems"]
    expected = systems["stage:linear"]["nDCG@10"]["mean"] - systems["final"]["nDCG@10"]["mean"]
    assert losses["stage:trees"]["delta"]["nDCG@10"]["mean"] == pytest.approx(expected)
    assert not any(name.startswith("without") for name in systems)
    plain = evaluated(folder, protocol=protocol, compared=Compared(models="live"))
    assert plain["systems"] == systems


def test_the_measures_of_the_shop_stand_in_the_same_table(folder):
    measures = '["revenue@10", "exposure(field=seller, value=nobody)@10", "position"]'
    report = evaluated(folder, f"evaluation.business_measures={measures}")
    final = report["systems"]["final"]
    assert final["revenue@10"]["mean"] > report["systems"]["random"]["revenue@10"]["mean"] > 0
    assert final["exposure(field='seller', value='nobody')@10"]["mean"] == 0
    assert final["delta"]["position"]["mean"] < 0


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("revenue(field=prize)@10", "no number field 'prize'; did you mean 'price'"),
        ("revenue(field=seller)@10", "no number field 'seller'"),
        ("exposure(field=price, value=x)@10", "no keyword field 'price'"),
    ],
)
def test_a_field_that_the_schema_lacks_is_named(folder, measure, message):
    with pytest.raises(InputError, match=message):
        evaluated(folder, f'evaluation.business_measures=["{measure}"]')


def test_the_command_takes_a_rival_and_parts(folder, tmp_path):
    page = tmp_path / "report.html"
    options = ["--config", str(folder / "cascade.toml"), "--set", QUICK[0]]
    judgments = str(folder / "few.tsv")
    command = ["evaluate", *options, "--judgments", judgments, "--json"]
    done = CliRunner().invoke(
        main, [*command, "--against", "live", "--ablate", "stages", "--html", str(page)]
    )
    report = json.loads(done.stdout)
    assert report["baseline"] == "live"
    assert [loss["part"] for loss in report["losses"]] != []
    assert "What is lost without a part" in page.read_text("utf-8")
    other = CliRunner().invoke(main, [*command, "--against", str(folder / "cascade.toml")])
    assert json.loads(other.stdout)["baseline"] == "cascade:shop"
    unknown = CliRunner().invoke(main, [*command, "--against", "shap"])
    assert unknown.exit_code == 3
    assert "no cascade 'shap'; did you mean 'shop'" in unknown.stderr
