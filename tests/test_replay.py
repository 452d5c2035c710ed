"""Replaying logged requests: bit for bit as served, and fixed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cascade.cli import main
from cascade.errors import InputError, NotFoundError
from cascade.events.request_log import RequestLog
from cascade.events.request_writer import RequestWriter, Writing
from cascade.pipeline.stages import CostModel
from cascade.workflows.logged import chosen_requests
from cascade.workflows.replay import Verdict, replay
from tests.logged_shop import Logging, opened_config, write_logged_shop

TEXTS = ("cup", "cup red", "cup blue", "green w18", "cup w7", "white cup")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The configuration of a shop with a log of searches and rankings of every kind."""
    folder = tmp_path_factory.mktemp("replay")
    write_logged_shop(folder)
    config = opened_config(folder, "exploration.swap_share=0.5")
    with Logging(config) as logging:
        for number, text in enumerate(TEXTS):
            logging.ask(text=text, query_id=f"plain{number}", surface="app")
            logging.ask(text=text, query_id=f"stocked{number}", preference={"stocked": 0.7})
            logging.ask(text=text, query_id=f"grouped{number}", collapse="brand")
            logging.ask(text=text, query_id=f"filtered{number}", filters={"brand": ["ash", "elm"]})
            logging.ask(text=text, query_id=f"sorted{number}", sort="-price")
            logging.ask(text=text, query_id=f"page{number}", size=5, offset=140)
        given = {"ids": ["d004", "nowhere", "d199", "d002"], "scores": [1, 4, 2, 3]}
        logging.ask("rank", text="cup red", candidates=given, query_id="given")
        skip(logging, "cheap")
        logging.ask(text="cup", query_id="without cheap", budget_ms=1000)
        skip(logging, "cheap", "dear")
        logging.ask(text="cup", query_id="without both", budget_ms=1000)
    return config


def skip(logging, *names):
    """Let the service believe that stages take very long, and the others no time."""
    cascades = logging.cascades
    for stage in cascades["shop"].stages:
        fresh = CostModel()
        fresh.record(rows=100, ms=1e9 if stage.name in names else 0.0)
        fresh.record(rows=30, ms=1e9 if stage.name in names else 0.0)
        stage.cost._ms = fresh._ms


def log_of(config):
    return RequestLog(config.resolve(config.settings.log.path))


def verdicts(report):
    return {request.query_id: request.verdict for request in report.requests}


def test_every_served_order_comes_again_bit_for_bit(shop):
    report = replay(shop, log_of(shop).requests())
    assert report.first is None
    assert report.counts == {"reproduced": 39, "differing": 0, "unreplayable": 0}
    kept = {r.query_id: r for r in log_of(shop).requests()}
    # What is replayed is not the retrieved order, and the requests were of the kinds they say.
    assert any(not np.array_equal(r.order, np.arange(len(r.order))) for r in kept.values())
    assert any(r.swapped for r in kept.values())
    assert len(kept["stocked0"].business.utilities) == 20
    assert kept["plain1"].admitted == 1
    assert kept["sorted0"].stages == ()
    outcomes = [s.outcome for s in kept["without cheap"].stages]
    assert outcomes == ["skipped", "ran"]


def swapped_log(shop, tmp_path, change):
    """Write a log in which one request is another, and replay it."""
    [request] = log_of(shop).requests("stocked0")
    writer = RequestWriter(tmp_path, Writing())
    writer.start()
    changed = change(request)
    writer.put(lambda: changed)
    writer.stop()
    [found] = replay(shop, RequestLog(tmp_path).requests()).requests
    return request, found


def test_one_bit_of_a_score_is_seen(shop, tmp_path):
    def flipped(request):
        scores = request.stages[1].scores.copy()
        scores.view(np.uint32)[3] ^= 1
        return replace(
            request, stages=(request.stages[0], replace(request.stages[1], scores=scores))
        )

    _, found = swapped_log(shop, tmp_path, flipped)
    assert found.verdict is Verdict.DIFFERING
    assert found.reason.startswith("stage dear: d")
    assert "by shop-dear/1 again" in found.reason


def test_a_feature_that_was_not_the_logged_one_is_seen(shop, tmp_path):
    def changed(request):
        matrix = request.stages[0].matrix.copy()
        matrix[7] += 1
        return replace(
            request, stages=(replace(request.stages[0], matrix=matrix), request.stages[1])
        )

    request, found = swapped_log(shop, tmp_path, changed)
    assert found.verdict is Verdict.DIFFERING
    assert found.reason.startswith(f"stage cheap: {request.candidates[7]} scored ")


def test_an_order_that_was_not_served_is_seen(shop, tmp_path):
    def changed(request):
        order = request.order.copy()
        order[[4, 5]] = order[[5, 4]]
        return replace(request, order=order)

    request, found = swapped_log(shop, tmp_path, changed)
    was, now = request.candidates[request.order[5]], request.candidates[request.order[4]]
    assert found.reason == f"rank 5: {was} was served, {now} comes again"


def test_other_utilities_are_seen(shop, tmp_path):
    def changed(request):
        utilities = request.business.utilities[::-1].copy()
        return replace(request, business=replace(request.business, utilities=utilities))

    _, found = swapped_log(shop, tmp_path, changed)
    assert found.verdict is Verdict.DIFFERING
    assert found.reason.startswith("rank 1: ")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda root: shutil.rmtree(root / "shop-dear"), "there is no model 'shop-dear'"),
        (lambda root: (root / "shop-dear/1/model.onnx").write_bytes(b"x"), "checksum"),
    ],
)
def test_a_model_that_is_gone_or_damaged_makes_it_unreplayable(shop, tmp_path, damage, reason):
    shutil.copytree(shop.resolve(shop.settings.models.root), tmp_path / "models")
    damage(tmp_path / "models")
    config = opened_config(shop.path.parent, f'models.root="{tmp_path}/models"')
    found = verdicts(report := replay(config, log_of(shop).requests()))
    assert found["plain0"] is Verdict.UNREPLAYABLE
    assert reason in report.first.reason
    # These did not need it.
    assert found["sorted0"] is found["without both"] is Verdict.REPRODUCED


def test_fixed_runs_every_stage_and_tells_what_time_had_cost(shop):
    report = replay(shop, log_of(shop).requests(), fixed=True)
    found = {request.query_id: request for request in report.requests}
    kept = {r.query_id: r for r in log_of(shop).requests()}
    hurried = found["without cheap"]
    assert hurried.verdict is Verdict.DIFFERING
    assert "when it was served, cheap skipped: needs " in hurried.reason
    for query_id, request in kept.items():
        if not request.swapped and not query_id.startswith("without"):
            assert found[query_id].verdict is Verdict.REPRODUCED, found[query_id]
    explored = [q for q, r in kept.items() if r.swapped]
    assert explored
    assert all(found[q].verdict is Verdict.DIFFERING for q in explored)
    assert "exploration swapped neighbours" in found[explored[0]].reason


def test_two_fixed_replays_are_one(shop):
    runs = [replay(shop, log_of(shop).requests(), fixed=True) for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_generation_that_is_gone_cannot_be_replayed_fixed(shop, tmp_path):
    def elsewhere(request):
        return replace(request, generation="products-000009")

    [request] = log_of(shop).requests("plain0")
    report = replay(shop, [elsewhere(request)], fixed=True)
    assert report.counts["unreplayable"] == 1
    assert "there is no generation products-000009" in report.first.reason
    assert replay(shop, [elsewhere(request)]).counts["reproduced"] == 1


def test_requests_are_chosen(shop):
    log = log_of(shop)
    assert [r.query_id for r in chosen_requests(log, "plain2", None)] == ["plain2"]
    assert len(list(chosen_requests(log, None, 5, "shop"))) == 5
    with pytest.raises(NotFoundError, match="has no request of the query 'other'"):
        list(chosen_requests(log, "other", None))
    with pytest.raises(InputError, match="exclude each other"):
        list(chosen_requests(log, "plain2", 5))


def run(shop, *arguments):
    command = [*arguments, "--config", str(shop.path)]
    return CliRunner().invoke(main, command)


def test_the_command_counts_and_fails_on_a_difference(shop, tmp_path):
    good = run(shop, "replay")
    assert good.exit_code == 0, good.output
    assert "39 requests as they were served: 39 reproduced, 0 differing" in good.output
    told = run(shop, "replay", "--fixed", "--json")
    content = json.loads(told.stdout)
    assert told.exit_code == 0
    assert content["fixed"]
    assert content["differing"] == len(content["requests"]) > 2
    [request] = log_of(shop).requests("plain0")
    writer = RequestWriter(tmp_path, Writing())
    writer.start()
    writer.put(lambda: replace(request, order=request.order[::-1].copy()))
    writer.stop()
    bad = run(shop, "replay", "--log", str(tmp_path))
    assert bad.exit_code == 4
    assert "0 reproduced, 1 differing" in bad.output


def test_the_command_says_where_the_log_should_be(shop):
    without = shop.path.parent / "no_log.toml"
    without.write_text(Path(shop.path).read_text().replace('path = "log"\n', ""))
    done = CliRunner().invoke(main, ["replay", "--config", str(without)])
    assert done.exit_code == 3
    assert "log.path: there is none" in done.output


def test_pages_of_one_list_do_not_depend_on_the_page(shop):
    """Orders of one text are the same list whatever page was asked for."""
    kept = {r.query_id: r for r in log_of(shop).requests()}
    for number in range(len(TEXTS)):
        plain, page = kept[f"plain{number}"], kept[f"page{number}"]
        same = [s.scores.tobytes() for s in plain.stages]
        assert same == [s.scores.tobytes() for s in page.stages]
