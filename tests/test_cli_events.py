"""`cascade events`, as it is called."""

import json

import pytest
from click.testing import CliRunner

from cascade.cli.events import events
from cascade.config import load_config
from cascade.workflows.events import log_of, pseudonyms_of

T = 1_700_000_000.0
LINES = [
    {"query_id": "q1", "user_query": "ring", "query_response_hit_ids": ["p0", "p1"]},
    {"query_id": "q2", "user_query": "hat", "query_response_hit_ids": []},
    {"query_id": "q1", "action_name": "klick", "event_attributes": {"object": {"object_id": "p1"}}},
    {"query_id": "q1", "action_name": "scroll"},
]


@pytest.fixture
def shop(tmp_path):
    """A configuration that knows nothing but where logs lie, and a log to import."""
    path = tmp_path / "cascade.toml"
    path.write_text(
        '[events]\npath = "log"\n[events.actions]\nklick = "click"\n'
        '[log]\npath = "requests"\nsalts = "salts"\n'
    )
    lines = [json.dumps({**line, "timestamp": T, "session_id": "s"}) for line in LINES]
    (tmp_path / "log.ndjson").write_text("\n".join([*lines, "{"]))
    return path


def run(path, command, *options):
    return CliRunner().invoke(events, [command, "--config", str(path), *map(str, options)])


def told(path, command, *options):
    done = run(path, command, *options, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_import_tells_what_was_read_left_out_and_kept(shop):
    report = told(shop, "import", shop.parent / "log.ndjson")
    assert report["read"] == {"search": 2, "click": 1}
    assert report["kept"] == {"searches": 2, "events": 1}
    assert (report["others"], report["quarantined"]) == ({"scroll": 1}, {"not a JSON object": 1})
    again = told(shop, "import", shop.parent / "log.ndjson")
    assert (again["known"], again["kept"]) == (["log.ndjson"], {})


def test_import_shows_a_table(shop):
    done = run(shop, "import", shop.parent / "log.ndjson")
    assert done.exit_code == 0
    assert "5 lines of log.ndjson" in done.stdout
    assert "2 searches and 1 events kept" in done.stdout
    rows = [line.split("│")[1:4] for line in done.stdout.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[-1]] == ["quarantined", "not a JSON object", "1"]
    assert "imported before" in run(shop, "import", shop.parent / "log.ndjson").stdout


def test_status_tells_what_the_log_holds(shop):
    told(shop, "import", shop.parent / "log.ndjson")
    found = told(shop, "status")
    assert (found["searches"], found["texts"], found["sessions"]) == (2, 2, 1)
    assert (found["events"], found["first"], found["last"]) == ({"click": 1}, T, T)
    assert found["quarantined"] == {"not a JSON object": 1}
    assert len(found["imports"]) == 1
    assert "2023-11-14T22:13:20+00:00" in run(shop, "status").stdout


def test_a_log_that_is_not_there_is_told(shop):
    done = run(shop, "status")
    assert done.exit_code == 3
    assert "holds no event log" in done.stderr


def test_export_writes_ubi_or_a_run(shop, tmp_path):
    told(shop, "import", shop.parent / "log.ndjson")
    assert told(shop, "export", tmp_path / "ubi") == {
        "folder": str(tmp_path / "ubi"),
        "queries": 2,
        "events": 1,
    }
    told(shop, "export", tmp_path / "trec", "--format", "trec")
    assert (tmp_path / "trec" / "run.txt").read_text() == (
        "q1 Q0 p0 1 2 default\nq1 Q0 p1 2 1 default\n"
    )
    assert (tmp_path / "trec" / "texts.tsv").read_text() == "q1\tring\n"
    assert run(shop, "export", tmp_path / "trec", "--format", "trec").exit_code == 3


def test_erase_takes_a_session_out_of_the_event_log_and_the_request_log(shop):
    told(shop, "import", shop.parent / "log.ndjson")
    config = next(iter(load_config(shop).values()))
    (name,) = pseudonyms_of(config).of(["s"], T)
    requests = shop.parent / "requests"
    requests.mkdir()
    with log_of(config).database() as database:
        target = requests / "1.parquet"
        database.execute(f"copy (select '{name}' as session, 1 as id) to '{target}'")
    erased = told(shop, "erase", "--session", "s")
    assert erased["rows"] == {"searches": 2, "events": 1, "requests": 1, "quarantine": 0}
    assert run(shop, "erase", "--session", "s").stdout.startswith("0 rows went")
    assert run(shop, "erase").exit_code == 2


def test_expire_needs_to_know_how_long(shop):
    told(shop, "import", shop.parent / "log.ndjson")
    done = run(shop, "expire")
    assert (done.exit_code, "events.keep_days" in done.stderr) == (3, True)
    assert told(shop, "expire", "--keep-days", "36500")["rows"]["searches"] == 0
    assert told(shop, "expire", "--set", "events.keep_days=30") == {
        "rows": {"searches": 2, "events": 1, "quarantine": 0},
        "files": 2,
        "salts": 1,
    }
