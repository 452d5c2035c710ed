"""`cascade business evolve`, `front`, `lint` and `report`, as people run them."""

import json
import re

import pytest
from click.testing import CliRunner
from rich.console import Console

from cascade.cli import main
from cascade.cli.business import _print_base, _print_front, _print_table, _verdict
from cascade.cli.console import console
from cascade.training.evolution.hypervolume import Covered
from cascade.workflows.evolve import EvolveReport
from cascade.workflows.policy_base import PartBase
from cascade.workflows.policy_front import Front, Point
from tests.policy_shop import NAME, TEXTS, WINDOW, write_policy_shop

FLAT = 'evolution.fitness={measures={"recall@10" = 1.0, "mean(price)@3" = 0.1}}'
# Without acceptance every point has a name and is written, whatever a short search found.
EASY = ("evolution.acceptance={}", "evolution.sigma=2.0")


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
    assert told["base"].keys() == told["requests"].keys()
    assert told["base"]["test"]["measures"] == pytest.approx(told["points"][0]["base"])
    # The model of the stage was written, not trained.
    assert [at["trained"] for at in told["base"].values()] == [0, 0, 0]
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
    assert "order of relevance ┃ train ┃ validation ┃ test" in said
    assert "trained on requests of this search" not in said
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
    assert "No point is named" not in done.stdout


def test_front_says_which_names_it_could_not_give(run, evolved):
    none = 'evolution.acceptance={"nDCG@10" = ">= 2 of base"}'
    said = " ".join(run("front", none).stdout.split())
    assert "No point is named for relevance, revenue, stocked: what has a share of it" in said


def test_models_verify_reads_a_policy_as_one(run, shop, evolved):
    done = CliRunner().invoke(main, ["models", "verify", "--config", str(shop[0])])
    assert done.exit_code == 0, done.output
    assert f"{NAME}/1: ok" in done.stdout


def test_models_list_counts_what_a_policy_was_trained_on(shop, evolved):
    given = ["models", "list", "--config", str(shop[0])]
    listed = json.loads(CliRunner().invoke(main, [*given, "--json"]).stdout)["models"]
    [row] = [row for row in listed if (row["name"], row["version"]) == (NAME, 1)]
    requests = document(evolved[0])["requests"]["train"]
    assert 0 < requests < len(TEXTS)
    # Every request reorders as many rows as the window has.
    assert (row["queries"], row["rows"]) == (requests, requests * WINDOW)
    printed = CliRunner().invoke(main, given, env={"COLUMNS": "200"}).stdout.splitlines()
    [line] = [line for line in printed if f"{NAME}/1 " in line]
    assert f" {requests} queries, {requests * WINDOW:,} rows " in line


def test_front_says_which_names_mean_one_point(capsys):
    covered = Covered(1.0, 0.5, 1.5)
    both = Point({"relevance": 1.0}, {"relevance": 0.5}, True, True, ("balanced", "relevance"))
    front = Front({"relevance": "MRR"}, {"relevance": 0.4}, (both,), *[covered] * 3, 4, {}, 9)
    _print_front(front, console())
    assert "balanced and relevance are one point" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["evolve", "front"])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(run, evolved, command, tmp_path):
    page = tmp_path / "nowhere" / "front.html"
    done = run(command, *EASY, options=["--html", str(page)])
    assert done.exit_code == 3
    assert f"there is no folder {page.parent}" in done.stderr
    assert "is written" not in done.stdout


def test_a_wide_table_is_printed_in_parts_that_fit():
    out = Console(width=40, record=True)
    names = ["a" * 8, "b" * 8, "c" * 8]
    _print_table("measure", names, {"nDCG@10": ["0.1", "0.2", "0.3"]}, out)
    lines = out.export_text().splitlines()
    assert max(map(len, lines)) <= 40
    headers = [line for line in lines if "measure" in line]
    assert ["".join(c for c in "abc" if c * 8 in line) for line in headers] == ["ab", "c"]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "the policy covers more"),
        (-0.3, -0.1, "the grid covers more"),
        (-0.1, 0.1, "neither is shown to cover more"),
    ],
)
def test_a_difference_of_hypervolumes_in_words(low, high, said):
    assert _verdict(Covered((low + high) / 2, low, high)) == said


def test_numbers_that_are_none_are_null(run, shop, evolved):
    # One seed has no standard deviation.
    told = document(
        run(
            "evolve",
            *EASY,
            "evolution.generations=10",
            "evolution.seeds=[0]",
            "business.objectives=[{name='same', kind='stock', field='margin'}]",
            'business.policy={inputs=["score", "rank_percentile", "same"]}',
            'evolution.fitness={raised="mean(price)@10"}',
            'evolution.allow=["no-relevance"]',
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
    done = run("lint", FLAT, options=["--json"], judged=judged)
    assert done.exit_code == 4
    told = document(done)
    assert told["refused"] is True
    assert [finding["code"] for finding in told["findings"]] == ["flat-relevance"]
    words = run("lint", FLAT, judged=judged)
    assert words.exit_code == 4
    assert "refused: flat-relevance: recall@10" in words.stdout
    allowed = run(
        "lint",
        FLAT,
        'evolution.allow=["flat-relevance"]',
        options=["--json"],
        judged=judged,
    )
    assert (allowed.exit_code, document(allowed)["refused"]) == (0, False)
    words = run("lint", FLAT, 'evolution.allow=["flat-relevance"]', judged=judged)
    assert "allowed: flat-relevance: recall@10" in words.stdout


def test_lint_of_a_sound_fitness(run):
    done = run("lint", judged=False)
    assert (done.exit_code, done.stdout.strip()) == (
        0,
        "nothing is wrong with the settings of the search",
    )
    told = document(run("lint", options=["--json"]))
    assert told == {"refused": False, "problems": [], "findings": []}


def test_lint_tells_all_that_cannot_be_used_and_ends_with_3(run):
    wrong = ('evolution.groups=["brnd"]', 'evolution.acceptance={"nDCG@10"="> 1"}', FLAT)
    done = run("lint", *wrong, judged=False)
    assert (done.exit_code, done.stderr) == (3, "")
    told = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert told == ["wrong", "wrong"]
    told = document(run("lint", *wrong, options=["--json"], judged=False))
    assert len(told["problems"]) == 2
    done = run("lint", wrong[1], FLAT, judged=False)
    told = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert (done.exit_code, told) == (3, ["wrong", "refused"])


def test_a_code_that_there_is_not_is_refused_with_those_that_there_are(run):
    done = run("lint", 'evolution.allow=["flat-relevanse"]', judged=False)
    assert done.exit_code == 3
    said = " ".join(done.stderr.split())
    assert "evolution.allow[0]: is 'flat-relevanse'; did you mean 'flat-relevance'?" in said
    assert "no-positives" in said


def test_what_is_refused_ends_with_4_and_says_so_on_stderr(run):
    done = run("evolve", FLAT)
    assert (done.exit_code, done.stdout) == (4, "")
    assert 'allow = ["flat-relevance"]' in done.stderr


@pytest.mark.parametrize(
    ("trained", "gap", "leak"),
    [
        # Of 60 and of 20 requests: a larger number is a smaller share.
        ((0, 0), False, ""),
        ((30, 0), True, ""),
        ((9, 3), False, "3 of 20 test requests are no held-out ones"),
        ((9, 4), False, "4 of 20 test requests are no held-out ones"),
        ((10, 3), True, "3 of 20 test requests are no held-out ones"),
    ],
)
def test_shares_of_requests_that_stages_were_trained_on(capsys, trained, gap, leak):
    parts = dict(zip(("train", "validation", "test"), (trained[0], 0, trained[1]), strict=True))
    covered = Covered(1.0, 0.5, 1.5)
    report = EvolveReport(
        model=f"{NAME}/1",
        requests={"train": 60, "validation": 20, "test": 20},
        base={part: PartBase(count, {"MRR": 0.5}) for part, count in parts.items()},
        seeds=(),
        deviation=0.0,
        front=Front({}, {}, (), *[covered] * 3, 4, {}, 20),
        points=(),
        findings=(),
        seconds=1.0,
    )
    _print_base(report, console())
    said = " ".join(capsys.readouterr().out.split())
    assert ("trained on requests of this search" in said) == gap
    assert ("no held-out ones" in said) == bool(leak)
    assert leak in said


def test_acceptance_that_cannot_be_kept_ends_with_4(run, shop, tmp_path):
    folder = shop[0].parent / "models" / NAME
    before = sorted(folder.iterdir()) if folder.exists() else []
    page = tmp_path / "front.html"
    bound = ('evolution.acceptance={"nDCG@10" = ">= 2 of base"}', 'evolution.allow=["unmet-bound"]')
    done = run("evolve", *bound, *EASY[1:], options=["--json", "--html", str(page)])
    assert (done.exit_code, done.stdout) == (4, "")
    assert "keeps evolution.acceptance on validation" in " ".join(done.stderr.split())
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
