"""`cascade business evolve`, `front`, `lint` and `report`, as people run them."""

import json
import re

import pytest
from click.testing import CliRunner

from cascade.cli import main
from tests.policy_shop import NAME, write_policy_shop

FLAT = 'evolution.fitness={measures={"recall@10" = 1.0, "mean(price)@3" = 0.1}}'
PRICED = 'evolution.columns={dear="price"}'
# Without acceptance every point has a name and is written, whatever a short search found.
EASY = ("evolution.acceptance={}", "evolution.sigma=0.6")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_policy_shop(tmp_path_factory.mktemp("cups"))


@pytest.fixture(scope="module")
def run(shop):
    path, judgments = shop

    def run(command, *overrides, options=(), judged=True):
        given = ["business", command, "--config", str(path)]
        given += ["--judgments", str(judgments)] if judged else []
        for override in overrides:
            given += ["--set", override]
        return CliRunner().invoke(main, [*given, *options])

    return run


@pytest.fixture(scope="module")
def evolved(run, tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "front.html"
    done = run("evolve", *EASY, options=["--json", "--html", str(page)])
    assert done.exit_code == 0, done.output
    return done, page


def document(done):
    """Return the one JSON document that standard output is, numbers finite."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(done.stdout, parse_constant=refuse)


def test_evolve_as_json_is_one_document(evolved):
    told = document(evolved[0])
    assert told["model"] == f"{NAME}/1"
    assert told["requests"].keys() == {"train", "validation", "test"}
    assert [seed["seed"] for seed in told["seeds"]] == [0, 1]
    assert len(told["front"]["points"]) == 15
    names = {name for point in told["front"]["points"] for name in point["names"]}
    assert {point["name"] for point in told["points"]} == names
    assert {"balanced", "relevance", "revenue", "availability"} == names
    assert all(point["broken"] == [] for point in told["points"])


def test_evolve_writes_the_page_of_its_front(evolved):
    text = evolved[1].read_text()
    told = document(evolved[0])
    assert f"Policy {NAME}/1" in text
    for point in told["points"]:
        assert re.search(rf'<th scope="row">[^<]*\b{point["name"]}\b', text)


def test_evolve_in_words(run, evolved):
    done = run("evolve", *EASY)
    assert done.exit_code == 0
    assert f"{NAME}/2 is written" in done.stdout
    said = " ".join(done.stdout.split())
    assert "22 held-out requests" in said
    assert "of 15 preferences are not dominated on 17 validation requests" in said


def test_front_as_json_and_in_words(run, evolved, tmp_path):
    page = tmp_path / "front.html"
    options = ["--models", "live", "--html", str(page)]
    told = document(run("front", *EASY, options=[*options, "--json"]))
    assert told["model"] == f"{NAME}/1"
    wanted = document(evolved[0])["front"]
    assert {**wanted, "model": told["model"]} == told
    assert page.read_text() == evolved[1].read_text()
    done = run("front", *EASY)
    assert done.exit_code == 0
    assert "share of revenue" in done.stdout


def test_numbers_that_are_none_are_null(run, shop, evolved):
    # One seed has no standard deviation.
    told = document(
        run(
            "evolve",
            *EASY,
            "evolution.generations=1",
            "evolution.seeds=[0]",
            "business.objectives=[{name='same', kind='stock', field='margin'}]",
            'business.policy={inputs=["score", "rank_percentile", "same"]}',
            'evolution.fitness={raised="nDCG@10"}',
            "business.model='other'",
            options=["--json"],
        )
    )
    assert told["deviation"] is None


def test_report_as_json_and_in_words(run, evolved):
    told = document(run("report", *EASY, options=["--json", "--models", "live"]))
    assert told["model"] == f"{NAME}/1"
    assert told["winner"] in {system["name"] for system in told["systems"]}
    assert told["systems"][-1]["name"] == "evolution"
    measures = {p["name"]: p["measures"] for p in document(evolved[0])["points"]}
    assert {p["name"]: p["measures"] for p in told["points"]} == measures
    done = run("report", *EASY)
    assert done.exit_code == 0
    assert f"{told['requests']:,} held-out requests" in done.stdout
    wins = told["winner"] == "evolution"
    said = "Evolution has the best goal." if wins else "Evolution does not win"
    assert said in done.stdout


@pytest.mark.parametrize("judged", [False, True])
def test_lint_refuses_with_4_what_allow_lets_through(run, judged):
    done = run("lint", FLAT, PRICED, options=["--json"], judged=judged)
    assert done.exit_code == 4
    told = document(done)
    assert told["refused"] is True
    assert [finding["code"] for finding in told["findings"]] == ["flat-relevance"]
    words = run("lint", FLAT, PRICED, judged=judged)
    assert words.exit_code == 4
    assert "refused: flat-relevance: recall@10" in words.stdout
    allowed = run(
        "lint",
        FLAT,
        PRICED,
        'evolution.allow=["flat-relevance"]',
        options=["--json"],
        judged=judged,
    )
    assert (allowed.exit_code, document(allowed)["refused"]) == (0, False)


def test_lint_of_a_sound_fitness(run):
    done = run("lint", judged=False)
    assert (done.exit_code, done.stdout.strip()) == (0, "nothing is wrong with the fitness")
    told = document(run("lint", options=["--json"]))
    assert told == {"refused": False, "findings": []}


@pytest.mark.parametrize("command", ["evolve", "lint"])
def test_what_is_refused_ends_with_4_and_says_so_on_stderr(run, command):
    done = run(command, FLAT, PRICED)
    assert done.exit_code == 4
    if command == "evolve":
        assert done.stdout == ""
        assert "allow = [flat-relevance]" in done.stderr


def test_acceptance_that_cannot_be_kept_ends_with_4(run, shop, tmp_path):
    folder = shop[0].parent / "models" / NAME
    before = sorted(folder.iterdir()) if folder.exists() else []
    page = tmp_path / "front.html"
    bound = 'evolution.acceptance={"nDCG@10" = ">= 1.5 of base"}'
    done = run("evolve", bound, options=["--json", "--html", str(page)])
    assert (done.exit_code, done.stdout) == (4, "")
    assert "nothing is written" in " ".join(done.stderr.split())
    assert (sorted(folder.iterdir()) if folder.exists() else []) == before
    assert not page.exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('evolution.fitness={raised="nDGC@10"}', "did you mean 'nDCG'"),
        ('evolution.fitness={raised="nDCG@10", measures={MRR=1}}', "evolution.fitness"),
        ('evolution.columns={a="prise"}', "did you mean 'price'"),
        ('evolution.groups=["brnd"]', "did you mean 'brand'"),
        ('evolution.optimiser="adam"', "evolution.optimiser"),
        ("evolution.children=1", "evolution.children"),
    ],
)
def test_what_cannot_be_used_ends_with_3_and_one_message(run, override, said):
    done = run("evolve", override, options=["--json"])
    assert (done.exit_code, done.stdout) == (3, "")
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["front", "report"])
def test_without_a_policy(run, command):
    done = run(command, 'business.model="nothing"')
    assert (done.exit_code, done.stdout) == (3, "")
    assert "nothing" in done.stderr


def test_judgments_are_needed(run):
    assert run("evolve", judged=False).exit_code == 2
