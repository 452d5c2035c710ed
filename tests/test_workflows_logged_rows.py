"""Training rows from the request log: logged features and what came of the shown page."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.candidates import Query
from cascade.config import load_config, open_cascade, registry_of
from cascade.errors import InputError
from cascade.events.request_import import import_requests
from cascade.events.request_log import RequestLog
from cascade.events.rules import Rules
from cascade.events.tables import EVENTS, EventLog
from cascade.registry import CANDIDATE
from cascade.workflows.logged_rows import prepared_from_requests
from cascade.workflows.split import part_of
from cascade.workflows.train import train_prepared
from tests.logged_shop import NOON, Logging, opened_config, write_logged_shop

TEXTS = [f"cup {word}" for word in ("blue", "green", "white", "w16")] + [
    f"cup w{number}" for number in range(16)
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop whose shoppers clicked the third row of each page, and bought the fifth."""
    folder = tmp_path_factory.mktemp("rows")
    write_logged_shop(folder)
    config = opened_config(folder)
    with Logging(config) as logging:
        pages = {
            text: logging.ask(text=text, query_id=text, size=8, budget_ms=30_000) for text in TEXTS
        }
        logging.ask(text="cup", query_id="sorted", sort="price")
    files = RequestLog(folder / "log").files()
    import_requests(folder / "events", files, Rules(searches_per_minute=0))
    write_events(folder / "events", pages)
    return config


def write_events(root, pages):
    rows = [
        {"query_id": text, "action": action, "doc_id": page["items"][at]["id"], "time": NOON + at}
        for text, page in pages.items()
        for at, action in ((2, "click"), (2, "click"), (4, "click"), (4, "purchase"))
    ]
    columns = {name: [row.get(name) for row in rows] for name in EVENTS}
    (root / "events").mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), root / "events" / "clicks.parquet")


def parts(config):
    log = RequestLog(config.resolve("log"))
    return log, EventLog(config.resolve("events"))


def test_rows_are_the_shown_ones_with_the_features_that_were_used(shop):
    log, events = parts(shop)
    prepared = prepared_from_requests(shop, log.requests(), events)
    train = prepared.train
    by_part = [text for text in TEXTS if part_of(text, shop.settings.split) == "train"]
    assert list(train.query_ids) == by_part
    assert prepared.queries["test"] > 0
    assert (np.diff(train.offsets) == 8).all()
    assert train.grades.reshape(-1, 8).tolist() == [[0, 0, 1, 0, 4, 0, 0, 0]] * len(by_part)
    assert train.tasks["click"].reshape(-1, 8)[0].tolist() == [0, 0, 2, 0, 1, 0, 0, 0]
    assert train.tasks["purchase"].sum() == len(by_part)
    assert train.positions.reshape(-1, 8)[0].tolist() == list(range(1, 9))
    assert (train.times == NOON).all()
    # The first page's features, computed by what serves.
    cascade = open_cascade(shop)
    text = by_part[0]
    listing = cascade.engine.retrieve([Query(text, text, time=NOON)], 120).candidates
    features = prepared.features
    whole = features.matrix(features.prepared(listing))
    page = [item.id for item in cascade.search(Query(text, text, time=NOON)).items[:8]]
    at = [listing.ids().index(doc_id) for doc_id in page]
    np.testing.assert_array_equal(train.matrix[:8], whole[at])
    cascade.engine.close()


def test_a_cascade_is_trained_on_the_log_alone(shop):
    log, events = parts(shop)
    prepared = prepared_from_requests(shop, log.requests(), events)
    report = train_prepared(shop, prepared)
    assert [stage.model for stage in report.stages] == ["shop-cheap/2", "shop-dear/2"]
    assert registry_of(shop).aliases("shop-cheap")[CANDIDATE] == 2
    manifest = registry_of(shop).load("shop-cheap@2").manifest
    assert len(manifest.trained_queries) == sum(
        part_of(text, shop.settings.split) != "test" for text in TEXTS
    )


def test_a_feature_that_is_another_by_now_is_refused(shop):
    log, events = parts(shop)
    text = shop.path.read_text()
    before, after = ('name = "the_price"\nfield = "' + field for field in ('price"', 'margin"'))
    changed = text.replace(before, after)
    assert changed != text
    shop.path.with_name("changed.toml").write_text(changed)
    config = load_config(shop.path.with_name("changed.toml"))["shop"]
    with pytest.raises(InputError, match="the_price: field 'price' against 'margin'"):
        prepared_from_requests(config, log.requests(), events)


def test_a_log_without_a_page_of_stages_is_refused(shop):
    log, events = parts(shop)
    with pytest.raises(InputError, match="no row to train on: 1 requests were no searches"):
        prepared_from_requests(shop, log.requests("sorted"), events)
    ranked = [replace(r, route="rank") for r in log.requests("cup blue")]
    with pytest.raises(InputError, match="no row to train on"):
        prepared_from_requests(shop, ranked, events)


def test_the_latest_texts_are_tested_on(shop):
    log, events = parts(shop)
    text = shop.path.read_text()
    shop.path.with_name("timely.toml").write_text(text + '\n[split]\nby = "time"\n')
    config = load_config(shop.path.with_name("timely.toml"))["shop"]
    later = [replace(r, time=r.time + number) for number, r in enumerate(log.requests())]
    prepared = prepared_from_requests(config, later, events)
    parted = prepared.train.times, prepared.validation.times
    assert [len(times) for times in parted] == [13, 3]
    assert parted[0].max() < parted[1].min()
    assert prepared.queries["test"] == 4
    assert parted[1].max() <= NOON + len(later) - prepared.queries["test"]
