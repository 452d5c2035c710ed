"""`cascade models promote`, `rollback`, `history`, `profile` and `shadow`, as people run them."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cascade.cli import main
from cascade.config import registry_of
from cascade.registry import LIVE
from cascade.workflows.profile import operator_times
from tests.cup_models import MODEL, QUERIES, configured, linear, save, slowed, write_judgments
from tests.small_shop import write_shop

MEDIOCRE, BEST, WORST = linear(0.0, 1.0), linear(-1.0), linear(1.0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("cups"))


@pytest.fixture
def started(shop, tmp_path):
    root = tmp_path / "models"
    config = configured(shop, root)
    save(config, MEDIOCRE, alias=LIVE)
    judgments = write_judgments(tmp_path / "judgments.tsv")
    shared = ["--config", str(config.path), "--set", f"models.root={json.dumps(str(root))}"]

    def run(*arguments):
        command, rest = arguments[:2], arguments[2:]
        return CliRunner().invoke(main, [*command, *shared, *rest])

    return config, str(judgments), run


def test_a_refusal_ends_with_4_and_names_the_line(started):
    config, judgments, run = started
    save(config, WORST)
    done = run("models", "promote", "--judgments", judgments)
    assert done.exit_code == 4
    assert "REFUSED" in done.stdout
    assert "refused by quality" in done.stdout
    told = json.loads(run("models", "promote", "--judgments", judgments, "--json").stdout)
    assert told["action"] == "refused"
    assert [c["line"] for c in told["checks"] if c["passed"] is False][:1] == ["quality"]


def test_promote_rollback_and_their_history(started):
    config, judgments, run = started
    save(config, BEST)
    dry = run("models", "promote", "cheap", "--judgments", judgments, "--dry-run")
    assert (dry.exit_code, registry_of(config).aliases(MODEL)[LIVE]) == (0, 1)
    assert "nothing was switched" in dry.stdout
    assert run("models", "promote", "--judgments", judgments).exit_code == 0
    assert registry_of(config).aliases(MODEL)[LIVE] == 2
    assert "nothing to promote" in run("models", "promote").stdout
    back = run("models", "rollback", "--json")
    assert json.loads(back.stdout) == {MODEL: {"was": 2, "live": 1}}
    history = json.loads(run("models", "history", "--json").stdout)["decisions"]
    assert [each["action"] for each in history] == ["promoted", "rolled back"]
    table = run("models", "history").stdout
    assert "rolled" in table
    assert f"{MODEL}/2" in table


def test_a_rollback_without_a_previous_model_ends_with_3(started):
    done = started[2]("models", "rollback")
    assert done.exit_code == 3
    assert "no previous version" in done.stderr


def test_shadow_compares_orders_measures_and_time(started, tmp_path):
    config, judgments, run = started
    save(config, BEST)
    told = json.loads(run("models", "shadow", "--judgments", judgments, "--json").stdout)
    assert told["queries"] == told["judged"] == len(QUERIES)
    assert 0 < told["overlap"]["mean"] < 0.5
    assert told["same"] == 0.0
    assert told["measures"]["nDCG@10"]["low"] > 0
    assert told["ms"].keys() == {"live", "candidate"}
    queries = tmp_path / "queries.txt"
    queries.write_text('cup w1\n\n{"text": "cup", "filters": {"brand": "ash"}, "size": 3}\n')
    told = json.loads(run("models", "shadow", "--queries", str(queries), "--json").stdout)
    assert (told["queries"], told["judged"], told["measures"]) == (2, 0, {})
    assert "rank-biased overlap" in run("models", "shadow", "--queries", str(queries)).stdout


def test_a_candidate_that_orders_alike_overlaps_whole(started):
    config, judgments, run = started
    save(config, linear(0.0, 2.0))
    told = json.loads(run("models", "shadow", "--judgments", judgments, "--json").stdout)
    assert told["overlap"]["mean"] == pytest.approx(1.0)
    assert told["same"] == 1.0
    assert told["measures"]["nDCG@10"]["mean"] == 0.0


@pytest.mark.parametrize("line", ['{"text": 3}', "{", '{"text": "cup", "filters": {"x": 1}}'])
def test_a_request_that_cannot_be_read_is_named(started, tmp_path, line):
    queries = tmp_path / "queries.txt"
    queries.write_text(f"cup\n{line}\n")
    done = started[2]("models", "shadow", "--queries", str(queries))
    assert done.exit_code == 3
    assert "queries.txt, line 2" in done.stderr


def test_profile_times_every_stage_at_every_size_before_anyone_serves_it(started, tmp_path):
    config, judgments, run = started
    save(config, slowed(BEST))
    told = json.loads(
        run(
            "models", "profile", "--judgments", judgments, "--batch", "10", "--batch", "200",
            "--requests", "8", "--json",
        ).stdout
    )  # fmt: skip
    assert told["requests"] == 8
    assert told["models"] == {"cheap": f"{MODEL}/2"}
    costs = {(c["part"], c["rows"]): c for c in told["costs"]}
    assert costs.keys() == {(p, n) for p in ("cheap", "ranking") for n in (10, 200)}
    for cost in costs.values():
        assert 0 < cost["p50"] <= cost["p95"] <= cost["p99"]
        assert cost["scored"] == cost["rows"]
    assert costs["ranking", 200]["p50"] >= costs["cheap", 200]["p50"]
    # The multiplications that were planted are what the graph spends its time on.
    first = told["operators"][0]
    assert first["operator"] in {"MatMul", "Gemm"}
    assert first["share"] > 0.5
    assert sum(o["share"] for o in told["operators"]) == pytest.approx(1.0)
    live = run("models", "profile", "--judgments", judgments, "--requests", "2", "--models", "live")
    assert f"{MODEL}/1" in live.stdout


@pytest.mark.parametrize(
    "wrong", [["--batch", "0"], ["--requests", "0"], ["--repeats", "0"]], ids=lambda w: w[0]
)
def test_sizes_and_counts_are_1_or_more(started, wrong):
    _, judgments, run = started
    done = run("models", "profile", "--judgments", judgments, *wrong)
    assert done.exit_code == 3
    assert "1 or more" in done.stderr


def test_requests_are_needed(started):
    for command in ("profile", "shadow"):
        done = started[2]("models", command)
        assert done.exit_code == 3
        assert "--queries FILE or --judgments FILE" in done.stderr


def test_the_operators_of_a_graph_are_those_that_run():
    times = operator_times(slowed(BEST, wide=8, deep=8), [np.ones((4, 2), np.float32)] * 3)
    assert "Add" in times
    assert all(us >= 0 for us in times.values())
