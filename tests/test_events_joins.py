"""Point-in-time joins, by hand and against counting one event after the other."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from small_log import COUNTERS, DAY, Reference, random_log, values_of, write_log

from cascade.behaviour import Counter
from cascade.errors import InputError
from cascade.events.histories import histories
from cascade.events.joins import OUTCOMES, Joining, joined, write_joined
from cascade.events.leaks import leaks
from cascade.events.windows import Past

AT = 1_700_000_040.0  # the beginning of a minute
CLICKS = Counter("document", "click")
SHOWN = Counter("query", "impression", 30, 10)


def rows_of(log, joining) -> list[dict]:
    return [row for batch in joined(log, joining) for row in batch.to_pylist()]


def small(tmp_path):
    searches = [
        ("q1", "Ring", AT, "s1", ["a", "b"]),
        ("q2", "ring ", AT + 10 * DAY, "s2", ["b", "a", "c"]),
    ]
    events = [
        ("q1", "click", "a", AT + 5, 1, "s1"),
        ("q1", "purchase", "a", AT + 9, 1, "s1", 12.5),
        ("q2", "click", "a", AT + 10 * DAY, 2, "s2"),
        ("q2", "click", "a", AT + 10 * DAY + 1, 2, "s2"),
    ]
    return write_log(tmp_path / "log", searches, events)


def test_a_row_has_its_outcomes_and_what_was_known_before_it(tmp_path):
    rows = rows_of(small(tmp_path), Joining((CLICKS, SHOWN)))
    assert [(row["query_id"], row["rank"], row["doc_id"]) for row in rows] == [
        ("q1", 1, "a"),
        ("q1", 2, "b"),
        ("q2", 1, "b"),
        ("q2", 2, "a"),
        ("q2", 3, "c"),
    ]
    assert [row["click"] for row in rows] == [1, 0, 0, 2, 0]
    assert [row["purchase"] for row in rows] == [1, 0, 0, 0, 0]
    assert [row["value"] for row in rows] == [12.5, 0, 0, 0, 0]
    # Clicks at the very time of the second search are not before it.
    assert [row[CLICKS.name] for row in rows] == [0, 0, 0, 1, 0]
    assert [row[CLICKS.total_name] for row in rows] == [0, 0, 1, 1, 1]
    assert [row[SHOWN.name] for row in rows] == [0, 0, 1, 1, 1]
    assert {row["text"] for row in rows} == {"Ring", "ring "}
    assert [row["time"] for row in rows] == [AT] * 2 + [AT + 10 * DAY] * 3


@pytest.mark.parametrize(("seed", "part_rows", "block_rows"), [(3, 500_000, 200_000), (4, 40, 30)])
def test_every_count_is_that_of_one_event_after_the_other(tmp_path, seed, part_rows, block_rows):
    searches, events, field = random_log(seed)
    log, reference = write_log(tmp_path, searches, events), Reference(searches, events, field)
    groups = {"seller": values_of(field)}
    rows = rows_of(log, Joining(COUNTERS, groups, part_rows, block_rows))
    assert sorted((row["query_id"], row["doc_id"]) for row in rows) == sorted(
        (search[0], doc) for search in searches for doc in search[4]
    )
    times = [row["time"] for row in rows]
    assert times == sorted(times)
    for counter in COUNTERS:
        tallies = {at: reference.tally(counter, at) for at in set(times)}
        for row in rows:
            key = reference.key(counter, row["query_id"], row["doc_id"])
            tally = tallies[row["time"]]
            assert row[counter.name] == pytest.approx(tally.get(key, 0.0), rel=1e-6), counter.name
    assert list(tmp_path.glob(".join-*")) == []


@pytest.mark.parametrize("half_life", [math.inf, 20.0])
def test_sums_over_everything_are_of_the_last_full_minute(tmp_path, half_life):
    searches, events, field = random_log(5)
    searches = [(*row[:2], row[2] + 25.0 * at, *row[3:]) for at, row in enumerate(searches)]
    log, reference = write_log(tmp_path, searches, events), Reference(searches, events, field)
    counters = tuple(
        Counter(by, "click", 73.0, half_life, "seller" if by == "group" else "")
        for by in ("document", "query", "pair", "group")
    )
    rows = rows_of(log, Joining(counters, {"seller": values_of(field)}))
    for counter in counters:
        for row in rows:
            expected = sum(reference.tally(counter, row["time"] // 60 * 60).values())
            assert row[counter.total_name] == pytest.approx(expected, rel=1e-6), counter.name


def planted(path, table, column, values):
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(values, pa.float32())), path)


def test_an_honest_join_has_no_leak_and_a_planted_one_is_found(tmp_path):
    searches, events, field = random_log(6)
    log, path = write_log(tmp_path / "log", searches, events), tmp_path / "joined.parquet"
    reference = Reference(searches, events, field)
    joining = Joining(COUNTERS, {"seller": values_of(field)})
    write_joined(log, joining, path)
    assert leaks(path, log, joining, sample=10_000) == []
    table, counter = pq.read_table(path), Counter("document", "click", 73.0)
    rows = table.to_pylist()
    moments = {
        # What a join with <= knows, and what one as of the end of the log does.
        "at": lambda row: float(np.nextafter(row["time"], np.inf)),
        "end": lambda row: 2.0e9,
    }
    joining = dataclasses.replace(joining, counters=(dataclasses.replace(counter),))
    for moment in moments.values():
        tallies = {at: reference.tally(counter, at) for at in map(moment, rows)}
        values = [tallies[moment(row)].get((row["doc_id"],), 0.0) for row in rows]
        wrong = {
            (row["query_id"], row["doc_id"])
            for row, value in zip(rows, values, strict=True)
            if value != row[counter.name]
        }
        planted(path, table, counter.name, values)
        found = leaks(path, log, joining, sample=10_000)
        assert wrong
        assert {(leak.query_id, leak.doc_id) for leak in found} == wrong
        assert {leak.column for leak in found} == {counter.name}


def test_a_planted_total_is_found(tmp_path):
    log, path = small(tmp_path), tmp_path / "joined.parquet"
    write_joined(log, Joining((CLICKS,)), path)
    assert leaks(path, log, Joining((CLICKS,))) == []
    planted(path, pq.read_table(path), CLICKS.total_name, [0, 0, 3, 3, 3])
    found = leaks(path, log, Joining((CLICKS,)))
    assert sorted((leak.query_id, leak.value, leak.truth) for leak in found) == [("q2", 3, 1)] * 3


def test_a_check_says_what_it_lacks(tmp_path):
    log, path = small(tmp_path), tmp_path / "joined.parquet"
    write_joined(log, Joining((CLICKS,)), path)
    with pytest.raises(InputError, match="no column"):
        leaks(path, log, Joining((SHOWN,)))
    with pytest.raises(InputError, match="sample of 0"):
        leaks(path, log, Joining((CLICKS,)), sample=0)
    other = write_log(tmp_path / "other", [], [])
    with pytest.raises(InputError, match="has no search 'q"):
        leaks(path, other, Joining((CLICKS,)))


def test_the_file_has_what_the_batches_have(tmp_path):
    log, path = small(tmp_path), tmp_path / "joined.parquet"
    told = write_joined(log, Joining((CLICKS, SHOWN), block_rows=1), path)
    assert (told.rows, told.searches, told.unknown) == (5, 2, 0)
    assert told.outcomes == {"click": 2, "favourite": 0, "cart": 0, "purchase": 1}
    assert pq.read_table(path).to_pylist() == rows_of(log, Joining((CLICKS, SHOWN)))
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["joined.parquet"]


def test_impressions_without_a_known_search_are_told_and_still_count(tmp_path):
    searches = [("q1", "ring", AT, None, ["a"]), ("q2", None, AT, None, ["a"])]
    events = [("lost", "impression", "a", AT - 1, 1), (None, "impression", "a", AT - 2)]
    shown = Counter("document", "impression")
    log = write_log(tmp_path / "log", searches, events)
    assert [row[shown.name] for row in rows_of(log, Joining((shown,)))] == [2]
    told = write_joined(log, Joining((shown,)), tmp_path / "joined.parquet")
    assert (told.rows, told.unknown) == (1, 3)


def test_a_document_that_a_search_showed_twice_is_one_row(tmp_path):
    events = [("q1", "impression", "a", AT + late, rank) for late, rank in ((0, 7), (3, 2))]
    log = write_log(tmp_path, [("q1", "ring", AT, None, [])], events)
    assert [(row["doc_id"], row["rank"]) for row in rows_of(log, Joining())] == [("a", 2)]


def test_a_log_in_which_nothing_happened_gives_no_rows(tmp_path):
    log = write_log(tmp_path / "log", [], [])
    told = write_joined(log, Joining((CLICKS, SHOWN)), tmp_path / "joined.parquet")
    assert told.rows == 0
    assert pq.read_schema(tmp_path / "joined.parquet").names[7:12] == [*OUTCOMES, "value"]
    with pytest.raises(InputError, match="part_rows 0"):
        rows_of(log, Joining(part_rows=0))


def test_ten_years_of_decay_neither_overflow_nor_vanish():
    times = np.arange(3650.0) * DAY + 1e9
    past = Past(np.zeros(3650), times)
    # A click a day, halved each day: 1/2 + 1/4 + ... = 1.
    found = past.counts(np.zeros(1), times[-1:] + DAY, [(math.inf, DAY), (3 * DAY, DAY)])
    assert found[:, 0] == pytest.approx([1.0, 0.5 + 0.25 + 0.125], rel=1e-12)
    late = past.counts(np.zeros(1), times[-1:] + 1e9, [(math.inf, DAY), (DAY, math.inf)])
    assert late.tolist() == [[0.0], [0.0]]


def test_histories_know_the_session_strictly_before_the_search(tmp_path):
    searches = [(f"q{at}", "ring", AT + 10 * at, "s1", []) for at in range(4)]
    searches += [("other", "ring", AT + 99, "s2", []), ("none", "ring", AT + 99, None, [])]
    events = [
        (None, "click", "a", AT + 1, None, "s1"),
        (None, "click", "b", AT + 5, None, "s1"),
        (None, "purchase", "a", AT + 10, None, "s1"),
        (None, "impression", "z", AT + 2, None, "s1"),
        (None, "cart", "c", AT + 22, None, "s1"),
        (None, "click", "y", AT + 2, None, None),
    ]
    log = write_log(tmp_path, searches, events)
    found = pa.Table.from_batches(histories(log, 2)).to_pylist()
    assert {row["query_id"]: row["history"] for row in found} == {
        "q0": [],
        "q1": ["a", "b"],
        "q2": ["b", "a"],
        "q3": ["a", "c"],
        "other": [],
    }
    longest = pa.Table.from_batches(histories(log, 20))
    assert pc.max(pc.list_value_length(longest["history"])).as_py() == 3
    with pytest.raises(InputError, match="0 documents"):
        next(histories(log, 0))
