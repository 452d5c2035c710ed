"""Off-policy estimates from a log: a planted policy's worth, actions in a file, refusals."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cascade.candidates import Query
from cascade.cli import main
from cascade.config import Config, load_config, open_cascade
from cascade.errors import InputError, RefusedError
from cascade.events.importing import ImportTask, import_files
from cascade.events.pseudonyms import Pseudonyms
from cascade.events.tables import EventLog
from cascade.events.ubi import UbiReader
from cascade.pipeline import Exploration
from cascade.workflows.offpolicy import (
    OffPolicyOptions,
    offpolicy_of_actions,
    offpolicy_of_log,
)

TEXTS = ("silver ring", "red mug", "gift card")
SEARCHES, HEAD, SHOWN = 600, 6, 8


@pytest.fixture(scope="module")
def demo(demo_folder: Path) -> Config:
    return load_config(demo_folder / "cascade.toml")["shop"]


def written(folder: Path, searches: list[dict], events: list[dict]) -> Path:
    for table, rows in (("searches", searches), ("events", events)):
        (folder / table).mkdir(parents=True)
        known = pa.Table.from_pylist(rows)
        columns = {
            "searches": ("query_id", "text", "time", "surface", "results", "propensities"),
            "events": ("query_id", "action", "doc_id", "rank", "time", "surface", "value"),
        }[table]
        assert set(columns) == set(known.column_names)
        names = {"searches": ("session", "visitor"), "events": ("session", "visitor")}[table]
        for name in names:
            known = known.append_column(name, pa.nulls(len(rows), pa.string()))
        pq.write_table(known, folder / table / "0.parquet")
    return folder


@pytest.fixture(scope="module")
def log(demo: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float, float]:
    """A log of swapped orders, what the order without swaps earns, and what the swapped earned.

    A document of even rank in the cascade's own order is clicked in 6 of 10 cases where it stands
    there and in 1 of 10 elsewhere; one of odd rank in 1 of 10.
    """
    cascade = open_cascade(demo)
    draws, exploration = np.random.default_rng(0), Exploration(0.6, HEAD)
    searches, events = [], []
    for text in TEXTS:
        final = cascade.ranked(Query("own", text, time=1.0)).candidates.head(SHOWN)
        own = final.ids()
        for number in range(SEARCHES // len(TEXTS)):
            query = Query(f"{text} {number}", text, time=1.0)
            listing = final.listings(0, 1)
            object.__setattr__(listing, "queries", (query,))
            explored = exploration.apply(listing)
            ids = explored.candidates.ids()
            row = {"query_id": query.id, "text": text, "time": 1.0, "surface": "web"}
            chances = explored.propensities.tolist()
            searches.append({**row, "results": ids, "propensities": chances})
            for rank, doc_id in enumerate(ids, 1):
                kept = own[rank - 1] == doc_id and rank % 2 == 0
                if draws.uniform() < (0.6 if kept else 0.1):
                    clicked = {"query_id": query.id, "doc_id": doc_id, "rank": rank, "time": 2.0}
                    events.append({**clicked, "action": "click", "surface": "web", "value": 0.0})
    cascade.engine.close()
    drawn = {(e["query_id"], e["doc_id"]) for e in events if e["rank"] <= HEAD}
    folder = written(tmp_path_factory.mktemp("log") / "log", searches, events)
    return folder, (0.6 + 0.1) / 2, len(drawn) / (SEARCHES * HEAD)


def test_the_worth_of_the_order_without_swaps_is_found(demo, log):
    folder, truth, earned = log
    found = offpolicy_of_log(demo, folder, OffPolicyOptions(models="live"))
    estimate = found.estimate
    assert (found.searches, estimate.actions) == (SEARCHES, SEARCHES * HEAD)
    assert estimate.logged.mean == pytest.approx(earned)
    assert estimate.logged.high < truth
    for interval in (estimate.ips, estimate.snips, estimate.dr):
        assert interval.low < truth < interval.high
    assert estimate.coverage == pytest.approx(1.0, abs=0.05)
    assert set(found.models) == {"linear", "trees"}


def test_the_command_says_what_the_estimate_rests_on(demo, log):
    options = ["--config", str(demo.path), "--log", str(log[0]), "--searches", "100"]
    done = CliRunner().invoke(main, ["offpolicy", *options])
    assert done.exit_code == 0, done.output
    for expected in ("SNIPS", "600 actions", "coverage"):
        assert expected in done.output
    as_json = json.loads(CliRunner().invoke(main, ["offpolicy", *options, "--json"]).stdout)
    assert as_json["searches"] == 100
    assert as_json["estimate"]["dr"]["low"] < as_json["estimate"]["dr"]["high"]


def test_the_demos_imported_log_has_orders_that_were_drawn(demo, demo_folder, tmp_path):
    root = tmp_path / "log"
    files = [demo_folder / "shop" / f"{name}.ndjson" for name in ("queries", "events")]
    import_files(root, files, ImportTask(UbiReader, Pseudonyms(tmp_path / "salts")))
    found = offpolicy_of_log(demo, root, OffPolicyOptions(searches=20))
    # A shuffled page of n rows has n actions, each of propensity 1 / n.
    with EventLog(root).database() as database:
        drawn = database.execute(
            "select len(results), propensities from searches where propensities is not null "
            "order by time, text, query_id limit 20"
        ).fetchall()
    assert all(chances == [1 / size] * size for size, chances in drawn)
    assert (found.searches, found.estimate.actions) == (20, sum(size for size, _ in drawn))


@pytest.mark.parametrize("propensities", [[1.0, 1.0], None])
def test_an_order_that_was_not_drawn_is_refused(demo, tmp_path, propensities):
    row = {"query_id": "1", "text": "ring", "time": 1.0, "surface": "web", "results": ["a", "b"]}
    other = {**row, "query_id": "2", "propensities": [1.0, 1.0]}
    click = {"query_id": "1", "action": "click", "doc_id": "a", "rank": 1, "time": 1.0}
    click |= {"surface": "web", "value": 0.0}
    folder = written(tmp_path / "log", [{**row, "propensities": propensities}, other], [click])
    with pytest.raises(RefusedError, match=r"no search of .* \[exploration\] swap_share above 0"):
        offpolicy_of_log(demo, folder)


def test_actions_of_a_file(tmp_path):
    path = tmp_path / "actions.csv"
    path.write_text("reward,propensity,target,unit\n1,0.5,1,a\n1,0.25,0,b\n0,0.5,0.25,b\n1,.5,.5,a")
    found = offpolicy_of_actions(path).estimate
    assert found.ips.mean == pytest.approx(3 / 4)
    parquet = tmp_path / "actions.parquet"
    duckdb.connect().execute(f"copy (from read_csv('{path}')) to '{parquet}'")
    assert offpolicy_of_actions(parquet).estimate == found
    assert offpolicy_of_actions(path, clip=1.0).estimate.clipped == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reward,propensity\n1,0.5\n", "no column 'target'"),
        ("reward,propensity,target\n1,x,1\n1,0.5,1\n", "'propensity' holds what is no number"),
        ("reward,propensity,target\n,0.5,1\n1,0.5,1\n", "'reward' has empty"),
        ("reward,propensity,target\n1,,1\n1,0.5,1\n", "1 of 2 propensities are missing"),
    ],
)
def test_a_file_that_holds_no_actions_is_refused(tmp_path, text, message):
    path = tmp_path / "actions.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        offpolicy_of_actions(path)


def test_a_log_or_actions_are_given(tmp_path):
    done = CliRunner().invoke(main, ["offpolicy"])
    assert (done.exit_code, "give one of --log and --actions" in done.stderr) == (3, True)
