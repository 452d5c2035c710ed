"""Erasure and expiry: what has to go is gone from every file, and nothing else is."""

import json

import duckdb
import pytest

from cascade.errors import RefusedError
from cascade.events.erasing import erase, erase_rows, expire
from cascade.events.importing import ImportTask, changing, import_files, imports
from cascade.events.pseudonyms import DAY_S, Pseudonyms
from cascade.events.tables import EventLog
from cascade.events.ubi import UbiReader

DAY_0 = 1_700_000_000.0


def lines(session, days):
    """One search and one click of a session on each of some days."""
    for day in days:
        shared = {
            "query_id": f"{session}-{day}",
            "session_id": session,
            "client_id": f"client-{session}",
            "timestamp": DAY_0 + day * DAY_S,
        }
        yield {**shared, "user_query": "ring"}
        clicked = {"object": {"object_id": "p"}}
        yield {**shared, "action_name": "click", "event_attributes": clicked}


@pytest.fixture
def log(tmp_path):
    """Two imports of two sessions over 80 days, and a bad line of each: three salts are made."""
    names = Pseudonyms(tmp_path / "salts")
    root = tmp_path / "log"
    for number, days in enumerate([(0, 40), (80,)]):
        path = tmp_path / f"{number}.ndjson"
        content = [json.dumps(line) for name in ("mine", "theirs") for line in lines(name, days)]
        bad = [json.dumps({"user_query": "x", "session_id": s}) for s in ("mine", "theirs")]
        path.write_text("\n".join([*content, *bad]))
        import_files(root, [path], ImportTask(UbiReader, names))
    return root, names


def queries(root, table="searches"):
    with EventLog(root).database() as database:
        return [
            q for (q,) in database.execute(f"select query_id from {table} order by 1").fetchall()
        ]


def raw(root):
    files = str(root / "quarantine" / "*.parquet")
    return [text for (text,) in duckdb.sql(f"select raw from '{files}'").fetchall()]


def test_an_id_that_json_escapes_is_erased_from_quarantine(tmp_path):
    name, root = 'gäst"1', tmp_path / "log"
    bad = {"user_query": "x", "session_id": name}
    path = tmp_path / "log.ndjson"
    good = json.dumps(next(lines("theirs", [0])))
    path.write_text("\n".join([good, json.dumps(bad), json.dumps(bad, ensure_ascii=False)]))
    names = Pseudonyms(tmp_path / "salts")
    import_files(root, [path], ImportTask(UbiReader, names))
    assert len(raw(root)) == 2
    assert erase(root, names, name).rows["quarantine"] == 2


def test_a_session_is_erased_under_every_salt_and_from_quarantine(log):
    root, names = log
    erased = erase(root, names, "mine")
    assert erased.rows == {"searches": 3, "events": 3, "quarantine": 2}
    assert (erased.total, erased.files) == (8, 6)
    for table in ("searches", "events"):
        assert queries(root, table) == ["theirs-0", "theirs-40", "theirs-80"]
    assert len(raw(root)) == 2
    assert not any("mine" in text for text in raw(root))
    assert erase(root, names, "mine").total == 0


def test_what_was_erased_does_not_come_back_with_its_file(log, tmp_path):
    root, names = log
    erase(root, names, "mine")
    done = import_files(root, [tmp_path / "0.ndjson"], ImportTask(UbiReader, names))
    assert done.known == ("0.ndjson",)
    assert "mine-0" not in queries(root)


def test_a_visitor_is_erased_by_the_other_column(log):
    root, names = log
    assert erase(root, names, "client-mine").rows["searches"] == 0
    assert erase(root, names, "client-mine", column="visitor").rows["searches"] == 3
    assert queries(root) == ["theirs-0", "theirs-40", "theirs-80"]


def test_a_log_of_others_takes_part_and_files_without_the_column_stay(log, tmp_path):
    root, names = log
    (mine,) = names.of(["mine"], DAY_0)
    folder = tmp_path / "requests" / "2023"
    folder.mkdir(parents=True)
    named, unnamed, last = (folder / f"{n}.parquet" for n in "abc")
    duckdb.sql(f"copy (values (1, '{mine}'), (2, 'x'), (3, null)) to '{named}'")
    duckdb.sql(
        f"copy (select 1 as id, '{mine}' as session union all select 2, 'x' union all "
        f"select 3, null) to '{named}'"
    )
    duckdb.sql(f"copy (select '{mine}' as text) to '{unnamed}'")
    duckdb.sql(f"copy (select '{mine}' as session) to '{last}'")
    before = unnamed.read_bytes()
    erased = erase(root, names, "mine", others=[tmp_path / "requests"])
    assert erased.rows["requests"] == 2
    assert duckdb.sql(f"select id from '{named}' order by id").fetchall() == [(2,), (3,)]
    assert unnamed.read_bytes() == before
    assert not last.exists()


def test_erasing_no_name_changes_nothing(log):
    root, _ = log
    assert erase_rows(root / "searches", "session", []) == (0, 0)
    assert erase_rows(root / "nowhere", "session", ["x"]) == (0, 0)


def test_what_is_too_old_goes_with_the_salts_that_named_it(log):
    root, names = log
    assert len(list(names.folder.iterdir())) == 3
    # Day 40.5 is the limit: days 0 and 40 go, and so do salts whose periods end before it.
    expired = expire(root, names, 50, DAY_0 + 90.5 * DAY_S)
    assert expired.rows == {"searches": 4, "events": 4, "quarantine": 0}
    assert queries(root) == ["mine-80", "theirs-80"]
    ends = [(int(p.name.split("-")[0]) + 30 * DAY_S) for p in names.folder.iterdir()]
    assert expired.salts == 3 - len(ends) > 0
    assert min(ends) > DAY_0 + 40.5 * DAY_S
    assert names.of(["mine"], DAY_0 + 80 * DAY_S)[0] in names.every("mine")


def test_quarantine_goes_by_the_time_of_its_import(log):
    root, names = log
    newest = max(done.time for done in imports(root))
    assert expire(root, names, 1, newest + 2 * DAY_S).rows["quarantine"] == 4


def test_nothing_is_erased_while_another_process_changes_the_log(log):
    root, names = log
    with changing(root), pytest.raises(RefusedError):
        erase(root, names, "mine")
    assert len(queries(root)) == 6
