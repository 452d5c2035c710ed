"""Imports: UBI of every version, Metarank and tables become one kind of columns."""

import gzip
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import pytest

from cascade.errors import InputError, RefusedError
from cascade.events.actions import Actions
from cascade.events.importing import ImportTask, changing, import_files, imports
from cascade.events.metarank import MetarankReader
from cascade.events.pseudonyms import Pseudonyms
from cascade.events.rules import Rules
from cascade.events.table_rows import TableReader
from cascade.events.tables import EventLog
from cascade.events.ubi import UbiReader
from cascade.events.ubi_writing import write_ubi

T = 1_700_000_000.0
ISO = "2023-11-14T22:13:20Z"


@pytest.fixture
def shop(tmp_path):
    """An empty log, into which lines can be imported."""
    return Shop(tmp_path)


class Shop:
    def __init__(self, folder):
        self.folder, self.root = folder, folder / "log"
        self.names = Pseudonyms(folder / "salts")

    def file(self, *lines, name="log.ndjson"):
        path = self.folder / name
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts) + "\n")
        return path

    def read(self, *paths, reader=UbiReader, rules=None):
        return import_files(self.root, paths, ImportTask(reader, self.names, rules or Rules()))

    def lines(self, *lines, **options):
        return self.read(self.file(*lines), **options)

    def rows(self, query):
        with EventLog(self.root).database() as database:
            return database.execute(query).fetchall()

    def quarantine(self):
        files = str(self.root / "quarantine" / "*.parquet")
        return duckdb.sql(f"select line, reason from '{files}' order by line").fetchall()


def query(query_id="q1", **more):
    return {"query_id": query_id, "user_query": "ring", "timestamp": ISO, **more}


def event(action="click", query_id="q1", doc_id="p1", **more):
    attributes = {"object": {"object_id": doc_id}, "position": {"ordinal": 2}}
    return {
        "action_name": action,
        "query_id": query_id,
        "timestamp": ISO,
        "event_attributes": {**attributes, **more.pop("event_attributes", {})},
        **more,
    }


# One search and one click, as each version and logger writes them.
VERSIONS = {
    "1.0": [
        query(query_response_objects_ids=["p0", "p1"], client_id="c", timestamp=1_700_000_000_000),
        event(event_attributes={"position": {"ordinal": {"index": 2}}, "session_id": "s"}),
    ],
    "1.1": [
        query(query_response_object_ids=["p0", "p1"], client_id="c"),
        event(session_id="s", client_id="c", timestamp=1_700_000_000_000),
    ],
    "1.2": [
        query(query_response_object_ids=["p0", "p1"], client_id="c", application="shop"),
        event(session_id="s", timestamp="2023-11-14T23:13:20+01:00"),
    ],
    "1.3": [
        query(query_response_hit_ids=["p0", "p1"], client_id="c"),
        event(session_id="s", timestamp="2023-11-14T22:13:20"),
    ],
    "a position that is a number": [
        query(query_response_hit_ids=["p0", "p1"], client_id="c"),
        event(event_attributes={"position": 2}, session_id="s"),
    ],
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_ubi_gives_the_same_columns(shop, version):
    done = shop.lines(*VERSIONS[version])
    assert done.read == {"search": 1, "click": 1}
    assert done.quarantined == {}
    (session,), (visitor,) = shop.names.of(["s"], T), shop.names.of(["c"], T)
    assert shop.rows("select query_id, text, time, session, visitor, results from searches") == [
        ("q1", "ring", T, session, visitor, ["p0", "p1"])
    ]
    assert shop.rows("select query_id, action, doc_id, rank, time, session from events") == [
        ("q1", "click", "p1", 2, T, session)
    ]


def test_what_others_write_around_a_line_is_looked_through(shop):
    packed = {"_index": "ubi_queries", "_source": query()}
    done = shop.lines(
        "ubi_events\t" + json.dumps(event()),
        packed,
        {"index": {"_index": "ubi_events"}},
        "",
        event(),
    )
    assert (done.lines, done.read) == (4, {"search": 1, "click": 2})
    assert done.others == {"lines of a bulk request": 1}


def test_ids_that_are_numbers_become_text_and_a_price_is_the_value_of_a_purchase(shop):
    bought = {"object_id": 7, "object_detail": {"price": 2.5}, "quantity": 4}
    shop.lines(query(), event("buy", event_attributes={"object": bought, "position": None}))
    assert shop.rows("select action, doc_id, rank, value from events") == [
        ("purchase", "7", None, 10.0)
    ]


def test_positions_may_count_from_0(shop):
    shop.lines(
        query(),
        event(event_attributes={"position": {"ordinal": 0}}),
        reader=lambda: UbiReader(Actions(), 0),
    )
    assert shop.rows("select rank from events") == [(1,)]


def test_names_of_actions_are_known_or_told_and_others_are_counted(shop):
    names = ["Add To Cart", "item_click", "wish-list", "scroll", "quick_view", "like"]
    actions = Actions({"quick_view": "click", "like": ""})
    done = shop.lines(query(), *map(event, names), reader=lambda: UbiReader(actions))
    assert done.read == {"search": 1, "cart": 1, "click": 2, "favourite": 1}
    assert done.others == {"scroll": 1, "like": 1}
    with pytest.raises(InputError, match="did you mean 'click'"):
        Actions({"x": "clik"})


def test_a_bad_line_goes_aside_and_costs_no_other(shop):
    done = shop.lines(
        query(),
        "{not json",
        '{"query_id": "q", "user_query": 5}',
        {"user_query": "x"},
        event(doc_id=None),
        event(timestamp="yesterday"),
        {**event(), "action_name": None},
        '"text"',
        event(),
    )
    assert done.read == {"search": 1, "click": 1}
    assert shop.quarantine() == [
        (2, "not a JSON object"),
        (3, "not of the form of UBI"),
        (4, "no query id"),
        (5, "no document id"),
        (6, "no time that can be read, or one to come"),
        (7, "no action name"),
        (8, "not a JSON object"),
    ]
    assert sum(done.quarantined.values()) == 7


def test_the_line_of_a_bad_row_is_right_in_a_later_block(shop):
    many = [event(query_id=f"q{n}") for n in range(40_000)]
    done = shop.lines(*many, "{", *many[:5])
    assert done.read["click"] == 40_005
    assert shop.quarantine() == [(40_001, "not a JSON object")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no lines"),
        (b"[\n1,\n2\n]\n", "none of 4 lines can be used: line 1: not a JSON object"),
        (b"\x00\x01\x02", "is no text"),
    ],
)
def test_a_file_without_one_good_line_is_an_error_and_nothing_is_imported(shop, content, message):
    bad = shop.folder / "bad"
    bad.write_bytes(content)
    with pytest.raises(InputError, match=message):
        shop.read(shop.file(query(), event()), bad)
    assert imports(shop.root) == []
    assert not list(shop.root.rglob("*.parquet"))


def test_a_damaged_archive_is_an_error(shop):
    path = shop.folder / "log.ndjson.gz"
    path.write_bytes(gzip.compress(json.dumps(query()).encode())[:-9])
    with pytest.raises(InputError, match="damaged archive"):
        shop.read(path)


def test_a_content_is_imported_once_under_whatever_name_and_packing(shop):
    plain = shop.file(query(), event())
    packed = shop.folder / "again.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    zipped = shop.folder / "again.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(plain, "inside/log.ndjson")
    assert shop.read(plain).known == ()
    assert shop.read(packed, zipped).sources == ()
    more = shop.file(event("buy"), name="more.ndjson")
    done = shop.read(plain, more)
    assert done.known == ("log.ndjson",)
    assert shop.rows("select action from events order by action") == [("click",), ("purchase",)]
    assert [source.name for done in imports(shop.root) for source in done.sources] == [
        "log.ndjson",
        "more.ndjson",
    ]


def test_what_a_killed_import_left_is_removed(shop):
    shop.lines(query(), event())
    left = shop.root / "events" / "import-0123456789abcdef.parquet"
    left.write_bytes((next((shop.root / "events").iterdir())).read_bytes())
    rewritten = shop.root / "searches" / ".import-0.parquet.staged"
    rewritten.touch()
    shop.read(shop.file(event("buy"), name="more.ndjson"))
    assert not left.exists()
    assert not rewritten.exists()
    assert shop.rows("select count(*) from events") == [(2,)]


def test_what_readers_left_goes_after_a_day(shop):
    old, fresh = shop.root / ".join-old", shop.root / ".join-fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    os.utime(old, (T, T))
    shop.lines(query())
    assert (old.exists(), fresh.exists()) == (False, True)


def test_two_processes_do_not_change_a_log_at_once(shop):
    with changing(shop.root), pytest.raises(RefusedError, match="another process"):
        shop.lines(query())


def test_without_consent_there_is_neither_session_nor_visitor(shop):
    who = {"client_id": "c", "session_id": "s"}
    done = shop.lines(
        query("q1", **who, query_attributes={"consent": False}),
        event(query_id="q1", **who),
        query("q2", **who),
        event(query_id="q2", **who),
        query("q3", **who),
        event(query_id="q3", **who, event_attributes={"consent": False}),
    )
    assert done.refusing == 2
    for table in ("searches", "events"):
        assert shop.rows(
            f"select query_id, session is null, visitor is null from {table} order by query_id"
        ) == [("q1", True, True), ("q2", False, False), ("q3", True, True)]


def test_a_search_of_the_texts_of_events_has_no_session_without_consent(shop):
    path = shop.folder / "log.csv"
    rows = ["click,q1,a,1700000000,ring,s,", "click,q1,b,1700000001,ring,s,no"]
    path.write_text("\n".join(["action,query_id,doc_id,time,text,session,consent", *rows]))
    shop.read(path, reader=TableReader)
    assert shop.rows("select query_id, text, session from searches") == [("q1", "ring", None)]
    assert shop.rows("select count(*), count(session) from events") == [(2, 0)]


def test_events_that_were_logged_before_tell_of_a_later_search(shop):
    told = event(session_id="s")
    shop.lines(told)
    done = shop.read(shop.file(query(), told, name="both"))
    assert done.dropped == {"logged before": 1}
    assert shop.rows("select session from searches") == [(shop.names.of(["s"], T)[0],)]


def test_raw_ids_are_nowhere_in_the_log(shop):
    shop.lines(query(client_id="secret-c"), event(session_id="secret-s", client_id="secret-c"))
    stored = b"".join(path.read_bytes() for path in shop.root.rglob("*.*") if path.is_file())
    assert b"secret" not in stored


def at(seconds):
    return {"timestamp": int((T + seconds) * 1e3)}


def test_a_session_that_breaks_a_rule_is_dropped_whole_and_counted(shop):
    fast = [query(f"f{n}", session_id="fast", **at(n)) for n in range(4)]
    slow = [query(f"s{n}", session_id="slow", **at(60 * n)) for n in range(4)]
    burst = [event("click", "b", f"p{n}", session_id="burst") for n in range(3)]
    seen = [event("impression", "i", f"p{n}", session_id="sees") for n in range(9)]
    named = [
        query("n", session_id="n", query_attributes={"user_agent": "Some-Bot/2.1"}),
        event(query_id="n", session_id="n"),
    ]
    rules = Rules(searches_per_minute=3, actions_per_second=2, agents=(r"bot\b",))
    # T is 20 s into a minute of the clock, so the four fast searches lie in one.
    done = shop.lines(*fast, *slow, *burst, *seen, *named, rules=rules)
    assert done.dropped == {"actions per second": 3, "searches per minute": 4, "user agent": 2}
    assert done.robots == 3
    assert done.kept == {"searches": 4, "events": 9}
    assert {name for (name,) in shop.rows("select query_id from searches")} == {
        "s0",
        "s1",
        "s2",
        "s3",
    }


def test_a_sample_keeps_whole_sessions_at_its_rate_and_the_same_ones_again(shop, tmp_path):
    lines = []
    for n in range(600):
        lines += [query(f"q{n}", session_id=f"s{n}"), event(query_id=f"q{n}", session_id=f"s{n}")]
    done = shop.lines(*lines, rules=Rules(sample=0.25))
    kept = shop.rows("select query_id from searches order by 1")
    # 600 draws at a quarter: 150, and five deviations of 10.6 are 53.
    assert 97 < len(kept) < 203
    assert shop.rows("select query_id from events order by 1") == kept
    assert done.dropped == {"not in the sample": 2 * (600 - len(kept))}
    again = Shop(tmp_path / "again")
    again.folder.mkdir()
    again.names = shop.names
    again.lines(*lines, rules=Rules(sample=0.25))
    assert again.rows("select query_id from searches order by 1") == kept


def test_a_search_without_a_time_takes_that_of_its_first_event_or_is_dropped(shop):
    timeless = {"query_id": "q1", "user_query": "ring"}
    done = shop.lines(
        timeless,
        {**timeless, "query_id": "q2"},
        event(session_id="s", **at(5)),
        event(session_id="s", **at(3)),
    )
    assert shop.rows("select query_id, time from searches") == [("q1", T + 3)]
    assert shop.rows("select distinct session from searches") == [(shop.names.of(["s"], T)[0],)]
    assert done.dropped == {"searches without a time": 1}


def test_a_search_takes_its_session_from_events_that_are_left_out(shop):
    later = {"timestamp": T + 9, "session_id": "s", "client_id": "c"}
    done = shop.lines(
        query("q1"),
        query("q2"),
        event("scroll", **later),
        event("on_search", query_id="q2", session_id="t", **at(1), event_attributes={"object": {}}),
        event("dwell", query_id="q2", consent=False),
    )
    assert done.others == {"scroll": 1, "on_search": 1, "dwell": 1}
    assert (done.kept, done.refusing) == ({"searches": 2, "events": 0}, 0)
    (session,), (visitor,) = shop.names.of(["s"], T), shop.names.of(["c"], T)
    # An event without consent silences its search, also where it is left out itself.
    assert shop.rows("select query_id, session, visitor from searches order by query_id") == [
        ("q1", session, visitor),
        ("q2", None, None),
    ]


def test_a_left_out_event_of_a_robot_names_its_session(shop):
    rules = Rules(agents=(r"bot\b",))
    scroll = event("scroll", session_id="s", event_attributes={"browser": "Some-Bot/2.1"})
    done = shop.lines(query(session_id="s"), scroll, query("q2"), rules=rules)
    assert done.dropped == {"user agent": 1}


def test_rows_that_were_logged_before_are_counted_and_left_out(shop):
    first = [query("q1"), query("q2"), event(), event("purchase", **at(5))]
    # The same search twice: the one that knows its session stays.
    again = [query("q1", session_id="s"), event(), event(doc_id="p2"), event(**at(1))]
    done = shop.lines(*first, *again)
    assert done.dropped == {"logged before": 2}
    assert done.kept == {"searches": 2, "events": 4}
    assert shop.rows("select count(session) from searches where query_id = 'q1'") == [(1,)]
    # An export that overlaps the one before, and one that is of other content.
    overlap = shop.file(*first, query("q3"), query("q1", **at(60)), event(doc_id="p3"), name="b")
    done = shop.read(overlap)
    assert done.dropped == {"logged before": 4}
    assert done.kept == {"searches": 2, "events": 1}
    assert shop.rows("select count(*) from searches") == [(4,)]


def test_without_pyarrow_it_says_which_extra_is_missing(shop):
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from cascade.errors import OptionalDependencyError\n"
        "from cascade.events.importing import ImportTask, import_files\n"
        "from cascade.events.pseudonyms import Pseudonyms\n"
        "from cascade.events.ubi import UbiReader\n"
        "task = ImportTask(UbiReader, Pseudonyms(Path('salts')))\n"
        "try:\n    import_files(Path('log'), [Path('log.ndjson')], task)\n"
        "except OptionalDependencyError as error:\n    print(error)\n"
    )
    shop.file(query())
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=shop.folder, capture_output=True, text=True, check=True)
    assert "pyarrow is not installed" in done.stdout
    assert "[logs]" in done.stdout


def test_a_time_to_come_is_none(shop):
    ahead = {"timestamp": "2099-01-01T00:00:00Z"}
    done = shop.lines(query("q1", **ahead), query("q2", **ahead), event(), event(**ahead))
    assert done.quarantined == {"no time that can be read, or one to come": 1}
    assert done.dropped == {"searches without a time": 1}
    assert shop.rows("select query_id, time from searches") == [("q1", T)]


def test_an_empty_id_names_nobody(shop):
    done = shop.lines(
        query("", session_id="s"),
        query("q1", session_id="", client_id=""),
        event(query_id="", session_id=""),
        event(doc_id=""),
    )
    assert done.quarantined == {"no query id": 1, "no document id": 1}
    assert shop.rows("select query_id, session, visitor from searches") == [("q1", None, None)]
    assert shop.rows("select query_id, session from events") == [(None, None)]
    lines = [
        {"event": "ranking", "id": "", "timestamp": T},
        {"event": "interaction", "type": "click", "item": "", "timestamp": T, "ranking": "r"},
        {"event": "ranking", "id": "r", "timestamp": T, "session": ""},
    ]
    done = shop.read(shop.file(*lines, name="metarank"), reader=MetarankReader)
    assert done.quarantined == {"no query id": 1, "no document id": 1}


@pytest.mark.parametrize("given", [[0.5], [0.5, 0.0], [0.5, -1], [0.5, 1.5]])
def test_propensities_that_are_no_chances_of_the_results_go_aside(shop, given):
    page = {"query_response_hit_ids": ["a", "b"]}
    done = shop.lines(
        query("q1", **page, query_attributes={"propensities": given}),
        query("q2", **page, query_attributes={"propensities": [0.5, 1]}),
    )
    assert done.quarantined == {"propensities that are no chances of its results": 1}
    assert shop.rows("select query_id, propensities from searches") == [("q2", [0.5, 1.0])]


def test_a_file_without_ends_of_lines_is_refused_before_it_fills_the_memory(shop):
    path = shop.folder / "endless"
    with path.open("wb") as stream:
        for _ in range(66):
            stream.write(b" " * (1 << 20))
    with pytest.raises(InputError, match="line 1 is longer than 64 MB"):
        shop.read(path)


def test_a_log_without_searches_is_a_log(shop):
    shop.lines(event())
    assert shop.rows("select count(*) from searches") == [(0,)]
    assert shop.rows("select count(*) from impressions") == [(0,)]


def test_rows_without_a_query_id_are_never_the_same(shop):
    done = shop.lines(event(query_id=None), event(query_id=None))
    assert (done.kept["events"], done.dropped) == (2, {})


def test_a_search_made_of_the_texts_of_events_is_made_once(shop):
    table = "action,query_id,doc_id,time,text\nclick,q1,{},1700000000,ring\n"
    for name in ("a", "b"):
        path = shop.folder / f"{name}.csv"
        path.write_text(table.format(name))
        shop.read(path, reader=TableReader)
    assert shop.rows("select query_id, text from searches") == [("q1", "ring")]
    assert shop.rows("select count(*) from events") == [(2,)]


def test_metarank_rankings_and_interactions(shop):
    items = [{"id": "p0", "relevancy": 2.0}, {"id": "p1"}]
    base = {"timestamp": "1700000000000", "user": "u", "session": "s"}
    fields = [{"name": "query", "value": "ring"}]
    ranking = {"event": "ranking", "id": "q1", "items": items, "fields": fields, **base}
    click = {"event": "interaction", "id": "x", "ranking": "q1", "type": "click", "item": "p1"}
    done = shop.lines(
        ranking,
        {**click, **base},
        {"event": "item", "id": "i", "item": "p1", "timestamp": 5, "fields": []},
        {**click, **base, "item": None},
        {"id": "no event"},
        "{",
        reader=MetarankReader,
    )
    assert done.read == {"search": 1, "click": 1}
    assert done.others == {"item": 1}
    assert shop.quarantine() == [
        (4, "no document id"),
        (5, "not of the form of Metarank"),
        (6, "not a JSON object"),
    ]
    assert shop.rows("select query_id, text, time, results from searches") == [
        ("q1", "ring", T, ["p0", "p1"])
    ]
    assert shop.rows("select query_id, doc_id from events") == [("q1", "p1")]


TABLE = {"query_id": "search", "doc_id": "sku", "time": "at", "text": "words", "rank": "pos"}


def test_a_table_with_columns_named(shop):
    path = shop.file(
        "search,sku,at,words,pos,action,results",
        f"q1,,{ISO},ring,,search,p0;p1",
        f"q1,p1,{ISO},ring,2,click,",
        f'q2,p5,{ISO},"gold, ring",1,buy,',
        "q2,p5,2023,x",
        f"q2,,{ISO},x,1,click,",
        name="log.csv",
    )
    done = shop.read(path, reader=lambda: TableReader(TABLE))
    assert done.read == {"search": 1, "click": 1, "purchase": 1}
    assert done.quarantined == {
        "another number of columns than the header": 1,
        "no document id": 1,
    }
    assert shop.rows("select query_id, text, results from searches order by query_id") == [
        ("q1", "ring", ["p0", "p1"]),
        ("q2", "gold, ring", None),
    ]
    assert shop.rows("select query_id, doc_id, rank, action from events order by 1") == [
        ("q1", "p1", 2, "click"),
        ("q2", "p5", 1, "purchase"),
    ]


def test_a_table_without_a_named_column_is_refused_with_the_nearest(shop):
    path = shop.file("search,skus,action", "q,p,click", name="log.csv")
    with pytest.raises(InputError, match="no column 'sku'; did you mean 'skus'"):
        shop.read(path, reader=lambda: TableReader({"doc_id": "sku"}))
    with pytest.raises(InputError, match=r"events.columns: 'docid'; did you mean 'doc_id'"):
        TableReader({"docid": "sku"})


def test_ubi_that_is_written_reads_back_as_the_same_columns(shop, demo_folder, tmp_path):
    files = [demo_folder / "shop" / name for name in ("queries.ndjson", "events.ndjson")]
    rules = Rules(searches_per_minute=0, searches_per_hour=0, actions_per_second=0)
    done = shop.read(*files, rules=rules)
    lines = [path.read_bytes().count(b"\n") for path in files]
    assert done.kept == dict(zip(("searches", "events"), lines, strict=True))
    assert write_ubi(EventLog(shop.root), tmp_path / "out", "shop") == {
        "queries": lines[0],
        "events": lines[1],
    }
    again = Shop(tmp_path / "again")
    again.folder.mkdir()
    again.read(*sorted((tmp_path / "out").glob("*.ndjson")), rules=rules)
    # Pseudonyms are pseudonyms of pseudonyms by then; everything else is as it was.
    searches = "select query_id, text, time, surface, results from searches order by all"
    events = "select query_id, action, doc_id, rank, time, surface, value from events order by all"
    assert again.rows(searches) == shop.rows(searches)
    assert again.rows(events) == shop.rows(events)
    sessions = "select count(distinct session), count(distinct visitor) from events"
    assert again.rows(sessions) == shop.rows(sessions)


def test_the_lines_that_are_written_have_the_form_of_ubi_1_3(shop, tmp_path):
    shop.lines(
        query(query_response_object_ids=["p1"], query_attributes={"propensities": [0.5]}),
        event("add_to_cart", event_attributes={"position": 3}),
    )
    write_ubi(EventLog(shop.root), tmp_path / "out", "shop")
    lines = [
        json.loads(Path(tmp_path / "out" / f"{name}.ndjson").read_text())
        for name in ("queries", "events")
    ]
    assert lines == [
        {
            "application": "shop",
            "query_id": "q1",
            "user_query": "ring",
            "query_attributes": {"propensities": [0.5]},
            "object_id_field": "id",
            "query_response_hit_ids": ["p1"],
            "timestamp": "2023-11-14T22:13:20.000Z",
        },
        {
            "application": "shop",
            "action_name": "add_to_cart",
            "query_id": "q1",
            "event_attributes": {
                "object": {"object_id": "p1", "object_id_field": "id"},
                "position": {"ordinal": 3},
            },
            "timestamp": "2023-11-14T22:13:20.000Z",
        },
    ]
    with pytest.raises(InputError, match="is there already"):
        write_ubi(EventLog(shop.root), tmp_path / "out", "shop")
