"""What requests asked of a learned policy: kept by the log and its files, and replayed."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.business.build import build_shape
from cascade.business.learned import Bounds
from cascade.business.objectives import Stock
from cascade.config import registry_of, schema_of
from cascade.events.request_log import RequestLog
from cascade.registry import LIVE
from cascade.training.policy_onnx import TrainedPolicy, save_policy
from cascade.workflows.replay import replay
from tests.logged_shop import Logging, opened_config, write_logged_shop

NAME = "cups-policy"
POINTS = {"growth": {"relevance": 0.25, "stocked": 0.75}}
WEIGHTS = {"stocked": 0.125, "relevance": 0.5}


def saved(config, scale, points):
    """Save a policy that turns a share of `stocked` into utility of stock."""
    inputs, shape = build_shape(config.settings.business, schema_of(config))
    weights = np.zeros(shape.size)
    weights[0] = scale
    shape.parts(weights)["W"][2, 1] = 1.0
    policy = TrainedPolicy(
        shape=shape,
        weights=weights,
        inputs=inputs,
        objectives=(Stock(name="stocked", field="stock"),),
        bounds=Bounds(window=20, max_displacement=5, max_loss=0.3),
        points=points,
    )
    rows = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    bundle = save_policy(registry_of(config), NAME, policy, rows[:, 0], rows[:, 1:])
    return bundle.manifest.version


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The configuration of a shop and the pages that a service with a policy gave, by query id."""
    folder = tmp_path_factory.mktemp("logged")
    write_logged_shop(folder)
    config = opened_config(folder, f'business.model="{NAME}"')
    saved(config, 20.0, POINTS)
    with Logging(config) as logging:
        pages = {
            "named": logging.ask(text="cup", query_id="named", preference="growth"),
            "given": logging.ask(text="cup", query_id="given", preference=WEIGHTS),
            "plain": logging.ask(text="cup", query_id="plain"),
            "pinned": logging.ask(text="cup red", query_id="pinned", preference="growth"),
        }
    return config, pages


def kept(config):
    log = RequestLog(config.resolve(config.settings.log.path))
    return {request.query_id: request for request in log.requests()}


def ids(page):
    return [item["id"] for item in page["items"]]


def test_what_was_asked_for_comes_back_from_the_files(served):
    config, pages = served
    found = kept(config)
    assert found["named"].preference == "growth"
    assert found["given"].preference == WEIGHTS
    assert found["plain"].preference == {}
    # What was used: the shares of the point, the given ones, none.
    assert found["named"].business.preference == POINTS["growth"]
    assert found["given"].business.preference == WEIGHTS
    assert found["plain"].business.preference == {}
    assert {request.business.model for request in found.values()} == {f"{NAME}/1"}
    for query_id, request in found.items():
        assert request.models == pages[query_id]["models"]
        assert list(request.results) == ids(pages[query_id])
    assert ids(pages["named"]) != ids(pages["plain"])
    assert found["pinned"].admitted == 1


def test_both_replays_give_the_order_again_whatever_is_live_by_then(served):
    config, pages = served
    requests = list(kept(config).values())
    for fixed in (False, True):
        assert replay(config, requests, fixed=fixed).counts["reproduced"] == len(pages)
    # Another policy without the point that was asked for.
    registry = registry_of(config)
    registry.point(NAME, LIVE, saved(config, 0.0, {"other": {"stocked": 1.0}}))
    try:
        for fixed in (False, True):
            report = replay(config, requests, fixed=fixed)
            assert report.first is None
            assert report.counts["reproduced"] == len(pages)
    finally:
        registry.point(NAME, LIVE, 1)


def test_a_policy_that_is_gone_cannot_be_replayed_fixed(served, tmp_path):
    config, pages = served
    elsewhere = opened_config(
        config.path.parent, f'business.model="{NAME}"', f'models.root="{tmp_path}"'
    )
    for path in config.resolve(config.settings.models.root).iterdir():
        if path.name != NAME:
            (tmp_path / path.name).symlink_to(path)
    requests = list(kept(config).values())
    assert replay(elsewhere, requests).counts["reproduced"] == len(pages)
    report = replay(elsewhere, requests, fixed=True)
    assert report.counts["unreplayable"] == len(pages)
    assert f"there is no model '{NAME}'" in report.first.reason


def without_versions(config, folder):
    """Copy the log as it was before it named the policy's version, and return its rows."""
    [path] = config.resolve(config.settings.log.path).glob("*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        del row["business"]["model"]
    at = table.schema.get_field_index("business")
    business = pa.struct([field for field in table.schema.field(at).type if field.name != "model"])
    older = table.schema.set(at, pa.field("business", business))
    pq.write_table(pa.Table.from_pylist(rows, schema=older), folder / path.name)
    return rows


def test_a_file_that_does_not_name_the_version_is_read(served, tmp_path):
    rows = without_versions(served[0], tmp_path)
    found = list(RequestLog(tmp_path).requests())
    assert [request.business.model for request in found] == [None] * len(rows)
    assert [request.models.get("business") for request in found] == [None] * len(rows)
    assert [json.loads(row["preference"]) for row in rows] == [r.preference for r in found]


def test_a_policy_that_the_log_does_not_name_cannot_be_replayed_fixed(served, tmp_path):
    config, pages = served
    without_versions(config, tmp_path)
    requests = list(RequestLog(tmp_path).requests())
    assert replay(config, requests).counts["reproduced"] == len(pages)
    report = replay(config, requests, fixed=True)
    assert report.counts["unreplayable"] == len(pages)
    assert {r.reason for r in report.requests} == {"the log does not name the policy's version"}
    # Where no policy is configured, none can be meant but the linear blend.
    [plain] = (request for request in requests if request.query_id == "plain")
    blend = opened_config(config.path.parent)
    assert replay(blend, [plain], fixed=True).counts["reproduced"] == 1
    named = replace(plain, business=replace(plain.business, model=""))
    assert replay(config, [named], fixed=True).counts["unreplayable"] == 0
