"""From an event log to the order of a request: counted, installed, taken in, and told."""

import json
import math
import shutil
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asgi_client import Client
from click.testing import CliRunner
from small_shop import CHEAPEST, CONFIG, write_shop

from cascade.behaviour import Counted, Counter, snapshot_of
from cascade.candidates import Query
from cascade.cli import main
from cascade.config import load_config, open_cascade, open_cascades, store_of
from cascade.config.engines import behaviour_store_of
from cascade.config.settings import ServiceSettings
from cascade.errors import ChecksumError, InputError, NotFoundError, RefusedError
from cascade.features import build_features
from cascade.judgments import Judgments
from cascade.pipeline import PageRequest, Stage
from cascade.rankers.onnx import OnnxRanker
from cascade.service import Metrics, Service, Switch, Watcher, app_of
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from cascade.workflows.behaviour import behaviour_status, update_behaviour
from cascade.workflows.clock import clock_of
from cascade.workflows.draws import drawing_of
from cascade.workflows.progress import silent
from cascade.workflows.runs import full_rankings

DAY = 86_400.0
STAGE = "stages=[{name='a', ranker='linear', window=10}]"
NOW = 20_000 * DAY
RATE = {"kind": "rate", "name": "ctr", "by": "document", "of": "click", "prior_weight": 1.0}
PAIR = {"kind": "count", "name": "pair", "by": "pair", "action": "click", "window_days": 0.0}
BRAND = {"kind": "count", "name": "sold", "by": "group", "field": "brand", "action": "purchase"}
FEATURES = [RATE, PAIR, {**BRAND, "half_life_days": 1.0}]
MORE = """
[features]
standard = false
add = {features}
[behaviour]
max_age_s = 1e9
[events]
path = "events"
"""


def toml(definitions):
    rows = (", ".join(f"{k} = {json.dumps(v)}" for k, v in d.items()) for d in definitions)
    return "[" + ", ".join("{" + row + "}" for row in rows) + "]"


def write_log(folder, events, searches=(("q1", " Cup", NOW - 3 * DAY), ("q2", "mug", NOW))):
    """Write what happened: (query, action, document, time)."""
    columns = ("query_id", "text", "time"), ("query_id", "action", "doc_id", "time")
    for name, keys, rows in zip(("searches", "events"), columns, (searches, events), strict=True):
        filled = [dict(zip(keys, row, strict=True)) for row in rows]
        kinds = {k: pa.float64() if k == "time" else pa.string() for k in keys}
        others = {"session", "visitor", "surface"} | (
            {"text", "propensities", "results"} if name == "searches" else {"rank", "value"}
        )
        typed = {**kinds, **{k: pa.string() for k in others - set(keys)}}
        typed |= {"results": pa.list_(pa.string()), "propensities": pa.list_(pa.float64())}
        if name == "events":
            typed = {k: t for k, t in typed.items() if k not in ("results", "propensities")}
            typed |= {"rank": pa.int32(), "value": pa.float64()}
        schema = pa.schema(list(typed.items()))
        (folder / name).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(filled, schema), folder / name / "1.parquet")


# d000 is of the brand ash, d001 of birch; d002 and everything else was never seen.
EVENTS = [
    *(("q1", "impression", "d000", NOW - 3 * DAY) for _ in range(4)),
    *(("q1", "impression", "d001", NOW - 3 * DAY) for _ in range(5)),
    ("q1", "click", "d000", NOW - 3 * DAY + 1),
    ("q1", "click", "d000", NOW - 3 * DAY + 2),
    ("q1", "click", "d001", NOW - 40 * DAY),
    ("q1", "purchase", "d000", NOW - DAY),
    ("q1", "purchase", "d005", NOW - 2 * DAY),
    ("q1", "click", "d002", NOW + 1),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    write_log(folder / "events", EVENTS)
    (folder / "cascade.toml").write_text(CONFIG + MORE.format(features=toml(FEATURES)))
    return folder


@pytest.fixture
def shop(template, tmp_path):
    shutil.copytree(template, tmp_path / "shop")
    return tmp_path / "shop" / "cascade.toml"


def plain(path, *overrides):
    return load_config(path, overrides)["plain"]


def stage(schema, definitions, weights):
    """Return a linear stage whose missing values add exactly 0."""
    features = build_features(definitions, schema)
    zeros, ones = np.zeros(len(weights)), np.ones(len(weights))
    model = LinearModel(np.array(weights, dtype=float), 0.0, zeros, ones, zeros, limit=1e6)
    return Stage("linear", OnnxRanker(linear_to_onnx(model), features), 1_000, features=features)


def with_stage(cascade, definitions, weights):
    schema = cascade.documents.schema
    return replace(cascade, stages=(stage(schema, definitions, weights),))


def ranked(cascade, query):
    found = cascade.ranked(query).candidates
    return found.ids(), found.scores


def run(*arguments):
    done = CliRunner().invoke(main, ["behaviour", *arguments])
    return done.exit_code, done.output


def test_counts_of_a_log_by_hand(shop):
    report = update_behaviour([plain(shop)], NOW)
    assert report.lacking == []
    assert report.counts == {"document": 2, "pair": 2, "group=brand": 1}
    # Of clicks those of the last 30 days: two; of pairs all before NOW; a purchase a day ago counts
    # a half, and one of two days ago a quarter, both of ash.
    assert report.counters == pytest.approx(
        {
            "count:document:click:30:inf": 2,
            "count:document:impression:30:inf": 9,
            "count:pair:click:inf:inf": 3,
            "count:group=brand:purchase:30:1": 0.75,
        }
    )
    cascade = open_cascade(plain(shop))
    try:
        cascade = with_stage(cascade, FEATURES, [1, 1, 1])
        listing = cascade.ranked(Query("1", "CUP", time=NOW + 1)).listing
        matrix = cascade.stages[0].features.matrix(listing)
        at = {doc_id: row for doc_id, row in zip(listing.ids(), matrix.tolist(), strict=True)}
        prior = 2 / 9
        assert at["d000"] == pytest.approx([(2 + prior) / 5, math.log(3), math.log(1.75)], rel=1e-6)
        assert at["d001"] == pytest.approx([prior / 6, math.log(2), 0], rel=1e-6)
        assert at["d002"] == pytest.approx([prior, 0, 0], rel=1e-6)
        assert at["d005"] == pytest.approx([prior, 0, math.log(1.75)], rel=1e-6)
    finally:
        cascade.engine.close()


def test_commands_count_and_tell(shop):
    assert run("status", "--config", str(shop), "--json")[0] == 0
    code, output = run("status", "--config", str(shop))
    assert (code, "nothing was counted yet" in output) == (0, True)
    assert "lacking: count:document:click:30:inf" in output
    code, output = run("update", "--config", str(shop), "--as-of", str(NOW))
    assert code == 0, output
    assert "as of 2024-10-04T00:00:00+00:00" in output
    assert "fell into the counters' windows" not in output
    code, output = run("update", "--config", str(shop), "--as-of", "2024-10-03", "--json")
    told = json.loads(output)
    assert told["as_of"] == NOW - DAY
    assert len(told["kept"]) == 2
    # The purchase of that day's first second is not before it; the one a day earlier counts half.
    assert told["counters"]["count:group=brand:purchase:30:1"] == pytest.approx(0.5)
    # Before the first event nothing counts, and that is said.
    code, output = run("update", "--config", str(shop), "--as-of", str(NOW - 50 * DAY))
    assert (code, "fell into the counters' windows" in output) == (0, True)
    code, output = run("update", "--config", str(shop), "--as-of", "yesterday")
    assert (code, "seconds since 1970" in output) == (3, True)


def test_a_configuration_without_such_features_is_refused(shop):
    with pytest.raises(InputError, match="no feature and no model reads counts"):
        update_behaviour([plain(shop, "features.add=[]")], NOW)
    with pytest.raises(NotFoundError, match="no event log"):
        update_behaviour([plain(shop, 'events.path="nothing"')], NOW)


def test_only_the_newest_snapshots_are_kept_and_the_live_one_is_checked(shop):
    config = plain(shop)
    for day in range(5):
        live = update_behaviour([config], NOW + day).snapshot
    store = behaviour_store_of(config)
    assert store.live() == live == store.names()[-1]
    assert [name[:6] for name in store.names()] == ["000003", "000004", "000005"]
    path = store.store.root / store.folder / f"{live}.counts"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ChecksumError):
        behaviour_status([config])
    assert update_behaviour([config], NOW).snapshot[:6] == "000006"


def test_a_store_with_copies_gives_its_counts_to_another_machine(shop, tmp_path):
    update_behaviour([plain(shop)], NOW)
    cached = plain(shop, f'index.cache="{tmp_path / "copies"}"')
    store = behaviour_store_of(cached)
    assert store.open(store.live()).as_of == NOW
    assert len(list((tmp_path / "copies" / store.folder).iterdir())) == 1
    # What that machine counts is there for this one.
    update_behaviour([cached], NOW + 5)
    ours = behaviour_store_of(plain(shop))
    assert ours.open(ours.live()).as_of == NOW + 5


def test_old_counts_are_told_and_read_as_never_seen(shop):
    update_behaviour([plain(shop)], NOW)
    cascade = open_cascade(plain(shop, "behaviour.max_age_s=60.0"))
    try:
        cascade = with_stage(cascade, FEATURES[:1], [1])
        page = cascade.search(Query("1", "cup", time=NOW + 60))
        assert page.trace.stale == ()
        assert (page.items[0].id, page.items[-1].score) == ("d000", pytest.approx(2 / 9))
        page = cascade.search(Query("2", "cup", time=NOW + 61))
        assert page.trace.stale == ("behaviour",)
        assert "too old" in page.trace.degraded()[0]
        assert [item.score for item in page.items] == pytest.approx([2 / 9] * 24)
        ranking = cascade.rank(Query("3", "cup", time=NOW - 1), ["d001", "d000"], [1, 2])
        assert (ranking.trace.stale, ranking.ids) == (("behaviour",), ("d000", "d001"))
    finally:
        cascade.engine.close()


def served(path, clock):
    config = plain(path)

    def opened():
        cascades = open_cascades({"plain": config})
        return {name: with_stage(c, FEATURES[:1], [1]) for name, c in cascades.items()}

    switch = Switch(opened())
    service = Service(switch, ServiceSettings(), clock, Metrics())
    watcher = Watcher({"plain": store_of(config)}, opened, switch, service.metrics)
    return config, switch, watcher, Client(app_of(service))


def test_a_serving_process_takes_in_new_counts_without_another_generation(shop, caplog):
    config, switch, watcher, client = served(shop, lambda: NOW + 2 * DAY)
    try:
        first = partial(client.post, "/v1/search", {"text": "cup", "size": 2})
        watcher.freshen()
        assert first().json()["items"][0]["id"] == "d000"
        assert "behaviour_age_seconds{" not in client.get("/metrics").text
        write_log(shop.parent / "events", [*EVENTS, *[("q1", "impression", "d003", NOW)] * 2])
        update_behaviour([config], NOW + DAY)
        watcher.freshen()
        before = first().json()
        # Its click of the log's last second is the only one without an impression.
        assert before["items"][0]["id"] == "d002"
        write_log(shop.parent / "events", [*EVENTS, *[("q1", "click", "d009", NOW)] * 9])
        update_behaviour([config], NOW + 2 * DAY)
        with switch.held() as cascades:
            begun = cascades["plain"].ranked(Query("1", "cup", time=NOW + 2 * DAY)).listing
            watcher.freshen()
            assert begun.behaviour.as_of == NOW + DAY
        after = first().json()
        assert after["items"][0]["id"] == "d009"
        assert after["generation"] == before["generation"]
        age = time.time() - (NOW + 2 * DAY)
        line = next(n for n in client.get("/metrics").text.splitlines() if "age_seconds{" in n)
        assert line.startswith('cascade_behaviour_age_seconds{cascade="plain"}')
        assert float(line.split()[-1]) == pytest.approx(age, abs=60)
        # What is damaged is said once, and leaves what was there.
        store = behaviour_store_of(config)
        update_behaviour([config], NOW + 2 * DAY)
        damaged = store.store.root / store.folder / f"{store.live()}.counts"
        damaged.write_bytes(b"nothing")
        for _ in range(3):
            watcher.freshen()
        assert caplog.text.count("newest counts cannot be read") == 1
        assert first().json()["items"][0]["id"] == "d009"
    finally:
        switch.close()


SESSION = [
    {"kind": "number", "name": "price", "field": "price"},
    {"kind": "seen_before", "name": "seen"},
    {"kind": "session_affinity", "name": "brand", "field": "brand"},
    {"kind": "session_closeness", "name": "near", "field": "price"},
]


def test_an_event_at_one_moment_changes_the_order_at_the_next(shop):
    cascade = open_cascade(plain(shop))
    try:
        personal = with_stage(cascade, SESSION, [-1, 30, 90, 5])
        impersonal = with_stage(cascade, SESSION[:1], [-1])
        before = personal.search(Query("1", "cup", time=NOW), PageRequest(size=5))
        assert [item.id for item in before.items] == CHEAPEST[:5]
        clicked = before.items[3].id
        seen = Query("2", "cup", session=(clicked,), time=NOW + 1)
        after, _ = ranked(personal, seen)
        assert after[0] == clicked
        # All of the first forty cost at most 90 more than the cheapest of the seen brand.
        brand = int(clicked[1:]) % 5
        assert all(int(doc_id[1:]) % 5 == brand for doc_id in after[:10])
        for session in ((), ("never seen",)):
            query = Query("3", "cup", session=session, time=NOW + 2)
            ids, scores = ranked(personal, query)
            plain_ids, plain_scores = ranked(impersonal, Query("4", "cup"))
            assert ids == plain_ids
            assert scores.tobytes() == plain_scores.tobytes()
        assert ranked(personal, seen)[0] == after
    finally:
        cascade.engine.close()


def test_counts_follow_documents_that_come_after_the_build(shop):
    update_behaviour([plain(shop)], NOW)
    product = shop.parent / "more.ndjson"
    again = {"id": "d000", "title": "cup red w0", "brand": "ash", "price": 1.5}
    product.write_text("\n".join(map(json.dumps, [again, {**again, "id": "d900"}])))
    done = CliRunner().invoke(
        main, ["index", "update", "--config", str(shop), "--input", str(product)]
    )
    assert done.exit_code == 0, done.output
    cascade = open_cascade(plain(shop))
    try:
        documents = cascade.documents
        rows = documents.rows(["d000", "d900", "d001"])
        assert rows[:2].min() >= 200
        listing = np.zeros(3, dtype=np.int64)
        found = documents.behaviour.values(["cup"], listing, rows)
        column = documents.behaviour.columns
        assert found[:, column["count:document:click:30:inf"]].tolist() == [2, 0, 0]
        assert found[:, column["count:pair:click:inf:inf"]].tolist() == [2, 0, 1]
        brand = found[:, column["count:group=brand:purchase:30:1"]].tolist()
        assert brand == [0.75, 0.75, 0]
    finally:
        cascade.engine.close()


def damaged(path, *names):
    store = behaviour_store_of(plain(path))
    for name in names:
        (store.store.root / store.folder / name).write_bytes(b"nothing")


def test_a_cascade_opens_with_the_newest_sound_counts(shop, caplog):
    config = plain(shop)
    for day in range(3):
        update_behaviour([config], NOW + day)
    _, second, live = behaviour_store_of(config).names()
    damaged(shop, f"{live}.counts")
    cascade = open_cascade(config)
    try:
        assert cascade.documents.behaviour.as_of == NOW + 1
        assert f"read the counts {second} instead" in caplog.text
        # What is damaged is not opened again and again, and sound counts are taken in.
        assert not cascade.documents.freshen()
        update_behaviour([config], NOW + 7)
        assert cascade.documents.freshen()
        assert cascade.documents.behaviour.as_of == NOW + 7
    finally:
        cascade.engine.close()


@pytest.mark.parametrize("lost", ["counts", "pointer"])
def test_a_cascade_opens_without_any_sound_counts(shop, caplog, lost):
    config = plain(shop)
    live = update_behaviour([config], NOW).snapshot
    if lost == "pointer":
        damaged(shop, "live.json")
    else:
        store = behaviour_store_of(config)
        (store.store.root / store.folder / f"{live}.counts").unlink()
    cascade = open_cascade(config)
    try:
        found = cascade.documents.behaviour
        assert (found.as_of if lost == "pointer" else found) == (NOW if lost == "pointer" else None)
        assert len(caplog.records) == 1
        assert not cascade.documents.freshen()
        assert len(with_stage(cascade, FEATURES[:1], [1]).search(Query("1", "cup")).items) > 0
    finally:
        cascade.engine.close()


def test_counts_by_a_field_that_the_schema_lost_do_no_harm(shop):
    config = plain(shop)
    gone = Counter("group", "click", field="gone")
    counts = {gone: Counted(None, np.array(["x"], dtype=object), np.array([3.0]))}
    behaviour_store_of(config).install(snapshot_of(NOW, counts))
    cascade = open_cascade(config)
    try:
        assert cascade.documents.behaviour.totals == (3.0,)
    finally:
        cascade.engine.close()


def test_judged_queries_read_counts_that_are_newer_than_the_index(shop):
    config = plain(shop)
    built = store_of(config).live().created
    cascade = open_cascade(config)
    assert clock_of(config, cascade.documents) == built
    cascade.engine.close()
    update_behaviour([config], built + DAY)
    cascade = open_cascade(config)
    try:
        at = clock_of(config, cascade.documents)
        assert at == built + DAY
        cascade = with_stage(cascade, FEATURES[1:2], [1])
        judged = Judgments({"1": "cup"}, {"1": {"d000": 1.0}})
        rankings = full_rankings(cascade, judged, at, silent).runs()
        # Two of the log's clicks of this text are on d000, one is on d001.
        assert rankings["stage:linear"].rankings[0][:2] == ("d000", "d001")
    finally:
        cascade.engine.close()


def test_training_refuses_features_that_nothing_was_counted_for(shop):
    judgments = Judgments({"1": "cup"}, {"1": {"d000": 1.0}})
    config = plain(shop, STAGE)
    with pytest.raises(RefusedError, match=r"ctr, pair, sold; run `cascade behaviour update`"):
        drawing_of(config, judgments, 1)
    built = store_of(config).live().created
    update_behaviour([config], built - 3 * DAY)
    with pytest.raises(RefusedError, match=r"end 3\.0 days before"):
        drawing_of(plain(shop, "behaviour.max_age_s=60.0", STAGE), judgments, 1)
    update_behaviour([config], built + DAY)
    assert drawing_of(config, judgments, 1).time == built + DAY
