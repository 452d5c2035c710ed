"""Counted behaviour: on disk, and for the rows of documents, against dicts and hand calculation."""

import threading

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.behaviour import (
    ACTIONS,
    BoundCounts,
    Counted,
    Counter,
    normal_text,
    open_snapshot,
    snapshot_of,
    write_snapshot,
)
from cascade.candidates import Query
from cascade.errors import ChecksumError, NotFoundError
from cascade.events import tables

NAN = float("nan")
CLICKS = Counter("document", "click", 30.0, 7.0)
SHOWN = Counter("document", "impression", 30.0, 7.0)
PAIRS = Counter("pair", "click")
ASKED = Counter("query", "impression", 30.0)
SOLD = Counter("group", "purchase", field="seller")
DOCUMENTS = MemoryDocuments(
    {"seller": "keyword"},
    [
        {"id": "a", "seller": ["x", "y"]},
        {"id": "b", "seller": ["y"]},
        {"id": "c"},
        {"id": "d", "seller": ["z"]},
    ],
)


def counted(values, texts=None, names=None):
    columns = (None if c is None else np.array(c, dtype=object) for c in (texts, names))
    return Counted(*columns, np.array(values, dtype=np.float64))


COUNTED = {
    CLICKS: counted([2.5, 1.0], names=["a", "gone"]),
    PAIRS: counted([3, 4, 5], ["red cup", "red cup", "mug"], ["b", "d", "b"]),
    ASKED: counted([10, 20], ["red cup", "mug"]),
    SOLD: counted([7, 9], names=["x", "nobody"]),
    SHOWN: counted([8, 16, 0.1], names=["a", "b", "d"]),
}
ORDER = (CLICKS, SHOWN, PAIRS, ASKED, SOLD)
# By counter in the order of a snapshot; rows a, b, c, d for "red cup".
RED_CUP = [[2.5, 0, 0, 0], [8, 16, 0, 0.1], [0, 3, 0, 4], [10] * 4, [7, 0, 0, 0]]


def values(behaviour, *listings):
    batch = candidates(DOCUMENTS, *listings)
    texts = [query.text for query in batch.queries]
    found = behaviour.values(texts, batch.listing, batch.rows)
    assert found.dtype == np.float32
    return found.T.tolist()


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_actions_are_those_of_event_logs():
    assert ACTIONS == tables.ACTIONS


def test_names_tell_counters_apart():
    assert CLICKS.name == "count:document:click:30:7"
    assert SOLD.name == "count:group=seller:purchase:inf:inf"
    assert CLICKS.total_name == "total:document:click:30:7"
    assert normal_text("  Red\tCUP ") == "red cup"


def test_counts_of_rows_by_hand():
    behaviour = BoundCounts(snapshot_of(5.0, COUNTED), DOCUMENTS)
    assert behaviour.counters == ORDER
    same(values(behaviour, ("Red  cup", [0, 1, 2, 3])), RED_CUP)
    assert behaviour.totals == pytest.approx((3.5, 24.1, 12, 30, 16))
    assert [behaviour.columns[counter.name] for counter in ORDER] == [0, 1, 2, 3, 4]


def test_a_row_that_is_unknown_has_only_counts_of_its_query():
    behaviour = BoundCounts(snapshot_of(5.0, COUNTED), DOCUMENTS)
    found = values(behaviour, ("mug", [-1, 1]))
    same(found, [[NAN, 0], [NAN, 16], [NAN, 5], [20, 20], [NAN, 0]])


def test_listings_of_a_batch_and_none():
    behaviour = BoundCounts(snapshot_of(5.0, COUNTED), DOCUMENTS)
    found = values(behaviour, ("mug", [3, 1]), ("new", [1]), ("", []), ("red cup", [1, 3]))
    assert found[2] == [0, 5, 0, 3, 4]
    assert found[3] == [20, 20, 0, 10, 10]
    assert values(behaviour) == [[]] * 5


def test_a_snapshot_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "one" / "counts"
    write_snapshot(path, snapshot_of(5.25, COUNTED))
    assert [p.name for p in path.parent.iterdir()] == ["counts"]
    read = open_snapshot(path)
    assert (read.as_of, read.counters) == (5.25, ORDER)
    assert read.counts() == {"document": 4, "pair": 3, "query": 2, "group=seller": 2}
    assert values(BoundCounts(read, DOCUMENTS), ("red cup", [0, 1, 2, 3])) == (
        np.array(RED_CUP, dtype=np.float32).tolist()
    )
    with pytest.raises(ValueError, match="read-only"):
        read.arrays["pair.values"][:] = 0


@pytest.mark.parametrize("counters", [(), (PAIRS,), (ASKED,), (SOLD,), (CLICKS, SOLD)])
def test_any_choice_of_counters_is_kept(tmp_path, counters):
    path = tmp_path / "counts"
    write_snapshot(path, snapshot_of(1.0, {counter: COUNTED[counter] for counter in counters}))
    found = values(BoundCounts(open_snapshot(path), DOCUMENTS), ("red cup", [0, 1, 2, 3]))
    wanted = [RED_CUP[ORDER.index(counter)] for counter in counters]
    assert found == np.array(wanted, dtype=np.float32).reshape(-1, 4).tolist()


def test_counters_of_which_nothing_was_counted(tmp_path):
    nothing = {
        CLICKS: counted([], names=[]),
        PAIRS: counted([], [], []),
        ASKED: counted([], []),
        SOLD: counted([], names=[]),
    }
    write_snapshot(tmp_path / "counts", snapshot_of(1.0, nothing))
    behaviour = BoundCounts(open_snapshot(tmp_path / "counts"), DOCUMENTS)
    same(values(behaviour, ("red cup", [0, -1])), [[0, NAN], [0, NAN], [0, 0], [0, NAN]])
    assert behaviour.totals == (0, 0, 0, 0)


def test_every_damage_is_found(tmp_path):
    path = tmp_path / "counts"
    write_snapshot(path, snapshot_of(5.0, COUNTED))
    whole = path.read_bytes()
    for at in (0, 25, 60, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ChecksumError, match="behaviour update"):
            open_snapshot(path)
    for cut in (whole[:-1], whole[:40], b"", whole + b"x"):
        path.write_bytes(cut)
        with pytest.raises(ChecksumError):
            open_snapshot(path)
    with pytest.raises(NotFoundError):
        open_snapshot(tmp_path / "none")


def test_many_counts_equal_those_of_dicts():
    random = np.random.default_rng(3)
    documents = MemoryDocuments({}, [{"id": f"d{i}"} for i in range(300)])
    texts = [f"q{i}" for i in range(20)]
    pairs = {
        (texts[random.integers(20)], f"d{random.integers(400)}"): float(random.integers(1, 9))
        for _ in range(2_000)
    }
    keyed = counted(list(pairs.values()), *zip(*pairs, strict=True))
    behaviour = BoundCounts(snapshot_of(1.0, {PAIRS: keyed}), documents)
    batch = candidates(
        documents, *((t, random.integers(0, 300, 40).tolist()) for t in (*texts, "never asked"))
    )
    queries = [batch.queries[i].text for i in batch.listing.tolist()]
    expected = [pairs.get(key, 0.0) for key in zip(queries, batch.ids(), strict=True)]
    asked = [query.text for query in batch.queries]
    assert sum(expected) > 100
    assert behaviour.values(asked, batch.listing, batch.rows)[:, 0].tolist() == expected


def test_rows_that_come_later_have_counts_by_their_ids():
    documents = MemoryDocuments({"seller": "keyword"}, [{"id": "b", "seller": ["x"]}])
    behaviour = BoundCounts(snapshot_of(5.0, COUNTED), documents)
    for number in range(600):
        document = {"id": f"new{number}"} if number != 500 else {"id": "a", "seller": ["x"]}
        documents.documents.append(document)
    rows = np.array([0, 501, 600, -1], dtype=np.int32)
    found = behaviour.values(["red cup"], np.zeros(4, dtype=np.int64), rows).T.tolist()
    assert found[0] == pytest.approx([0, 2.5, 0, NAN], nan_ok=True)
    assert found[1] == pytest.approx([16, 8, 0, NAN], nan_ok=True)
    assert found[2] == pytest.approx([3, 0, 0, NAN], nan_ok=True)
    assert found[4] == pytest.approx([7, 7, 0, NAN], nan_ok=True)
    # A row that nobody has yet is not read as another.
    beyond = np.array([601], dtype=np.int32)
    assert np.isnan(behaviour.values(["mug"], np.zeros(1, dtype=np.int64), beyond)[0, 0])


def test_threads_read_at_once_while_rows_come():
    documents = MemoryDocuments({}, [{"id": "d0"}])
    names = [f"d{i}" for i in range(2_000)]
    pairs = counted(range(1, 2_001), ["q"] * 2_000, names)
    behaviour = BoundCounts(snapshot_of(1.0, {PAIRS: pairs}), documents)
    wrong = []

    def read():
        for _ in range(300):
            last = len(documents)
            rows = np.arange(last, dtype=np.int32)
            found = behaviour.values(["q"], np.zeros(last, dtype=np.int64), rows)[:, 0]
            if found.tolist() != list(range(1, last + 1)):
                wrong.append(last)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(1, 2_000):
        documents.documents.append({"id": f"d{i}"})
    for thread in threads:
        thread.join()
    assert wrong == []


def test_counts_are_read_by_queries_between_their_moment_and_their_age():
    behaviour = BoundCounts(snapshot_of(100.0, COUNTED), DOCUMENTS, max_age_s=50.0)
    assert [behaviour.usable(t) for t in (99.9, 100.0, 150.0, 150.1)] == [False, True, True, False]
    # A query without a time, as judgments have, takes what there is.
    assert behaviour.usable(0.0)


def test_a_request_reads_the_counts_that_it_began_with():
    documents = MemoryDocuments({}, [{"id": "a"}, {"id": "b"}])
    first = BoundCounts(snapshot_of(1.0, COUNTED), documents)
    documents.behaviour = first
    begun = candidates(documents, (Query("1", "mug", time=2.0), [0, 1]))
    assert begun.behaviour is first
    documents.behaviour = BoundCounts(snapshot_of(2.0, COUNTED), documents)
    later = begun.head(1).with_scores(np.ones(1, dtype=np.float32))
    assert later.behaviour is first
    assert begun.bare().behaviour is documents.behaviour
    assert candidates(documents, ("mug", [])).behaviour is documents.behaviour
