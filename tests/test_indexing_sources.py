"""Every form of product file gives the documents that its lines, rows or columns hold."""

import gc
import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.errors import DocumentError, InputError
from cascade.indexing.dead_letters import MAX_LETTER_BYTES, DeadLetters, OnError, Quarantine, letter
from cascade.indexing.meter import Meter
from cascade.indexing.reading import read_analysed
from cascade.indexing.sources import Files, read_products
from tests.bookshop import books, schema


def read(path: Path, on_error: OnError = OnError.REFUSE) -> tuple[list, Quarantine]:
    quarantine = Quarantine(on_error)
    return list(read_products(path, quarantine)), quarantine


def as_table(given: list[dict], delimiter: str) -> str:
    columns = list(dict.fromkeys(key for book in given for key in book))
    rows = [columns] + [[plain(book.get(c)) for c in columns] for book in given]
    return "".join(delimiter.join(row) + "\r\n" for row in rows)


def plain(value: object) -> str:
    if value is None:
        return ""
    return str(value[0]) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("suffix", [".ndjson", ".jsonl", ".csv", ".tsv", ".csv.gz", ".parquet"])
def test_every_form_gives_the_same_documents(tmp_path, suffix):
    given, path = books(60), tmp_path / f"products{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict.fromkeys(books(2)[1]) | b for b in given]), path)
    elif "sv" in suffix:
        content = as_table(given, "\t" if suffix == ".tsv" else ",").encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    else:
        path.write_text("\n".join(map(json.dumps, given)))
    fields = schema()
    found = [fields.document(raw) for _, raw in read(path)[0]]
    expected = [fields.document(book) for book in given]
    assert [(d.id, d.texts, d.keywords, d.numbers) for d in found] == [
        (d.id, d.texts, d.keywords, d.numbers) for d in expected
    ]


def test_a_form_that_is_not_read_is_told_with_those_that_are(tmp_path):
    for name in ("products.xml", "products", "products.parquet.gz", ".csv"):
        with pytest.raises(InputError, match=r"accepted are \.ndjson, .*\.tsv.* and \.parquet"):
            Files((tmp_path / name,))
    Files((tmp_path / "A.CSV.GZ", tmp_path / "b.v2.jsonl"))


def test_cells_of_a_table_may_hold_quotes_breaks_and_nothing(tmp_path):
    path = tmp_path / "products.csv"
    path.write_bytes(
        b'\xef\xbb\xbfid,title,price\r\na,"6"" pipe, steel",\r\n\r\nb,"two\nlines",1.50\r\n'
    )
    assert read(path)[0] == [
        ("products.csv, line 2", {"id": "a", "title": '6" pipe, steel'}),
        ("products.csv, line 4", {"id": "b", "title": "two\nlines", "price": "1.50"}),
    ]


def test_a_table_may_be_left_before_its_end(tmp_path):
    path = tmp_path / "products.csv"
    path.write_text("id\n" + "\n".join(map(str, range(9_000))))
    reading = read_products(path, Quarantine(OnError.REFUSE))
    assert next(reading) == ("products.csv, line 2", {"id": "0"})
    reading.close()
    gc.collect()


def test_bad_rows_of_a_table_are_named_and_the_rest_is_read(tmp_path):
    path = tmp_path / "products.csv"
    path.write_bytes(b'id,title\na,"x"y\nb,good\nc\nd,\xff\ne,"open\nf,never closed\n')
    found, quarantine = read(path, OnError.SKIP)
    assert found == [("products.csv, line 3", {"id": "b", "title": "good"})]
    assert [reason.partition(": ")[::2] for reason in quarantine.reasons] == [
        ("products.csv, line 2", "not a row of a table: ',' expected after '\"'"),
        ("products.csv, line 4", "has 1 cells; the header names 2"),
        ("products.csv, line 5", "is not UTF-8; save the file as UTF-8"),
        ("products.csv, line 6", "not a row of a table: unexpected end of data"),
    ]
    with pytest.raises(DocumentError, match=r"line 2: not a row of a table.*Nothing was built"):
        read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "has no header"), (b"id,a,a\n", "columns stand twice: a"), (b"id,\xff\n", "not UTF-8")],
)
def test_a_table_needs_a_sound_header(tmp_path, content, reason):
    path = tmp_path / "products.csv"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=reason):
        read(path, OnError.SKIP)


def test_values_of_a_parquet_file_become_plain_data(tmp_path):
    moment = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    table = pa.table(
        {
            "id": pa.array(["a", "b"]),
            "moment": pa.array([moment, None], pa.timestamp("ns", "UTC")),
            "day": pa.array([date(2024, 5, 1), None]),
            "price": pa.array([1.5, float("nan")]),
            "exact": pa.array([Decimal("2.50"), Decimal("3.00")]),
            "tags": pa.array([["x", None, "y"], []]),
            "vector": pa.array([[0.5, 1.0], None], pa.list_(pa.float32(), 2)),
            "raw": pa.array([b"text", b"\xff\x00"]),
            "part": pa.array([{"n": 1}, {"n": None}]),
            "sold": pa.array([True, None]),
        }
    )
    path = tmp_path / "products.parquet"
    pq.write_table(table, path)
    (_, first), (place, second) = read(path)[0]
    assert first == {
        "id": "a",
        "moment": "2024-05-01T12:30:00+00:00",
        "day": "2024-05-01",
        "price": 1.5,
        "exact": 2.5,
        "tags": ["x", None, "y"],
        "vector": [0.5, 1.0],
        "raw": "text",
        "part": {"n": 1},
        "sold": True,
    }
    assert place == "products.parquet, row 2"
    assert second == {"id": "b", "exact": 3, "tags": [], "raw": "/wA=", "part": {"n": None}}


def test_a_parquet_file_that_is_none_is_told(tmp_path):
    path = tmp_path / "products.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DocumentError, match="cannot be read after row 0"):
        read(path)


@pytest.mark.parametrize("beside", [False, True])
def test_how_many_documents_there_will_be_is_told_from_what_was_read(tmp_path, beside):
    paths = [tmp_path / "a.ndjson", tmp_path / "b.parquet", tmp_path / "c.csv"]
    paths[0].write_text("\n".join(map(json.dumps, books(3_000))))
    pq.write_table(pa.Table.from_pylist(books(3_000)[1:2] * 3_000), paths[1])
    paths[2].write_text(as_table(books(3_000), ","))
    meter = Meter(paths)
    assert meter.expected(0) is None
    quarantine = Quarantine(OnError.SKIP)
    seen = []
    for count, _ in enumerate(
        read_analysed(paths, schema(), quarantine, meter=meter, beside=beside), 1
    ):
        if count % 500 == 0:
            seen.append(meter.read())
    assert seen == sorted(seen)
    assert 0 < seen[0] < sum(p.stat().st_size for p in paths) / 3
    assert meter.read() == sum(p.stat().st_size for p in paths)
    assert meter.expected(9_000) == 9_000


def test_halfway_through_a_file_twice_as_many_are_expected(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(books(1_000)[1:2] * 1_000), path)
    meter = Meter([path])
    for count, _ in enumerate(read_products(path, Quarantine(OnError.SKIP), meter), 1):
        if count == 500:
            assert meter.expected(count) == pytest.approx(1_000, abs=2)


def test_inputs_are_the_same_until_a_byte_of_one_changes(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_text('{"id": "a"}\n')
    before = Files((path,)).identity()
    assert Files((path,)).identity() == before
    path.write_text('{"id": "b"}\n')
    assert Files((path,)).identity() != before
    assert Files((path, path)).identity() != Files((path,)).identity()


def test_a_letter_keeps_what_was_given_unless_it_is_large():
    assert json.loads(letter("p", "r", b'{"broken\n')) == {
        "place": "p",
        "reason": "r",
        "given": '{"broken',
    }
    assert json.loads(letter("p", "r", {"id": [1]}))["given"] == {"id": [1]}
    assert json.loads(letter("p", "r", ["a", "\udcff"]))["given"] == str(["a", "\udcff"])
    assert json.loads(letter("p", "r", b"x" * (MAX_LETTER_BYTES + 1))) == {
        "place": "p",
        "reason": "r",
        "bytes": MAX_LETTER_BYTES + 1,
    }


def test_without_a_letter_there_is_no_file(tmp_path):
    path = tmp_path / "dead.ndjson"
    path.write_text("of an earlier run")
    with DeadLetters(path):
        assert not path.exists()
    with DeadLetters(path) as letters:
        letters.put("p", "r", None)
    assert path.read_text() == '{"place":"p","reason":"r"}\n'
