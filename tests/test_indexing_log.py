import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from cascade.catalogue import Op
from cascade.errors import ChecksumError, InputError
from cascade.indexing.log import Item, Log


def upsert(doc_id, **fields):
    return Item(Op.UPSERT, doc_id, {"id": doc_id, **fields})


def write(log, *items, at=1.0):
    with log.alone() as writer:
        return writer.append(items, at)


def told(entries):
    return [(e.seq, str(e.op), e.doc_id, e.document) for e in entries]


def test_entries_come_back_in_order_as_they_were_given(tmp_path):
    log = Log(tmp_path / "log")
    assert log.position == 0
    assert list(log.read()) == []
    document = {"id": "a", "title": 'Ünïcode "quoted"\n line', "nested": {"x": [1, None, 2.5]}}
    assert write(log, Item(Op.UPSERT, "a", document), Item(Op.DELETE, "b"), at=7.25) == 2
    assert write(log, Item(Op.HEARTBEAT), at=8) == 3
    entries = list(log.read())
    assert told(entries) == [
        (1, "upsert", "a", document),
        (2, "delete", "b", None),
        (3, "heartbeat", "", None),
    ]
    assert [e.time for e in entries] == [7.25, 7.25, 8]
    assert log.position == 3


def test_each_line_is_json_on_its_own(tmp_path):
    log = Log(tmp_path / "log")
    write(log, upsert("a", price=1))
    (path,) = tmp_path.glob("log/*.ndjson")
    assert path.name == "000000000001.ndjson"
    line = json.loads(path.read_text())
    assert line.pop("sum")
    assert line == {
        "seq": 1,
        "time": 1.0,
        "op": "upsert",
        "id": "a",
        "document": {"id": "a", "price": 1},
    }


def test_replay_begins_anywhere_across_segments(tmp_path):
    log = Log(tmp_path / "log", segment_bytes=300)
    for number in range(40):
        write(log, upsert(f"d{number}"))
    assert len(list(tmp_path.glob("log/*.ndjson"))) > 5
    for after in range(41):
        assert [e.seq for e in log.read(after)] == list(range(after + 1, 41))


def test_a_tail_reads_on_where_it_stood(tmp_path):
    log = Log(tmp_path / "log", segment_bytes=150)
    tail = log.tail(0)
    assert tail.read() == []
    seen = []
    for number in range(12):
        write(log, upsert(f"d{number}"))
        if number % 3 == 0:
            assert tail.pending()
            while entries := tail.read():
                seen += entries
            assert seen[-1].doc_id == f"d{number}"
            assert tail.read() == []
            assert not tail.pending()
    while entries := tail.read():
        seen += entries
    assert [e.seq for e in seen] == list(range(1, 13))


@pytest.mark.parametrize("torn", [b'{"seq":3,"ti', b"\0" * 300, b'{"seq":3,"x":"' + b"y" * 10**5])
def test_a_torn_end_is_cut_off_by_the_next_writer_and_read_by_nobody(tmp_path, torn):
    log = Log(tmp_path / "log")
    write(log, upsert("a"), upsert("b"))
    (path,) = tmp_path.glob("log/*.ndjson")
    whole = path.read_bytes()
    with path.open("ab") as stream:
        stream.write(torn)
    tail = log.tail(0)
    assert [e.doc_id for e in tail.read()] == ["a", "b"]
    assert tail.read() == []
    assert log.position == 2
    assert write(log, upsert("c")) == 3
    assert path.read_bytes().startswith(whole + b'{"seq":3,"time"')
    assert [e.doc_id for e in tail.read()] == ["c"]


def test_a_log_of_nothing_but_a_torn_line_begins_anew(tmp_path):
    log = Log(tmp_path / "log")
    log.folder.mkdir()
    (log.folder / "000000000001.ndjson").write_bytes(b'{"seq":1')
    assert log.position == 0
    assert write(log, upsert("a")) == 1
    assert [e.doc_id for e in log.read()] == ["a"]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_damaged_entry_is_refused_and_never_passed_over(tmp_path, line):
    log = Log(tmp_path / "log")
    write(log, upsert("a", n="1"), upsert("b", n="1"), upsert("c", n="1"))
    (path,) = tmp_path.glob("log/*.ndjson")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"n":"1"', b'"n":"2"')
    path.write_bytes(b"".join(lines))
    with pytest.raises(ChecksumError, match="damaged"):
        list(log.read())
    if line == 2:
        with pytest.raises(ChecksumError, match="damaged"):
            write(log, upsert("d"))
    assert path.read_bytes() == b"".join(lines)


def test_a_missing_segment_is_a_gap(tmp_path):
    log = Log(tmp_path / "log", segment_bytes=1)
    for name in "abc":
        write(log, upsert(name))
    (log.folder / "000000000002.ndjson").unlink()
    tail = log.tail(0)
    assert [e.doc_id for e in tail.read()] == ["a"]
    with pytest.raises(ChecksumError, match="after entry 1 comes 3"):
        log.tail(1).read()


def test_trimming_keeps_what_a_position_needs_and_the_last_segment(tmp_path):
    log = Log(tmp_path / "log", segment_bytes=1)
    for name in "abcd":
        write(log, upsert(name))
    assert log.trim(2) == ["000000000001.ndjson", "000000000002.ndjson"]
    assert [e.doc_id for e in log.read(2)] == ["c", "d"]
    with pytest.raises(ChecksumError, match="begins at entry 3, and entry 2 is needed"):
        list(log.read(1))
    assert log.trim(99) == ["000000000003.ndjson"]
    assert log.position == 4
    assert write(log, upsert("e")) == 5


def test_a_tail_goes_on_when_what_it_has_read_is_trimmed(tmp_path):
    log = Log(tmp_path / "log", segment_bytes=1)
    write(log, upsert("a"))
    tail = log.tail(0)
    tail.read()
    write(log, upsert("b"))
    log.trim(1)
    assert [e.doc_id for e in tail.read()] == ["b"]


def test_an_upsert_without_a_document_is_refused(tmp_path):
    log = Log(tmp_path / "log")
    with pytest.raises(InputError, match="'a'"):
        write(log, Item(Op.UPSERT, "a"))
    assert log.position == 0


def test_writers_wait_for_each_other_and_readers_for_none(tmp_path):
    log = Log(tmp_path / "log", segment_bytes=2_000)
    seen, failed = [], []

    def writes(name):
        try:
            for number in range(50):
                write(log, upsert(f"{name}{number}"), Item(Op.DELETE, f"{name}{number}"))
        except BaseException as error:
            failed.append(error)
            raise

    def reads():
        tail = log.tail(0)
        while len(seen) < 300 and not failed:
            seen.extend(tail.read())

    threads = [threading.Thread(target=writes, args=(name,)) for name in "xyz"]
    threads.append(threading.Thread(target=reads))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failed == []
    assert [e.seq for e in seen] == list(range(1, 301))
    for name in "xyz":
        own = [e for e in seen if e.doc_id.startswith(name)]
        expected = [f"{name}{number}" for number in range(50) for _ in range(2)]
        assert [e.doc_id for e in own] == expected
    # What was appended together stands together.
    assert all(a.doc_id == b.doc_id for a, b in zip(seen[::2], seen[1::2], strict=True))


WRITER = """
import sys
from pathlib import Path
from cascade.catalogue import Op
from cascade.indexing.log import Item, Log
log = Log(Path(sys.argv[1]), segment_bytes=20_000)
while True:
    with log.alone() as writer:
        first = writer.position + 1
        items = [Item(Op.UPSERT, str(n), {"id": str(n), "pad": "x" * 700})
                 for n in range(first, first + 40)]
        position = writer.append(items, 0.0)
    sys.stdout.write(f"{position}\\n")
    sys.stdout.flush()
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    folder = tmp_path / "log"
    acknowledged = 0
    for attempt in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged = int(process.stdout.readline())
        time.sleep(0.013 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        acknowledged = max([acknowledged, *map(int, rest[:-1])])
        entries = list(Log(folder).read())
        assert len(entries) >= acknowledged
        assert [e.doc_id for e in entries] == [str(e.seq) for e in entries]
