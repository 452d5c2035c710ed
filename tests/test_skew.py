"""Skew between logged and recomputed features: none where nothing changed, found where planted."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from cascade.cli import main
from cascade.events.request_log import RequestLog
from cascade.features.numeric import Number
from cascade.workflows import build_index
from cascade.workflows.skew import FeatureSkew, SkewReport, skew
from tests.logged_shop import (
    Logging,
    cheaper,
    opened_config,
    write_logged_shop,
    write_products,
)
from tests.small_shop import DOCUMENTS

TEXTS = ("cup", "cup red", "cup blue", "green w18")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skew")
    write_logged_shop(folder)
    with Logging(opened_config(folder)) as logging:
        for text in TEXTS:
            logging.ask(text=text, query_id=text, filters={"price": {"gte": 3}}, surface="app")
        logging.ask(text="cup", query_id="by price", sort="price")
    return folder


@pytest.fixture
def shop(written, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(written, tmp_path / "shop")
    return opened_config(tmp_path / "shop")


def requests_of(config):
    return RequestLog(config.resolve(config.settings.log.path)).requests()


def test_nothing_differs_where_nothing_changed(shop):
    report = skew(shop, requests_of(shop))
    assert report.requests == len(TEXTS)
    assert report.uncompared == {"the result was sorted by a field, so no stage ran": 1}
    stages = {feature.stage for feature in report.features}
    assert stages == {"cheap", "dear"}
    assert [f for f in report.features if f.differing] == []
    assert all(feature.rows > 0 for feature in report.features)
    assert report.beyond(0.0) == ()


def test_another_generation_of_the_catalogue_is_found(shop):
    folder = shop.path.parent
    changed = cheaper(7, 500.0)
    write_products(folder, [changed if d["id"] == "d007" else d for d in DOCUMENTS])
    build_index(shop, [folder / "products.ndjson"])
    # The generation that the log names is still there, and has the old price.
    assert skew(shop, requests_of(shop)).beyond(0.0) == ()
    report = skew(shop, requests_of(shop), "products-000002")
    differing = {f.feature: f for f in report.features if f.differing and f.stage == "cheap"}
    assert any("price" in name for name in differing)
    assert not any("title" in name for name in differing)
    price = differing["the_price"]
    before = next(d["price"] for d in DOCUMENTS if d["id"] == "d007")
    assert price.largest == 500.0 - before
    assert f"d007: {before!s} was logged, 500.0 is computed" in price.example
    hits = sum("d007" in [r.candidates[at] for at in head(r)] for r in staged(shop))
    assert price.differing == hits


def staged(config):
    return [r for r in requests_of(config) if r.stages]


def head(request):
    """Return the places of the rows that the first stage saw."""
    return np.arange(len(request.stages[0].scores))


def test_an_implementation_that_changed_is_found(shop, monkeypatch):
    whole = Number.values

    def wrong(self, candidates):
        values = whole(self, candidates)
        return values + 1 if self.name == "the_stock" else values

    # The planted fault: the code of one feature gives other numbers under the same version.
    monkeypatch.setattr(Number, "values", wrong)
    report = skew(shop, requests_of(shop))
    differing = {f.feature for f in report.features if f.differing}
    assert differing == {"the_stock"}
    stock = report.features[0]
    assert (stock.share, stock.largest) == (1.0, 1.0)
    assert report.beyond(0.999) == tuple(f for f in report.features if f.feature == "the_stock")


def test_missing_values_are_equal_and_differ_from_numbers(shop):
    requests = list(staged(shop))
    stage = requests[0].stages[0]
    matrix = stage.matrix.copy()
    column = stage.names.index("the_price")
    matrix[0, column] = np.nan
    broken = replace(stage, matrix=matrix)
    requests[0] = replace(requests[0], stages=(broken, *requests[0].stages[1:]))
    report = skew(shop, requests)
    [found] = [f for f in report.features if f.differing]
    assert (found.stage, found.feature, found.differing, found.largest) == (
        "cheap",
        "the_price",
        1,
        0.0,
    )
    assert "nan was logged" in found.example


def test_a_generation_or_model_that_is_gone_is_told(shop):
    shutil.rmtree(shop.resolve("models") / "shop-dear")
    report = skew(shop, requests_of(shop))
    assert report.requests == 0
    assert any("there is no model 'shop-dear'" in reason for reason in report.uncompared)
    other = skew(shop, requests_of(shop), "products-000009")
    assert other.requests == 0
    assert sum(other.uncompared.values()) == len(TEXTS) + 1


def test_the_largest_share_comes_first():
    some = FeatureSkew("a", "x", 10, 1, 0.5)
    report = SkewReport(1, (FeatureSkew("a", "y", 10, 4, 0.1), some))
    assert report.beyond(0.1) == (report.features[0],)
    assert some.share == 0.1
    assert FeatureSkew("a", "x", 0, 0, 0.0).share == 0.0


def test_the_command_refuses_beyond_the_tolerance(shop):
    run = CliRunner().invoke
    options = ["--config", str(shop.path)]
    good = run(main, ["skew", *options])
    assert good.exit_code == 0, good.output
    assert "0 differ, 0 on more than 0.00% of the rows" in good.output
    folder = shop.path.parent
    write_products(folder, [cheaper(7, 500.0) if d["id"] == "d007" else d for d in DOCUMENTS])
    build_index(shop, [folder / "products.ndjson"])
    bad = run(main, ["skew", *options, "--live", "--json"])
    assert bad.exit_code == 4
    features = json.loads(bad.stdout)["features"]
    assert features[0]["share"] > 0
    tolerated = run(main, ["skew", *options, "--live", "--tolerance", "0.9"])
    assert tolerated.exit_code == 0
