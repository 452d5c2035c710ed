"""Experiments on live requests: arms, interleaved pages, what the log keeps, and the report."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from cascade.cli import main
from cascade.config import load_config, open_cascades
from cascade.errors import ConfigError, InputError, NotFoundError
from cascade.events.request_log import RequestLog
from cascade.service import Metrics, Service, Switch, app_of, logger_of
from cascade.service.experimenting import Experimenter
from cascade.workflows.experiment import experiment_report
from tests.asgi_client import Client
from tests.logged_shop import NOON, write_logged_shop
from tests.small_log import write_log

AB = """
[cascades.plain]
stages = []
[experiment]
name = "stages"
cascades = ["shop", "plain"]
"""
DRAFT = AB.replace('name = "stages"', 'name = "stages"\nkind = "team_draft"\nunit = "query"')


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    write_logged_shop(folder)
    return folder


@pytest.fixture
def folder(shop, tmp_path):
    shutil.copytree(shop, tmp_path / "shop")
    return tmp_path / "shop"


class Serving:
    """Ask a service over every cascade of a file; the log is whole when this is left."""

    def __init__(self, folder, experiment):
        path = folder / "cascade.toml"
        head, tables = experiment.split("[cascades.plain]", 1)
        path.write_text(path.read_text() + head + "[cascades.plain]" + tables)
        self.configs = load_config(path)
        self.config = self.configs["shop"]

    def __enter__(self):
        metrics = Metrics()
        self.cascades = open_cascades(self.configs)
        self.logger = logger_of(self.config, metrics.logged)
        self.logger.writer.start()
        settings = self.config.settings
        service = Service(
            Switch(self.cascades),
            settings.service,
            lambda: NOON,
            metrics,
            observers=(self.logger,),
            experiment=Experimenter(settings.experiment, list(self.configs), "cascade.toml"),
        )
        self.client = Client(app_of(service))
        return self

    def __exit__(self, *_):
        self.logger.writer.stop()
        for cascade in self.cascades.values():
            cascade.engine.close()

    def ask(self, **body):
        response = self.client.post("/v1/search", body)
        assert response.status_code == 200, response.text
        return response.json()

    def ids(self, **body):
        return [item["id"] for item in self.ask(**body)["items"]]


def test_a_visitor_keeps_its_arm_and_gets_that_cascades_page(folder):
    with Serving(folder, AB) as serving:
        pages = {arm: serving.ids(text="cup", cascade=arm, size=10) for arm in ("shop", "plain")}
        assert pages["shop"] != pages["plain"]
        seen = set()
        for number in range(30):
            answers = [serving.ask(text="cup", size=10, visitor=f"v{number}") for _ in range(2)]
            arms = {answer["experiment"]["arm"] for answer in answers}
            assert len(arms) == 1
            arm = arms.pop()
            # Whoever asks for the second cascade by name takes no part, but sees the same.
            assert [item["id"] for item in answers[0]["items"]] == pages[arm]
            assert answers[0]["experiment"] == {"name": "stages", "arm": arm, "teams": []}
            seen.add(arm)
        assert seen == {"shop", "plain"}
        for body in ({}, {"visitor": "v1", "consent": False}, {"cascade": "plain", "visitor": "v"}):
            assert "experiment" not in serving.ask(text="cup", **body)
    kept = {r.arm for r in RequestLog(folder / "log").requests()}
    assert kept == {"stages/shop", "stages/plain", None}


def test_an_interleaved_list_holds_both_and_its_pages_fit_together(folder):
    with Serving(folder, DRAFT) as serving:
        first = serving.ids(text="cup green", cascade="shop", size=20)
        second = serving.ids(text="cup green", cascade="plain", size=20)
        answer = serving.ask(text="cup green", size=20, query_id="q1")
        items, teams = [i["id"] for i in answer["items"]], answer["experiment"]["teams"]
        assert answer["experiment"]["arm"] == "interleaved"
        assert len(set(items)) == 20
        for team, page in ((0, first), (1, second)):
            picked = [doc for doc, whose in zip(items, teams, strict=True) if whose == team]
            assert picked
            inside = [page.index(doc) for doc in picked if doc in page]
            assert inside == sorted(inside)
        assert serving.ask(text="cup green", size=20, query_id="q1")["items"] == answer["items"]
        other = serving.ids(text="cup green", size=20, query_id="q2")
        assert other != items
        paged = serving.ask(text="cup green", size=10, query_id="q1")
        cursor = {"cursor": paged["next"], "query_id": "q1"}
        rest = serving.ask(text="cup green", size=10, **cursor)
        assert [i["id"] for i in (*paged["items"], *rest["items"])] == items
        whole = serving.ids(text="cup green", size=120, query_id="q1")
        assert len(set(whole)) == len(whole)
        assert set(serving.ids(text="cup green", cascade="shop", size=120)) <= set(whole)


def test_a_list_that_a_rule_arranged_is_left_as_it_is(folder):
    """`cup red` has a pin, which an interleaved list could carry elsewhere."""
    with Serving(folder, DRAFT) as serving:
        asked = {"text": "cup red", "size": 10}
        answer = serving.ask(**asked, query_id="q1")
        assert "experiment" not in answer
        assert answer["items"][1]["id"] == "d199"
    assert [r.arm for r in RequestLog(folder / "log").requests()] == [None]


def test_the_report_finds_the_cascade_whose_pages_are_clicked(folder):
    """Planted: visitors click what the stages put first, so the plain order is clicked less."""
    with Serving(folder, AB) as serving:
        wanted = set(serving.ids(text="cup", cascade="shop", size=5))
        searches, events = [], []
        for number in range(120):
            answer = serving.ask(text="cup", size=5, visitor=f"v{number}", query_id=f"q{number}")
            shown = [item["id"] for item in answer["items"]]
            searches.append((f"q{number}", "cup", NOON, None, shown))
            events += [
                (f"q{number}", "click", doc, NOON + 1, shown.index(doc) + 1)
                for doc in shown
                if doc in wanted
            ]
    config = serving.config
    with pytest.raises(NotFoundError, match="holds no event log"):
        experiment_report(config)
    write_log(folder / "var" / "events", searches, events)
    report = experiment_report(config)
    assert report.searches == 120
    assert report.arms["shop"].rate == 1.0
    assert report.arms["plain"].rate < 1.0 or len(wanted) == 5
    assert report.arms["plain"].delta == pytest.approx(report.arms["plain"].rate - 1.0)
    assert sum(arm.units for arm in report.arms.values()) == 120
    assert not report.ratio.mismatch
    # Another experiment with the same cascades begins with nobody.
    renamed = config.settings.experiment.model_copy(update={"name": "again"})
    again = replace(config, settings=config.settings.model_copy(update={"experiment": renamed}))
    with pytest.raises(NotFoundError, match="took part in 'again'"):
        experiment_report(again)
    config_path = str(folder / "cascade.toml")
    done = CliRunner().invoke(main, ["experiment", "--config", config_path, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["arms"]["shop"]["rate"] == 1.0


def test_the_report_finds_the_ranking_that_clicks_prefer(folder):
    with Serving(folder, DRAFT) as serving:
        better = set(serving.ids(text="cup", cascade="plain", size=10))
        worse = set(serving.ids(text="cup", cascade="shop", size=10))
        wanted = better - worse
        assert wanted
        searches, events, rng = [], [], np.random.default_rng(0)
        for number in range(40):
            answer = serving.ask(text="cup", size=20, query_id=f"q{number}")
            shown = [item["id"] for item in answer["items"]]
            searches.append((f"q{number}", "cup", NOON, None, shown))
            events += [
                (f"q{number}", "click", doc, NOON + 1)
                for doc in shown
                if doc in wanted and rng.random() < 0.5
            ]
    write_log(folder / "var" / "events", searches, events)
    found = experiment_report(serving.config).preference
    assert found.low > 0
    assert found.wins + found.ties + found.losses == 40


def test_what_does_not_fit_is_refused(folder):
    settings = Serving(folder, AB).config.settings.experiment
    with pytest.raises(ConfigError, match="there is no cascade 'plain'"):
        Experimenter(settings, ["shop", "plane"], "cascade.toml")
    with pytest.raises(NotFoundError, match="holds no request log"):
        experiment_report(load_config(folder / "cascade.toml")["shop"])
    with pytest.raises(InputError, match="nothing to report"):
        no = (folder / "cascade.toml").read_text().split("[experiment]")[0]
        (folder / "cascade.toml").write_text(no)
        experiment_report(load_config(folder / "cascade.toml")["shop"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("shares = [0.7, 0.6]", "add up to 1.3"),
        ("shares = [0.5]", "1 shares are given; 2 are needed"),
        ('kind = "team_draft"\nshares = [0.5, 0.5]', "2 shares are given; 1 are needed"),
    ],
)
def test_shares_that_do_not_fit_are_told(folder, table, said):
    with pytest.raises(ConfigError, match=said):
        Serving(folder, AB + table)
