"""Reading beside: the same documents, order and errors as in one process, and no process left."""

import json
import multiprocessing
from pathlib import Path

import pytest

from cascade.errors import DocumentError
from cascade.indexing.dead_letters import OnError, Quarantine
from cascade.indexing.reading import read_analysed
from tests.bookshop import books, schema


def written(folder: Path, *extra: str, count: int = 600) -> Path:
    path = folder / "products.ndjson"
    lines = [json.dumps(book) for book in books(count)]
    lines[300:300] = extra
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("extra", [[], ["{broken", '{"id": "x", "price": "cheap"}', '["list"]']])
def test_a_process_beside_gives_the_same_documents_and_reasons(tmp_path, extra):
    path = written(tmp_path, *extra)
    here, beside = Quarantine(OnError.SKIP), Quarantine(OnError.SKIP)
    expected = list(read_analysed([path], schema(), here))
    assert list(read_analysed([path], schema(), beside, beside=True)) == expected
    assert len(expected) == 600
    assert (beside.count, beside.reasons) == (here.count, here.reasons)
    assert here.count == len(extra)


def test_a_bad_line_that_is_refused_ends_the_process_beside(tmp_path):
    path = written(tmp_path, "{broken")
    with pytest.raises(DocumentError, match=r"line 301, column 2.*Nothing was built"):
        list(read_analysed([path], schema(), Quarantine(OnError.REFUSE), beside=True))
    assert multiprocessing.active_children() == []


def test_a_file_that_cannot_be_read_is_told_by_the_process_beside(tmp_path):
    path = tmp_path / "products.ndjson.gz"
    path.write_bytes(b"\x1f\x8b no gzip at all")
    with pytest.raises(DocumentError, match="cannot be read after line 0"):
        list(read_analysed([path], schema(), Quarantine(OnError.SKIP), beside=True))


def test_whoever_stops_early_leaves_no_process(tmp_path):
    path = written(tmp_path, count=5_000)
    reading = read_analysed([path], schema(), Quarantine(OnError.SKIP), beside=True)
    assert next(reading).document.id == "b000"
    reading.close()
    assert multiprocessing.active_children() == []
